/* Compiled versions of the per-frame hot loops; `ops.py` documents what each one computes.
 *
 * They replace some 150 passes of NumPy and OpenCV over a frame by a few, two to five times as
 * fast. All arrays are C-contiguous; module.c checks their lengths against the sizes given. No
 * state is kept between calls.
 *
 * Loops are written for the compiler's vectorizer:
 * - one loop handles values of one width: with mixed widths GCC processes 64 at a time and leaves
 *   the rest to scalar code;
 * - where the loader can choose, functions are compiled for AVX-512, AVX2 and the baseline.
 *
 * The sources are C11. GCC's extensions (vector types, attributes) are used where they exist;
 * define FILMCOLOR_PLAIN_C to do without them, as MSVC does.
 */
#ifndef FILMCOLOR_KERNELS_H
#define FILMCOLOR_KERNELS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- compilers */

#if defined(__GNUC__) && !defined(FILMCOLOR_PLAIN_C) /* GCC and Clang */
#define HAS_GNU_EXTENSIONS 1
#else
#define HAS_GNU_EXTENSIONS 0
#endif

/* CPU_VERSIONS: before a function that is compiled for several instruction sets */
#if !HAS_GNU_EXTENSIONS || !defined(__x86_64__) || !defined(__GLIBC__) || defined(__clang__)
#define CPU_VERSIONS
#elif __GNUC__ >= 12
#define CPU_VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_VERSIONS __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

/* VECTORIZE: before a loop whose iterations are independent, which compilers cannot always prove */
#if !HAS_GNU_EXTENSIONS
#define VECTORIZE
#elif defined(__clang__)
#define VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#else
#define VECTORIZE _Pragma("GCC ivdep")
#endif

#if HAS_GNU_EXTENSIONS
#define INLINE static inline __attribute__((always_inline))
#define RESTRICT __restrict__
#else
#define INLINE static inline
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L
#define RESTRICT restrict
#elif defined(_MSC_VER)
#define RESTRICT __restrict
#else
#define RESTRICT
#endif
#endif

/* ---------------------------------------------------------------- four channels */

/* A pixel of an (H, W, 4) array: a tracked flow, or values to warp. */
#if HAS_GNU_EXTENSIONS
typedef float Float4 __attribute__((vector_size(16), aligned(4), may_alias));
#define CHANNEL(pixel, n) ((pixel)[n])
INLINE Float4 float4(float a, float b, float c, float d) { return (Float4){a, b, c, d}; }
INLINE Float4 add4(Float4 a, Float4 b) { return a + b; }
INLINE Float4 subtract4(Float4 a, Float4 b) { return a - b; }
INLINE Float4 multiply4(Float4 a, Float4 b) { return a * b; }
INLINE Float4 scale4(Float4 a, float factor) { return a * factor; }
INLINE Float4 negate4(Float4 a) { return -a; }
#else
typedef struct {
    float channel[4];
} Float4;
#define CHANNEL(pixel, n) ((pixel).channel[n])
INLINE Float4 float4(float a, float b, float c, float d)
{
    Float4 pixel;
    pixel.channel[0] = a, pixel.channel[1] = b, pixel.channel[2] = c, pixel.channel[3] = d;
    return pixel;
}
INLINE Float4 add4(Float4 a, Float4 b)
{
    for (int n = 0; n < 4; n++) a.channel[n] += b.channel[n];
    return a;
}
INLINE Float4 subtract4(Float4 a, Float4 b)
{
    for (int n = 0; n < 4; n++) a.channel[n] -= b.channel[n];
    return a;
}
INLINE Float4 multiply4(Float4 a, Float4 b)
{
    for (int n = 0; n < 4; n++) a.channel[n] *= b.channel[n];
    return a;
}
INLINE Float4 scale4(Float4 a, float factor)
{
    return multiply4(a, float4(factor, factor, factor, factor));
}
INLINE Float4 negate4(Float4 a) { return scale4(a, -1.0f); }
#endif

/* Return the linear interpolation between two pixels. */
INLINE Float4 mix4(Float4 a, Float4 b, float fraction)
{
    return add4(a, scale4(subtract4(b, a), fraction));
}

/* ---------------------------------------------------------------- arithmetic */

/* these comparisons turn a NaN in the first argument into the second */
INLINE float min_float(float a, float b) { return a < b ? a : b; }
INLINE float max_float(float a, float b) { return a > b ? a : b; }
INLINE float clip(float value, float low, float high)
{
    return min_float(max_float(value, low), high);
}
INLINE int clip_index(int index, int num) { return index < 0 ? 0 : index >= num ? num - 1 : index; }

/* Round to the nearest integer, halves to even; the value is within 2^22 of zero. */
INLINE float round_even(float value)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: floats of this size have no fraction bits */
    return (value + shift) - shift;
}

/* Return exp(value) for value <= 0, with a relative error of 1e-6. */
INLINE float exp_nonpositive(float value)
{
    union {
        int32_t bits;
        float number;
    } power;
    float exponent = clip(value, -80.0f, 0.0f) * 1.44269504f; /* log2(e) */
    float integer = round_even(exponent), fraction = exponent - integer;
    float sum = 1.33335581e-3f; /* 2^fraction: (fraction * ln 2)^n / n!, from n = 5 down */
    sum = sum * fraction + 9.61812911e-3f;
    sum = sum * fraction + 5.55041087e-2f;
    sum = sum * fraction + 2.40226507e-1f;
    sum = sum * fraction + 6.93147181e-1f;
    sum = sum * fraction + 1.0f;
    power.bits = ((int32_t)integer + 127) << 23;
    return sum * power.number;
}

/* Find where `num` samples lie among `num_low`, as cv2.resize does: the low-res sample before
 * each one, and the fraction of the way to the next. */
INLINE void resize_positions(int num, int num_low, int32_t *index, float *fraction)
{
    for (int i = 0; i < num; i++) {
        double position = (i + 0.5) * num_low / num - 0.5;
        position = position < 0.0 ? 0.0 : position > num_low - 1 ? num_low - 1 : position;
        index[i] = clip_index((int)position, num_low > 1 ? num_low - 1 : 1);
        fraction[i] = (float)(position - index[i]);
    }
}

/* ---------------------------------------------------------------- chroma.c */

#define WINDOW_RADIUS 2 /* low-res samples on each side of the center: a 5x5 window */
/* sizes of scratch memory, in floats, here and below */
#define TWO_COLORS_SCRATCH(height, width) \
    (14 * ((size_t)(width) + 2 * WINDOW_RADIUS) + (size_t)(height) * (width))

enum { MIDDLE, GAIN, CENTER_CB, CENTER_CR, DIFFERENCE_CB, DIFFERENCE_CR, FLATNESS, NUM_PLANES };

typedef struct {
    float luma_epsilon, flat, chroma_epsilon, gain, max_skewness, sharpening;
} UpsampleParams;

void two_colors(
    int height, int width, const uint8_t *luma, const float *cb, const float *cr,
    UpsampleParams params, float *scratch, float *planes);

void look_up_chroma(
    int num, const uint8_t *codes, const float *ab, const int32_t *table, int side, float per_step,
    float unit, float *cb, float *cr);

#define TILE 64 /* pixels: side of the dither pattern */
#define CHOOSE_COLORS_SCRATCH(height, width) \
    ((size_t)(width) * (7 + 2 * NUM_PLANES) + 2 * (size_t)(height))

typedef struct {
    float luma_scale, luma_offset, chroma_scale, chroma_offset, kr, kb, peak;
    int is_dithered;
} ChromaCoding;

void choose_colors(
    int height, int width, int low_height, int low_width, const void *luma, int luma_bytes,
    const float *guide, const float *planes, const float *noise, ChromaCoding coding,
    float *scratch, void *coded);

/* ---------------------------------------------------------------- motion.c */

#define SAMPLER_FLOATS 5 /* per pixel of a row */
#define SAMPLER_SCRATCH(width) (SAMPLER_FLOATS * (size_t)(width))
#define WARP_SCRATCH(height, width, low_width)                   \
    (2 * ((size_t)(width) + (height)) + 3 * (size_t)(low_width) + \
     (SAMPLER_FLOATS + 1) * (size_t)(width))

void compose(
    int height, int width, const Float4 *first, const Float4 *second, float *scratch,
    Float4 *composed);

typedef struct {
    float miss_share, miss_pixels, uncertainty, max_uncertainty, away;
} FlowParams;

void tracked_flows(
    int height, int width, const float *flow, int num_inversions, FlowParams params,
    float *scratch, Float4 *forward, Float4 *backward);

void warp_weight(
    int height, int width, const uint8_t *source, const Float4 *flow, const uint8_t *luma,
    float per_square, int stride, float *scratch, float *weight);

/* Full-size values to be sampled along a low-res flow, weighted by (weight + least) * factor. */
typedef struct {
    const Float4 *values, *flow;
    const float *weight;
    float least, factor;
} WarpSource;

void accumulate_warped(
    int height, int width, int low_height, int low_width, WarpSource source, float *scratch,
    Float4 *total);

void blend_warped(
    int height, int width, int low_height, int low_width, const WarpSource *sources,
    float *scratch, float *mean);

/* ---------------------------------------------------------------- pool.c */

#define MAX_POOL_SCRATCH(width, channels) (((size_t)(width) * (channels) + 1) / 2)

void max_pool(
    int num, int height, int width, int channels, const int16_t *maps, int16_t *scratch,
    int16_t *pooled);

/* ---------------------------------------------------------------- surfaces.c */

#define NUM_DIRECTIONS 4 /* of the edges that a pixel has */
#define MAX_WEIGHT 65535 /* of an edge */

void edge_weights(
    int height, int width, int num_channels, const float *values, float resolution,
    uint16_t *weights);

#define SEGMENT_SCRATCH(height, width) \
    ((4 * NUM_DIRECTIONS + 3) * (size_t)(height) * (width) + MAX_WEIGHT + 2)

void segment(
    int height, int width, const uint16_t *weights, int num_scales, const float *scales,
    int min_size, float *scratch, int32_t *labels);

/* of a pixel: mean and variance of its distribution; of a segment: means over its pixels, and the
 * colour that they agree on */
enum { MEAN_A, MEAN_B, CHROMA, VARIANCE, NUM_PIXEL_VALUES };
enum { COLOR_A = CHROMA + 1, COLOR_B, COUNT, NUM_SEGMENT_VALUES };

#define PADDED_BINS(num_bins) (((num_bins) + 15) / 16 * 16)
#define VOTE_SCRATCH(num, num_bins, num_segments)                  \
    ((size_t)(num_segments) * ((num_bins) + NUM_SEGMENT_VALUES) + \
     (size_t)(num) * NUM_PIXEL_VALUES + 4 * (size_t)PADDED_BINS(num_bins))

typedef struct {
    float strength, tolerance, max_gain;
} VoteParams;

void vote(
    int num, int num_scales, int num_bins, int num_segments, const float *logits,
    const int32_t *labels, const float *centers, VoteParams params, float *scratch, float *ab);

#endif
