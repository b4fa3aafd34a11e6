/* SPDX-License-Identifier: Apache-2.0 */
#include "ctc.h"

void ocr_ctc_begin(ocr_ctc_t *reader) {
    reader->length = reader->steps = reader->last = reader->kept = reader->dropped = 0;
    reader->kept_score = 0;
    reader->text[0] = 0;
}

static uint16_t largest(const int8_t *scores, uint16_t classes) {
    uint16_t best = 0;
    for (uint16_t i = 1; i < classes; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

/* The bytes of class `index` > 0: from `at` on; 0 where the list ends before it. */
static uint32_t find(const ocr_ctc_t *reader, uint16_t index, uint32_t *at) {
    uint32_t end = 0, start = 0;
    for (uint16_t i = 0; i < index; i++) {
        start = end;
        if (start == reader->character_bytes) return 0;
        while (end < reader->character_bytes && reader->characters[end] != '\n') end++;
        if (end < reader->character_bytes) end++;
    }
    *at = start;
    return end - start - (reader->characters[end - 1] == '\n');
}

static void append(ocr_ctc_t *reader, uint16_t index) {
    uint32_t at = 0, size = find(reader, index, &at);
    if (!size || reader->length + size >= reader->capacity) {
        reader->dropped++;
        return;
    }
    for (uint32_t i = 0; i < size; i++) reader->text[reader->length + i] = (char)reader->characters[at + i];
    reader->length = (uint16_t)(reader->length + size);
    reader->text[reader->length] = 0;
}

void ocr_ctc_step(ocr_ctc_t *reader, const int8_t *scores) {
    uint16_t index = largest(scores, reader->classes);
    if (index && index != reader->last) {
        append(reader, index);
        reader->kept++;
        reader->kept_score += scores[index];
    }
    reader->last = index;
    reader->steps++;
}

int ocr_ctc_lines(void *ctx, const int8_t *scores, unsigned first, unsigned count) {
    ocr_ctc_t *reader = ctx;
    (void)first;
    for (unsigned i = 0; i < count; i++) ocr_ctc_step(reader, scores + i * reader->classes);
    return 0;
}
