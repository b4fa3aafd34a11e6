/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of heads that see near keys alone (docs/adr/0002, q_attention with radii). A block of queries lies in one
 * line of the grid; its keys are runs of keys that lie together: the leading rows, and of every line within reach the
 * columns within reach of any query of the block. */
#include "mcf_attention.h"

#if MCF_DSP
#include "mcf_attention_dsp.h"
#endif

/* Where a head's operands lie, and the keys of a block of `count` queries that begins at `column`. */
typedef struct {
    const mcf_attention_near_t *p;
    const uint8_t *q, *k, *v;
    uint8_t *y;
    int32_t q_stride, k_stride, v_stride, y_stride, head, radius, held;
    int32_t column, count;                     /* of the queries */
    int32_t first_line, lines, first, columns; /* of the keys */
    int32_t runs;                              /* the leading rows, if there are any, and the lines */
} mcf_near_t;

static inline int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* The row of K and V where run `i` begins, and how many keys it has. */
static inline int32_t run_of(const mcf_near_t *s, int32_t i, int32_t *count) {
    const int32_t line = s->first_line + i - (s->runs - s->lines);
    *count = i < s->runs - s->lines ? s->p->leading : s->columns;
    return i < s->runs - s->lines ? 0 : s->p->leading + line % s->held * s->p->columns + s->first;
}

/* The keys of the first and the last column that query `i` of the block sees, as places in a run. */
static inline void seen(const mcf_near_t *s, int32_t i, int32_t *first, int32_t *last) {
    const int32_t x = s->column + i - s->first;
    *first = x > s->radius ? x - s->radius : 0;
    *last = least(x + s->radius, s->columns - 1);
}

#if !MCF_DSP

static int32_t score_of(const mcf_attention_t *p, int32_t m, const void *q, const void *k) {
    int32_t acc = 0;
    for (int32_t c = 0; c < p->d; c++) acc += mcf_load(q, c, p->q_type) * (mcf_load(k, c, p->k_type) - p->k_zp);
    return mcf_clamp(mcf_hi((int32_t)((uint32_t)acc << p->pre_shift), m), -32768, 32767);
}

/* The keys of run `run` that query `i` sees: the first one's row of K and V, and their number. */
static int32_t keys_of(const mcf_near_t *s, int32_t i, int32_t run, int32_t *count) {
    int32_t first = 0, last = 0;
    const int32_t row = run_of(s, run, count);
    if (run < s->runs - s->lines) return row;
    seen(s, i, &first, &last);
    *count = last - first + 1;
    return row + first;
}

static void query(const mcf_near_t *s, int32_t i, int16_t *t) {
    const mcf_attention_t *p = &s->p->all;
    const int32_t *head = p->head + 3 * s->head;
    const uint8_t *q = s->q + (ptrdiff_t)i * s->q_stride;
    uint8_t *y = s->y + (ptrdiff_t)i * s->y_stride;
    int32_t n = 0, count = 0, max = -32768;
    for (int32_t r = 0; r < s->runs; r++) {
        const int32_t row = keys_of(s, i, r, &count);
        for (int32_t j = 0; j < count; j++, n++) {
            const int32_t step = score_of(p, head[0], q, s->k + (ptrdiff_t)(row + j) * s->k_stride);
            t[n] = (int16_t)step;
            max = step > max ? step : max;
        }
    }
    uint32_t sum = 0;
    for (int32_t j = 0; j < n; j++) {
        t[j] = (int16_t)(mcf_exp[mcf_clamp(max - t[j], 0, 2047)] >> p->p_shift);
        sum += (uint32_t)t[j];
    }
    const mcf_norm_t norm = mcf_normaliser(sum, head[1], head[2]);
    for (int32_t c = 0; c < p->dv; c++) {
        const int16_t *weight = t;
        int32_t o = 0;
        for (int32_t r = 0; r < s->runs; r++) {
            const int32_t row = keys_of(s, i, r, &count);
            for (int32_t j = 0; j < count; j++)
                o += *weight++ * (mcf_load(s->v + (ptrdiff_t)(row + j) * s->v_stride, c, p->v_type) - p->v_zp);
        }
        mcf_store(y, c, p->y_type, mcf_saturate((mcf_hi(o, norm.factor) + norm.half) >> norm.shift, p->y_type));
    }
}

static void block(const mcf_near_t *s, void *scratch) {
    for (int32_t i = 0; i < s->count; i++) query(s, i, scratch);
}

#else

#define PART __attribute__((noinline)) /* each wants the registers for itself */
static inline int32_t round4(int32_t n) {
    return (n + 3) & ~3;
}

/* Four keys at a time meet the pairs of which a query sees one of them; the scores of the others are `hide`'s. */
PART static void score(const mcf_near_t *s, const mcf_block_t *b) {
    const mcf_attention_t *p = &s->p->all;
    const uint32_t zero = (uint16_t)-p->k_zp * 0x10001u;
    const int32_t words = 2 * b->d4;
    uint32_t *at = b->scores;
    int32_t count = 0;
    mcf_scores_t args = {mcf_dots(words >> 2),         p->head[3 * s->head], NULL, 4 * b->tk4, NULL,
                         p->narrow ? -1 : p->pre_shift};
    args.dots.end = b->k + words;
    for (int32_t r = 0; r < s->runs; r++) {
        const uint8_t *k = s->k + (ptrdiff_t)run_of(s, r, &count) * s->k_stride;
        const int32_t free = r < s->runs - s->lines, reach = s->first - s->column + s->radius;
        for (int32_t j = 0; j < count; j += 4, k += 4 * s->k_stride, at += 4) {
            const int32_t from = j + reach - 2 * s->radius, to = j + reach + 3; /* queries that see one of the keys */
            const int32_t first = free || from < 0 ? 0 : from >> 1;
            const int32_t pairs = free ? b->pairs : least(to < 0 ? 0 : (to >> 1) + 1, b->pairs);
            if (first >= pairs) continue;
            mcf_expand_four(k, s->k_stride, count - j - 1, p->d, p->k_type, zero, b->k);
            args.scores = at + first * b->tk4;
            args.end = at + pairs * b->tk4;
            mcf_scores(b->q + first * b->d4, b->k, &args);
        }
    }
}

/* The two keys of a word, of which the first or the second one becomes `value`. */
static inline uint32_t with_half(uint32_t word, uint32_t value, int second) {
    return second ? (word & 0xffff) | (value & 0xffff0000u) : (word & 0xffff0000u) | (value & 0xffff);
}

/* Sets both halves of `value` where one row of a pair does not see a key; it is query `i` of the block, `scores` its
 * word of the first two keys. Returns a half that was set, or NULL. */
static const void *hide(const mcf_near_t *s, int32_t i, uint32_t *scores, uint32_t value) {
    const int32_t step = round4(s->columns), behind = s->lines * step;
    const void *found = NULL;
    int32_t first = 0, last = 0;
    seen(s, i, &first, &last);
    if (s->runs > s->lines) {
        const int32_t leading = s->p->leading, whole = round4(leading);
        for (int32_t j = leading; j < whole; j++) {
            uint32_t *w = scores + (j >> 2) * 4 + (j & 2);
            *w = with_half(*w, value, j & 1);
            found = (const uint8_t *)w + 2 * (j & 1);
        }
        scores += whole;
    }
    for (int32_t j = 0; j < step; j += 2) {
        uint32_t *w = scores + (j >> 2) * 4 + (j & 2), *const end = w + behind;
        const int a = j < first || j > last, b = j + 1 < first || j + 1 > last;
        if (a || b) found = (const uint8_t *)w + (a ? 0 : 2);
        if (a && b)
            for (; w < end; w += step) *w = value;
        else if (a || b)
            for (; w < end; w += step) *w = with_half(*w, value, b);
    }
    return found;
}

/* Where all that a row sees is nearly as low as what is hidden from it, that had a share. */
PART static void repair(const mcf_near_t *s, const mcf_block_t *b, int32_t i, uint32_t *scores, mcf_norm_t *norm) {
    const int32_t *head = s->p->all.head + 3 * s->head;
    uint32_t sum = 0;
    hide(s, i, scores, 0);
    for (int32_t w = 0; w < b->tk4; w += 2) sum = (uint32_t)__smlad(scores[w], 0x10001, (int32_t)sum);
    *norm = mcf_normaliser(sum, head[1], head[2]);
}

PART static void softmax(const mcf_near_t *s, const mcf_attention_t *band, const mcf_block_t *b) {
    mcf_norm_t *norm = b->norm;
    uint32_t *scores = b->scores;
    for (int32_t i = 0; i < b->pairs; i++, norm += 2, scores += b->tk4) {
        const int twin = b->odd && i == b->pairs - 1;
        const void *hidden[2];
        for (int32_t row = 0; row < 2; row++)
            hidden[row] = hide(s, 2 * i + (twin ? 0 : row), scores + row, 0x80008000u);
        mcf_attention_softmax(band, s->head, 0, twin, scores, norm);
        for (int32_t row = 0; row < 2; row++) {
            if (hidden[row] && mcf_load(hidden[row], 0, MCF_S16))
                repair(s, b, 2 * i + (twin ? 0 : row), scores + row, norm + row);
        }
    }
}

PART static void weigh(const mcf_near_t *s, const mcf_block_t *b) {
    const mcf_attention_t *p = &s->p->all;
    const int32_t steps = b->tk4 >> 1, type = p->y_type, v_size = 4 * mcf_size(p->v_type), y_size = mcf_size(type);
    const uint32_t zero = (uint16_t)-p->v_zp * 0x10001u;
    const uint8_t *v = s->v;
    uint8_t *y = s->y;
    int32_t count = 0;
    mcf_weigh_t args = {mcf_dots(steps), 0, NULL, NULL, s->y_stride, 0};
    args.dots.end = b->v + 4 * steps;
    for (int32_t left = p->dv; left > 0; left -= 4, v += v_size, y += 4 * y_size) {
        uint32_t *panel = b->v;
        for (int32_t r = 0; r < s->runs; r++, panel += 2 * round4(count)) {
            const uint8_t *rows = v + (ptrdiff_t)run_of(s, r, &count) * s->v_stride;
            mcf_expand_channels(rows, s->v_stride, count, left < 4 ? left : 4, p->v_type, zero, panel);
        }
        args.norm = b->norm;
        args.y = y;
        if (left >= 4)
            mcf_weigh_four(b, &args, b->scores, type, b->v);
        else
            mcf_weigh_rest(b, &args, b->scores, type, b->v, left * y_size);
    }
}

static void block(const mcf_near_t *s, void *scratch) {
    mcf_attention_t band = s->p->all;
    const int32_t pairs = (s->count + 1) >> 1, d4 = round4(band.d);
    band.tk = s->lines * round4(s->columns) + (s->runs > s->lines ? round4(s->p->leading) : 0);
    mcf_block_t b = {pairs, s->count & 1, band.tk, d4, scratch, NULL, NULL, NULL, NULL};
    b.norm = (mcf_norm_t *)(b.scores + pairs * b.tk4);
    b.v = b.q = (uint32_t *)(b.norm + 2 * pairs);
    b.k = b.q + pairs * d4;
    uint32_t *q = b.q;
    for (int32_t i = 0; i < s->count; i += 2, q += d4) {
        const uint8_t *row = s->q + (ptrdiff_t)i * s->q_stride;
        mcf_expand_pair(row, i + 1 < s->count ? row + s->q_stride : row, band.d, band.q_type, q);
    }
    score(s, &b);
    softmax(s, &band, &b);
    weigh(s, &b);
}

#endif

void mcf_attention_near(const mcf_attention_near_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                        const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                        int32_t row0, int32_t rows, int32_t held, void *scratch) {
    const mcf_attention_t *a = &p->all;
    mcf_near_t s = {.p = p, .q_stride = q_stride, .k_stride = k_stride, .v_stride = v_stride, .y_stride = y_stride};
    s.held = held;
    for (int32_t h = 0; h < heads; h++) {
        const int32_t radius = p->near[head0 + h];
        const int32_t far = radius == 0 ? rows : row0 < p->leading ? least(p->leading - row0, rows) : 0;
        s.head = head0 + h;
        s.radius = radius;
        s.q = (const uint8_t *)q + h * a->q_head;
        s.k = (const uint8_t *)k + h * a->k_head;
        s.v = (const uint8_t *)v + h * a->v_head;
        s.y = (uint8_t *)y + h * a->y_head;
        if (far)
            mcf_attention(a, s.head, 1, s.q, q_stride, s.k, k_stride, s.v, v_stride, s.y, y_stride, row0, far, scratch);
        s.q += (ptrdiff_t)far * q_stride;
        s.y += (ptrdiff_t)far * y_stride;
        for (int32_t i = far; i < rows; i += s.count) {
            const int32_t patch = row0 + i - p->leading, line = patch / p->columns;
            s.column = patch - line * p->columns;
            s.count = least(least(a->block, p->columns - s.column), rows - i);
            s.first_line = line > radius ? line - radius : 0;
            s.lines = least(line + radius, p->lines - 1) - s.first_line + 1;
            s.first = s.column > radius ? s.column - radius : 0;
            s.columns = least(s.column + s.count - 1 + radius, p->columns - 1) - s.first + 1;
            s.runs = s.lines + (p->leading > 0);
            block(&s, scratch);
            s.q += (ptrdiff_t)s.count * q_stride;
            s.y += (ptrdiff_t)s.count * y_stride;
        }
    }
}
