/* Depthwise convolutions: every channel has its own kernel. */
#include "mcf_conv.h"

#include "mcf_gemm.h"

/* Scaled sums of channels 4*group .. of output pixel (oy, ox). */
static void sums(const mcf_conv2d_t *p, const void *x, int32_t oy, int32_t ox, int32_t group, int32_t count, int32_t t[4])
{
    const mcf_linear_t *core = &p->core;
    const int32_t *post = core->post + group * mcf_post_words(core);
    const int8_t *w = core->weights + group * 4 * p->kernel_h * p->kernel_w;
    for (int32_t c = 0; c < count; c++) {
        uint32_t acc = (uint32_t)post[c];
        for (int32_t ky = 0; ky < p->kernel_h; ky++)
            for (int32_t kx = 0; kx < p->kernel_w; kx++) {
                const int32_t iy = oy * p->stride_h - p->pad_top + ky, ix = ox * p->stride_w - p->pad_left + kx;
                const int32_t in = iy >= 0 && iy < p->height && ix >= 0 && ix < p->width;
                const int32_t v = in ? mcf_load(x, (iy * p->width + ix) * p->channels + 4 * group + c, core->x_type)
                                     : mcf_load(p->pad, 4 * group + c, core->x_type);
                acc += (uint32_t)(v * w[(ky * p->kernel_w + kx) * 4 + c]);
            }
        t[c] = mcf_hi((int32_t)(acc << core->acc_shift), post[4 + 2 * c]);
    }
}

void mcf_dwconv2d(const mcf_conv2d_t *p, const void *x, const void *res, void *y, int32_t y_row0, int32_t y_rows,
                  void *scratch)
{
    const mcf_linear_t *core = &p->core;
    const int32_t y_bytes = core->n * mcf_size(core->y_type), res_bytes = core->n * mcf_size(core->res_type);
    (void)scratch;
    for (int32_t oy = y_row0; oy < y_row0 + y_rows; oy++)
        for (int32_t ox = 0; ox < p->out_width; ox++) {
            for (int32_t n0 = 0; n0 < core->n; n0 += 4) {
                const int32_t count = core->n - n0 < 4 ? core->n - n0 : 4;
                int32_t t[4];
                sums(p, x, oy, ox, n0 / 4, count, t);
                mcf_gemm_finish(core, t, n0, count, res, y);
            }
            y = (uint8_t *)y + y_bytes;
            if (res)
                res = (const uint8_t *)res + res_bytes;
        }
}
