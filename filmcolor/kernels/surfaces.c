/* Surfaces: segments of a picture, and the colours that the pixels of each agree on. */
#include "kernels.h"

/* ---------------------------------------------------------------- segmentation */

enum { NUM_WEIGHTS = 1 << 16 };

typedef struct {
    int32_t *parent, *size;
    double *inner; /* the greatest weight inside a segment */
} Segments;

static int32_t find_root(int32_t *parent, int32_t pixel)
{
    while (parent[pixel] != pixel) {
        parent[pixel] = parent[parent[pixel]];
        pixel = parent[pixel];
    }
    return pixel;
}

static void merge(Segments segments, int32_t a, int32_t b, double weight)
{
    int32_t root = a < b ? a : b, other = a < b ? b : a;
    segments.parent[other] = root;
    segments.size[root] += segments.size[other];
    segments.inner[root] = weight;
}

/* Return the pixel that an edge leads to, or -1 outside the picture; edges are numbered
 * 4 * pixel + direction: right, down-left, down, down-right. */
INLINE int32_t edge_target(int height, int width, int32_t edge)
{
    static const int step_x[4] = {1, -1, 0, 1}, step_y[4] = {0, 1, 1, 1};
    int32_t pixel = edge / 4, x = pixel % width + step_x[edge % 4];
    int32_t y = pixel / width + step_y[edge % 4];
    return x < 0 || x >= width || y >= height ? -1 : y * width + x;
}

/* Graph-based segmentation (Felzenszwalb & Huttenlocher 2004) of the 8-connected grid. */
void segment(
    int height, int width, const uint16_t *weights, float scale, int min_size, float *scratch,
    int32_t *labels)
{
    const int32_t num = height * width;
    Segments segments;
    segments.inner = (double *)scratch; /* first: doubles must be aligned */
    segments.parent = (int32_t *)(scratch + 2 * (size_t)num);
    segments.size = segments.parent + num;
    int32_t *order = segments.size + num, *start = order + 4 * (size_t)num;
    for (int32_t i = 0; i < num; i++) {
        segments.parent[i] = i;
        segments.size[i] = 1;
        segments.inner[i] = 0.0;
    }
    /* counting sort */
    int32_t num_edges = 0;
    for (int i = 0; i <= NUM_WEIGHTS; i++) start[i] = 0;
    for (int32_t edge = 0; edge < 4 * num; edge++)
        if (edge_target(height, width, edge) >= 0) start[weights[edge] + 1]++, num_edges++;
    for (int i = 0; i < NUM_WEIGHTS; i++) start[i + 1] += start[i];
    for (int32_t edge = 0; edge < 4 * num; edge++)
        if (edge_target(height, width, edge) >= 0) order[start[weights[edge]]++] = edge;

    for (int pass = 0; pass < 2; pass++) { /* by likeness; then those that are too small */
        for (int32_t i = 0; i < num_edges; i++) {
            int32_t a = find_root(segments.parent, order[i] / 4);
            int32_t b = find_root(segments.parent, edge_target(height, width, order[i]));
            if (a == b) continue;
            double weight = weights[order[i]];
            int is_merged;
            if (pass == 0)
                is_merged = weight <= segments.inner[a] + scale / (double)segments.size[a] &&
                            weight <= segments.inner[b] + scale / (double)segments.size[b];
            else
                is_merged = segments.size[a] < min_size || segments.size[b] < min_size;
            if (is_merged) merge(segments, a, b, weight);
        }
    }
    int32_t num_segments = 0;
    for (int32_t i = 0; i < num; i++) { /* a root comes before the other pixels of its segment */
        int32_t root = find_root(segments.parent, i);
        labels[i] = root == i ? num_segments++ : labels[root];
    }
}

/* ---------------------------------------------------------------- votes */

#define LANES 16 /* partial sums, so that sums are vectorized too; rows are padded to them */

INLINE void add_row(int num, const float *RESTRICT row, float factor, float *RESTRICT total)
{
    VECTORIZE
    for (int i = 0; i < num; i++) total[i] += factor * row[i];
}

INLINE float highest(int num, const float *values)
{
    float most[LANES], result = values[0];
    for (int k = 0; k < LANES; k++) most[k] = values[0];
    int i = 0;
    for (; i + LANES <= num; i += LANES)
        for (int k = 0; k < LANES; k++)
            most[k] = values[i + k] > most[k] ? values[i + k] : most[k];
    for (; i < num; i++) result = values[i] > result ? values[i] : result;
    for (int k = 0; k < LANES; k++) result = most[k] > result ? most[k] : result;
    return result;
}

/* Write exp(value - highest) of each value; padding is left at zero. */
INLINE void shares_of(int num, const float *RESTRICT values, float *RESTRICT shares)
{
    const float most = highest(num, values);
    VECTORIZE
    for (int i = 0; i < num; i++) shares[i] = exp_nonpositive(values[i] - most);
}

/* Return the sum of products of two rows that are padded with zeros. */
INLINE float dot(int num_padded, const float *RESTRICT first, const float *RESTRICT second)
{
    float sums[LANES] = {0.0f}, sum = 0.0f;
    for (int i = 0; i < num_padded; i += LANES)
        for (int k = 0; k < LANES; k++) sums[k] += first[i + k] * second[i + k];
    for (int k = 0; k < LANES; k++) sum += sums[k];
    return sum;
}

/* The mean ab of each pixel's bins after the pixels of its segments have voted.
 *
 * `num_segments`: of all scales together. */
CPU_VERSIONS
void vote(
    int num, int num_bins, int num_scales, int num_segments, const float *logits,
    const int32_t *labels, const float *centers, VoteParams params, float *scratch, float *ab)
{
    const int num_padded = PADDED_BINS(num_bins);
    float *means = scratch, *mixed = means + (size_t)num_segments * num_bins;
    float *shares = mixed + num_padded, *a = shares + num_padded, *b = a + num_padded;
    float *ones = b + num_padded, *counts = ones + num_padded;
    memcpy(a, centers, num_bins * sizeof(float));
    memcpy(b, centers + num_bins, num_bins * sizeof(float));
    for (int k = 0; k < num_bins; k++) ones[k] = 1.0f;
    for (int i = 0; i < num; i++) {
        const float *own = logits + (size_t)i * num_bins;
        for (int n = 0; n < num_scales; n++) {
            int segment = labels[(size_t)n * num + i];
            add_row(num_bins, own, 1.0f, means + (size_t)segment * num_bins);
            counts[segment] += 1.0f;
        }
    }
    for (int i = 0; i < num_segments; i++) {
        float *row = means + (size_t)i * num_bins;
        const float factor = 1.0f / (counts[i] * num_scales);
        VECTORIZE
        for (int k = 0; k < num_bins; k++) row[k] *= factor;
    }
    for (int i = 0; i < num; i++) {
        const float *own = logits + (size_t)i * num_bins;
        shares_of(num_bins, own, shares);
        const float total = dot(num_padded, shares, ones), most = highest(num_bins, own);
        memcpy(mixed, own, num_bins * sizeof(float));
        const float entropy = logf(total) + most - dot(num_padded, shares, mixed) / total;
        const float sureness = params.steepness * (params.gate - entropy);
        const float odds = exp_nonpositive(-fabsf(sureness)); /* a logistic function */
        const float share =
            params.share * (sureness < 0.0f ? 1.0f : odds) / (1.0f + odds);
        VECTORIZE
        for (int k = 0; k < num_bins; k++) mixed[k] *= 1.0f - share;
        for (int n = 0; n < num_scales; n++)
            add_row(num_bins, means + (size_t)labels[(size_t)n * num + i] * num_bins, share,
                    mixed);
        shares_of(num_bins, mixed, shares);
        const float scale = 1.0f / dot(num_padded, shares, ones);
        ab[2 * i] = dot(num_padded, shares, a) * scale;
        ab[2 * i + 1] = dot(num_padded, shares, b) * scale;
    }
}
