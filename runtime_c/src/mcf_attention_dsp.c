/* q_attention of docs/adr/0002 on Cortex-M4 and M7: blocks of query rows in pairs, scores and exponentials in int16.
 * Four keys (four channels of V) at a time are expanded to 16 bits and meet every pair of the block.
 * Scratch: scores of the pairs, normalisers, then q pairs and keys, or channels of V (with `keep`: all three). */
#include "mcf_attention_dsp.h"

#if MCF_DSP

static inline uint32_t load32(const void *p)
{
    uint32_t w;
    __builtin_memcpy(&w, p, 4);
    return w;
}

static inline uint32_t low_halves(uint32_t a, uint32_t b) { return (a & 0xffff) | (b << 16); }
static inline uint32_t high_halves(uint32_t a, uint32_t b) { return (a >> 16) | (b & 0xffff0000u); }
static inline uint32_t bytes02(uint32_t w, uint32_t zero) { return __sxtab16(zero, w); }
static inline uint32_t bytes13(uint32_t w, uint32_t zero) { return __sxtab16(zero, (w >> 8) | (w << 24)); }

/* Channels 0, 2 and 1, 3 of the next four at *p, less a zero point in both halves of `zero`. */
static inline void next4(const uint8_t **p, int type, uint32_t zero, uint32_t *even, uint32_t *odd)
{
    const uint32_t w = load32(*p);
    if (type == MCF_S8) {
        *even = bytes02(w, zero);
        *odd = bytes13(w, zero);
        *p += 4;
    } else {
        const uint32_t w1 = load32(*p + 4);
        *even = __sadd16(low_halves(w, w1), zero);
        *odd = __sadd16(high_halves(w, w1), zero);
        *p += 8;
    }
}

/* The last d % 4 channels of a row, then zeros. */
static void last4(const uint8_t *p, int32_t count, int type, uint32_t zero, uint32_t *even, uint32_t *odd)
{
    uint8_t rest[8] = {0};
    const uint8_t *r = rest;
    __builtin_memcpy(rest, p, (size_t)(count * mcf_size(type)));
    next4(&r, type, zero, even, odd);
}

static inline __attribute__((always_inline)) uint32_t *expand_rows(const uint8_t *row, int32_t stride, int32_t last,
                                                                   const int rows, int32_t d, const int type,
                                                                   uint32_t zero, uint32_t *out)
{
    const uint8_t *p[4];
    for (int i = 0; i < rows; i++)
        p[i] = row + (ptrdiff_t)stride * (i < last ? i : last);
    for (int32_t c = 0; c + 4 <= d; c += 4, out += 2 * rows)
        for (int i = 0; i < rows; i++)
            next4(&p[i], type, zero, out + i, out + rows + i);
    if (d & 3) {
        for (int i = 0; i < rows; i++)
            last4(p[i], d & 3, type, zero, out + i, out + rows + i);
        out += 2 * rows;
    }
    return out;
}

/* `rows` (2 or 4) rows of d channels to steps of `rows` words; rows after `last` repeat it. */
MCF_HOT(attention_expand2)
static uint32_t *expand2(const uint8_t *row, int32_t stride, int32_t last, int32_t d, int type, uint32_t *out)
{
    if (type == MCF_S8)
        return expand_rows(row, stride, last, 2, d, MCF_S8, 0, out);
    return expand_rows(row, stride, last, 2, d, MCF_S16, 0, out);
}

MCF_HOT(attention_expand4)
static void expand4(const uint8_t *row, int32_t stride, int32_t last, int32_t d, int type, uint32_t zero, uint32_t *out)
{
    if (type == MCF_S8)
        expand_rows(row, stride, last, 4, d, MCF_S8, zero, out);
    else
        expand_rows(row, stride, last, 4, d, MCF_S16, zero, out);
}

/* Four channels of two tokens to a step: every word holds one channel of both. */
static inline void tokens(const uint8_t *a, const uint8_t *b, int type, uint32_t zero, uint32_t *out)
{
    const uint32_t a0 = load32(a), b0 = load32(b);
    if (type == MCF_S8) {
        const uint32_t low = low_halves(a0, b0), high = high_halves(a0, b0);
        out[0] = bytes02(low, zero);
        out[1] = bytes13(low, zero);
        out[2] = bytes02(high, zero);
        out[3] = bytes13(high, zero);
    } else {
        const uint32_t a1 = load32(a + 4), b1 = load32(b + 4);
        out[0] = __sadd16(low_halves(a0, b0), zero);
        out[1] = __sadd16(high_halves(a0, b0), zero);
        out[2] = __sadd16(low_halves(a1, b1), zero);
        out[3] = __sadd16(high_halves(a1, b1), zero);
    }
}

/* `channels` (up to 4) channels of all tokens; an odd last token stands twice, its twin meets a zero probability. */
MCF_HOT(attention_expand_v)
static void expand_v(const uint8_t *v, int32_t stride, int32_t count, int32_t channels, int type, uint32_t zero,
                     uint32_t *out)
{
    if (channels == 4) {
        int32_t j = 0;
        if (type == MCF_S8)
            for (; j + 2 <= count; j += 2, v += 2 * stride, out += 4)
                tokens(v, v + stride, MCF_S8, zero, out);
        else
            for (; j + 2 <= count; j += 2, v += 2 * stride, out += 4)
                tokens(v, v + stride, MCF_S16, zero, out);
        if (j < count)
            tokens(v, v, type, zero, out);
        return;
    }
    const size_t size = (size_t)(channels * mcf_size(type));
    for (int32_t j = 0; j < count; j += 2, v += 2 * stride, out += 4) {
        uint8_t a[8] = {0}, b[8] = {0};
        __builtin_memcpy(a, v, size);
        __builtin_memcpy(b, j + 1 < count ? v + stride : v, size);
        tokens(a, b, type, zero, out);
    }
}

/* What a call works with: row counts and the parts of the scratch. */
typedef struct {
    int32_t pairs, odd, tk4, d4; /* of the block; odd: the last pair is one row twice */
    uint32_t *scores, *q, *k, *v;
    mcf_norm_t *norm;
} block_t;

/* Half-word of row `row` of a pair and key j. */
static inline int32_t at(int32_t row, int32_t j) { return (j >> 2) * 8 + (j & 2) * 2 + row * 2 + (j & 1); }

static void add_bias(const mcf_attention_t *p, const int16_t *bias, int32_t twin, uint32_t *scores)
{
    for (int32_t row = 0; row < 2; row++, bias += twin ? 0 : p->tk) {
        int32_t j = 0;
        for (; j + 2 <= p->tk; j += 2) {
            uint32_t *w = scores + (j >> 2) * 4 + (j & 2) + row;
            *w = __qadd16(*w, load32(bias + j));
        }
        if (j < p->tk) {
            const int32_t step = mcf_load(scores, at(row, j), MCF_S16) + bias[j];
            mcf_store(scores, at(row, j), MCF_S16, mcf_clamp(step, -32768, 32767));
        }
    }
}

/* Scores of a pair of rows to probabilities, and their normalisers. */
static void softmax(const mcf_attention_t *p, const int32_t *head, const block_t *b, uint32_t *scores, mcf_norm_t *norm)
{
    uint32_t sums[2], *end = scores + b->tk4;
    for (int32_t j = p->tk; j < b->tk4; j++)
        for (int32_t row = 0; row < 2; row++)
            mcf_store(scores, at(row, j), MCF_S16, -32768);
    mcf_exponentials(scores, end, mcf_exp, sums);
    for (int32_t j = p->tk; j < b->tk4; j++) {
        for (int32_t row = 0; row < 2; row++) {
            sums[row] -= (uint32_t)mcf_load(scores, at(row, j), MCF_S16);
            mcf_store(scores, at(row, j), MCF_S16, 0);
        }
    }
    if (p->p_shift) {
        const uint32_t mask = (0xffffu >> p->p_shift) * 0x10001u;
        sums[0] = sums[1] = 0;
        for (uint32_t *w = scores; w < end; w += 2) {
            w[0] = (w[0] >> p->p_shift) & mask;
            w[1] = (w[1] >> p->p_shift) & mask;
            sums[0] = (uint32_t)__smlad(w[0], 0x10001, (int32_t)sums[0]);
            sums[1] = (uint32_t)__smlad(w[1], 0x10001, (int32_t)sums[1]);
        }
    }
    norm[0] = mcf_normaliser(sums[0], head[1], head[2]);
    norm[1] = mcf_normaliser(sums[1], head[1], head[2]);
}

/* All scores of the block; `expand`: k is not in 16 bits yet. */
static void score(const mcf_attention_t *p, int32_t m, const block_t *b, const uint8_t *k, int32_t k_stride, int expand)
{
    const uint32_t zero = (uint16_t)-p->k_zp * 0x10001u;
    mcf_scores_t args = {.m = m, .stride = 4 * b->tk4, .pre_shift = p->pre_shift};
    for (int32_t j = 0; j < p->tk; j += 4) {
        uint32_t *panel = b->k + (p->keep ? j / 2 * b->d4 : 0);
        if (expand)
            expand4(k + (ptrdiff_t)j * k_stride, k_stride, p->tk - j - 1, p->d, p->k_type, zero, panel);
        args.dots = mcf_dots(b->d4 / 2, panel + 2 * b->d4);
        args.scores = b->scores + j;
        args.end = args.scores + b->pairs * b->tk4;
        mcf_scores(b->q, panel, &args);
    }
}

/* Channels that do not fill a word, pair by pair by way of the stack. */
static void weigh_rest(const block_t *b, mcf_weigh_t args, int type, uint32_t *panel, int32_t bytes)
{
    uint8_t *y = args.y;
    const int32_t y_stride = args.y_stride, rows = 2 * b->pairs - b->odd;
    const uint32_t *p = b->scores;
    for (int32_t i = 0; i < rows; i += 2, p += b->tk4) {
        uint32_t out[4];
        args.y = out;
        args.y_stride = 8;
        args.norm = b->norm + i;
        args.pairs = 1;
        (type == MCF_S16 ? mcf_weigh16 : mcf_weigh8)(p, panel, &args);
        __builtin_memcpy(y + (ptrdiff_t)i * y_stride, out, (size_t)bytes);
        if (i + 1 < rows)
            __builtin_memcpy(y + (ptrdiff_t)(i + 1) * y_stride, out + 2, (size_t)bytes);
    }
}

/* All outputs of the block; `expand`: v is not in 16 bits yet. */
static void weigh(const mcf_attention_t *p, const block_t *b, const uint8_t *v, int32_t v_stride, uint8_t *y,
                  int32_t y_stride, int expand)
{
    const int32_t steps = (p->tk + 1) >> 1, full = b->pairs - b->odd;
    const uint32_t zero = (uint16_t)-p->v_zp * 0x10001u;
    for (int32_t c = 0; c < p->dv; c += 4) {
        uint32_t *panel = b->v + (p->keep ? c / 2 * b->tk4 : 0);
        const int32_t channels = p->dv - c < 4 ? p->dv - c : 4;
        if (expand)
            expand_v(v + c * mcf_size(p->v_type), v_stride, p->tk, channels, p->v_type, zero, panel);
        mcf_weigh_t args = {mcf_dots(steps, panel + 4 * steps), 4 * b->tk4 - 8 * steps, b->norm,
                            y + c * mcf_size(p->y_type), y_stride, full};
        if (channels < 4) {
            weigh_rest(b, args, p->y_type, panel, channels * mcf_size(p->y_type));
            continue;
        }
        void (*const run)(const uint32_t *, const uint32_t *, const mcf_weigh_t *) =
            p->y_type == MCF_S16 ? mcf_weigh16 : mcf_weigh8;
        if (full)
            run(b->scores, panel, &args);
        if (b->odd) { /* both rows of the last pair land on one */
            args.norm = b->norm + 2 * full;
            args.y = (uint8_t *)args.y + (ptrdiff_t)2 * full * y_stride;
            args.y_stride = 0;
            args.pairs = 1;
            run(b->scores + full * b->tk4, panel, &args);
        }
    }
}

static block_t layout(const mcf_attention_t *p, int32_t rows, void *scratch)
{
    block_t b = {.pairs = (rows + 1) >> 1, .odd = rows & 1, .tk4 = (p->tk + 3) & ~3, .d4 = (p->d + 3) & ~3};
    b.scores = scratch;
    b.norm = (mcf_norm_t *)(b.scores + b.pairs * b.tk4);
    b.q = (uint32_t *)(b.norm + 2 * b.pairs);
    b.k = b.q + b.pairs * b.d4;
    b.v = p->keep ? b.k + b.tk4 / 2 * b.d4 : b.q;
    return b;
}

void mcf_attention(const mcf_attention_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                   const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                   int32_t row0, int32_t rows, void *scratch)
{
    const int32_t block = p->block < rows ? p->block : rows;
    for (int32_t h = 0; h < heads; h++) {
        const int32_t *head = p->head + 3 * (head0 + h);
        for (int32_t i = 0; i < rows; i += block) {
            const int32_t count = rows - i < block ? rows - i : block;
            const block_t first = layout(p, block, scratch);
            block_t b = first;
            b.pairs = (count + 1) >> 1;
            b.odd = count & 1;
            const uint8_t *qi = (const uint8_t *)q + (ptrdiff_t)i * q_stride + h * p->q_head;
            uint32_t *out = b.q;
            for (int32_t r = 0; r < count; r += 2)
                out = expand2(qi + (ptrdiff_t)r * q_stride, q_stride, count - r - 1, p->d, p->q_type, out);
            const int expand = i == 0 || !p->keep;
            score(p, head[0], &b, (const uint8_t *)k + h * p->k_head, k_stride, expand);
            for (int32_t r = 0; r < b.pairs; r++) {
                uint32_t *scores = b.scores + r * b.tk4;
                if (p->bias)
                    add_bias(p, p->bias + (ptrdiff_t)(head0 + h) * p->bias_head + (ptrdiff_t)(row0 + i + 2 * r) * p->tk,
                             b.odd && r == b.pairs - 1, scores);
                softmax(p, head, &b, scores, b.norm + 2 * r);
            }
            weigh(p, &b, (const uint8_t *)v + h * p->v_head, v_stride,
                  (uint8_t *)y + (ptrdiff_t)i * y_stride + h * p->y_head, y_stride, expand);
        }
    }
}

#endif
