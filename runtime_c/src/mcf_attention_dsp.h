/* The loops of attention in Cortex-M assembly (mcf_attention_asm.c), called by mcf_attention_dsp.c. */
#ifndef MCF_ATTENTION_DSP_H
#define MCF_ATTENTION_DSP_H

#include "mcf_attention.h"

/* Where the sums of a block run: `first` is the code of the steps after the first one. */
typedef struct {
    const uint32_t *end; /* of B */
    uintptr_t done;      /* set by the assembly */
    uintptr_t first;
    int32_t skip;        /* bytes of B that `first` leaves out, less the first step (MCF_LDR) */
    int32_t bytes;       /* of B */
} mcf_dots_t;

/* For sums over `steps` pairs of channels or of tokens; the caller sets `end`. */
mcf_dots_t mcf_dots(int32_t steps);

/* int8 to int16, less a zero point (its negative in both halves of `zero`), as steps of the block.
 * Four bytes 0 1 2 3 of a row become the channel pairs 0 2 and 1 3. */
void mcf_expand_keys(const uint8_t *const *rows, uint32_t *out, uint32_t zero, int32_t words); /* four rows */
void mcf_expand_queries(const uint8_t *row0, const uint8_t *row1, uint32_t *out, const uint8_t *end);
/* Four channels of 4*quads rows; a step is one pair of rows. */
void mcf_expand_tokens(const uint8_t *v, int32_t stride, uint32_t *out, uint32_t zero, int32_t quads);

typedef struct {
    mcf_dots_t dots;
    int32_t m;
    uint32_t *scores;       /* of the first pair of rows; four words per pair: (row, keys) 0 01, 1 01, 0 23, 1 23 */
    int32_t stride;         /* bytes to the scores of the next pair */
    const uint32_t *end;    /* scores after the last pair */
    int32_t pre_shift;      /* -1: none, and no score leaves int16 */
} mcf_scores_t;

/* q: pairs of rows, one after the other; k: four keys. */
void mcf_scores(const uint32_t *q, const uint32_t *k, const mcf_scores_t *args);

/* Scores of one pair of rows straight from int8 keys, two at a time; d is a multiple of 4. */
typedef struct {
    uintptr_t done;         /* set by the assembly */
    uintptr_t first;        /* mcf_direct_first */
    int32_t bytes;          /* d */
    int32_t next;           /* from the end of a key to the start of the next but one */
    int32_t pitch;          /* from key to key */
    int32_t m;
    int32_t start[2];       /* of the sums of both rows: -k_zp times the sum of q */
    uint32_t *scores;
    int32_t count;          /* of pairs of keys */
} mcf_direct_t;

uintptr_t mcf_direct_first(int32_t words);
void mcf_direct(const uint32_t *q, const uint8_t *k, const mcf_direct_t *args);

/* Scores of a pair of rows to exponentials, in place; sums[0..1]. */
void mcf_exponentials(uint32_t *scores, const uint32_t *end, const uint16_t *table, uint32_t *sums);

typedef struct {
    mcf_dots_t dots;
    int32_t gap;            /* bytes of p between pairs of rows */
    const mcf_norm_t *norm; /* per row */
    void *y;                /* four channels of the first row */
    int32_t y_stride;
    int32_t pairs;
} mcf_weigh_t;

/* p: pairs of rows of probabilities; v: four channels. Four int8 or int16 outputs per row. */
void mcf_weigh8(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args);
void mcf_weigh16(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args);

#endif
