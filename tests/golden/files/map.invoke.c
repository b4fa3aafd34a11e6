MCF_COLD int map_invoke(
    void *memory, mcf_read_lines_t read, void *ctx, mcf_write_lines_t write, void *write_ctx) {
    uint8_t *const arena = memory;
    int status = mcf_check_arena(arena);
    if (status) return status;
    if (!read) return MCF_E_READ_NULL;
    if (!write) return MCF_E_WRITE_NULL;
    MCF_LAYER(0); /* Conv [6x8x4] for strips of 2 lines */
    status = read(ctx, arena + map__x_lines__at, 0, 3);
    if (status) return status;
    mcf_conv2d(
        &map__Conv, arena + map__x_lines__at, 0, NULL, arena + map__Relu_lines__at + 32, 0, 2,
        arena + map__Conv_scratch__at);
    MCF_TRACE(0, arena + map__Relu_lines__at + 32, 32, 32, 0, 2);
    mcf_copy(arena + map__x_lines__at + 16, 16, arena + map__x_kept__at, 16, 16, 2);
    MCF_LAYER(1); /* Conv.1 [6x8x3] for strips of 2 lines */
    mcf_conv2d(
        &map__Conv_1, arena + map__Relu_lines__at, -1, NULL, arena + map__Conv_1_lines__at + 24, 0,
        1, arena + map__Conv_1_scratch__at);
    MCF_TRACE(1, arena + map__Conv_1_lines__at + 24, 24, 24, 0, 1);
    mcf_copy(arena + map__Relu_lines__at + 32, 32, arena + map__Relu_kept__at, 32, 32, 2);
    MCF_LAYER(2); /* Resize [12x16x3] 2 lines */
    mcf_resize(
        &map__Resize, arena + map__Conv_1_lines__at, -1, arena + map__Resize_lines__at, 0, 1,
        arena + map__Resize_scratch__at);
    MCF_TRACE(2, arena + map__Resize_lines__at, 48, 48, 0, 1);
    status = write(write_ctx, (const int8_t *)(arena + map__Resize_lines__at), 0, 1);
    if (status) return status;
    mcf_copy(arena + map__Conv_1_lines__at + 24, 24, arena + map__Conv_1_kept__at, 24, 24, 1);
    /* Resize: strips of lines */
    for (int32_t t = 0; t < 3; t += 1) {
        MCF_LAYER(0); /* Conv [6x8x4] for strips of 2 lines */
        mcf_copy(arena + map__x_kept__at, 16, arena + map__x_lines__at, 16, 16, 2);
        status = read(ctx, arena + map__x_lines__at + 32, (unsigned)(t + 3), 1);
        if (status) return status;
        mcf_conv2d(
            &map__Conv, arena + map__x_lines__at, t + 1, NULL, arena + map__Relu_lines__at + 64,
            t + 2, 1, arena + map__Conv_scratch__at);
        MCF_TRACE(0, arena + map__Relu_lines__at + 64, 32, 32, t + 2, 1);
        mcf_copy(arena + map__x_lines__at + 16, 16, arena + map__x_kept__at, 16, 16, 2);
        MCF_LAYER(1); /* Conv.1 [6x8x3] for strips of 2 lines */
        mcf_copy(arena + map__Relu_kept__at, 32, arena + map__Relu_lines__at, 32, 32, 2);
        mcf_conv2d(
            &map__Conv_1, arena + map__Relu_lines__at, t, NULL, arena + map__Conv_1_lines__at + 24,
            t + 1, 1, arena + map__Conv_1_scratch__at);
        MCF_TRACE(1, arena + map__Conv_1_lines__at + 24, 24, 24, t + 1, 1);
        mcf_copy(arena + map__Relu_lines__at + 32, 32, arena + map__Relu_kept__at, 32, 32, 2);
        MCF_LAYER(2); /* Resize [12x16x3] 2 lines */
        mcf_copy(arena + map__Conv_1_kept__at, 24, arena + map__Conv_1_lines__at, 24, 24, 1);
        mcf_resize(
            &map__Resize, arena + map__Conv_1_lines__at, t, arena + map__Resize_lines__at,
            2 * t + 1, 2, arena + map__Resize_scratch__at);
        MCF_TRACE(2, arena + map__Resize_lines__at, 48, 48, 2 * t + 1, 2);
        status = write(
            write_ctx, (const int8_t *)(arena + map__Resize_lines__at), (unsigned)(2 * t + 1), 2);
        if (status) return status;
        mcf_copy(arena + map__Conv_1_lines__at + 24, 24, arena + map__Conv_1_kept__at, 24, 24, 1);
    }
    MCF_LAYER(0); /* Conv [6x8x4] for strips of 2 lines */
    mcf_copy(arena + map__x_kept__at, 16, arena + map__x_lines__at, 16, 16, 2);
    mcf_conv2d(
        &map__Conv, arena + map__x_lines__at, 4, NULL, arena + map__Relu_lines__at + 64, 5, 1,
        arena + map__Conv_scratch__at);
    MCF_TRACE(0, arena + map__Relu_lines__at + 64, 32, 32, 5, 1);
    MCF_LAYER(1); /* Conv.1 [6x8x3] for strips of 2 lines */
    mcf_copy(arena + map__Relu_kept__at, 32, arena + map__Relu_lines__at, 32, 32, 2);
    mcf_conv2d(
        &map__Conv_1, arena + map__Relu_lines__at, 3, NULL, arena + map__Conv_1_lines__at + 24, 4,
        1, arena + map__Conv_1_scratch__at);
    MCF_TRACE(1, arena + map__Conv_1_lines__at + 24, 24, 24, 4, 1);
    mcf_copy(arena + map__Relu_lines__at + 32, 32, arena + map__Relu_kept__at, 32, 32, 2);
    MCF_LAYER(2); /* Resize [12x16x3] 2 lines */
    mcf_copy(arena + map__Conv_1_kept__at, 24, arena + map__Conv_1_lines__at, 24, 24, 1);
    mcf_resize(
        &map__Resize, arena + map__Conv_1_lines__at, 3, arena + map__Resize_lines__at, 7, 2,
        arena + map__Resize_scratch__at);
    MCF_TRACE(2, arena + map__Resize_lines__at, 48, 48, 7, 2);
    status = write(write_ctx, (const int8_t *)(arena + map__Resize_lines__at), 7, 2);
    if (status) return status;
    mcf_copy(arena + map__Conv_1_lines__at + 24, 24, arena + map__Conv_1_kept__at, 24, 24, 1);
    MCF_LAYER(1); /* Conv.1 [6x8x3] for strips of 2 lines */
    mcf_copy(arena + map__Relu_kept__at, 32, arena + map__Relu_lines__at, 32, 32, 2);
    mcf_conv2d(
        &map__Conv_1, arena + map__Relu_lines__at, 4, NULL, arena + map__Conv_1_lines__at + 24, 5,
        1, arena + map__Conv_1_scratch__at);
    MCF_TRACE(1, arena + map__Conv_1_lines__at + 24, 24, 24, 5, 1);
    MCF_LAYER(2); /* Resize [12x16x3] 2 lines */
    mcf_copy(arena + map__Conv_1_kept__at, 24, arena + map__Conv_1_lines__at, 24, 24, 1);
    mcf_resize(
        &map__Resize, arena + map__Conv_1_lines__at, 4, arena + map__Resize_lines__at, 9, 2,
        arena + map__Resize_scratch__at);
    MCF_TRACE(2, arena + map__Resize_lines__at, 48, 48, 9, 2);
    status = write(write_ctx, (const int8_t *)(arena + map__Resize_lines__at), 9, 2);
    if (status) return status;
    mcf_copy(arena + map__Conv_1_lines__at + 24, 24, arena + map__Conv_1_kept__at, 24, 24, 1);
    mcf_copy(arena + map__Conv_1_kept__at, 24, arena + map__Conv_1_lines__at, 24, 24, 1);
    mcf_resize(
        &map__Resize, arena + map__Conv_1_lines__at, 5, arena + map__Resize_lines__at, 11, 1,
        arena + map__Resize_scratch__at);
    MCF_TRACE(2, arena + map__Resize_lines__at, 48, 48, 11, 1);
    status = write(write_ctx, (const int8_t *)(arena + map__Resize_lines__at), 11, 1);
    if (status) return status;
    MCF_LAYER(3);
    return 0;
}

MCF_COLD const void *map_output(void *arena, unsigned i) {
    if (mcf_check_arena(arena)) return NULL;
    switch (i) {
    case 0: /* Resize */
        return NULL;
    default:
        return NULL;
    }
}

static const uint32_t map__tensor_bytes__own[3] = {
    96,  /* input 0 */
    576, /* output 0 */
    48,  /* a line of output 0 */
};

const mcf_model_t map_model = {
    .name = "map",
    .id = map_id,
    .arena_bytes = 424,
    .line_bytes = 16,
    .lines = 6,
    .tensor_bytes = map__tensor_bytes__own,
    .inputs = 1,
    .outputs = 1,
    .layers = 3,
    .input_mode = MCF_INPUT_BANDS,
    .output_mode = MCF_OUTPUT_LINES,
    .init = map_init,
    .input = map_input,
    .invoke_lines = map_invoke,
    .output = map_output,
};
