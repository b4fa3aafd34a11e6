/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader's firmware gives for a picture of one line of text. */
#ifndef OCR_APP_H
#define OCR_APP_H

#include <stdint.h>

enum { OCR_LINES = 48, OCR_WIDTH = 320, OCR_PIXEL = 3, OCR_TEXT_BYTES = 120 };

/* Little-endian, without gaps: 128 bytes. */
typedef struct {
    uint8_t turned;            /* the line stood upside down */
    uint8_t turned_score;      /* of 255, how sure */
    uint8_t kept;              /* characters */
    uint8_t dropped;           /* characters that found no room */
    uint16_t character_sum;    /* of 256 each, how sure of the characters together */
    uint16_t length;           /* bytes of `text` */
    char text[OCR_TEXT_BYTES]; /* UTF-8, 0 behind it */
} ocr_result_t;

#endif
