/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics over all rows and the channels of a group, and what is made of them (docs/adr/0002, q_groupstats, q_rms). */
#ifndef MCF_GROUPNORM_H
#define MCF_GROUPNORM_H

#include "mcf_base.h"

/* Without `pre` every channel has the scale `a` and zero point 0. */
typedef struct {
    const int16_t *pre; /* per channel: -z, a; or NULL */
    int64_t eps_q;      /* added to N^2 times the variance, N numbers in a group */
    int32_t channels, groups, count;
    int32_t inv;  /* floor(2^(16 + inv_shift) / N); 0: the mean is not subtracted */
    int32_t gain; /* 15 bits */
    int16_t gain_exp, a, zp;
    uint8_t inv_shift, halve; /* bits that sums lose so that N^2 times the variance fits 64 bits */
    uint8_t x_type, y_type;
} mcf_groupstats_t;

/* Sums, and sums of squares, of a group. */
typedef struct {
    int64_t s1, s2;
} mcf_group_sums_t;

/* y = ((((m*v >> 16) + o) * g >> 16) + b) >> shift with m and o of the channel's group */
typedef struct {
    const int16_t *pre;  /* as above */
    const int32_t *post; /* per channel: g, b */
    int32_t channels, groups;
    int16_t a;
    uint8_t x_type, y_type, shift;
} mcf_groupnorm_t;

/* By tiles of rows: sums of all groups start at 0 (mcf_zero). row0 is the tile's first row. */
void mcf_groupstats_partial(const mcf_groupstats_t *p, const void *x, int32_t x_stride, int32_t row0, int32_t rows,
                            void *sums);
void mcf_groupstats_finish(const mcf_groupstats_t *p, const void *sums, void *y); /* per group: int32 m, o */
void mcf_rms_finish(const mcf_groupstats_t *p, const void *sums, void *y);        /* per group: the root */

/* `stats` of one row; y may be x. */
void mcf_groupnorm(const mcf_groupnorm_t *p, const void *x, int32_t x_stride, const void *stats, int32_t stats_stride,
                   void *y, int32_t y_stride, int32_t rows);

#endif
