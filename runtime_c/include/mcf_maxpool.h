/* SPDX-License-Identifier: Apache-2.0 */
/* The largest of every window of an HWC image (docs/adr/0002: q_maxpool). */
#ifndef MCF_MAXPOOL_H
#define MCF_MAXPOOL_H

#include "mcf_base.h"

/* What lies outside the image is never the largest. */
typedef struct {
    int32_t height, width, channels, out_width;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint8_t type; /* of x and y */
} mcf_maxpool_t;

/* Output lines y_row0 .. y_row0+y_rows-1. x points at line x_row0 of the input image; only the lines that these outputs
 * need are read, so x may be a window of the image. y points at the first of the output lines; both are dense. */
void mcf_maxpool(const mcf_maxpool_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows);

#endif
