/* SPDX-License-Identifier: Apache-2.0 */
/* An HWC image resized: sums of neighbouring lines, then of pixels (docs/adr/0002: q_resize). */
#ifndef MCF_RESIZE_H
#define MCF_RESIZE_H

#include "mcf_base.h"

/* Output line i is made of the taps_h lines of rows[i], pixel j of it of the taps_w pixels of columns[j]. Weights are in
 * steps of 2^-bits_h, 2^-bits_w and sum to 1; a mixed line is rounded to steps of 2^-kept. `pairs`: two lines by two pixels
 * of bytes, no weight below 0, 7 and 9 bits, 7 of which are kept.
 * Scratch: a line of the image, elements of 32 bits (with pairs 16). */
typedef struct {
    const int16_t *rows, *wy;    /* [lines][taps_h] */
    const int16_t *columns, *wx; /* [out_width][taps_w] */
    int32_t height, width, channels, out_width;
    int32_t taps_h, taps_w;
    uint8_t bits_h, bits_w, kept, type, pairs;
} mcf_resize_t;

/* Output lines y_row0 .. y_row0+y_rows-1. x points at line x_row0 of the input image; only the lines that these outputs
 * need are read, so x may be a window of the image. y points at the first of the output lines; both are dense. */
void mcf_resize(const mcf_resize_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows,
                void *scratch);

#endif
