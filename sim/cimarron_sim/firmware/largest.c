/* The largest value under each window, as far as that lies inside the image. */
#include "steps.h"
#include "tensor.h"

struct span {
    uint32_t first, end;
};

/* Part of a window that lies inside: windows begin `outside` before the image. */
static struct span inside(uint32_t window, uint32_t stride, uint32_t kernel, uint32_t outside, uint32_t size) {
    uint32_t first = window * stride, end = first + kernel;
    first = first > outside ? first - outside : 0;
    end = end > outside ? end - outside : 0;
    return (struct span){first, end < size ? end : size};
}

void largest(const uint32_t *operands) {
    const uint32_t *shape = operands + 2, *more = shape + WINDOW_WORDS;
    const volatile uint8_t *image = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    const uint8_t *outputs = table(more[3]);
    uint32_t channels = shape[WINDOW_CHANNELS], row = shape[WINDOW_WIDTH] * channels;
    for (uint32_t i = 0; i < shape[WINDOW_IMAGES]; i++, image += shape[WINDOW_HEIGHT] * row) {
        for (uint32_t line = 0; line < shape[WINDOW_OUT_HEIGHT]; line++) {
            struct span h = inside(line, shape[WINDOW_STRIDE_H], shape[WINDOW_KERNEL_H], more[0], shape[WINDOW_HEIGHT]);
            for (uint32_t column = 0; column < shape[WINDOW_OUT_WIDTH]; column++) {
                struct span w =
                    inside(column, shape[WINDOW_STRIDE_W], shape[WINDOW_KERNEL_W], more[1], shape[WINDOW_WIDTH]);
                for (uint32_t c = 0; c < channels; c++) {
                    uint32_t most = 0;
                    for (uint32_t v = h.first; v < h.end; v++) {
                        for (uint32_t u = w.first; u < w.end; u++) {
                            uint32_t value = image[v * row + u * channels + c] ^ more[2];
                            most = value > most ? value : most;
                        }
                    }
                    *y++ = outputs[most];
                }
            }
        }
    }
}
