/* SPDX-License-Identifier: Apache-2.0 */
/* Functions written in assembly: gcc and clang add nothing to them; arguments are in r0 to r3 and on the stack. */
#ifndef MCF_ASM_H
#define MCF_ASM_H

#include "mcf_base.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
#define NAKED(name) MCF_HOT(name) __attribute__((naked, noinline, used))

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#endif
