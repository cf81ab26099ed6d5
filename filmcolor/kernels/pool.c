/* The network's max pooling, which PyTorch does in bfloat16 value by value. */
#include "kernels.h"

INLINE void take_greater(int num, const int16_t *RESTRICT values, int16_t *RESTRICT most)
{
    INDEPENDENT
    for (int i = 0; i < num; i++) most[i] = values[i] > most[i] ? values[i] : most[i];
}

/* The greatest of 3×3 pixels, about every other one, of maps (N, H, W, C); H and W are even.
 *
 * Values are bfloat16, none below 0: so they are ordered as their bits are. */
FOR_EACH_PROCESSOR
void pool_maps(int num, int height, int width, int channels, const int16_t *maps, int16_t *room,
               int16_t *out)
{
    const size_t line = (size_t)width * channels;
    for (int y = 0; y < num * height; y += 2) {
        const int16_t *own = maps + y * line;
        memcpy(room, own, line * sizeof(int16_t));
        take_greater((int)line, own + line, room);
        if (y % height) take_greater((int)line, own - line, room);
        for (int x = 0; x < width; x += 2, out += channels) {
            const int16_t *pixel = room + (size_t)x * channels;
            memcpy(out, pixel, channels * sizeof(int16_t));
            take_greater(channels, pixel + channels, out);
            if (x) take_greater(channels, pixel - channels, out);
        }
    }
}
