/* SPDX-License-Identifier: Apache-2.0 */
#include "mcf_batch.h"

#include "mcf_port.h"
#include "mcf_profile.h"

extern const mcf_firmware_t mcf_the_firmware; /* main.c */

enum { READ_FAILED = -1, WRITE_FAILED = -2, OPEN_FAILED = -3, NO_INPUT = -4 };

static struct {
    int inputs, outputs, counts, trace;
    uint32_t offset;  /* of the current inference's inputs */
    uint32_t results; /* of its outputs */
    uint32_t variant; /* 1 + which one runs; 0: the one after init */
} batch;

static int read_lines(void *ctx, uint8_t *to, unsigned first, unsigned count) {
    const mcf_model_t *model = ctx;
    uint32_t before = mcf_cycles();
    int failed =
        mcf_file_read_at(batch.inputs, batch.offset + first * model->line_bytes, to, count * model->line_bytes);
    mcf_profile_io(mcf_cycles() - before);
    return failed ? READ_FAILED : 0;
}

static int write_lines(void *ctx, const int8_t *from, unsigned first, unsigned count) {
    mcf_line_t line = mcf_line_of(ctx, first);
    uint32_t before = mcf_cycles();
    int failed = mcf_file_write_at(batch.outputs, batch.results + line.offset, from, count * line.bytes);
    mcf_profile_io(mcf_cycles() - before);
    return failed ? WRITE_FAILED : 0;
}

#ifdef MCF_TRACING
void mcf_trace(unsigned layer, const void *rows, int32_t stride, int32_t row_bytes, int32_t first_row, int32_t count) {
    uint32_t head[4] = {layer, (uint32_t)first_row, (uint32_t)count, (uint32_t)row_bytes};
    mcf_file_append(batch.trace, head, sizeof head);
    for (int32_t i = 0; i < count; i++)
        mcf_file_append(batch.trace, (const uint8_t *)rows + (int64_t)i * stride, (uint32_t)row_bytes);
}
#endif

/* Every input but a pulled or mapped one. */
static int read_inputs(const mcf_firmware_t *firmware) {
    const mcf_model_t *model = firmware->model;
    uint32_t offset = batch.offset;
    for (unsigned i = 0; i < model->inputs; offset += model->tensor_bytes[i++]) {
        if (i == 0 && model->input_mode != MCF_INPUT_RESIDENT) continue;
        uint8_t *input = model->input(firmware->arena, i);
        if (!input) return NO_INPUT;
        if (mcf_file_read_at(batch.inputs, offset, input, model->tensor_bytes[i])) return READ_FAILED;
    }
    return 0;
}

static int infer(const mcf_firmware_t *firmware) {
    const mcf_model_t *model = firmware->model;
    int bands = model->input_mode == MCF_INPUT_BANDS;
    void *ctx = bands ? (void *)(uintptr_t)model : 0;
    int status = model->init(firmware->arena);
    if (!status && batch.variant) status = model->set_variant(firmware->arena, batch.variant - 1);
    if (!status) status = read_inputs(firmware);
    if (status) return status;
    if (model->input_mode == MCF_INPUT_FLASH) {
        ctx = (void *)(uintptr_t)mcf_image_put(firmware->image, batch.inputs, batch.offset, model->tensor_bytes[0]);
        if (!ctx) return READ_FAILED;
    }
    mcf_profile_begin(firmware->layer_cycles, model->layers);
    status = mcf_invoke(model, firmware->arena, bands ? read_lines : 0, ctx, write_lines);
    mcf_profile_end();
    return status;
}

static int record(const mcf_firmware_t *firmware) {
    const mcf_model_t *model = firmware->model;
    uint64_t totals[2] = {mcf_profile.total, mcf_profile.io};
    int failed = mcf_file_append(batch.counts, totals, sizeof totals);
    for (unsigned i = 0; !failed && i < model->outputs; i++) {
        uint32_t size = model->tensor_bytes[model->inputs + i];
        const void *output = model->output(firmware->arena, i);
        failed = output && mcf_file_write_at(batch.outputs, batch.results, output, size);
        batch.results += size;
    }
    if (!failed && firmware->layer_cycles)
        failed = mcf_file_append(batch.counts, firmware->layer_cycles, 4u * model->layers);
    return failed ? WRITE_FAILED : 0;
}

int main(void) {
    const mcf_firmware_t *firmware = &mcf_the_firmware;
    uint32_t input_bytes = mcf_sum(firmware->model->tensor_bytes, firmware->model->inputs);
    mcf_cycles_start();
    batch.inputs = mcf_file_open("inputs.bin", 0);
    batch.outputs = mcf_file_open("outputs.bin", 1);
    batch.counts = mcf_file_open("counts.bin", 1);
#ifdef MCF_TRACING
    batch.trace = mcf_file_open("trace.bin", 1);
#endif
    if (batch.inputs < 0 || batch.outputs < 0 || batch.counts < 0 || batch.trace < 0) mcf_stop((uint32_t)OPEN_FAILED);
    int32_t size = mcf_file_size(batch.inputs);
    int status = size < 0 ? READ_FAILED : 0;
    if (!status && firmware->model->variants) {
        int chosen = mcf_file_open("variant.bin", 0);
        if (chosen < 0) mcf_stop((uint32_t)OPEN_FAILED);
        if (mcf_file_read_at(chosen, 0, &batch.variant, sizeof batch.variant)) status = READ_FAILED;
    }
    for (; !status && (int32_t)(batch.offset + input_bytes) <= size; batch.offset += input_bytes) {
        status = infer(firmware);
        if (!status) status = record(firmware);
    }
    mcf_stop((uint32_t)status);
}
