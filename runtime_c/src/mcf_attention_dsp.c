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

/* Channels 0, 2 and 1, 3 of four, less a zero point whose negative is in both halves of `zero`. */
static inline void next4(const uint8_t *p, int type, uint32_t zero, uint32_t *even, uint32_t *odd)
{
    const uint32_t w = load32(p);
    if (type == MCF_S8) {
        *even = bytes02(w, zero);
        *odd = bytes13(w, zero);
    } else {
        const uint32_t w1 = load32(p + 4);
        *even = __sadd16(low_halves(w, w1), zero);
        *odd = __sadd16(high_halves(w, w1), zero);
    }
}

/* The last d % 4 channels of a row, then zeros. */
static void last4(const uint8_t *p, int32_t count, int type, uint32_t zero, uint32_t *even, uint32_t *odd)
{
    uint8_t rest[8] = {0};
    __builtin_memcpy(rest, p, (size_t)(count * mcf_size(type)));
    next4(rest, type, zero, even, odd);
}

/* Channels c to d of `rows` (2 or 4) rows; out is where channel c goes. */
static inline __attribute__((always_inline)) void expand_typed(const uint8_t *const *rows, const int count, int32_t c,
                                                               int32_t d, const int type, uint32_t zero, uint32_t *out)
{
    for (; c + 4 <= d; c += 4, out += 2 * count)
        for (int i = 0; i < count; i++)
            next4(rows[i] + c * mcf_size(type), type, zero, out + i, out + count + i);
    for (int i = 0; i < count && c < d; i++)
        last4(rows[i] + c * mcf_size(type), d - c, type, zero, out + i, out + count + i);
}

static void expand_rest(const uint8_t *const *rows, int count, int32_t c, int32_t d, int type, uint32_t zero,
                        uint32_t *out)
{
    if (type == MCF_S8)
        expand_typed(rows, count, c, d, MCF_S8, zero, out);
    else if (count == 2)
        expand_typed(rows, 2, c, d, MCF_S16, zero, out);
    else
        expand_typed(rows, 4, c, d, MCF_S16, zero, out);
}

/* A pair of query rows (the first one twice without a second) to steps of two words. */
static void expand_pair(const uint8_t *row, const uint8_t *second, int32_t d, int type, uint32_t *out)
{
    const uint8_t *const rows[2] = {row, second};
    const int32_t c = type == MCF_S8 ? d & ~3 : 0;
    if (c)
        mcf_expand_queries(row, second, out, row + c);
    if (c < d)
        expand_rest(rows, 2, c, d, type, 0, out + c);
}

/* Four keys to steps of four words; keys after `last` repeat it. */
static void expand_four(const uint8_t *row, int32_t stride, int32_t last, int32_t d, int type, uint32_t zero,
                        uint32_t *out)
{
    const uint8_t *const b = last > 0 ? row + stride : row, *const c = last > 1 ? b + stride : b;
    const uint8_t *const rows[4] = {row, b, c, last > 2 ? c + stride : c};
    const int32_t whole = type == MCF_S8 ? d & ~3 : 0;
    if (whole)
        mcf_expand_keys(rows, out, zero, whole >> 2);
    if (whole < d)
        expand_rest(rows, 4, whole, d, type, zero, out + 2 * whole);
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
        const int32_t quads = type == MCF_S8 ? count >> 2 : 0;
        if (quads)
            mcf_expand_tokens(v, stride, out, zero, quads);
        v += (ptrdiff_t)4 * quads * stride;
        out += 8 * quads;
        count -= 4 * quads;
        if (type == MCF_S16)
            for (; count > 1; count -= 2, v += 2 * stride, out += 4)
                tokens(v, v + stride, MCF_S16, zero, out);
        for (; count > 0; count -= 2, v += 2 * stride, out += 4)
            tokens(v, count > 1 ? v + stride : v, type, zero, out);
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

/* Sets the `count` half-words after the last key in the last four words of a pair's scores. */
static inline void fill_rest(uint32_t *last, int32_t count, uint32_t value)
{
    const uint32_t high = value & 0xffff0000u;
    if (count > 2) {
        last[0] = (last[0] & 0xffff) | high;
        last[1] = (last[1] & 0xffff) | high;
    }
    last[2] = count > 1 ? value : (last[2] & 0xffff) | high;
    last[3] = count > 1 ? value : (last[3] & 0xffff) | high;
}

/* Scores of a pair of rows to probabilities, and their normalisers. */
static void softmax(const mcf_attention_t *p, const int32_t *head, const block_t *b, uint32_t *scores, mcf_norm_t *norm)
{
    uint32_t sums[2], *const end = scores + b->tk4;
    const int32_t rest = b->tk4 - p->tk;
    if (rest)
        fill_rest(end - 4, rest, 0x80008000u);
    mcf_exponentials(scores, end, mcf_exp, sums);
    if (rest) { /* exponentials of the lowest score: 0, unless all are as low */
        sums[0] -= (uint32_t)rest * (end[-2] >> 16);
        sums[1] -= (uint32_t)rest * (end[-1] >> 16);
        fill_rest(end - 4, rest, 0);
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

/* All scores of the block; `fresh`: k is not in 16 bits yet. */
static void score(const mcf_attention_t *p, int32_t m, const block_t *b, const uint8_t *k, int32_t k_stride, int fresh)
{
    const uint32_t zero = (uint16_t)-p->k_zp * 0x10001u;
    mcf_scores_t args = {.dots = mcf_dots(b->d4 / 2), .m = m, .stride = 4 * b->tk4, .pre_shift = p->narrow ? -1 : p->pre_shift};
    for (int32_t j = 0; j < p->tk; j += 4) {
        uint32_t *panel = b->k + (p->keep ? j / 2 * b->d4 : 0);
        if (fresh)
            expand_four(k + (ptrdiff_t)j * k_stride, k_stride, p->tk - j - 1, p->d, p->k_type, zero, panel);
        args.dots.end = panel + 2 * b->d4;
        args.scores = b->scores + j;
        args.end = args.scores + b->pairs * b->tk4;
        mcf_scores(b->q, panel, &args);
    }
}

/* All scores of the block straight from int8 keys. */
static void score_directly(const mcf_attention_t *p, int32_t m, const block_t *b, const uint8_t *k, int32_t k_stride)
{
    const int32_t full = p->tk >> 1;
    for (int32_t i = 0; i < b->pairs; i++) {
        const uint32_t *q = b->q + i * b->d4;
        mcf_direct_t args = {.first = mcf_direct_first(p->d >> 2), .bytes = p->d, .m = m};
        for (int32_t w = 0; w < b->d4 && p->k_zp; w += 2)
            for (int32_t row = 0; row < 2; row++)
                args.start[row] -= p->k_zp * __smuad((int16x2_t)q[w + row], 0x10001);
        args.scores = b->scores + i * b->tk4;
        if (full) {
            args.pitch = k_stride;
            args.next = 2 * k_stride - p->d;
            args.count = full;
            mcf_direct(q, k, &args);
        }
        if (p->tk & 1) { /* the last key, twice */
            args.pitch = 0;
            args.scores += 2 * full;
            args.count = 1;
            mcf_direct(q, k + (ptrdiff_t)2 * full * k_stride, &args);
        }
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

/* All outputs of the block; `fresh`: v is not in 16 bits yet. */
static void weigh(const mcf_attention_t *p, const block_t *b, const uint8_t *v, int32_t v_stride, uint8_t *y,
                  int32_t y_stride, int fresh)
{
    const int32_t steps = (p->tk + 1) >> 1, full = b->pairs - b->odd;
    const uint32_t zero = (uint16_t)-p->v_zp * 0x10001u;
    const mcf_dots_t dots = mcf_dots(steps);
    for (int32_t c = 0; c < p->dv; c += 4) {
        uint32_t *panel = b->v + (p->keep ? c / 2 * b->tk4 : 0);
        const int32_t channels = p->dv - c < 4 ? p->dv - c : 4;
        if (fresh)
            expand_v(v + c * mcf_size(p->v_type), v_stride, p->tk, channels, p->v_type, zero, panel);
        mcf_weigh_t args = {dots, 4 * b->tk4 - 8 * steps, b->norm,
                            y + c * mcf_size(p->y_type), y_stride, full};
        args.dots.end = panel + 4 * steps;
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

/* The parts of the scratch for blocks of `rows`, and the block of `count` of them. */
static block_t layout(const mcf_attention_t *p, int32_t rows, int32_t count, void *scratch)
{
    const int32_t pairs = (rows + 1) >> 1;
    block_t b = {(count + 1) >> 1, count & 1, (p->tk + 3) & ~3, (p->d + 3) & ~3, scratch, NULL, NULL, NULL, NULL};
    b.norm = (mcf_norm_t *)(b.scores + pairs * b.tk4);
    b.q = (uint32_t *)(b.norm + 2 * pairs);
    b.k = b.q + pairs * b.d4;
    b.v = p->keep ? b.k + b.tk4 / 2 * b.d4 : b.q;
    return b;
}

/* Query rows row0.. of one head; `fresh`: K and V are not in 16 bits yet. */
static void attend(const mcf_attention_t *p, int32_t h, const block_t *b, const uint8_t *q, int32_t q_stride,
                   const uint8_t *k, int32_t k_stride, const uint8_t *v, int32_t v_stride, uint8_t *y, int32_t y_stride,
                   int32_t row0, int fresh)
{
    const int32_t *head = p->head + 3 * h;
    const int16_t *bias = p->bias;
    if (bias)
        bias += (ptrdiff_t)h * p->bias_head + (ptrdiff_t)row0 * p->tk;
    for (int32_t i = 0; i < b->pairs; i++) {
        const uint8_t *row = q + (ptrdiff_t)2 * i * q_stride;
        expand_pair(row, b->odd && i == b->pairs - 1 ? row : row + q_stride, p->d, p->q_type, b->q + i * b->d4);
    }
    if (p->direct)
        score_directly(p, head[0], b, k, k_stride);
    else
        score(p, head[0], b, k, k_stride, fresh);
    for (int32_t i = 0; i < b->pairs; i++) {
        uint32_t *scores = b->scores + i * b->tk4;
        if (bias)
            add_bias(p, bias + (ptrdiff_t)2 * i * p->tk, b->odd && i == b->pairs - 1, scores);
        softmax(p, head, b, scores, b->norm + 2 * i);
    }
    weigh(p, b, v, v_stride, y, y_stride, fresh);
}

void mcf_attention(const mcf_attention_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                   const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                   int32_t row0, int32_t rows, void *scratch)
{
    const int32_t step = p->block < rows ? p->block : rows;
    for (int32_t h = 0; h < heads; h++) {
        for (int32_t i = 0; i < rows; i += step) {
            const block_t b = layout(p, step, rows - i < step ? rows - i : step, scratch);
            attend(p, head0 + h, &b, (const uint8_t *)q + (ptrdiff_t)i * q_stride + h * p->q_head, q_stride,
                   (const uint8_t *)k + h * p->k_head, k_stride, (const uint8_t *)v + h * p->v_head, v_stride,
                   (uint8_t *)y + (ptrdiff_t)i * y_stride + h * p->y_head, y_stride, row0 + i, i == 0 || !p->keep);
        }
    }
}

#endif
