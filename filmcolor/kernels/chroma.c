/* Chroma: of low-res ab, and at full size where luma has its edges. */
#include "kernels.h"

/* ---------------------------------------------------------------- two colours: `upsample` */

#define WINDOW 25.0f

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
void make_two_colors(
    int height, int width, const uint8_t *luma, const float *cb, const float *cr, Taste taste,
    float *room, float *low)
{
    const int pitch = width + 2 * REACH;
    const size_t area = (size_t)height * width;
    float *lines[14];
    for (int n = 0; n < 14; n++) lines[n] = room + (size_t)n * pitch + REACH;
    Columns sums = {
        (int32_t *)lines[0], (int32_t *)lines[1], (int32_t *)lines[2],
        {lines[3], lines[4]}, {lines[5], lines[6]}, lines[7],
        {lines[8], lines[9]}, {lines[10], lines[11]}, {lines[12], lines[13]}};
    /* as wide as all else: loops over values of several widths are slow */
    int32_t *RESTRICT lumas = (int32_t *)(room + 14 * (size_t)pitch);
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
void look_up_chroma(
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
void choose_colors(
    int height, int width, int low_height, int low_width, const void *luma, int luma_bytes,
    const float *guide, const float *low, const float *noise, Codes codes, float *room,
    void *coded)
{
    const size_t area = (size_t)height * width, low_area = (size_t)low_height * low_width;
    const size_t line = (size_t)width;
    float *share = room;
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

