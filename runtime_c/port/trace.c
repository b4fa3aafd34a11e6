/* SPDX-License-Identifier: Apache-2.0 */
/* An emulator stops here and reads the rows; on a board this build traces nothing. */
#include "mcf_port.h"

#ifdef MCF_TRACING
__attribute__((noinline)) void mcf_trace(unsigned layer, const void *rows, int32_t stride, int32_t row_bytes,
                                         int32_t first_row, int32_t count) {
    __asm volatile("" ::"r"(layer), "r"(rows), "r"(stride), "r"(row_bytes), "r"(first_row), "r"(count) : "memory");
}
#endif
