/* SPDX-License-Identifier: Apache-2.0 */
#include "mcf_check.h"

#include "mcf_model.h"

MCF_COLD int mcf_check_arena(const void *arena) {
    if (!arena) return MCF_E_ARENA_NULL;
    return (uintptr_t)arena % 8 ? MCF_E_ARENA_ALIGN : 0;
}
