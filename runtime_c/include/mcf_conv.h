/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D convolutions over HWC images (docs/adr/0002: q_conv2d, q_dwconv2d; a q_patch_embed with pads runs here, too). */
#ifndef MCF_CONV_H
#define MCF_CONV_H

#include "mcf_linear.h"

/* `core` is the layer of one group over rows of kernel_h*kernel_w*channels/groups values (one segment); weights and post
 * of the groups lie one after the other. A depthwise kernel (groups 1) has core.weights int8
 * [ceil(channels/4)][kernel_h*kernel_w][4].
 * Scratch: that of mcf_linear, and two rows of x's type. Depthwise: kernel and the strip
 * of x for `band` output lines and 4 channels at 16 bits, and one more stride of columns; at least 4 channels of x
 * where the result lies over it: of every group all of x is read before any of y is written, so that y may be x if
 * pixels have the same size, the image has no fewer of them, and x is whole (x_row0 and y_row0 are 0). */
typedef struct {
    mcf_linear_t core;
    const void *pad; /* [channels] of x's type: what lies outside the image */
    int32_t height, width, channels, groups, out_width;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t band;
    int32_t over; /* depthwise: y is x, and a call makes all lines (band is their number) */
} mcf_conv2d_t;

/* Output lines y_row0 .. y_row0+y_rows-1. x points at line x_row0 of the input image; only the lines that these outputs
 * need are read, so x may be a window of the image. y and res (NULL without residual) point at the first of the output
 * lines; both are dense. y may be res. */
void mcf_conv2d(const mcf_conv2d_t *p, const void *x, int32_t x_row0, const void *res, void *y, int32_t y_row0,
                int32_t y_rows, void *scratch);
void mcf_dwconv2d(const mcf_conv2d_t *p, const void *x, int32_t x_row0, const void *res, void *y, int32_t y_row0,
                  int32_t y_rows, void *scratch);

#endif
