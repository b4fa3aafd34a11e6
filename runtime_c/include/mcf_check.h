/* SPDX-License-Identifier: Apache-2.0 */
/* What every model checks first. */
#ifndef MCF_CHECK_H
#define MCF_CHECK_H

#include "mcf_version.h" /* the function's name in this version */

/* 0, MCF_E_ARENA_NULL or MCF_E_ARENA_ALIGN. */
int mcf_check_arena(const void *arena);

#endif
