/* SPDX-License-Identifier: Apache-2.0 */
/* Host program: numbers and bytes on stdin, what ctc.c makes of them on stdout. All memory is of exact size. */
#include <stdio.h>
#include <stdlib.h>

#include "ctc.h"

static void *take(size_t count) {
    void *bytes = malloc(count ? count : 1);
    if (!bytes || fread(bytes, 1, count, stdin) != count) exit(2);
    return bytes;
}

int main(void) {
    uint32_t *head = take(5 * sizeof *head); /* classes, steps, steps of a call, capacity, bytes of characters */
    uint8_t *characters = take(head[4]);
    ocr_ctc_t reader = {.characters = characters,
                        .character_bytes = head[4],
                        .classes = (uint16_t)head[0],
                        .capacity = (uint16_t)head[3],
                        .text = malloc(head[3])};
    ocr_ctc_begin(&reader);
    for (uint32_t at = 0, count; at < head[1]; at += count) {
        count = head[1] - at < head[2] ? head[1] - at : head[2];
        int8_t *scores = take((size_t)count * head[0]);
        if (ocr_ctc_lines(&reader, scores, at, count)) return 3;
        free(scores);
    }
    printf("%u %u %u %d\n", reader.steps, reader.kept, reader.dropped, (int)reader.kept_score);
    fwrite(reader.text, 1, reader.length, stdout);
    if (reader.text[reader.length]) return 4;
    free(reader.text), free(characters), free(head);
    return 0;
}
