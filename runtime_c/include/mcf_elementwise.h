/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, products, tables, means, softmax and moves over rows (docs/adr/0002). Strides are in bytes. */
#ifndef MCF_ELEMENTWISE_H
#define MCF_ELEMENTWISE_H

#include "mcf_base.h"

/* y = sat((a*ma + b*mb + offset) >> shift), per channel. mcf_requant: the same without b. y may be a or b. `narrow`: all is
 * int8, shift MCF_ADD_SHIFT, both factors are int16. */
typedef struct {
    const int32_t *post; /* per channel: offset, ma, mb (mcf_requant: offset, ma); narrow: (ma, mb), offset */
    int32_t channels;
    uint8_t a_type, b_type, y_type, shift, narrow;
} mcf_add_t;

/* y = the larger of sat((a*ma + oa) >> shift) and sat((b*mb + ob) >> shift), per channel. y may be a or b. `post` NULL: all is
 * on one grid, y = the larger of a and b. */
typedef struct {
    const int32_t *post; /* per channel: ma, oa, mb, ob */
    int32_t channels;
    uint8_t a_type, b_type, y_type, shift;
} mcf_max_t;

/* y = sat((hi(((a - a_zp) * (b - b_zp) << acc_shift) * mult) + offset) >> shift). `narrow`: all is int8, acc_shift MCF_MUL_UP,
 * shift MCF_MUL_SHIFT, mult even and 255 * mult / 2 an int32. */
typedef struct {
    const int32_t *post; /* per channel: mult, offset */
    int32_t channels;
    int16_t a_zp, b_zp;
    uint8_t a_type, b_type, y_type, shift, acc_shift, narrow;
} mcf_mul_t;

#define MCF_ADD_SHIFT 13
#define MCF_MUL_UP 15
#define MCF_MUL_SHIFT 8

/* y = table[x + 128] of int8 x; of int16 x between the entries (x + 32768) >> 4 and the next, which of int8 y count steps
 * of y / 256 */
typedef struct {
    const void *table; /* 256 entries of y's type, or 4097 of int16 */
    int32_t channels;
    uint8_t x_type, y_type;
} mcf_unary_t;

/* y = sat((hi((sum over rows << acc_shift) * mult) + offset) >> shift), the sum starting at bias */
typedef struct {
    const int32_t *post; /* per channel: bias, mult, offset */
    int32_t channels, rows;
    uint8_t x_type, y_type, shift, acc_shift;
} mcf_mean_t;

/* softmax of every row: p = exp table at hi(((max - x) << pre_shift) * m), normalised; of int16 x that is in sixteenths
 * of an entry */
typedef struct {
    const uint16_t *table; /* 256 entries: p at max - x of int8 x; NULL for int16 x */
    int32_t channels, m, o_mant, o_exp, zp;
    uint8_t x_type, y_type, pre_shift;
} mcf_softmax_t;

/* y[T] = the lowest channel that holds the largest number of each row */
typedef struct {
    int32_t channels;
    uint8_t x_type;
} mcf_argmax_t;

void mcf_add(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows);
void mcf_requant(const mcf_add_t *p, const void *a, int32_t a_stride, void *y, int32_t y_stride, int32_t rows);
/* scratch: 8 bytes a channel where b is one row for all (b_stride 0) of a narrow product, else unused */
void mcf_mul(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows, void *scratch);
void mcf_max(const mcf_max_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows);
/* The same where b has one number per row, for all its channels. */
void mcf_add_column(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows);
void mcf_max_column(const mcf_max_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows);
void mcf_mul_column(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows, void *scratch);
void mcf_unary(const mcf_unary_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows);
void mcf_softmax(const mcf_softmax_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                 void *scratch);

void mcf_argmax(const mcf_argmax_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows);

/* All rows at once; scratch: 4*channels bytes. */
void mcf_mean(const mcf_mean_t *p, const void *x, int32_t x_stride, void *y, void *scratch);
/* The same by tiles of rows: int32_t sums start at 0 (mcf_zero). row0 is the tile's first row. */
void mcf_mean_partial(const mcf_mean_t *p, const void *x, int32_t x_stride, int32_t row0, int32_t rows, void *sums);
void mcf_mean_finish(const mcf_mean_t *p, const void *sums, void *y);

void mcf_copy(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows);
void mcf_zero(void *y, int32_t bytes);
/* y's row i is x's row index[i] (uint16); mcf_permute does the same in place, cycle by cycle, `row` holding one row. */
void mcf_gather(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                const void *index);

/* Rows of a window: its row i is x's row index[i], or `fill` (NULL: zeros) where that is 65535. Back again those go
 * nowhere. */
void mcf_gather_padded(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                       const void *index, const void *fill);
void mcf_fill_padded(void *y, int32_t y_stride, int32_t row_bytes, int32_t rows, const void *index, const void *fill);
void mcf_scatter_padded(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                        const void *index);

/* Rows in an order that is four loops, one in the other: for all a < n3, b < n2, c < n1, d < n0 the row of x at
 * first + a*x3 + b*x2 + c*x1 + d*x0 bytes goes to y's at a*y3 + b*y2 + c*y1 + d*y0. */
void mcf_walk(const void *x, int32_t first, void *y, int32_t row_bytes, int32_t n3, int32_t x3, int32_t y3, int32_t n2,
              int32_t x2, int32_t y2, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0, int32_t y0);
/* Bytes: y[i * y_step + j] = x[j * x_line + i] for i < places (4 at least) and j < lines (2 at least), in two loops. */
void mcf_transpose(const void *x, int32_t first, void *y, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0,
                   int32_t y0, int32_t lines, int32_t x_line, int32_t places, int32_t y_step);
void mcf_permute(void *x, int32_t stride, int32_t row_bytes, const void *cycles, void *row);

#endif
