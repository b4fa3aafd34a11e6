/* SPDX-License-Identifier: Apache-2.0 */
/* A microcontroller that reads a line of text: two networks that share one arena, and CTC decoding.
 *
 * picture (48x320 pixels, BGR) -> direction: does it stand upside down? -> reader: 40 steps of 6,625 classes -> text.
 * To the firmware's service all of it is one model whose input is the picture and whose output is an ocr_result_t. */
#include "app.h"
#include "characters.h"
#include "ctc.h"
#include "direction.h"
#include "mcf_port.h"
#include "reader.h"
#include "weights_id.h"

enum {
    LINE_BYTES = OCR_WIDTH * OCR_PIXEL,
    PICTURE_BYTES = OCR_LINES * LINE_BYTES,
    NETWORK_BYTES = READER_ARENA_BYTES > DIRECTION_ARENA_BYTES ? READER_ARENA_BYTES : DIRECTION_ARENA_BYTES,
    SQUEEZED = DIRECTION_INPUT_LINE_BYTES / OCR_PIXEL, /* pixels of a line that the direction is told from */
    SURE = 230,                                        /* of 255: PaddleOCR turns a line from 0.9 on */
};

typedef struct {
    uint8_t network[NETWORK_BYTES]; /* first: aligned as the arena is */
    uint8_t picture[PICTURE_BYTES];
    ocr_result_t result;
    ocr_ctc_t decoder;
} ocr_memory_t;

_Static_assert(sizeof(ocr_result_t) == 128, "the result has no gaps");
_Static_assert(READER_INPUT_BYTES == PICTURE_BYTES, "the reader takes the picture");
_Static_assert(READER_INPUT_LINE_BYTES == LINE_BYTES && DIRECTION_INPUT_LINES == OCR_LINES, "lines are alike");
_Static_assert(DIRECTION_OUTPUT_COUNT == 2, "upright, and turned");

/* The pixel of the column that lies nearest: every third of five. */
static int squeezed_lines(void *ctx, uint8_t *to, unsigned first, unsigned count) {
    const uint8_t *line = (const uint8_t *)ctx + first * LINE_BYTES;
    for (; count > 0; count--, line += LINE_BYTES)
        for (unsigned x = 0; x < SQUEEZED; x++, to += OCR_PIXEL)
            for (unsigned c = 0; c < OCR_PIXEL; c++) to[c] = line[x * OCR_WIDTH / SQUEEZED * OCR_PIXEL + c];
    return 0;
}

static int upright_lines(void *ctx, uint8_t *to, unsigned first, unsigned count) {
    const uint8_t *from = (const uint8_t *)ctx + first * LINE_BYTES;
    for (unsigned i = 0; i < count * LINE_BYTES; i++) to[i] = from[i];
    return 0;
}

/* The picture from its last pixel to its first. */
static int turned_lines(void *ctx, uint8_t *to, unsigned first, unsigned count) {
    const uint8_t *from = (const uint8_t *)ctx + PICTURE_BYTES - first * LINE_BYTES;
    for (unsigned i = 0; i < count * OCR_WIDTH; i++, to += OCR_PIXEL) {
        from -= OCR_PIXEL;
        for (unsigned c = 0; c < OCR_PIXEL; c++) to[c] = from[c];
    }
    return 0;
}

static int init(void *arena) {
    ocr_memory_t *memory = arena;
    int status = direction_init(memory->network);
    return status ? status : reader_init(memory->network);
}

static void *input(void *arena, unsigned i) {
    return i ? 0 : ((ocr_memory_t *)arena)->picture;
}

static const void *output(void *arena, unsigned i) {
    return i ? 0 : &((ocr_memory_t *)arena)->result;
}

static int invoke(void *arena, mcf_read_lines_t read, void *ctx) {
    ocr_memory_t *memory = arena;
    ocr_result_t *result = &memory->result;
    ocr_ctc_t *decoder = &memory->decoder;
    (void)read, (void)ctx;
    int status = direction_invoke(memory->network, squeezed_lines, memory->picture);
    if (status) return status;
    const int8_t *directions = direction_output(memory->network, 0); /* probabilities, 256 of one */
    result->turned_score = (uint8_t)(directions[1] - DIRECTION_OUTPUT_ZERO_POINT);
    result->turned = result->turned_score >= SURE;

    decoder->characters = ocr_characters;
    decoder->character_bytes = sizeof ocr_characters;
    decoder->classes = READER_OUTPUT_LINE_BYTES;
    decoder->capacity = OCR_TEXT_BYTES;
    decoder->text = result->text;
    ocr_ctc_begin(decoder);
    status = reader_invoke(memory->network, result->turned ? turned_lines : upright_lines, memory->picture,
                           ocr_ctc_lines, decoder);
    result->kept = (uint8_t)decoder->kept;
    result->dropped = (uint8_t)decoder->dropped;
    result->length = decoder->length;
    result->character_sum = (uint16_t)(decoder->kept_score - READER_OUTPUT_ZERO_POINT * decoder->kept);
    return status;
}

static const uint32_t tensor_bytes[] = {PICTURE_BYTES, sizeof(ocr_result_t)};

static const mcf_model_t model = {
    .name = "ocr",
    .id = reader_id,
    .arena_bytes = sizeof(ocr_memory_t),
    .line_bytes = LINE_BYTES,
    .lines = OCR_LINES,
    .tensor_bytes = tensor_bytes,
    .inputs = 1,
    .outputs = 1,
    .layers = 0,
    .input_mode = MCF_INPUT_RESIDENT,
    .output_mode = MCF_OUTPUT_RESIDENT,
    .init = init,
    .input = input,
    .invoke = invoke,
    .output = output,
};

static ocr_memory_t memory MCF_SECTION(".mcf_arena") __attribute__((aligned(8)));

/* Start-up looks for these bytes beside the reader's weights in QSPI. */
static const uint8_t weights_id[16] MCF_SECTION(".qspi") = {OCR_WEIGHTS_ID};

extern const mcf_firmware_t mcf_the_firmware;
const mcf_firmware_t mcf_the_firmware = {.model = &model, .arena = &memory, .weights_id = weights_id};
