/* SPDX-License-Identifier: Apache-2.0 */
/* Files and process of the machine that runs the compiler. */
#include <stdio.h>
#include <stdlib.h>

#include "mcf_batch.h"
#include "mcf_port.h"

enum { FILES = 5 };
static FILE *files[FILES];

int mcf_file_open(const char *name, int for_writing) {
    for (int i = 0; i < FILES; i++)
        if (!files[i]) return (files[i] = fopen(name, for_writing ? "wb" : "rb")) ? i : -1;
    return -1;
}

int32_t mcf_file_size(int file) {
    return fseek(files[file], 0, SEEK_END) ? -1 : (int32_t)ftell(files[file]);
}

int mcf_file_read_at(int file, uint32_t offset, void *to, uint32_t count) {
    return fseek(files[file], (long)offset, SEEK_SET) || fread(to, 1, count, files[file]) != count;
}

int mcf_file_write_at(int file, uint32_t offset, const void *from, uint32_t count) {
    return fseek(files[file], (long)offset, SEEK_SET) || fwrite(from, 1, count, files[file]) != count;
}

int mcf_file_append(int file, const void *from, uint32_t count) {
    return fwrite(from, 1, count, files[file]) != count;
}

const uint8_t *mcf_image_put(const uint8_t *image, int file, uint32_t offset, uint32_t count) {
    static uint8_t *place;
    (void)image;
    if (!place) place = malloc(count);
    return place && !mcf_file_read_at(file, offset, place, count) ? place : NULL;
}

void mcf_cycles_start(void) {}

uint32_t mcf_cycles(void) {
    return 0; /* nothing here counts instructions */
}

_Noreturn void mcf_stop(uint32_t status) {
    int failed = 0;
    for (int i = 0; i < FILES; i++)
        if (files[i] && fclose(files[i])) failed = 1;
    if (status) fprintf(stderr, "@error status %d\n", (int)(int32_t)status);
    exit(status ? 1 : failed);
}
