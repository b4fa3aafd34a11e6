/* SPDX-License-Identifier: Apache-2.0 */
/* The average of every window of an HWC image (docs/adr/0002: q_avgpool). */
#ifndef MCF_AVGPOOL_H
#define MCF_AVGPOOL_H

#include "mcf_base.h"

/* Only pixels inside of the image count. */
typedef struct {
    const int32_t *post; /* per channel: mult, offset */
    int32_t height, width, channels, out_width;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint8_t x_type, y_type;
    uint8_t up, acc_shift, shift;
} mcf_avgpool_t;

/* Output lines y_row0 .. y_row0+y_rows-1. x points at line x_row0 of the input image; only the lines that these outputs
 * need are read, so x may be a window of the image. y points at the first of the output lines; both are dense. */
void mcf_avgpool(const mcf_avgpool_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows);

#endif
