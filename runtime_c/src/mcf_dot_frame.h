/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* Inside mcf_dot*.c: the stack frame, a copy of mcf_dot_t, and what every piece of assembler needs. */
#ifndef MCF_DOT_FRAME_H
#define MCF_DOT_FRAME_H

#include "mcf_dot.h"

#if MCF_DSP

#define W "[sp]"
#define PAIR "[sp, #4]"
#define PAIR_END "[sp, #8]"
#define POST "[sp, #12]"
#define ENTRY "[sp, #20]"
#define FINISH "[sp, #24]"
#define SHIFT "[sp, #28]"
#define Y "[sp, #32]"
#define RES "[sp, #40]"
#define TABLE "[sp, #48]"
#define ACC_SHIFT "[sp, #52]"
#define CLAMP "[sp, #56]"
#define PAIR_ENTRY "[sp, #64]"
#define W_SKIP "[sp, #68]"
#define PAIRS "[sp, #72]"
#define PAIR_BYTES "[sp, #76]"
#define Y_STEP "[sp, #80]"
#define RES_STEP "[sp, #84]"
#define POST_BACK "[sp, #88]"
#define AFTER_UP "[sp, #92]"
#define ROW_ENTRY "[sp, #96]"
#define ROW_STEP "[sp, #100]"
#define W_END "[sp, #104]"
#define SAVED "[sp, #108]"
#define FRAME_BYTES "112"
_Static_assert(offsetof(mcf_dot_t, offset) == 16 && offsetof(mcf_dot_t, w_end) == 104, "frame of mcf_dot");
_Static_assert(offsetof(mcf_dot_t, y) == 32 && offsetof(mcf_dot_t, pairs) == 72, "frame of mcf_dot");
_Static_assert(offsetof(mcf_dot_t, table) == 48 && offsetof(mcf_dot_t, w_skip) == 68, "frame of mcf_dot");
_Static_assert(offsetof(mcf_dot_t, post_back) == 88 && sizeof(mcf_dot_t) == 108, "frame of mcf_dot");

#define SECTION(name) ".syntax unified\n.thumb\n.section .text.mcf_hot." #name ",\"ax\",%progbits\n.balign 4\n"
#define LABEL(name) ".global " #name "\n.thumb_func\n.type " #name ", %function\n" #name ":\n"
#define END ".previous\n"

#endif
#endif
