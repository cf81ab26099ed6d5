/* Chroma: ab to Cb and Cr at low resolution, and guided upsampling along luma's edges. */
#include "kernels.h"

/* ---------------------------------------------------------------- two colours: color.upsampling */

#define WINDOW 25.0f /* samples */

/* Of each column: sums, minima and maxima of five rows, and sums of three (index 0: Cb, 1: Cr). */
typedef struct {
    int32_t *luma, *luma_squares, *luma_cubes;
    float *chroma[2], *products[2], *chroma_squares, *minima[2], *maxima[2], *three[2];
} Columns;

/* Five separate pointers: the loop's output must not alias the array that holds the rows. */
#define FIVE_ROWS(type, rows)                                          \
    const type *RESTRICT row0 = (rows)[0], *RESTRICT row1 = (rows)[1]; \
    const type *RESTRICT row2 = (rows)[2], *RESTRICT row3 = (rows)[3]; \
    const type *RESTRICT row4 = (rows)[4]

INLINE void sum_luma(int width, const int32_t *const *luma, const Columns *columns)
{
    int32_t *RESTRICT sums = columns->luma, *RESTRICT squares = columns->luma_squares;
    int32_t *RESTRICT cubes = columns->luma_cubes;
    FIVE_ROWS(int32_t, luma);
    VECTORIZE
    for (int x = 0; x < width; x++) {
        int32_t a = row0[x], b = row1[x], c = row2[x], d = row3[x], e = row4[x];
        sums[x] = a + b + c + d + e;
        squares[x] = a * a + b * b + c * c + d * d + e * e;
        cubes[x] = a * a * a + b * b * b + c * c * c + d * d * d + e * e * e;
    }
}

/* `plane`: 0 for Cb, then 1 for Cr, which adds to the squares of Cb. */
INLINE void sum_chroma(
    int width, const float *const *chroma, const int32_t *const *luma, int plane,
    const Columns *columns)
{
    float *RESTRICT sums = columns->chroma[plane], *RESTRICT products = columns->products[plane];
    float *RESTRICT minima = columns->minima[plane], *RESTRICT maxima = columns->maxima[plane];
    float *RESTRICT three = columns->three[plane], *RESTRICT squares = columns->chroma_squares;
    const int32_t *RESTRICT y0 = luma[0], *RESTRICT y1 = luma[1], *RESTRICT y2 = luma[2];
    const int32_t *RESTRICT y3 = luma[3], *RESTRICT y4 = luma[4];
    FIVE_ROWS(float, chroma);
    VECTORIZE
    for (int x = 0; x < width; x++) {
        float a = row0[x], b = row1[x], c = row2[x], d = row3[x], e = row4[x];
        float inner = b + c + d;
        three[x] = inner;
        sums[x] = inner + a + e;
        products[x] = a * (float)y0[x] + b * (float)y1[x] + c * (float)y2[x] +
                      d * (float)y3[x] + e * (float)y4[x];
        squares[x] = (plane ? squares[x] : 0.0f) + (a * a + b * b + c * c + d * d + e * e);
        minima[x] = min_float(min_float(min_float(a, b), min_float(c, d)), e);
        maxima[x] = max_float(max_float(max_float(a, b), max_float(c, d)), e);
    }
}

/* Repeat a row's first and last samples beyond its ends. */
#define REPEAT_ENDS(row)                             \
    for (int k = 1; k <= WINDOW_RADIUS; k++) {       \
        (row)[-k] = (row)[0];                        \
        (row)[width - 1 + k] = (row)[width - 1];     \
    }
#define SUM_OF_FIVE(row) ((row)[x - 2] + (row)[x - 1] + (row)[x] + (row)[x + 1] + (row)[x + 2])
#define BEST_OF_FIVE(best, row) \
    best(best(best((row)[x - 2], (row)[x - 1]), best((row)[x], (row)[x + 1])), (row)[x + 2])

CPU_VERSIONS
void two_colors(
    int height, int width, const uint8_t *luma, const float *cb, const float *cr,
    UpsampleParams params, float *scratch, float *planes)
{
    const int pitch = width + 2 * WINDOW_RADIUS;
    const size_t area = (size_t)height * width;
    float *lines[14];
    for (int n = 0; n < 14; n++) lines[n] = scratch + (size_t)n * pitch + WINDOW_RADIUS;
    Columns columns = {
        (int32_t *)lines[0], (int32_t *)lines[1], (int32_t *)lines[2], /* the others are floats */
        {lines[3], lines[4]}, {lines[5], lines[6]}, lines[7],
        {lines[8], lines[9]}, {lines[10], lines[11]}, {lines[12], lines[13]}};
    /* widened first: loops over values of several widths are slow */
    int32_t *RESTRICT wide_luma = (int32_t *)(scratch + 14 * (size_t)pitch);
    VECTORIZE
    for (size_t i = 0; i < area; i++) wide_luma[i] = luma[i];
    for (int y = 0; y < height; y++) {
        const int32_t *luma_rows[5];
        const float *cb_rows[5], *cr_rows[5];
        for (int k = 0; k < 5; k++) {
            size_t start = (size_t)clip_index(y + k - WINDOW_RADIUS, height) * width;
            luma_rows[k] = wide_luma + start;
            cb_rows[k] = cb + start;
            cr_rows[k] = cr + start;
        }
        sum_luma(width, luma_rows, &columns);
        sum_chroma(width, cb_rows, luma_rows, 0, &columns);
        sum_chroma(width, cr_rows, luma_rows, 1, &columns);
        for (int n = 0; n < 3; n++) REPEAT_ENDS((int32_t *)lines[n]);
        for (int n = 3; n < 14; n++) REPEAT_ENDS(lines[n]);

        const int32_t *RESTRICT luma_sums = columns.luma;
        const int32_t *RESTRICT luma_squares = columns.luma_squares;
        const int32_t *RESTRICT luma_cubes = columns.luma_cubes;
        const int32_t *RESTRICT luma_row = luma_rows[WINDOW_RADIUS];
        const float *RESTRICT cb_row = cb_rows[WINDOW_RADIUS];
        const float *RESTRICT cr_row = cr_rows[WINDOW_RADIUS];
        const float *RESTRICT cb_sums = columns.chroma[0], *RESTRICT cr_sums = columns.chroma[1];
        const float *RESTRICT cb_products = columns.products[0];
        const float *RESTRICT cr_products = columns.products[1];
        const float *RESTRICT chroma_squares = columns.chroma_squares;
        float *RESTRICT out = planes + (size_t)y * width;
        VECTORIZE
        for (int x = 0; x < width; x++) {
            /* moments about an integer near the mean: small enough for floats to hold exactly */
            uint32_t first = (uint32_t)SUM_OF_FIVE(luma_sums);
            uint32_t second = (uint32_t)SUM_OF_FIVE(luma_squares);
            uint32_t third = (uint32_t)SUM_OF_FIVE(luma_cubes);
            uint32_t origin = (uint32_t)((int32_t)first * (1.0f / WINDOW));
            third += 3 * origin * origin * first - 3 * origin * second -
                     25 * origin * origin * origin;
            second += 25 * origin * origin - 2 * origin * first;
            first -= 25 * origin;
            float mean_from_origin = (int32_t)first * (1.0f / WINDOW);
            float mean_square = (int32_t)second * (1.0f / WINDOW);
            float square = mean_from_origin * mean_from_origin;
            float mean = mean_from_origin + (float)(int32_t)origin;
            float variance = max_float(mean_square - square, 0.0f);
            float third_moment = (int32_t)third * (1.0f / WINDOW) -
                                 mean_from_origin * (3.0f * variance + square);

            /* the two-point distribution with these three moments */
            float root = 1.0f / sqrtf(variance + params.luma_epsilon);
            float per_variance = root * root;
            float limit = 0.5f * params.max_skewness;
            float half_skewness = clip(0.5f * third_moment * per_variance * root, -limit, limit);
            float deviation = sqrtf(variance);
            float offset = half_skewness * deviation;
            float half_span = sqrtf(variance + offset * offset);
            float middle = mean + offset;
            float above_dark =
                clip((float)luma_row[x] - middle + half_span, 0.0f, 2.0f * half_span);

            /* the share of chroma's variance that luma explains decides how far both are trusted */
            float cb_mean = SUM_OF_FIVE(cb_sums) * (1.0f / WINDOW);
            float cr_mean = SUM_OF_FIVE(cr_sums) * (1.0f / WINDOW);
            float cb_covariance = SUM_OF_FIVE(cb_products) * (1.0f / WINDOW) - cb_mean * mean;
            float cr_covariance = SUM_OF_FIVE(cr_products) * (1.0f / WINDOW) - cr_mean * mean;
            float chroma_variance = SUM_OF_FIVE(chroma_squares) * (1.0f / WINDOW) -
                                    (cb_mean * cb_mean + cr_mean * cr_mean);
            float explained =
                (cb_covariance * cb_covariance + cr_covariance * cr_covariance) * per_variance /
                (max_float(chroma_variance, 0.0f) + params.chroma_epsilon);
            float trust = explained * explained * explained;
            float to_dark = (offset - half_span) * trust * trust -
                            above_dark * (trust - trust * trust);
            to_dark *= per_variance;
            float span = 2.0f * half_span * trust * per_variance;

            out[MIDDLE * area + x] = middle;
            out[GAIN * area + x] =
                0.5f * params.gain * half_span / (half_span * half_span + params.luma_epsilon);
            out[FLATNESS * area + x] =
                1.0f / (variance * variance * (1.0f / (params.flat * params.flat)) + 1.0f);
            /* intermediate values for the next loop, which replaces them */
            out[CENTER_CB * area + x] =
                (cb_mean - cb_row[x]) * trust * trust + cb_covariance * to_dark;
            out[CENTER_CR * area + x] =
                (cr_mean - cr_row[x]) * trust * trust + cr_covariance * to_dark;
            out[DIFFERENCE_CB * area + x] = cb_covariance * span;
            out[DIFFERENCE_CR * area + x] = cr_covariance * span;
        }
        for (int plane = 0; plane < 2; plane++) {
            const float *RESTRICT values = plane ? cr_row : cb_row;
            const float *RESTRICT three = columns.three[plane];
            const float *RESTRICT minima = columns.minima[plane];
            const float *RESTRICT maxima = columns.maxima[plane];
            float *RESTRICT center = out + (CENTER_CB + plane) * area;
            float *RESTRICT difference = out + (DIFFERENCE_CB + plane) * area;
            const float around = -params.sharpening * (1.0f / 9.0f);
            VECTORIZE
            for (int x = 0; x < width; x++) {
                float lowest = BEST_OF_FIVE(min_float, minima);
                float highest = BEST_OF_FIVE(max_float, maxima);
                float dark = values[x] * (1.0f + params.sharpening) + center[x];
                dark += around * (three[x - 1] + three[x] + three[x + 1]);
                float bright = clip(dark + difference[x], lowest, highest);
                dark = clip(dark, lowest, highest);
                center[x] = 0.5f * (dark + bright);
                difference[x] = bright - dark;
            }
        }
    }
}

/* ---------------------------------------------------------------- low-res chroma: color.gamut */

#define MIX(fraction, a, b) ((a) + ((b) - (a)) * (fraction))
#define CB_OF(pair) ((float)((int32_t)((uint32_t)(pair) << 16) >> 16))
#define CR_OF(pair) ((float)((pair) >> 16))

/* `ab`: (N, 2); `table`: (256, side, side) by luma, b and a: Cb in the low and Cr in the high
 * 16 bits, in multiples of `unit`. Interpolates linearly in a and b. */
CPU_VERSIONS
void look_up_chroma(
    int num, const uint8_t *codes, const float *ab, const int32_t *table, int side, float per_step,
    float unit, float *cb, float *cr)
{
    const int neutral = (side - 1) / 2;
    const float last = (float)(side - 1);
    VECTORIZE
    for (int i = 0; i < num; i++) {
        float x = clip(ab[2 * i] * per_step + (float)neutral, 0.0f, last);
        float y = clip(ab[2 * i + 1] * per_step + (float)neutral, 0.0f, last);
        int32_t column = (int32_t)x, row = (int32_t)y;
        column = column < side - 2 ? column : side - 2;
        row = row < side - 2 ? row : side - 2;
        x -= (float)column;
        y -= (float)row;
        int32_t first = ((int32_t)codes[i] * side + row) * side + column;
        int32_t upper = table[first], upper_next = table[first + 1];
        int32_t lower = table[first + side], lower_next = table[first + side + 1];
        cb[i] = unit * MIX(y, MIX(x, CB_OF(upper), CB_OF(upper_next)),
                           MIX(x, CB_OF(lower), CB_OF(lower_next)));
        cr[i] = unit * MIX(y, MIX(x, CR_OF(upper), CR_OF(upper_next)),
                           MIX(x, CR_OF(lower), CR_OF(lower_next)));
    }
}

/* ---------------------------------------------------------------- full size: color.chroma */

/* Upsample one low-res row of each plane to full width; luma planes become code values. */
INLINE void widen(
    int width, int low_width, const int32_t *RESTRICT index, const float *RESTRICT fraction,
    const float *planes, size_t low_area, const ChromaCoding *coding, float *wide)
{
    const int next = low_width > 1;
    const float luma_step = coding->luma_scale * (1.0f / 255.0f);
    for (int plane = 0; plane < NUM_PLANES; plane++) {
        const float *row = planes + plane * low_area;
        float *RESTRICT out = wide + (size_t)plane * width;
        float scale = plane == MIDDLE ? luma_step : plane == GAIN ? 1.0f / luma_step : 1.0f;
        float offset = plane == MIDDLE ? coding->luma_offset : 0.0f;
        VECTORIZE
        for (int x = 0; x < width; x++) {
            float before = row[index[x]], after = row[index[x] + next];
            out[x] = (before + (after - before) * fraction[x]) * scale + offset;
        }
    }
}

/* the value of a plane at column x, between its upper and lower row */
#define MIXED(plane) (upper_##plane[x] + (lower_##plane[x] - upper_##plane[x]) * row_fraction)
#define ROWS_OF(plane)                                                   \
    const float *RESTRICT upper_##plane = upper + (size_t)plane * width; \
    const float *RESTRICT lower_##plane = lower + (size_t)plane * width

INLINE void choose_row(
    int width, const float *upper, const float *lower, float row_fraction,
    const float *RESTRICT guide, const float *RESTRICT luma, const float *cb_dither,
    const float *cr_dither, const ChromaCoding *coding, float *cb, float *cr)
{
    ROWS_OF(MIDDLE);
    ROWS_OF(GAIN);
    ROWS_OF(CENTER_CB);
    ROWS_OF(CENTER_CR);
    ROWS_OF(DIFFERENCE_CB);
    ROWS_OF(DIFFERENCE_CR);
    ROWS_OF(FLATNESS);
    const float *RESTRICT cb_noise = cb_dither, *RESTRICT cr_noise = cr_dither;
    float *RESTRICT cb_out = cb, *RESTRICT cr_out = cr;
    const float kr = coding->kr, kb = coding->kb, kg = 1.0f - kr - kb;
    const float per_red = 2.0f * (1.0f - kr), per_blue = 2.0f * (1.0f - kb);
    const float red_in_green = kr / kg, blue_in_green = kb / kg;
    const float black = coding->luma_offset, per_code = 1.0f / coding->luma_scale;
    const float scale = coding->chroma_scale, offset = coding->chroma_offset;
    const float strength = coding->is_dithered ? 1.0f : 0.0f, peak = coding->peak;
    VECTORIZE
    for (int x = 0; x < width; x++) {
        float choice = clip((guide[x] - MIXED(MIDDLE)) * MIXED(GAIN), -0.5f, 0.5f);
        float chosen_cb = MIXED(CENTER_CB) + choice * MIXED(DIFFERENCE_CB);
        float chosen_cr = MIXED(CENTER_CR) + choice * MIXED(DIFFERENCE_CR);
        /* toward neutral until R'G'B' is within 0..1 */
        float gray = clip((luma[x] - black) * per_code, 0.0f, 1.0f);
        float red = per_red * chosen_cr, blue = per_blue * chosen_cb;
        float green = -(red_in_green * red + blue_in_green * blue);
        float highest = max_float(max_float(red, green), max_float(blue, 1e-9f));
        float lowest = max_float(max_float(-red, -green), max_float(-blue, 1e-9f));
        float share = min_float((1.000001f - gray) / highest, (gray + 1e-6f) / lowest);
        share = min_float(share, 1.0f) * scale;
        float amplitude = strength * MIXED(FLATNESS);
        cb_out[x] =
            clip(round_even(chosen_cb * share + cb_noise[x] * amplitude + offset), 0.0f, peak);
        cr_out[x] =
            clip(round_even(chosen_cr * share + cr_noise[x] * amplitude + offset), 0.0f, peak);
    }
}

CPU_VERSIONS
void choose_colors(
    int height, int width, int low_height, int low_width, const void *luma, int luma_bytes,
    const float *guide, const float *planes, const float *noise, ChromaCoding coding,
    float *scratch, void *coded)
{
    const size_t area = (size_t)height * width, low_area = (size_t)low_height * low_width;
    const size_t row_size = (size_t)width;
    float *fraction = scratch;
    int32_t *index = (int32_t *)(fraction + row_size);
    float *row_fraction = (float *)(index + row_size);
    int32_t *row_index = (int32_t *)(row_fraction + height);
    float *wide[2], *luma_row, *dither[2], *chroma[2];
    wide[0] = (float *)(row_index + height);
    wide[1] = wide[0] + NUM_PLANES * row_size;
    luma_row = wide[1] + NUM_PLANES * row_size;
    dither[0] = luma_row + row_size;
    dither[1] = dither[0] + row_size;
    chroma[0] = dither[1] + row_size;
    chroma[1] = chroma[0] + row_size;
    resize_positions(width, low_width, index, fraction);
    resize_positions(height, low_height, row_index, row_fraction);
    int last = -1; /* the latest low-res row at full width: it is in wide[last % 2] */
    for (int y = 0; y < height; y++) {
        const int above = row_index[y], below = above + (low_height > 1);
        if (last < above - 1) last = above - 1;
        while (last < below) {
            last++;
            widen(width, low_width, index, fraction, planes + (size_t)last * low_width, low_area,
                  &coding, wide[last % 2]);
        }
        float *RESTRICT values = luma_row;
        const uint8_t *RESTRICT bytes = (const uint8_t *)luma + y * row_size * luma_bytes;
        const uint16_t *RESTRICT words = (const uint16_t *)bytes;
        if (luma_bytes == 1)
            VECTORIZE
            for (int x = 0; x < width; x++) values[x] = bytes[x];
        else
            VECTORIZE
            for (int x = 0; x < width; x++) values[x] = words[x];
        for (int plane = 0; plane < 2; plane++) {
            const float *tile = noise + (size_t)plane * TILE * TILE + (size_t)(y % TILE) * TILE;
            for (int x = 0; x < width; x += TILE) {
                int num = width - x < TILE ? width - x : TILE;
                memcpy(dither[plane] + x, tile, num * sizeof(float));
            }
        }
        choose_row(width, wide[above % 2], wide[below % 2], row_fraction[y], guide + y * row_size,
                   luma_row, dither[0], dither[1], &coding, chroma[0], chroma[1]);
        for (int plane = 0; plane < 2; plane++) {
            const float *RESTRICT chosen = chroma[plane];
            size_t start = plane * area + y * row_size;
            uint8_t *RESTRICT bytes_out = (uint8_t *)coded + start;
            uint16_t *RESTRICT words_out = (uint16_t *)coded + start;
            if (luma_bytes == 1)
                VECTORIZE
                for (int x = 0; x < width; x++) bytes_out[x] = (uint8_t)(int32_t)chosen[x];
            else
                VECTORIZE
                for (int x = 0; x < width; x++) words_out[x] = (uint16_t)(int32_t)chosen[x];
        }
    }
}
