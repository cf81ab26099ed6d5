/* The network's max pooling: PyTorch processes bfloat16 value by value there. */
#include "kernels.h"

INLINE void take_max(int num, const int16_t *RESTRICT values, int16_t *RESTRICT highest)
{
    VECTORIZE
    for (int i = 0; i < num; i++) highest[i] = values[i] > highest[i] ? values[i] : highest[i];
}

/* 3x3 max pooling at stride 2 of maps (N, H, W, C) with even H and W.
 *
 * Values are bfloat16 and not negative, so their bits order as integers do. `scratch`: one row,
 * which holds the maximum of up to three rows. */
CPU_VERSIONS
void max_pool(
    int num, int height, int width, int channels, const int16_t *maps, int16_t *scratch,
    int16_t *pooled)
{
    const size_t row_size = (size_t)width * channels;
    for (int y = 0; y < num * height; y += 2) {
        const int16_t *row = maps + y * row_size;
        memcpy(scratch, row, row_size * sizeof(int16_t));
        take_max((int)row_size, row + row_size, scratch);
        if (y % height) take_max((int)row_size, row - row_size, scratch); /* same picture */
        for (int x = 0; x < width; x += 2, pooled += channels) {
            const int16_t *pixel = scratch + (size_t)x * channels;
            memcpy(pooled, pixel, channels * sizeof(int16_t));
            take_max(channels, pixel + channels, pooled);
            if (x) take_max(channels, pixel - channels, pooled);
        }
    }
}
