/* Surfaces: segments of a picture, and the colours that the pixels of each agree on. */
#include "kernels.h"

/* ---------------------------------------------------------------- edges */

/* steps to the neighbours: right, down-left, down, down-right */
static const int STEP_X[NUM_DIRECTIONS] = {1, -1, 0, 1}, STEP_Y[NUM_DIRECTIONS] = {0, 1, 1, 1};

/* Return the neighbour of a pixel, or -1 outside the picture. */
INLINE int32_t neighbor(int height, int width, int32_t pixel, int direction)
{
    int32_t x = pixel % width + STEP_X[direction], y = pixel / width + STEP_Y[direction];
    return x < 0 || x >= width || y >= height ? -1 : y * width + x;
}

#define LANES 16 /* partial sums, so that sums are vectorized too; rows are padded to them */

/* Write the distance between neighbours' values, in steps of `1 / resolution`; 0 outside. */
CPU_VERSIONS
void edge_weights(
    int height, int width, int num_channels, const float *values, float resolution,
    uint16_t *weights)
{
    for (int32_t pixel = 0; pixel < height * width; pixel++) {
        const float *here = values + (size_t)pixel * num_channels;
        for (int direction = 0; direction < NUM_DIRECTIONS; direction++) {
            int32_t target = neighbor(height, width, pixel, direction);
            float sums[LANES] = {0.0f}, sum = 0.0f;
            if (target >= 0) {
                const float *there = values + (size_t)target * num_channels;
                int i = 0;
                for (; i + LANES <= num_channels; i += LANES)
                    for (int k = 0; k < LANES; k++)
                        sums[k] += (here[i + k] - there[i + k]) * (here[i + k] - there[i + k]);
                for (; i < num_channels; i++) sum += (here[i] - there[i]) * (here[i] - there[i]);
                for (int k = 0; k < LANES; k++) sum += sums[k];
            }
            sum = sqrtf(sum) * resolution;
            weights[NUM_DIRECTIONS * (size_t)pixel + direction] =
                (uint16_t)(int32_t)clip(sum, 0.0f, MAX_WEIGHT);
        }
    }
}

/* ---------------------------------------------------------------- segmentation */

typedef struct {
    int32_t *parent, *size, *inner; /* inner: the greatest weight inside a segment */
} Segments;

typedef struct {
    int32_t from, to, weight;
} Edge;

static int32_t find_root(int32_t *parent, int32_t pixel)
{
    while (parent[pixel] != pixel) {
        parent[pixel] = parent[parent[pixel]];
        pixel = parent[pixel];
    }
    return pixel;
}

static void merge(Segments segments, int32_t a, int32_t b, int32_t weight)
{
    int32_t root = a < b ? a : b, other = a < b ? b : a;
    segments.parent[other] = root;
    segments.size[root] += segments.size[other];
    segments.inner[root] = weight;
}

/* Return whether an edge is light for a segment: at most scale / size above its inner ones. */
INLINE int is_light(Segments segments, int32_t root, int32_t weight, float scale)
{
    return (double)(weight - segments.inner[root]) * segments.size[root] <= scale;
}

/* Sort the edges by weight and return their number. `start` holds zeros (a counting sort). */
static int32_t sort_edges(
    int height, int width, const uint16_t *weights, int32_t *start, Edge *sorted)
{
    const int32_t num = height * width;
    int32_t num_edges = 0;
    for (int32_t edge = 0; edge < NUM_DIRECTIONS * num; edge++)
        if (neighbor(height, width, edge / NUM_DIRECTIONS, edge % NUM_DIRECTIONS) >= 0)
            start[weights[edge] + 1]++, num_edges++;
    for (int i = 0; i < MAX_WEIGHT; i++) start[i + 1] += start[i];
    for (int32_t edge = 0; edge < NUM_DIRECTIONS * num; edge++) {
        const int32_t pixel = edge / NUM_DIRECTIONS;
        const int32_t target = neighbor(height, width, pixel, edge % NUM_DIRECTIONS);
        if (target < 0) continue;
        Edge *position = sorted + start[weights[edge]]++;
        position->from = pixel;
        position->to = target;
        position->weight = weights[edge];
    }
    return num_edges;
}

/* Graph-based segmentations (Felzenszwalb & Huttenlocher 2004) of the 8-connected grid. */
void segment(
    int height, int width, const uint16_t *weights, int num_scales, const float *scales,
    int min_size, float *scratch, int32_t *labels)
{
    const int32_t num = height * width;
    int32_t *start = (int32_t *)scratch, num_segments = 0;
    Edge *sorted = (Edge *)(start + MAX_WEIGHT + 2);
    int32_t *left = (int32_t *)(sorted + NUM_DIRECTIONS * (size_t)num);
    Segments segments;
    segments.parent = left + NUM_DIRECTIONS * (size_t)num;
    segments.size = segments.parent + num;
    segments.inner = segments.size + num;
    const int32_t num_edges = sort_edges(height, width, weights, start, sorted);

    for (int n = 0; n < num_scales; n++, labels += num) {
        int32_t num_left = 0; /* edges between different segments */
        for (int32_t i = 0; i < num; i++) {
            segments.parent[i] = i;
            segments.size[i] = 1;
            segments.inner[i] = 0;
        }
        for (int32_t i = 0; i < num_edges; i++) {
            const Edge edge = sorted[i];
            int32_t a = find_root(segments.parent, edge.from);
            int32_t b = find_root(segments.parent, edge.to);
            if (a == b) continue;
            if (is_light(segments, a, edge.weight, scales[n]) &&
                is_light(segments, b, edge.weight, scales[n]))
                merge(segments, a, b, edge.weight);
            else
                left[num_left++] = i;
        }
        for (int32_t i = 0; i < num_left; i++) {
            const Edge edge = sorted[left[i]];
            int32_t a = find_root(segments.parent, edge.from);
            int32_t b = find_root(segments.parent, edge.to);
            if (a != b && (segments.size[a] < min_size || segments.size[b] < min_size))
                merge(segments, a, b, edge.weight);
        }
        for (int32_t i = 0; i < num; i++) { /* a root comes before the other pixels */
            int32_t root = find_root(segments.parent, i);
            labels[i] = root == i ? num_segments++ : labels[root];
        }
    }
}

/* ---------------------------------------------------------------- votes */

/* Rows of a table of bins, padded with zeros. */
typedef struct {
    int num, num_padded;
    float *a, *b, *square, *shares; /* square: a² + b²; shares: of the distribution at hand */
} Bins;

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

/* Write the mean a, b and a² + b² of a distribution. */
INLINE void mean_color(Bins bins, const float *RESTRICT logits, float *RESTRICT mean)
{
    float *RESTRICT shares = bins.shares;
    const float most = highest(bins.num, logits);
    float a[LANES] = {0.0f}, b[LANES] = {0.0f}, square[LANES] = {0.0f}, total[LANES] = {0.0f};
    VECTORIZE
    for (int i = 0; i < bins.num; i++) shares[i] = exp_nonpositive(logits[i] - most);
    for (int i = 0; i < bins.num_padded; i += LANES)
        for (int k = 0; k < LANES; k++) {
            a[k] += shares[i + k] * bins.a[i + k];
            b[k] += shares[i + k] * bins.b[i + k];
            square[k] += shares[i + k] * bins.square[i + k];
            total[k] += shares[i + k];
        }
    for (int k = 1; k < LANES; k++)
        a[0] += a[k], b[0] += b[k], square[0] += square[k], total[0] += total[k];
    mean[0] = a[0] / total[0];
    mean[1] = b[0] / total[0];
    mean[2] = square[0] / total[0];
}

INLINE void add_row(int num, const float *RESTRICT row, float *RESTRICT total)
{
    VECTORIZE
    for (int i = 0; i < num; i++) total[i] += row[i];
}

/* Find the colour that the pixels of a segment agree on, from sums over them. */
INLINE void choose_color(Bins bins, float max_gain, float *RESTRICT logits, float *segment)
{
    const float factor = 1.0f / max_float(segment[COUNT], 1.0f);
    float mean[3];
    VECTORIZE
    for (int i = 0; i < bins.num; i++) logits[i] *= factor;
    for (int i = MEAN_A; i <= CHROMA; i++) segment[i] *= factor;
    mean_color(bins, logits, mean);
    const float chroma = max_float(sqrtf(mean[0] * mean[0] + mean[1] * mean[1]), 1e-6f);
    const float gain = clip(segment[CHROMA] / chroma, 1.0f, max_gain);
    segment[COLOR_A] = gain * mean[0];
    segment[COLOR_B] = gain * mean[1];
}

/* The ab of each pixel after the pixels of its segments have voted.
 *
 * `num_segments`: of all scales together. */
CPU_VERSIONS
void vote(
    int num, int num_scales, int num_bins, int num_segments, const float *logits,
    const int32_t *labels, const float *centers, VoteParams params, float *scratch, float *ab)
{
    const int num_padded = PADDED_BINS(num_bins);
    float *sums = scratch, *segments = sums + (size_t)num_segments * num_bins;
    float *pixels = segments + (size_t)num_segments * NUM_SEGMENT_VALUES;
    Bins bins = {num_bins, num_padded, NULL, NULL, NULL, NULL};
    bins.a = pixels + (size_t)num * NUM_PIXEL_VALUES;
    bins.b = bins.a + num_padded;
    bins.square = bins.b + num_padded;
    bins.shares = bins.square + num_padded;
    memcpy(bins.a, centers, num_bins * sizeof(float));
    memcpy(bins.b, centers + num_bins, num_bins * sizeof(float));
    for (int k = 0; k < num_bins; k++)
        bins.square[k] = bins.a[k] * bins.a[k] + bins.b[k] * bins.b[k];

    for (int i = 0; i < num; i++) {
        const float *own = logits + (size_t)i * num_bins;
        float *pixel = pixels + (size_t)i * NUM_PIXEL_VALUES, mean[3];
        mean_color(bins, own, mean);
        const float square = mean[0] * mean[0] + mean[1] * mean[1];
        pixel[MEAN_A] = mean[0];
        pixel[MEAN_B] = mean[1];
        pixel[CHROMA] = sqrtf(square);
        pixel[VARIANCE] = max_float(mean[2] - square, 0.0f);
        for (int n = 0; n < num_scales; n++) {
            const size_t label = labels[(size_t)n * num + i];
            float *segment = segments + label * NUM_SEGMENT_VALUES;
            add_row(num_bins, own, sums + label * num_bins);
            for (int k = MEAN_A; k <= CHROMA; k++) segment[k] += pixel[k];
            segment[COUNT] += 1.0f;
        }
    }
    for (int i = 0; i < num_segments; i++)
        choose_color(bins, params.max_gain, sums + (size_t)i * num_bins,
                     segments + (size_t)i * NUM_SEGMENT_VALUES);
    for (int i = 0; i < num; i++) {
        const float *pixel = pixels + (size_t)i * NUM_PIXEL_VALUES;
        const float width = 1.0f / (params.tolerance * pixel[VARIANCE] + 1.0f);
        float own_share = 1.0f, a = 0.0f, b = 0.0f;
        for (int n = 0; n < num_scales; n++) {
            const size_t label = labels[(size_t)n * num + i];
            const float *segment = segments + label * NUM_SEGMENT_VALUES;
            const float to_a = segment[MEAN_A] - pixel[MEAN_A];
            const float to_b = segment[MEAN_B] - pixel[MEAN_B];
            const float share = params.strength / num_scales *
                                exp_nonpositive(-(to_a * to_a + to_b * to_b) * width);
            own_share -= share;
            a += share * segment[COLOR_A];
            b += share * segment[COLOR_B];
        }
        ab[2 * i] = own_share * pixel[MEAN_A] + a;
        ab[2 * i + 1] = own_share * pixel[MEAN_B] + b;
    }
}
