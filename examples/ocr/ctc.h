/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy CTC decoding of a text recogniser's class map, a step at a time: C99, no heap, no library, no numbers but int8.
 *
 * Of every step the class with the largest score counts, the first of equals. Class 0 is the blank: it adds nothing, and
 * neither does the class of the step before (Graves et al. 2006, best path decoding). Steps are forgotten at once, so
 * that a map of thousands of classes never lies whole: give ocr_ctc_lines to a model's invoke as `write`, and an
 * ocr_ctc_t as `write_ctx`. */
#ifndef OCR_CTC_H
#define OCR_CTC_H

#include <stdint.h>

typedef struct {
    /* What the caller fills in. */
    const uint8_t *characters; /* UTF-8 of class 1, of class 2 and so on, '\n' behind each */
    uint32_t character_bytes;
    uint16_t classes;  /* of a step, with the blank */
    uint16_t capacity; /* of `text` in bytes, with the 0 at its end; at least 1 */
    char *text;
    /* What was read. */
    uint16_t length;    /* bytes of `text` without the 0 */
    uint16_t steps;     /* seen */
    uint16_t last;      /* class of the last step */
    uint16_t kept;      /* steps that added a character */
    uint16_t dropped;   /* characters for which there was no room, or that are in no list */
    int32_t kept_score; /* sum of the scores of the kept steps */
} ocr_ctc_t;

/* Before the first step of a line. */
void ocr_ctc_begin(ocr_ctc_t *reader);

/* One step: `classes` scores, on any one scale. */
void ocr_ctc_step(ocr_ctc_t *reader, const int8_t *scores);

/* `count` steps one behind the other; ctx is an ocr_ctc_t. An mcf_write_lines_t (mcf_model.h); returns 0. */
int ocr_ctc_lines(void *ctx, const int8_t *scores, unsigned first, unsigned count);

#endif
