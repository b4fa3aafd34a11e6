/* SPDX-License-Identifier: Apache-2.0 */
/* Counts executed instructions: Unicorn calls mcf_count_block at the start of every basic block.
 * Built by the host's cc and handed to uc_hook_add as a plain function pointer. */
#include <stdint.h>

typedef struct {
    uint32_t instructions, bytes;
    uint64_t executions;
} mcf_block_t;

typedef struct {
    uint64_t base, bytes;
    const uint8_t *code;
    mcf_block_t *blocks; /* one per halfword of code */
} mcf_range_t;

typedef struct {
    uint64_t instructions;
    uint32_t ranges;
    uint32_t repeated; /* the next block is the rest of one that has been counted */
    mcf_range_t range[4];
} mcf_counter_t;

void mcf_count_block(void *engine, uint64_t address, uint32_t size, void *user);

/* A halfword from 0xE800 on begins a 32-bit instruction. */
static uint32_t count_instructions(const uint8_t *code, uint32_t size) {
    uint32_t count = 0;
    for (uint32_t at = 0; at + 2 <= size; count++) at += code[at + 1] >= 0xE8 ? 4 : 2;
    return count;
}

void mcf_count_block(void *engine, uint64_t address, uint32_t size, void *user) {
    mcf_counter_t *counter = user;
    (void)engine;
    if (counter->repeated) {
        counter->repeated = 0;
        return;
    }
    for (uint32_t i = 0; i < counter->ranges; i++) {
        mcf_range_t *range = counter->range + i;
        uint64_t offset = address - range->base;
        if (offset >= range->bytes) continue;
        mcf_block_t *block = range->blocks + offset / 2;
        if (block->bytes != size) {
            block->bytes = size;
            block->instructions = count_instructions(range->code + offset, size);
        }
        block->executions++;
        counter->instructions += block->instructions;
        return;
    }
}
