/* What each frame needs most, as compiled loops. They do what NumPy and OpenCV do in `upsample`,
 * `chroma`, `flow` and `smooth`, without a pass over memory for every step.
 *
 * Arrays are C-contiguous, and their lengths are checked against the sizes that come with them.
 * Nothing is kept between calls. Loops are written so that compilers make vectors of them;
 * where a program can choose when it is loaded, there are versions for AVX-512 and for AVX2.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
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
    float binary = larger(value, -80.0f) * 1.44269504f;
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

/* ---------------------------------------------------------------- two colours: `upsample` */

#define REACH 2 /* samples to either side of one, of a window of five */
#define WINDOW 25.0f
enum { MIDDLE, GAIN, CENTER_CB, CENTER_CR, DIFFERENCE_CB, DIFFERENCE_CR, FLATNESS, NUM_LOW };

typedef struct {
    float luma_epsilon, flat, chroma_epsilon, gain, most_skewness, sharpening;
} Taste;

/* Sums, and least and greatest values, of columns of five rows; and sums of three. */
typedef struct {
    int32_t *luma, *square, *cube;
    float *chroma[2], *product[2], *power, *least[2], *most[2], *three[2];
} Columns;

/* What a loop writes must not be what its rows' addresses are read from: hence five pointers. */
#define FIVE_ROWS(type, rows)                                                            \
    const type *RESTRICT row0 = (rows)[0], *RESTRICT row1 = (rows)[1];                     \
    const type *RESTRICT row2 = (rows)[2], *RESTRICT row3 = (rows)[3], *RESTRICT row4 = (rows)[4]

INLINE void add_up_luma(int width, const int32_t *const *luma, const Columns *to)
{
    int32_t *RESTRICT sums = to->luma, *RESTRICT squares = to->square, *RESTRICT cubes = to->cube;
    FIVE_ROWS(int32_t, luma);
    INDEPENDENT
    for (int x = 0; x < width; x++) {
        int32_t a = row0[x], b = row1[x], c = row2[x], d = row3[x], e = row4[x];
        sums[x] = a + b + c + d + e;
        squares[x] = a * a + b * b + c * c + d * d + e * e;
        cubes[x] = a * a * a + b * b * b + c * c * c + d * d * d + e * e * e;
    }
}

INLINE void add_up_chroma(
    int width, const float *const *rows, const int32_t *const *luma, int plane, const Columns *to)
{
    float *RESTRICT sums = to->chroma[plane], *RESTRICT products = to->product[plane];
    float *RESTRICT least = to->least[plane], *RESTRICT most = to->most[plane];
    float *RESTRICT three = to->three[plane], *RESTRICT powers = to->power;
    const int32_t *RESTRICT y0 = luma[0], *RESTRICT y1 = luma[1], *RESTRICT y2 = luma[2];
    const int32_t *RESTRICT y3 = luma[3], *RESTRICT y4 = luma[4];
    FIVE_ROWS(float, rows);
    INDEPENDENT
    for (int x = 0; x < width; x++) {
        float a = row0[x], b = row1[x], c = row2[x], d = row3[x], e = row4[x];
        float inner = b + c + d;
        three[x] = inner;
        sums[x] = inner + a + e;
        products[x] = a * (float)y0[x] + b * (float)y1[x] + c * (float)y2[x] +
                      d * (float)y3[x] + e * (float)y4[x];
        powers[x] = (plane ? powers[x] : 0.0f) + (a * a + b * b + c * c + d * d + e * e);
        least[x] = smaller(smaller(smaller(a, b), smaller(c, d)), e);
        most[x] = larger(larger(larger(a, b), larger(c, d)), e);
    }
}

/* The row's own first and last samples, repeated beyond its ends. */
#define REPEAT_ENDS(row)                                              \
    for (int k = 1; k <= REACH; k++) {                                \
        (row)[-k] = (row)[0];                                         \
        (row)[width - 1 + k] = (row)[width - 1];                      \
    }
#define OF_FIVE(row) ((row)[x - 2] + (row)[x - 1] + (row)[x] + (row)[x + 1] + (row)[x + 2])
#define OF_FIVE_BY(best, row) \
    best(best(best((row)[x - 2], (row)[x - 1]), best((row)[x], (row)[x + 1])), (row)[x + 2])

FOR_EACH_PROCESSOR
static void make_two_colors(
    int height, int width, const uint8_t *luma, const float *cb, const float *cr, Taste taste,
    float *scratch, float *low)
{
    const int pitch = width + 2 * REACH;
    const size_t area = (size_t)height * width;
    float *lines[14];
    for (int n = 0; n < 14; n++) lines[n] = scratch + (size_t)n * pitch + REACH;
    Columns sums = {
        (int32_t *)lines[0], (int32_t *)lines[1], (int32_t *)lines[2],
        {lines[3], lines[4]}, {lines[5], lines[6]}, lines[7],
        {lines[8], lines[9]}, {lines[10], lines[11]}, {lines[12], lines[13]}};
    /* as wide as all else: loops over values of several widths are slow */
    int32_t *RESTRICT lumas = (int32_t *)(scratch + 14 * (size_t)pitch);
    INDEPENDENT
    for (size_t i = 0; i < area; i++) lumas[i] = luma[i];
    for (int y = 0; y < height; y++) {
        const int32_t *luma_rows[5];
        const float *cb_rows[5], *cr_rows[5];
        for (int k = 0; k < 5; k++) {
            size_t start = (size_t)held(y + k - REACH, height) * width;
            luma_rows[k] = lumas + start;
            cb_rows[k] = cb + start;
            cr_rows[k] = cr + start;
        }
        add_up_luma(width, luma_rows, &sums);
        add_up_chroma(width, cb_rows, luma_rows, 0, &sums);
        add_up_chroma(width, cr_rows, luma_rows, 1, &sums);
        for (int n = 0; n < 14; n++) REPEAT_ENDS(lines[n]);

        const int32_t *RESTRICT firsts = sums.luma, *RESTRICT seconds = sums.square;
        const int32_t *RESTRICT thirds = sums.cube;
        const int32_t *RESTRICT own = luma_rows[REACH];
        const float *RESTRICT own_cb = cb_rows[REACH], *RESTRICT own_cr = cr_rows[REACH];
        const float *RESTRICT sums_cb = sums.chroma[0], *RESTRICT sums_cr = sums.chroma[1];
        const float *RESTRICT products_cb = sums.product[0], *RESTRICT products_cr = sums.product[1];
        const float *RESTRICT powers = sums.power;
        float *RESTRICT out = low + (size_t)y * width;
        INDEPENDENT
        for (int x = 0; x < width; x++) {
            /* moments about a whole number near the mean: small ones, which floats hold exactly */
            uint32_t first = (uint32_t)OF_FIVE(firsts), second = (uint32_t)OF_FIVE(seconds);
            uint32_t third = (uint32_t)OF_FIVE(thirds);
            uint32_t centre = (uint32_t)((int32_t)first * (1.0f / WINDOW));
            third += 3 * centre * centre * first - 3 * centre * second - 25 * centre * centre * centre;
            second += 25 * centre * centre - 2 * centre * first;
            first -= 25 * centre;
            float offset_mean = (int32_t)first * (1.0f / WINDOW);
            float mean_square = (int32_t)second * (1.0f / WINDOW);
            float square = offset_mean * offset_mean;
            float mean = offset_mean + (float)(int32_t)centre;
            float variance = larger(mean_square - square, 0.0f);
            float skew = (int32_t)third * (1.0f / WINDOW) -
                         offset_mean * (3.0f * variance + square);

            /* the two-point distribution that has these three moments */
            float root = 1.0f / sqrtf(variance + taste.luma_epsilon);
            float per_variance = root * root;
            float most = 0.5f * taste.most_skewness;
            float half_skew = clipped(0.5f * skew * per_variance * root, -most, most);
            float deviation = sqrtf(variance);
            float offset = half_skew * deviation;
            float half_span = sqrtf(variance + offset * offset);
            float middle = mean + offset;
            float above_dark = clipped((float)own[x] - middle + half_span, 0.0f, 2.0f * half_span);

            /* how far luma explains the colours, and so how far these two are trusted */
            float mean_cb = OF_FIVE(sums_cb) * (1.0f / WINDOW);
            float mean_cr = OF_FIVE(sums_cr) * (1.0f / WINDOW);
            float with_cb = OF_FIVE(products_cb) * (1.0f / WINDOW) - mean_cb * mean;
            float with_cr = OF_FIVE(products_cr) * (1.0f / WINDOW) - mean_cr * mean;
            float spread = OF_FIVE(powers) * (1.0f / WINDOW) -
                           (mean_cb * mean_cb + mean_cr * mean_cr);
            float explained = (with_cb * with_cb + with_cr * with_cr) * per_variance /
                              (larger(spread, 0.0f) + taste.chroma_epsilon);
            float trust = explained * explained * explained;
            float to_dark = (offset - half_span) * trust * trust -
                            above_dark * (trust - trust * trust);
            to_dark *= per_variance;
            float span = 2.0f * half_span * trust * per_variance;

            out[MIDDLE * area + x] = middle;
            out[GAIN * area + x] =
                0.5f * taste.gain * half_span / (half_span * half_span + taste.luma_epsilon);
            out[FLATNESS * area + x] =
                1.0f / (variance * variance * (1.0f / (taste.flat * taste.flat)) + 1.0f);
            /* for the next loop: what it needs of this one */
            out[CENTER_CB * area + x] = (mean_cb - own_cb[x]) * trust * trust + with_cb * to_dark;
            out[CENTER_CR * area + x] = (mean_cr - own_cr[x]) * trust * trust + with_cr * to_dark;
            out[DIFFERENCE_CB * area + x] = with_cb * span;
            out[DIFFERENCE_CR * area + x] = with_cr * span;
        }
        for (int plane = 0; plane < 2; plane++) {
            const float *RESTRICT values = plane ? own_cr : own_cb;
            const float *RESTRICT three = sums.three[plane];
            const float *RESTRICT least = sums.least[plane], *RESTRICT most = sums.most[plane];
            float *RESTRICT center = out + (CENTER_CB + plane) * area;
            float *RESTRICT difference = out + (DIFFERENCE_CB + plane) * area;
            const float around = -taste.sharpening * (1.0f / 9.0f);
            INDEPENDENT
            for (int x = 0; x < width; x++) {
                float bottom = OF_FIVE_BY(smaller, least), top = OF_FIVE_BY(larger, most);
                float dark = values[x] * (1.0f + taste.sharpening) + center[x];
                dark += around * (three[x - 1] + three[x] + three[x + 1]);
                float bright = clipped(dark + difference[x], bottom, top);
                dark = clipped(dark, bottom, top);
                center[x] = 0.5f * (dark + bright);
                difference[x] = bright - dark;
            }
        }
    }
}

/* ---------------------------------------------------------------- low-res chroma: `color` */

/* Cb and Cr of ab (N, 2) and luma codes, linearly between those of a table.
 *
 * `table`: (256, side, side) by luma, b and a: Cb and Cr as shares of `scale`, 16 bits each. */
FOR_EACH_PROCESSOR
static void look_up_chroma(
    int num, const uint8_t *codes, const float *ab, const int32_t *table, int side, float per_step,
    float scale, float *cb, float *cr)
{
    const int neutral = (side - 1) / 2;
    const float most = (float)(side - 1);
    INDEPENDENT
    for (int i = 0; i < num; i++) {
        float x = clipped(ab[2 * i] * per_step + (float)neutral, 0.0f, most);
        float y = clipped(ab[2 * i + 1] * per_step + (float)neutral, 0.0f, most);
        int32_t column = (int32_t)x, row = (int32_t)y;
        column = column < side - 2 ? column : side - 2;
        row = row < side - 2 ? row : side - 2;
        x -= (float)column;
        y -= (float)row;
        int32_t first = ((int32_t)codes[i] * side + row) * side + column;
        int32_t upper = table[first], upper_next = table[first + 1];
        int32_t lower = table[first + side], lower_next = table[first + side + 1];
#define BETWEEN(share, a, b) ((a) + ((b) - (a)) * (share))
#define LOW_HALF(pair) ((float)((int32_t)((uint32_t)(pair) << 16) >> 16))
#define HIGH_HALF(pair) ((float)((pair) >> 16))
        cb[i] = scale * BETWEEN(y, BETWEEN(x, LOW_HALF(upper), LOW_HALF(upper_next)),
                                BETWEEN(x, LOW_HALF(lower), LOW_HALF(lower_next)));
        cr[i] = scale * BETWEEN(y, BETWEEN(x, HIGH_HALF(upper), HIGH_HALF(upper_next)),
                                BETWEEN(x, HIGH_HALF(lower), HIGH_HALF(lower_next)));
    }
}

/* ---------------------------------------------------------------- full size: `chroma` */

#define TILE 64 /* pixels: the side of the dither's pattern */

typedef struct {
    float luma_scale, luma_offset, chroma_scale, chroma_offset, kr, kb, peak;
    int is_dithered;
} Codes;

/* A low-res row of each plane at full width. Luma's are turned into code values. */
INLINE void widen(
    int width, int low_width, const int32_t *RESTRICT first, const float *RESTRICT share,
    const float *low, size_t low_area, const Codes *codes, float *wide)
{
    const int next = low_width > 1;
    const float luma_step = codes->luma_scale * (1.0f / 255.0f);
    for (int plane = 0; plane < NUM_LOW; plane++) {
        const float *row = low + plane * low_area;
        float *RESTRICT out = wide + (size_t)plane * width;
        float scale = plane == MIDDLE ? luma_step : plane == GAIN ? 1.0f / luma_step : 1.0f;
        float offset = plane == MIDDLE ? codes->luma_offset : 0.0f;
        INDEPENDENT
        for (int x = 0; x < width; x++) {
            float before = row[first[x]], after = row[first[x] + next];
            out[x] = (before + (after - before) * share[x]) * scale + offset;
        }
    }
}

INLINE void choose_row(
    int width, const float *upper, const float *lower, float part, const float *RESTRICT guide,
    const float *RESTRICT luma, const float *noise_cb, const float *noise_cr, const Codes *codes,
    float *cb_out, float *cr_out)
{
#define MIXED(plane) \
    (upper_##plane[x] + (lower_##plane[x] - upper_##plane[x]) * part)
#define ROWS_OF(plane)                                                     \
    const float *RESTRICT upper_##plane = upper + (size_t)plane * width;   \
    const float *RESTRICT lower_##plane = lower + (size_t)plane * width
    ROWS_OF(MIDDLE);
    ROWS_OF(GAIN);
    ROWS_OF(CENTER_CB);
    ROWS_OF(CENTER_CR);
    ROWS_OF(DIFFERENCE_CB);
    ROWS_OF(DIFFERENCE_CR);
    ROWS_OF(FLATNESS);
    const float *RESTRICT dots_cb = noise_cb, *RESTRICT dots_cr = noise_cr;
    float *RESTRICT to_cb = cb_out, *RESTRICT to_cr = cr_out;
    const float kr = codes->kr, kb = codes->kb, kg = 1.0f - kr - kb;
    const float per_red = 2.0f * (1.0f - kr), per_blue = 2.0f * (1.0f - kb);
    const float red_in_green = kr / kg, blue_in_green = kb / kg;
    const float black = codes->luma_offset, per_code = 1.0f / codes->luma_scale;
    const float scale = codes->chroma_scale, offset = codes->chroma_offset;
    const float strength = codes->is_dithered ? 1.0f : 0.0f, peak = codes->peak;
    INDEPENDENT
    for (int x = 0; x < width; x++) {
        float choice = clipped((guide[x] - MIXED(MIDDLE)) * MIXED(GAIN), -0.5f, 0.5f);
        float cb = MIXED(CENTER_CB) + choice * MIXED(DIFFERENCE_CB);
        float cr = MIXED(CENTER_CR) + choice * MIXED(DIFFERENCE_CR);
        /* toward neutral until R'G'B' are within 0..1 */
        float own = clipped((luma[x] - black) * per_code, 0.0f, 1.0f);
        float red = per_red * cr, blue = per_blue * cb;
        float green = -(red_in_green * red + blue_in_green * blue);
        float highest = larger(larger(red, green), larger(blue, 1e-9f));
        float lowest = larger(larger(-red, -green), larger(-blue, 1e-9f));
        float room = smaller((1.000001f - own) / highest, (own + 1e-6f) / lowest);
        room = smaller(room, 1.0f) * scale;
        float dots = strength * MIXED(FLATNESS);
        to_cb[x] = clipped(rounded(cb * room + dots_cb[x] * dots + offset), 0.0f, peak);
        to_cr[x] = clipped(rounded(cr * room + dots_cr[x] * dots + offset), 0.0f, peak);
    }
}

FOR_EACH_PROCESSOR
static void choose_colors(
    int height, int width, int low_height, int low_width, const void *luma, int luma_bytes,
    const float *guide, const float *low, const float *noise, Codes codes, float *scratch,
    void *coded)
{
    const size_t area = (size_t)height * width, low_area = (size_t)low_height * low_width;
    const size_t line = (size_t)width;
    float *share = scratch;
    int32_t *first = (int32_t *)(share + line);
    float *row_share = (float *)(first + line);
    int32_t *row_first = (int32_t *)(row_share + height);
    float *wide[2], *own, *dots[2], *chroma[2];
    wide[0] = (float *)(row_first + height);
    wide[1] = wide[0] + NUM_LOW * line;
    own = wide[1] + NUM_LOW * line;
    dots[0] = own + line;
    dots[1] = dots[0] + line;
    chroma[0] = dots[1] + line;
    chroma[1] = chroma[0] + line;
    find_places(width, low_width, first, share);
    find_places(height, low_height, row_first, row_share);
    int done = -1; /* the last low-res row that is widened; it is in wide[done % 2] */
    for (int y = 0; y < height; y++) {
        const int above = row_first[y], below = above + (low_height > 1);
        if (done < above - 1) done = above - 1;
        while (done < below) {
            done++;
            widen(width, low_width, first, share, low + (size_t)done * low_width, low_area, &codes,
                  wide[done % 2]);
        }
        float *RESTRICT values = own;
        const uint8_t *RESTRICT bytes = (const uint8_t *)luma + y * line * luma_bytes;
        const uint16_t *RESTRICT words = (const uint16_t *)bytes;
        if (luma_bytes == 1)
            INDEPENDENT
            for (int x = 0; x < width; x++) values[x] = bytes[x];
        else
            INDEPENDENT
            for (int x = 0; x < width; x++) values[x] = words[x];
        for (int plane = 0; plane < 2; plane++) {
            const float *tile = noise + (size_t)plane * TILE * TILE + (size_t)(y % TILE) * TILE;
            for (int x = 0; x < width; x += TILE) {
                int num = width - x < TILE ? width - x : TILE;
                memcpy(dots[plane] + x, tile, num * sizeof(float));
            }
        }
        choose_row(width, wide[above % 2], wide[below % 2], row_share[y], guide + y * line, own,
                   dots[0], dots[1], &codes, chroma[0], chroma[1]);
        for (int plane = 0; plane < 2; plane++) {
            const float *RESTRICT from = chroma[plane];
            size_t start = plane * area + y * line;
            uint8_t *RESTRICT bytes_out = (uint8_t *)coded + start;
            uint16_t *RESTRICT words_out = (uint16_t *)coded + start;
            if (luma_bytes == 1)
                INDEPENDENT
                for (int x = 0; x < width; x++) bytes_out[x] = (uint8_t)(int32_t)from[x];
            else
                INDEPENDENT
                for (int x = 0; x < width; x++) words_out[x] = (uint16_t)(int32_t)from[x];
        }
    }
}

/* ---------------------------------------------------------------- motion: `flow`, `smooth` */

/* A pixel of (H, W, 4): of a course, or of a colour and what goes with it. */
typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));
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
#define ROOM_OF_SPOTS 5
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
static void follow_courses(
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

typedef struct {
    float share, pixels, doubt, most, away;
} Doubts;

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
static void find_courses(
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
static void weigh_course(
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

/* A low-res course and its weight, to be looked up along at full size. */
typedef struct {
    const Quad *values, *course;
    const float *weight;
    float least, factor; /* the weight counts as (weight + least) * factor */
} Way;

typedef struct {
    int32_t *first, *row_first;
    float *share, *row_share, *line[3], *weight;
    Lookup lookup;
} Enlarging;

/* Floats that an Enlarging needs. */
INLINE size_t room_of(int height, int width, int low_width)
{
    return 2 * ((size_t)width + height) + 3 * (size_t)low_width + (ROOM_OF_SPOTS + 1) * (size_t)width;
}

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
static void add_fetched(
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
static void blend_fetched(
    int height, int width, int low_height, int low_width, const Way *ways, float *room, float *out)
{
    const Enlarging e = enlarging_in(room, height, width, low_height, low_width);
    const Enlarging f = enlarging_in(room + room_of(height, width, low_width), height, width,
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

/* ---------------------------------------------------------------- Python's side */

enum { MOST_BUFFERS = 7 };

typedef struct {
    Py_buffer buffer[MOST_BUFFERS];
} Buffers;

static void release(Buffers *all)
{
    for (int n = 0; n < MOST_BUFFERS; n++)
        if (all->buffer[n].obj != NULL) PyBuffer_Release(&all->buffer[n]);
}

/* Tell whether a buffer has as many bytes as its size says; sets ValueError if not. */
static int is_long(const Py_buffer *buffer, double num_bytes)
{
    if ((double)buffer->len == num_bytes) return 1;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes is not of the size given", buffer->len);
    return 0;
}

static int is_size(int height, int width)
{
    if (height > 0 && width > 0) return 1;
    PyErr_SetString(PyExc_ValueError, "sizes must be above 0");
    return 0;
}

/* Memory to work in; zeros, so that no result can depend on what was there. */
static float *room_for(size_t num_floats)
{
    float *room = calloc(num_floats, sizeof(float));
    if (room == NULL) PyErr_NoMemory();
    return room;
}

static PyObject *done(Buffers *all, int is_done)
{
    release(all);
    if (!is_done) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_two_colors(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *luma = &all.buffer[0], *cb = &all.buffer[1], *cr = &all.buffer[2];
    Py_buffer *low = &all.buffer[3];
    int height, width, is_done = 0;
    Taste taste;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*y*y*w*(ii)(ffffff)", luma, cb, cr, low, &height, &width,
                          &taste.luma_epsilon, &taste.flat, &taste.chroma_epsilon, &taste.gain,
                          &taste.most_skewness, &taste.sharpening))
        return done(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_long(luma, area) && is_long(cb, area * 4) &&
        is_long(cr, area * 4) && is_long(low, area * 4 * NUM_LOW)) {
        float *scratch = room_for(14 * (size_t)(width + 2 * REACH) + (size_t)height * width);
        if (scratch != NULL) {
            Py_BEGIN_ALLOW_THREADS
            make_two_colors(height, width, luma->buf, cb->buf, cr->buf, taste, scratch, low->buf);
            Py_END_ALLOW_THREADS
            free(scratch);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyObject *py_look_up_chroma(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *codes = &all.buffer[0], *ab = &all.buffer[1], *table = &all.buffer[2];
    Py_buffer *cb = &all.buffer[3], *cr = &all.buffer[4];
    int num, side, is_done = 0;
    float per_step, scale;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*y*y*w*w*iiff", codes, ab, table, cb, cr, &num, &side, &per_step,
                          &scale))
        return done(&all, 0);
    if (is_size(num, side - 1) && is_long(codes, num) && is_long(ab, 8.0 * num) &&
        is_long(table, 1024.0 * side * side) && is_long(cb, 4.0 * num) && is_long(cr, 4.0 * num)) {
        Py_BEGIN_ALLOW_THREADS
        look_up_chroma(num, codes->buf, ab->buf, table->buf, side, per_step, scale, cb->buf, cr->buf);
        Py_END_ALLOW_THREADS
        is_done = 1;
    }
    return done(&all, is_done);
}

static PyObject *py_choose_colors(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *luma = &all.buffer[0], *guide = &all.buffer[1], *low = &all.buffer[2];
    Py_buffer *noise = &all.buffer[3], *coded = &all.buffer[4];
    int height, width, low_height, low_width, luma_bytes, is_done = 0;
    Codes codes;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*y*y*y*w*(ii)(ii)i(fffffffp)", luma, guide, low, noise, coded,
                          &height, &width, &low_height, &low_width, &luma_bytes, &codes.luma_scale,
                          &codes.luma_offset, &codes.chroma_scale, &codes.chroma_offset, &codes.kr,
                          &codes.kb, &codes.peak, &codes.is_dithered))
        return done(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) &&
        is_long(luma, area * (luma_bytes == 1 ? 1 : 2)) && is_long(guide, area * 4) &&
        is_long(low, low_area * 4 * NUM_LOW) && is_long(noise, 8.0 * TILE * TILE) &&
        is_long(coded, 2 * area * (luma_bytes == 1 ? 1 : 2))) {
        float *scratch = room_for((size_t)width * (7 + 2 * NUM_LOW) + 2 * (size_t)height);
        if (scratch != NULL) {
            Py_BEGIN_ALLOW_THREADS
            choose_colors(height, width, low_height, low_width, luma->buf, luma_bytes, guide->buf,
                          low->buf, noise->buf, codes, scratch, coded->buf);
            Py_END_ALLOW_THREADS
            free(scratch);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyObject *py_follow(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *first = &all.buffer[0], *second = &all.buffer[1], *out = &all.buffer[2];
    int height, width, is_done = 0;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*y*w*(ii)", first, second, out, &height, &width))
        return done(&all, 0);
    double length = 16.0 * height * width;
    if (is_size(height, width) && is_long(first, length) && is_long(second, length) &&
        is_long(out, length)) {
        float *room = room_for(ROOM_OF_SPOTS * (size_t)width);
        if (room != NULL) {
            Py_BEGIN_ALLOW_THREADS
            follow_courses(height, width, first->buf, second->buf, room, out->buf);
            Py_END_ALLOW_THREADS
            free(room);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyObject *py_courses(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *flow = &all.buffer[0], *there = &all.buffer[1], *back = &all.buffer[2];
    int height, width, num_inversions, is_done = 0;
    Doubts doubts;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*w*w*(ii)i(fffff)", flow, there, back, &height, &width,
                          &num_inversions, &doubts.share, &doubts.pixels, &doubts.doubt,
                          &doubts.most, &doubts.away))
        return done(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_long(flow, area * 8) && is_long(there, area * 16) &&
        is_long(back, area * 16)) {
        float *room = room_for(ROOM_OF_SPOTS * (size_t)width);
        if (room != NULL) {
            Py_BEGIN_ALLOW_THREADS
            find_courses(height, width, flow->buf, num_inversions, doubts, room, there->buf,
                         back->buf);
            Py_END_ALLOW_THREADS
            free(room);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyObject *py_weigh(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *source = &all.buffer[0], *course = &all.buffer[1], *luma = &all.buffer[2];
    Py_buffer *out = &all.buffer[3];
    int height, width, sparse, is_done = 0;
    float per_square;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*y*y*w*(ii)fi", source, course, luma, out, &height, &width,
                          &per_square, &sparse))
        return done(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_size(sparse, sparse) && is_long(source, area) &&
        is_long(course, area * 16) && is_long(luma, area) && is_long(out, area * 4)) {
        float *room = room_for(ROOM_OF_SPOTS * (size_t)width);
        if (room != NULL) {
            Py_BEGIN_ALLOW_THREADS
            weigh_course(height, width, source->buf, course->buf, luma->buf, per_square, sparse,
                         room, out->buf);
            Py_END_ALLOW_THREADS
            free(room);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

/* Tell whether the arrays of a way are of their sizes; sets ValueError if not. */
static int is_way(const Py_buffer *arrays, double area, double low_area)
{
    return is_long(&arrays[0], area * 16) && is_long(&arrays[1], low_area * 16) &&
           is_long(&arrays[2], low_area * 4);
}

static PyObject *py_add_fetched(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *way_of = &all.buffer[0], *total = &all.buffer[3];
    int height, width, low_height, low_width, is_done = 0;
    Way way = {0};
    (void)self;
    if (!PyArg_ParseTuple(words, "w*(ii)(ii)(y*y*y*ff)", total, &height, &width, &low_height,
                          &low_width, way_of, way_of + 1, way_of + 2, &way.least, &way.factor))
        return done(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) && is_way(way_of, area, low_area) &&
        is_long(total, area * 16)) {
        float *room = room_for(room_of(height, width, low_width));
        if (room != NULL) {
            way.values = way_of[0].buf, way.course = way_of[1].buf, way.weight = way_of[2].buf;
            Py_BEGIN_ALLOW_THREADS
            add_fetched(height, width, low_height, low_width, way, room, total->buf);
            Py_END_ALLOW_THREADS
            free(room);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyObject *py_blend_fetched(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *first = &all.buffer[0], *second = &all.buffer[3], *out = &all.buffer[6];
    int height, width, low_height, low_width, is_done = 0;
    Way ways[2] = {{0}, {0}};
    (void)self;
    if (!PyArg_ParseTuple(words, "w*(ii)(ii)(y*y*y*ff)(y*y*y*ff)", out, &height, &width, &low_height,
                          &low_width, first, first + 1, first + 2, &ways[0].least, &ways[0].factor,
                          second, second + 1, second + 2, &ways[1].least, &ways[1].factor))
        return done(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) && is_way(first, area, low_area) &&
        is_way(second, area, low_area) && is_long(out, area * 8)) {
        float *room = room_for(2 * room_of(height, width, low_width));
        if (room != NULL) {
            for (int n = 0; n < 2; n++) {
                const Py_buffer *arrays = n ? second : first;
                ways[n].values = arrays[0].buf, ways[n].course = arrays[1].buf;
                ways[n].weight = arrays[2].buf;
            }
            Py_BEGIN_ALLOW_THREADS
            blend_fetched(height, width, low_height, low_width, ways, room, out->buf);
            Py_END_ALLOW_THREADS
            free(room);
            is_done = 1;
        }
    }
    return done(&all, is_done);
}

static PyMethodDef methods[] = {
    {"two_colors", py_two_colors, METH_VARARGS, NULL},
    {"look_up_chroma", py_look_up_chroma, METH_VARARGS, NULL},
    {"choose_colors", py_choose_colors, METH_VARARGS, NULL},
    {"follow", py_follow, METH_VARARGS, NULL},
    {"courses", py_courses, METH_VARARGS, NULL},
    {"weigh", py_weigh, METH_VARARGS, NULL},
    {"add_fetched", py_add_fetched, METH_VARARGS, NULL},
    {"blend_fetched", py_blend_fetched, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "filmcolor._kernels", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
