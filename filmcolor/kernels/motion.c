/* What moves: courses, what they lead to, and how much that counts. */
#include "kernels.h"

/* ---------------------------------------------------------------- motion: `flow`, `smooth` */

enum { ACROSS, DOWN, DOUBT };

/* Where a row of pixels looks things up: after which pixel, and how far on. */
typedef struct {
    int32_t *place;
    float *right, *lower;
} Spots;

/* Find spots in a picture from places that may be beyond its border, where the border's are. */
INLINE void find_spots(
    int num, const float *RESTRICT across, const float *RESTRICT down, int height, int width,
    const Spots *spots)
{
    int32_t *RESTRICT place = spots->place;
    float *RESTRICT right = spots->right, *RESTRICT lower = spots->lower;
    const int most_left = width > 1 ? width - 2 : 0, most_top = height > 1 ? height - 2 : 0;
    const float most_x = (float)(width - 1), most_y = (float)(height - 1);
    INDEPENDENT
    for (int i = 0; i < num; i++) {
        float x = clipped(across[i], 0.0f, most_x), y = clipped(down[i], 0.0f, most_y);
        int32_t left = (int32_t)x, top = (int32_t)y;
        left = left < most_left ? left : most_left;
        top = top < most_top ? top : most_top;
        place[i] = top * width + left;
        right[i] = x - (float)left;
        lower[i] = y - (float)top;
    }
}

/* What is at the spot i of a picture, linearly between its pixels; `below`: the next row's. */
INLINE Quad at_spot(const Quad *values, const Spots *spots, int i, int next, int below)
{
    const Quad *first = values + spots->place[i], *second = first + below;
    Quad upper = first[0] + (first[next] - first[0]) * spots->right[i];
    Quad lower = second[0] + (second[next] - second[0]) * spots->right[i];
    return upper + (lower - upper) * spots->lower[i];
}

/* Rows to work in: as many floats a pixel as ROOM_OF_SPOTS says. */
typedef struct {
    Spots spots;
    float *across, *down;
} Lookup;

INLINE Lookup lookup_in(float *room, int width)
{
    Lookup lookup;
    lookup.spots.place = (int32_t *)room;
    lookup.spots.right = room + width;
    lookup.spots.lower = room + 2 * (size_t)width;
    lookup.across = room + 3 * (size_t)width;
    lookup.down = room + 4 * (size_t)width;
    return lookup;
}

/* Find the spots that row y of a course, of the picture's own size, leads to. */
INLINE void follow_row(const Quad *course, int y, int height, int width, const Lookup *lookup)
{
    float *RESTRICT across = lookup->across, *RESTRICT down = lookup->down;
    const float *RESTRICT row = (const float *)(course + (size_t)y * width);
    INDEPENDENT
    for (int x = 0; x < width; x++) {
        across[x] = (float)x + row[4 * x + ACROSS];
        down[x] = (float)y + row[4 * x + DOWN];
    }
    find_spots(width, across, down, height, width, &lookup->spots);
}

FOR_EACH_PROCESSOR
void follow_courses(
    int height, int width, const Quad *first, const Quad *second, float *room, Quad *out)
{
    const Lookup lookup = lookup_in(room, width);
    const int next = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        const Quad *own = first + (size_t)y * width;
        Quad *to = out + (size_t)y * width;
        follow_row(first, y, height, width, &lookup);
        for (int x = 0; x < width; x++)
            to[x] = own[x] + at_spot(second, &lookup.spots, x, next, below);
    }
}

/* How far a place is inside a row or column of `num` samples, beyond whose ends is nothing. */
INLINE float share_inside(float place, int num)
{
    float outside = larger(larger(-place, place - (float)(num - 1)), 0.0f);
    return larger(1.0f - outside, 0.0f);
}

/* How much more than allowed the way back misses the beginning of the way there. */
INLINE void doubt_course(
    int height, int width, Quad *there, const Quad *back, Doubts doubts, const Lookup *lookup)
{
    const int next = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        Quad *own = there + (size_t)y * width;
        follow_row(there, y, height, width, lookup);
        for (int x = 0; x < width; x++) {
            Quad found = at_spot(back, &lookup->spots, x, next, below);
            float inside = share_inside(lookup->across[x], width) *
                           share_inside(lookup->down[x], height);
            Quad missed = found * inside + (1.0f - inside) * doubts.away + own[x];
            Quad squares = missed * missed, lengths = own[x] * own[x];
            float allowed = (lengths[ACROSS] + lengths[DOWN]) * 2.0f * doubts.share + doubts.pixels;
            float times = (squares[ACROSS] + squares[DOWN]) / allowed;
            own[x][DOUBT] = clipped((times - 1.0f) * doubts.doubt, 0.0f, doubts.most);
        }
    }
}

FOR_EACH_PROCESSOR
void find_courses(
    int height, int width, const float *flow, int num_inversions, Doubts doubts, float *room,
    Quad *there, Quad *back)
{
    const Lookup lookup = lookup_in(room, width);
    const int next = width > 1, below = height > 1 ? width : 0;
    const size_t num = (size_t)height * width;
    for (size_t i = 0; i < num; i++) {
        there[i] = (Quad){flow[2 * i], flow[2 * i + 1], 0.0f, 0.0f};
        back[i] = -there[i];
    }
    for (int n = 0; n < num_inversions; n++)
        for (int y = 0; y < height; y++) {
            Quad *own = back + (size_t)y * width;
            follow_row(back, y, height, width, &lookup);
            for (int x = 0; x < width; x++)
                own[x] = -at_spot(there, &lookup.spots, x, next, below);
        }
    /* a doubt lies beside its flow, and changes nothing of it */
    doubt_course(height, width, there, back, doubts, &lookup);
    doubt_course(height, width, back, there, doubts, &lookup);
}

/* What each pixel fetches along a course counts: by luma less its mean change, and by doubt. */
FOR_EACH_PROCESSOR
void weigh_course(
    int height, int width, const uint8_t *source, const Quad *course, const uint8_t *luma,
    float per_square, int sparse, float *room, float *out)
{
    const Lookup lookup = lookup_in(room, width);
    const int next = width > 1, below = height > 1 ? width : 0;
    double sum = 0.0, seen = 0.0;
    for (int y = 0; y < height; y++) {
        const Quad *own = course + (size_t)y * width;
        const uint8_t *own_luma = luma + (size_t)y * width;
        float *differences = out + (size_t)y * width;
        follow_row(course, y, height, width, &lookup);
        for (int x = 0; x < width; x++) {
            const uint8_t *upper = source + lookup.spots.place[x], *lower = upper + below;
            float right = lookup.spots.right[x];
            float above = upper[0] + right * (float)(upper[next] - upper[0]);
            float under = lower[0] + right * (float)(lower[next] - lower[0]);
            differences[x] = above + lookup.spots.lower[x] * (under - above) - own_luma[x];
        }
        if (y % sparse == 0)
            for (int x = 0; x < width; x += sparse) {
                float weight = exp_of_negative(-own[x][DOUBT]);
                sum += weight * differences[x];
                seen += weight;
            }
    }
    const float mean = (float)(sum / (seen + 1e-6));
    const float *RESTRICT values = (const float *)course;
    const int num = height * width;
    INDEPENDENT
    for (int i = 0; i < num; i++) {
        float difference = out[i] - mean;
        out[i] = exp_of_negative(difference * difference * per_square - values[4 * i + DOUBT]);
    }
}

typedef struct {
    int32_t *first, *row_first;
    float *share, *row_share, *line[3], *weight;
    Lookup lookup;
} Enlarging;

INLINE Enlarging enlarging_in(float *room, int height, int width, int low_height, int low_width)
{
    Enlarging e;
    e.share = room;
    e.first = (int32_t *)(e.share + width);
    e.row_share = (float *)(e.first + width);
    e.row_first = (int32_t *)(e.row_share + height);
    for (int n = 0; n < 3; n++) e.line[n] = (float *)(e.row_first + height) + (size_t)n * low_width;
    e.weight = e.line[2] + low_width;
    e.lookup = lookup_in(e.weight + width, width);
    find_places(width, low_width, e.first, e.share);
    find_places(height, low_height, e.row_first, e.row_share);
    return e;
}

/* Find the spots of row y at full size, and what each weighs. */
INLINE void enlarge_row(
    const Way *way, int y, int height, int width, int low_height, int low_width, const Enlarging *e)
{
    const int next = low_width > 1;
    const size_t above = (size_t)e->row_first[y] * low_width;
    const size_t below = above + (low_height > 1 ? low_width : 0);
    const Quad *upper = way->course + above, *lower = way->course + below;
    const float part = e->row_share[y];
    const Quad scale = {(float)width / low_width, (float)height / low_height, 0.0f, 0.0f};
    for (int x = 0; x < low_width; x++) {
        Quad mixed = (upper[x] + (lower[x] - upper[x]) * part) * scale;
        float weight = way->weight[above + x];
        weight += (way->weight[below + x] - weight) * part;
        e->line[0][x] = mixed[ACROSS];
        e->line[1][x] = mixed[DOWN];
        e->line[2][x] = (weight + way->least) * way->factor;
    }
    const float *RESTRICT line0 = e->line[0], *RESTRICT line1 = e->line[1];
    const float *RESTRICT line2 = e->line[2], *RESTRICT share = e->share;
    const int32_t *RESTRICT first = e->first;
    float *RESTRICT across = e->lookup.across, *RESTRICT down = e->lookup.down;
    float *RESTRICT weight = e->weight;
    INDEPENDENT
    for (int x = 0; x < width; x++) {
        int32_t left = first[x], right = left + next;
        across[x] = (float)x + line0[left] + (line0[right] - line0[left]) * share[x];
        down[x] = (float)y + line1[left] + (line1[right] - line1[left]) * share[x];
        weight[x] = line2[left] + (line2[right] - line2[left]) * share[x];
    }
    find_spots(width, across, down, height, width, &e->lookup.spots);
}

/* Add to `total` (H, W, 4) what a way fetches, times its weight. */
FOR_EACH_PROCESSOR
void add_fetched(
    int height, int width, int low_height, int low_width, Way way, float *room, Quad *total)
{
    const Enlarging e = enlarging_in(room, height, width, low_height, low_width);
    const int next = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        Quad *sums = total + (size_t)y * width;
        enlarge_row(&way, y, height, width, low_height, low_width, &e);
        for (int x = 0; x < width; x++)
            sums[x] += at_spot(way.values, &e.lookup.spots, x, next, below) * e.weight[x];
    }
}

/* The mean (H, W, 2) of the first two channels of what two ways fetch. */
FOR_EACH_PROCESSOR
void blend_fetched(
    int height, int width, int low_height, int low_width, const Way *ways, float *room, float *out)
{
    const Enlarging e = enlarging_in(room, height, width, low_height, low_width);
    const Enlarging f = enlarging_in(room + ROOM_OF_WAY(height, width, low_width), height, width,
                                     low_height, low_width);
    const int next = width > 1, below = height > 1 ? width : 0;
    for (int y = 0; y < height; y++) {
        float *to = out + 2 * (size_t)y * width;
        enlarge_row(&ways[0], y, height, width, low_height, low_width, &e);
        enlarge_row(&ways[1], y, height, width, low_height, low_width, &f);
        for (int x = 0; x < width; x++) {
            Quad mean = at_spot(ways[0].values, &e.lookup.spots, x, next, below) * e.weight[x] +
                        at_spot(ways[1].values, &f.lookup.spots, x, next, below) * f.weight[x];
            mean *= 1.0f / (e.weight[x] + f.weight[x]);
            to[2 * x] = mean[0];
            to[2 * x + 1] = mean[1];
        }
    }
}

