/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the model for whoever is at the other end of the UART. docs/uart.md has the protocol. */
#include "mcf_board.h"
#include "mcf_frame.h"
#include "mcf_port.h"
#include "mcf_profile.h"

enum {
    ANSWER_WAIT_MS = 500,
    ASK_TIMES = 20,
    SMALLEST_PIECE = 32,
    LARGEST_ANSWER = 256,
    INPUT_LOST = -1,
    NO_INPUT = -2,
    OUTPUT_LOST = -3
};

static struct {
    const mcf_firmware_t *firmware;
    uint32_t last_run; /* 0: none yet */
    int32_t status;
    uint8_t sequence; /* of our own requests */
    uint8_t variant;  /* 1 + which one the next runs are of; 0: the one after init */
} serve;

/* Once: READ asks for `count` bytes of the inputs from `offset` on, WRITE tells so many of the outputs; 1 when the right
 * answer came unharmed. */
static int ask(uint8_t type, uint8_t *bytes, uint32_t offset, uint32_t count) {
    uint32_t answer_bytes = type == MCF_READ ? count : 0;
    /* a late answer to an earlier try is not taken for this one */
    mcf_frame_t got, wanted = {.type = type & 0x7F, .sequence = ++serve.sequence, .body_bytes = answer_bytes};
    if (type == MCF_READ)
        mcf_frame_send(type, wanted.sequence, offset, &count, 4);
    else
        mcf_frame_send(type, wanted.sequence, offset, bytes, count);
    return mcf_frame_receive(&got, &wanted, bytes, ANSWER_WAIT_MS) && got.type == wanted.type &&
           got.sequence == wanted.sequence && got.argument == offset && got.body_bytes == answer_bytes;
}

/* Moves bytes between the host and the model, in smaller pieces while the line is bad; 0 when all have come over. */
static int move(uint8_t type, uint8_t *bytes, uint32_t offset, uint32_t count) {
    uint32_t piece = MCF_FRAME_MAX_BODY, done = 0;
    for (int failed = 0; done < count;) {
        uint32_t now = count - done < piece ? count - done : piece;
        if (ask(type, bytes + done, offset + done, now)) {
            done += now;
            failed = 0;
            if (piece < MCF_FRAME_MAX_BODY) piece *= 2;
        } else {
            if (++failed == ASK_TIMES) return 1;
            piece = now / 2 > SMALLEST_PIECE ? now / 2 : SMALLEST_PIECE;
        }
    }
    return 0;
}

static int fetch(uint8_t *to, uint32_t offset, uint32_t count) {
    return move(MCF_READ, to, offset, count) ? INPUT_LOST : 0;
}

static int read_lines(void *ctx, uint8_t *to, unsigned first, unsigned count) {
    const mcf_model_t *model = ctx;
    uint32_t before = mcf_cycles();
    int status = fetch(to, first * model->line_bytes, count * model->line_bytes);
    mcf_profile_io(mcf_cycles() - before);
    return status;
}

static int write_lines(void *ctx, const int8_t *from, unsigned first, unsigned count) {
    mcf_line_t line = mcf_line_of(ctx, first);
    uint32_t before = mcf_cycles();
    int failed = move(MCF_WRITE, (uint8_t *)(uintptr_t)from, line.offset, count * line.bytes);
    mcf_profile_io(mcf_cycles() - before);
    return failed ? OUTPUT_LOST : 0;
}

/* Every input but a pulled or mapped one: `offset` counts over all of them. */
MCF_COLD static int32_t fetch_inputs(const mcf_firmware_t *firmware) {
    const mcf_model_t *model = firmware->model;
    uint32_t offset = 0;
    for (unsigned i = 0; i < model->inputs; offset += model->tensor_bytes[i++]) {
        if (i == 0 && model->input_mode != MCF_INPUT_RESIDENT) continue;
        uint8_t *input = model->input(firmware->arena, i);
        if (!input) return NO_INPUT;
        int32_t status = fetch(input, offset, model->tensor_bytes[i]);
        if (status) return status;
    }
    return 0;
}

MCF_COLD static int32_t infer(const mcf_firmware_t *firmware) {
    const mcf_model_t *model = firmware->model;
    mcf_profile_begin(firmware->layer_cycles, model->layers);
    int32_t status = model->init(firmware->arena);
    if (!status && serve.variant) status = model->set_variant(firmware->arena, serve.variant - 1u);
    if (!status) status = fetch_inputs(firmware);
    if (status) return status;
    int bands = model->input_mode == MCF_INPUT_BANDS;
    void *ctx = bands ? (void *)model : model->input_mode == MCF_INPUT_FLASH ? (void *)firmware->image : 0;
    mcf_profile_begin(firmware->layer_cycles, model->layers);
    status = mcf_invoke(model, firmware->arena, bands ? read_lines : 0, ctx, write_lines);
    mcf_profile_end();
    return status;
}

MCF_COLD static void send_info(uint8_t sequence) {
    const mcf_model_t *model = serve.firmware->model;
    struct {
        uint32_t arena_bytes, cycles_hz, input_bytes, output_bytes, line_bytes, lines;
        uint16_t inputs, outputs, layers;
        uint8_t input_mode, profiled, id[16];
        char name[40];
    } info = {
        .arena_bytes = model->arena_bytes,
        .cycles_hz = MCF_CPU_HZ,
        .input_bytes = mcf_sum(model->tensor_bytes, model->inputs),
        .output_bytes = mcf_sum(model->tensor_bytes + model->inputs, model->outputs),
        .line_bytes = model->line_bytes,
        .lines = model->lines,
        .inputs = model->inputs,
        .outputs = model->outputs,
        .layers = model->layers,
        .input_mode = model->input_mode,
        .profiled = serve.firmware->layer_cycles != 0,
    };
    for (unsigned i = 0; i < sizeof info.id; i++) info.id[i] = model->id[i];
    for (unsigned i = 0; i < sizeof info.name && model->name[i]; i++) info.name[i] = model->name[i];
    uint32_t version = model->output_mode == MCF_OUTPUT_LINES ? MCF_PROTOCOL_LINES : MCF_PROTOCOL;
    mcf_frame_send(MCF_INFO | 0x80, sequence, version, &info, sizeof info);
}

MCF_COLD static void send_done(uint8_t sequence) {
    uint32_t body[5] = {(uint32_t)serve.status, (uint32_t)mcf_profile.total, (uint32_t)(mcf_profile.total >> 32),
                        (uint32_t)mcf_profile.io, (uint32_t)(mcf_profile.io >> 32)};
    mcf_frame_send(MCF_DONE, sequence, serve.last_run, body, sizeof body);
}

MCF_COLD static void refuse(const mcf_frame_t *request) {
    mcf_frame_send(MCF_REFUSED, request->sequence, request->type, 0, 0);
}

/* Answers with bytes from `at` on, of `total` there; in short frames, which a bad line harms less often. */
MCF_COLD static void send_part(const mcf_frame_t *request, const void *bytes, uint32_t at, uint32_t total) {
    if (at > total || !bytes) {
        refuse(request);
        return;
    }
    uint32_t count = total - at < LARGEST_ANSWER ? total - at : LARGEST_ANSWER;
    mcf_frame_send(request->type | 0x80, request->sequence, request->argument, (const uint8_t *)bytes + at, count);
}

/* The offset counts over all outputs; one answer holds bytes of one output. */
MCF_COLD static void send_output(const mcf_frame_t *request) {
    const mcf_model_t *model = serve.firmware->model;
    const uint32_t *sizes = model->tensor_bytes + model->inputs;
    uint32_t at = request->argument;
    unsigned i = 0;
    for (; i + 1u < model->outputs && at >= sizes[i]; i++) at -= sizes[i];
    send_part(request, model->output(serve.firmware->arena, i), at, sizes[i]);
}

MCF_COLD static void handle(const mcf_frame_t *request) {
    const mcf_firmware_t *firmware = serve.firmware;
    const mcf_model_t *model = firmware->model;
    switch (request->type) {
    case MCF_INFO:
        send_info(request->sequence);
        break;
    case MCF_RUN: /* the same number again: our answer was lost, the work is done */
        if (request->argument != serve.last_run) {
            serve.status = infer(firmware);
            serve.last_run = request->argument;
        }
        send_done(request->sequence);
        break;
    case MCF_OUTPUT:
        if (!serve.last_run)
            refuse(request);
        else
            send_output(request);
        break;
    case MCF_LAYERS:
        send_part(request, serve.last_run ? firmware->layer_cycles : 0, request->argument, 4u * model->layers);
        break;
    case MCF_TENSORS:
        send_part(request, model->tensor_bytes, request->argument,
                  4u * (model->inputs + (1u + model->output_mode) * model->outputs));
        break;
    case MCF_VARIANT:
        if (request->argument >= model->variants) {
            refuse(request);
            break;
        }
        serve.variant = (uint8_t)(request->argument + 1u);
        mcf_frame_send(MCF_VARIANT | 0x80, request->sequence, request->argument, 0, 0);
        break;
    case MCF_QUIT:
        mcf_stop(request->argument);
    default:
        refuse(request);
    }
}

_Noreturn void mcf_serve(const mcf_firmware_t *firmware) {
    mcf_frame_t request;
    serve.firmware = firmware;
    for (;;)
        if (mcf_frame_receive(&request, 0, 0, 0)) handle(&request);
}
