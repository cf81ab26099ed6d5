/* Optical flow: composing and inverting tracked flows, warping along them, and its weights. */
#include "kernels.h"

/* ---------------------------------------------------------------- sampling along a flow */

enum { FLOW_X, FLOW_Y, UNCERTAINTY }; /* channels of a tracked flow */

/* Where the pixels of a row sample a picture: the pixel at the upper left, and the fractions of
 * the way to the next column and row. */
typedef struct {
    int32_t *index;
    float *fraction_x, *fraction_y;
} Samples;

/* Find the samples at columns and rows of a picture; those outside take the border's values. */
INLINE void find_samples(
    int num, const float *RESTRICT columns, const float *RESTRICT rows, int height, int width,
    const Samples *samples)
{
    int32_t *RESTRICT index = samples->index;
    float *RESTRICT fraction_x = samples->fraction_x, *RESTRICT fraction_y = samples->fraction_y;
    const int max_left = width > 1 ? width - 2 : 0, max_top = height > 1 ? height - 2 : 0;
    const float max_x = (float)(width - 1), max_y = (float)(height - 1);
    VECTORIZE
    for (int i = 0; i < num; i++) {
        float x = clip(columns[i], 0.0f, max_x), y = clip(rows[i], 0.0f, max_y);
        int32_t left = (int32_t)x, top = (int32_t)y;
        left = left < max_left ? left : max_left;
        top = top < max_top ? top : max_top;
        index[i] = top * width + left;
        fraction_x[i] = x - (float)left;
        fraction_y[i] = y - (float)top;
    }
}

/* Return the pixel at sample i, interpolated linearly. `right` and `below`: pixels to the next
 * column and row, 0 where there is none. */
INLINE Float4 sample(const Float4 *values, const Samples *samples, int i, int right, int below)
{
    const Float4 *upper = values + samples->index[i], *lower = upper + below;
    Float4 above = mix4(upper[0], upper[right], samples->fraction_x[i]);
    Float4 under = mix4(lower[0], lower[right], samples->fraction_x[i]);
    return mix4(above, under, samples->fraction_y[i]);
}

/* The samples of one row, and the columns and rows they are at. */
typedef struct {
    Samples samples;
    float *columns, *rows;
} Sampler;

/* Return a sampler in scratch memory of SAMPLER_SCRATCH floats. */
INLINE Sampler make_sampler(float *scratch, int width)
{
    Sampler sampler;
    sampler.samples.index = (int32_t *)scratch;
    sampler.samples.fraction_x = scratch + width;
    sampler.samples.fraction_y = scratch + 2 * (size_t)width;
    sampler.columns = scratch + 3 * (size_t)width;
    sampler.rows = scratch + 4 * (size_t)width;
    return sampler;
}

/* Find the samples that row y of a tracked flow leads to, in a picture of the flow's size. */
INLINE void follow_row(const Float4 *flow, int y, int height, int width, const Sampler *sampler)
{
    float *RESTRICT columns = sampler->columns, *RESTRICT rows = sampler->rows;
    const float *RESTRICT row = (const float *)(flow + (size_t)y * width);
    VECTORIZE
    for (int x = 0; x < width; x++) {
        columns[x] = (float)x + row[4 * x + FLOW_X];
        rows[x] = (float)y + row[4 * x + FLOW_Y];
    }
    find_samples(width, columns, rows, height, width, &sampler->samples);
}

/* ---------------------------------------------------------------- tracked flows */

CPU_VERSIONS
void compose(
    int height, int width, const Float4 *first, const Float4 *second, float *scratch,
    Float4 *composed)
{
    const Sampler sampler = make_sampler(scratch, width);
    const int right = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        const Float4 *row = first + (size_t)y * width;
        Float4 *out = composed + (size_t)y * width;
        follow_row(first, y, height, width, &sampler);
        for (int x = 0; x < width; x++)
            out[x] = add4(row[x], sample(second, &sampler.samples, x, right, below));
    }
}

/* Return 1 inside a row or column of `num` samples, falling to 0 one sample beyond its ends. */
INLINE float inside_weight(float position, int num)
{
    float outside = max_float(max_float(-position, position - (float)(num - 1)), 0.0f);
    return max_float(1.0f - outside, 0.0f);
}

/* Set the uncertainty of `forward`: by how much more than allowed the way back misses its start. */
INLINE void set_uncertainty(
    int height, int width, Float4 *forward, const Float4 *backward, FlowParams params,
    const Sampler *sampler)
{
    const int right = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        Float4 *row = forward + (size_t)y * width;
        follow_row(forward, y, height, width, sampler);
        for (int x = 0; x < width; x++) {
            Float4 returned = sample(backward, &sampler->samples, x, right, below);
            float inside = inside_weight(sampler->columns[x], width) *
                           inside_weight(sampler->rows[x], height);
            float away = (1.0f - inside) * params.away;
            Float4 missed = add4(scale4(returned, inside), float4(away, away, away, away));
            missed = add4(missed, row[x]);
            Float4 misses = multiply4(missed, missed), lengths = multiply4(row[x], row[x]);
            float allowed =
                (CHANNEL(lengths, FLOW_X) + CHANNEL(lengths, FLOW_Y)) * 2.0f * params.miss_share +
                params.miss_pixels;
            float ratio = (CHANNEL(misses, FLOW_X) + CHANNEL(misses, FLOW_Y)) / allowed;
            CHANNEL(row[x], UNCERTAINTY) =
                clip((ratio - 1.0f) * params.uncertainty, 0.0f, params.max_uncertainty);
        }
    }
}

CPU_VERSIONS
void tracked_flows(
    int height, int width, const float *flow, int num_inversions, FlowParams params,
    float *scratch, Float4 *forward, Float4 *backward)
{
    const Sampler sampler = make_sampler(scratch, width);
    const int right = width > 1, below = height > 1 ? width : 0;
    const size_t num = (size_t)height * width;
    for (size_t i = 0; i < num; i++) {
        forward[i] = float4(flow[2 * i], flow[2 * i + 1], 0.0f, 0.0f);
        backward[i] = negate4(forward[i]);
    }
    for (int n = 0; n < num_inversions; n++) /* fixed-point iteration, in place */
        for (int y = 0; y < height; y++) {
            Float4 *row = backward + (size_t)y * width;
            follow_row(backward, y, height, width, &sampler);
            for (int x = 0; x < width; x++)
                row[x] = negate4(sample(forward, &sampler.samples, x, right, below));
        }
    /* the uncertainty has a channel of its own, so the first call changes no flow of the second */
    set_uncertainty(height, width, forward, backward, params, &sampler);
    set_uncertainty(height, width, backward, forward, params, &sampler);
}

/* ---------------------------------------------------------------- weights */

CPU_VERSIONS
void warp_weight(
    int height, int width, const uint8_t *source, const Float4 *flow, const uint8_t *luma,
    float per_square, int stride, float *scratch, float *weight)
{
    const Sampler sampler = make_sampler(scratch, width);
    const int right = width > 1, below = height > 1 ? width : 0;
    double sum = 0.0, total = 0.0;
    for (int y = 0; y < height; y++) {
        const Float4 *row = flow + (size_t)y * width;
        const uint8_t *luma_row = luma + (size_t)y * width;
        float *differences = weight + (size_t)y * width;
        follow_row(flow, y, height, width, &sampler);
        for (int x = 0; x < width; x++) {
            const uint8_t *upper = source + sampler.samples.index[x], *lower = upper + below;
            float fraction_x = sampler.samples.fraction_x[x];
            float above = upper[0] + fraction_x * (float)(upper[right] - upper[0]);
            float under = lower[0] + fraction_x * (float)(lower[right] - lower[0]);
            differences[x] =
                above + sampler.samples.fraction_y[x] * (under - above) - luma_row[x];
        }
        if (y % stride == 0)
            for (int x = 0; x < width; x += stride) {
                float visible = exp_nonpositive(-CHANNEL(row[x], UNCERTAINTY));
                sum += visible * differences[x];
                total += visible;
            }
    }
    const float exposure = (float)(sum / (total + 1e-6));
    const float *RESTRICT values = (const float *)flow;
    const int num = height * width;
    VECTORIZE
    for (int i = 0; i < num; i++) {
        float difference = weight[i] - exposure;
        weight[i] = exp_nonpositive(
            difference * difference * per_square - values[4 * i + UNCERTAINTY]);
    }
}

/* ---------------------------------------------------------------- warping at full size */

/* One row of a low-res warp source at full size: its weights, and the samples it leads to. */
typedef struct {
    int32_t *index, *row_index;
    float *fraction, *row_fraction, *low[3], *weight; /* low: FLOW_X, FLOW_Y, weight */
    Sampler sampler;
} FullRow;

/* Return a full-size row in scratch memory of WARP_SCRATCH floats. */
INLINE FullRow make_full_row(float *scratch, int height, int width, int low_height, int low_width)
{
    FullRow full;
    full.fraction = scratch;
    full.index = (int32_t *)(full.fraction + width);
    full.row_fraction = (float *)(full.index + width);
    full.row_index = (int32_t *)(full.row_fraction + height);
    for (int n = 0; n < 3; n++)
        full.low[n] = (float *)(full.row_index + height) + (size_t)n * low_width;
    full.weight = full.low[2] + low_width;
    full.sampler = make_sampler(full.weight + width, width);
    resize_positions(width, low_width, full.index, full.fraction);
    resize_positions(height, low_height, full.row_index, full.row_fraction);
    return full;
}

/* Upsample row y of a source's flow and weight, and find the samples. */
INLINE void upsample_row(
    const WarpSource *source, int y, int height, int width, int low_height, int low_width,
    const FullRow *full)
{
    const int next = low_width > 1;
    const size_t above = (size_t)full->row_index[y] * low_width;
    const size_t below = above + (low_height > 1 ? low_width : 0);
    const Float4 *upper = source->flow + above, *lower = source->flow + below;
    const float row_fraction = full->row_fraction[y];
    const Float4 scale = float4((float)width / low_width, (float)height / low_height, 0.0f, 0.0f);
    for (int x = 0; x < low_width; x++) {
        Float4 flow = multiply4(mix4(upper[x], lower[x], row_fraction), scale);
        float weight = source->weight[above + x];
        weight += (source->weight[below + x] - weight) * row_fraction;
        full->low[0][x] = CHANNEL(flow, FLOW_X);
        full->low[1][x] = CHANNEL(flow, FLOW_Y);
        full->low[2][x] = (weight + source->least) * source->factor;
    }
    const float *RESTRICT flow_x = full->low[0], *RESTRICT flow_y = full->low[1];
    const float *RESTRICT low_weight = full->low[2], *RESTRICT fraction = full->fraction;
    const int32_t *RESTRICT index = full->index;
    float *RESTRICT columns = full->sampler.columns, *RESTRICT rows = full->sampler.rows;
    float *RESTRICT weights = full->weight;
    VECTORIZE
    for (int x = 0; x < width; x++) {
        int32_t left = index[x], right = left + next;
        columns[x] = (float)x + flow_x[left] + (flow_x[right] - flow_x[left]) * fraction[x];
        rows[x] = (float)y + flow_y[left] + (flow_y[right] - flow_y[left]) * fraction[x];
        weights[x] = low_weight[left] + (low_weight[right] - low_weight[left]) * fraction[x];
    }
    find_samples(width, columns, rows, height, width, &full->sampler.samples);
}

CPU_VERSIONS
void accumulate_warped(
    int height, int width, int low_height, int low_width, WarpSource source, float *scratch,
    Float4 *total)
{
    const FullRow full = make_full_row(scratch, height, width, low_height, low_width);
    const int right = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        Float4 *row = total + (size_t)y * width;
        upsample_row(&source, y, height, width, low_height, low_width, &full);
        for (int x = 0; x < width; x++) {
            Float4 value = sample(source.values, &full.sampler.samples, x, right, below);
            row[x] = add4(row[x], scale4(value, full.weight[x]));
        }
    }
}

CPU_VERSIONS
void blend_warped(
    int height, int width, int low_height, int low_width, const WarpSource *sources,
    float *scratch, float *mean)
{
    const FullRow first = make_full_row(scratch, height, width, low_height, low_width);
    const FullRow second = make_full_row(scratch + WARP_SCRATCH(height, width, low_width), height,
                                         width, low_height, low_width);
    const int right = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        float *out = mean + 2 * (size_t)y * width;
        upsample_row(&sources[0], y, height, width, low_height, low_width, &first);
        upsample_row(&sources[1], y, height, width, low_height, low_width, &second);
        for (int x = 0; x < width; x++) {
            Float4 a = sample(sources[0].values, &first.sampler.samples, x, right, below);
            a = scale4(a, first.weight[x]); /* before b: decides which product is fused */
            Float4 b = sample(sources[1].values, &second.sampler.samples, x, right, below);
            Float4 sum = add4(a, scale4(b, second.weight[x]));
            sum = scale4(sum, 1.0f / (first.weight[x] + second.weight[x]));
            out[2 * x] = CHANNEL(sum, 0);
            out[2 * x + 1] = CHANNEL(sum, 1);
        }
    }
}
