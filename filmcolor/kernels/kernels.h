/* What each frame needs most, as compiled loops. They do what NumPy and OpenCV do in `color`,
 * `upsample`, `chroma`, `flow` and `smooth`, without a pass over memory for every step, and what
 * PyTorch does in `inference`.
 *
 * Arrays are C-contiguous, and their lengths are checked against the sizes that come with them.
 * Nothing is kept between calls. Loops are written so that compilers make vectors of them;
 * where a program can choose when it is loaded, there are versions for AVX-512 and for AVX2.
 */
#ifndef FILMCOLOR_KERNELS_H
#define FILMCOLOR_KERNELS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))
#define RESTRICT __restrict__

/* before a loop of which no turn reads what another writes, whatever the compiler can prove */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

INLINE float smaller(float a, float b) { return a < b ? a : b; }
INLINE float larger(float a, float b) { return a > b ? a : b; }
INLINE float clipped(float value, float low, float high)
{
    return smaller(larger(value, low), high);
}
INLINE int held(int place, int num) { return place < 0 ? 0 : place >= num ? num - 1 : place; }

/* The nearest whole number, halves to even, of what is within 2^22 of zero. */
INLINE float rounded(float value)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: beside it there is no room for a fraction */
    return (value + shift) - shift;
}

/* exp of what is not above 0, to 1e-6 of it. */
INLINE float exp_of_negative(float value)
{
    union {
        int32_t bits;
        float number;
    } power;
    float binary = clipped(value, -80.0f, 0.0f) * 1.44269504f;
    float whole = rounded(binary), rest = binary - whole;
    float sum = 1.33335581e-3f; /* 2^rest: (rest * ln 2)^n / n!, from n = 5 down */
    sum = sum * rest + 9.61812911e-3f;
    sum = sum * rest + 5.55041087e-2f;
    sum = sum * rest + 2.40226507e-1f;
    sum = sum * rest + 6.93147181e-1f;
    sum = sum * rest + 1.0f;
    power.bits = ((int32_t)whole + 127) << 23;
    return sum * power.number;
}

/* Where `num` samples lie among `num_low`, as cv2.resize has it: after which, and how far on. */
INLINE void find_places(int num, int num_low, int32_t *first, float *share)
{
    for (int i = 0; i < num; i++) {
        double place = (i + 0.5) * num_low / num - 0.5;
        place = place < 0.0 ? 0.0 : place > num_low - 1 ? num_low - 1 : place;
        first[i] = held((int)place, num_low > 1 ? num_low - 1 : 1);
        share[i] = (float)(place - first[i]);
    }
}

/* ---------------------------------------------------------------- chroma.c */

#define REACH 2 /* samples to either side of one, of a window of five */
/* floats to work in, here and below */
#define ROOM_OF_TWO_COLORS(height, width) \
    (14 * ((size_t)(width) + 2 * REACH) + (size_t)(height) * (width))

enum { MIDDLE, GAIN, CENTER_CB, CENTER_CR, DIFFERENCE_CB, DIFFERENCE_CR, FLATNESS, NUM_LOW };

typedef struct {
    float luma_epsilon, flat, chroma_epsilon, gain, most_skewness, sharpening;
} Taste;

void make_two_colors(
    int height, int width, const uint8_t *luma, const float *cb, const float *cr, Taste taste,
    float *room, float *low);

void look_up_chroma(
    int num, const uint8_t *codes, const float *ab, const int32_t *table, int side, float per_step,
    float scale, float *cb, float *cr);

#define TILE 64 /* pixels: the side of the dither's pattern */
#define ROOM_OF_CHOICE(height, width) \
    ((size_t)(width) * (7 + 2 * NUM_LOW) + 2 * (size_t)(height))

typedef struct {
    float luma_scale, luma_offset, chroma_scale, chroma_offset, kr, kb, peak;
    int is_dithered;
} Codes;

void choose_colors(
    int height, int width, int low_height, int low_width, const void *luma, int luma_bytes,
    const float *guide, const float *low, const float *noise, Codes codes, float *room,
    void *coded);

/* ---------------------------------------------------------------- motion.c */

/* A pixel of (H, W, 4): of a course, or of a colour and what goes with it. */
typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

#define ROOM_OF_SPOTS 5
#define ROOM_OF_WAY(height, width, low_width) \
    (2 * ((size_t)(width) + (height)) + 3 * (size_t)(low_width) + (ROOM_OF_SPOTS + 1) * (size_t)(width))

void follow_courses(
    int height, int width, const Quad *first, const Quad *second, float *room, Quad *out);

typedef struct {
    float share, pixels, doubt, most, away;
} Doubts;

void find_courses(
    int height, int width, const float *flow, int num_inversions, Doubts doubts, float *room,
    Quad *there, Quad *back);

void weigh_course(
    int height, int width, const uint8_t *source, const Quad *course, const uint8_t *luma,
    float per_square, int sparse, float *room, float *out);

/* A low-res course and its weight, to be looked up along at full size. */
typedef struct {
    const Quad *values, *course;
    const float *weight;
    float least, factor; /* the weight counts as (weight + least) * factor */
} Way;

void add_fetched(
    int height, int width, int low_height, int low_width, Way way, float *room, Quad *total);

void blend_fetched(
    int height, int width, int low_height, int low_width, const Way *ways, float *room, float *out);

/* ---------------------------------------------------------------- pool.c */

void pool_maps(
    int num, int height, int width, int channels, const int16_t *maps, int16_t *room,
    int16_t *out);

#endif
