/* The Python extension module: checks array sizes, releases the GIL and calls the kernels. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

/* Release the GIL, and flush denormal floats to zero: even pictures are full of them, and x86 needs
 * about a hundred times as long for one, which made a loop four times as slow. */
#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#define FLUSH_DENORMALS 0x8040 /* of the MXCSR register: FTZ and DAZ */
#define BEGIN_WORK                                   \
    Py_BEGIN_ALLOW_THREADS                           \
    const unsigned int float_state = _mm_getcsr();   \
    _mm_setcsr(float_state | FLUSH_DENORMALS);
#define END_WORK             \
    _mm_setcsr(float_state); \
    Py_END_ALLOW_THREADS
#else
#define BEGIN_WORK Py_BEGIN_ALLOW_THREADS
#define END_WORK Py_END_ALLOW_THREADS
#endif

enum { MAX_BUFFERS = 7 };

typedef struct {
    Py_buffer buffer[MAX_BUFFERS];
} Buffers;

static void release(Buffers *all)
{
    for (int n = 0; n < MAX_BUFFERS; n++)
        if (all->buffer[n].obj != NULL) PyBuffer_Release(&all->buffer[n]);
}

/* Return whether a buffer has the length expected; sets ValueError if not. */
static int has_length(const Py_buffer *buffer, double num_bytes)
{
    if ((double)buffer->len == num_bytes) return 1;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes is not of the size given", buffer->len);
    return 0;
}

/* Return whether a size is positive; sets ValueError if not. */
static int is_size(int height, int width)
{
    if (height > 0 && width > 0) return 1;
    PyErr_SetString(PyExc_ValueError, "sizes must be above 0");
    return 0;
}

/* Return scratch memory. It is zeroed, so that no result can depend on what it held before. */
static float *make_scratch(size_t num_floats)
{
    float *scratch = calloc(num_floats, sizeof(float));
    if (scratch == NULL) PyErr_NoMemory();
    return scratch;
}

/* Do work that needs `scratch` of so many floats; sets `is_done` unless memory runs out. */
#define WITH_SCRATCH(num_floats, work)              \
    do {                                            \
        float *scratch = make_scratch(num_floats);  \
        if (scratch != NULL) {                      \
            BEGIN_WORK                              \
            work;                                   \
            END_WORK                                \
            free(scratch);                          \
            is_done = 1;                            \
        }                                           \
    } while (0)

/* Release the buffers and return None, or NULL for the exception that is set. */
static PyObject *finish(Buffers *all, int is_done)
{
    release(all);
    if (!is_done) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_two_colors(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *luma = &all.buffer[0], *cb = &all.buffer[1], *cr = &all.buffer[2];
    Py_buffer *planes = &all.buffer[3];
    int height, width, is_done = 0;
    UpsampleParams params;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*(ii)(ffffff)", luma, cb, cr, planes, &height, &width,
                          &params.luma_epsilon, &params.flat, &params.chroma_epsilon, &params.gain,
                          &params.max_skewness, &params.sharpening))
        return finish(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && has_length(luma, area) && has_length(cb, area * 4) &&
        has_length(cr, area * 4) && has_length(planes, area * 4 * NUM_PLANES)) {
        WITH_SCRATCH(TWO_COLORS_SCRATCH(height, width),
                     two_colors(height, width, luma->buf, cb->buf, cr->buf, params, scratch,
                                planes->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_look_up_chroma(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *codes = &all.buffer[0], *ab = &all.buffer[1], *table = &all.buffer[2];
    Py_buffer *cb = &all.buffer[3], *cr = &all.buffer[4];
    int num, side, is_done = 0;
    float per_step, unit;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*w*iiff", codes, ab, table, cb, cr, &num, &side, &per_step,
                          &unit))
        return finish(&all, 0);
    if (is_size(num, side - 1) && has_length(codes, num) && has_length(ab, 8.0 * num) &&
        has_length(table, 1024.0 * side * side) && has_length(cb, 4.0 * num) &&
        has_length(cr, 4.0 * num)) {
        BEGIN_WORK
        look_up_chroma(num, codes->buf, ab->buf, table->buf, side, per_step, unit, cb->buf,
                       cr->buf);
        END_WORK
        is_done = 1;
    }
    return finish(&all, is_done);
}

static PyObject *py_choose_colors(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *luma = &all.buffer[0], *guide = &all.buffer[1], *planes = &all.buffer[2];
    Py_buffer *noise = &all.buffer[3], *coded = &all.buffer[4];
    int height, width, low_height, low_width, luma_bytes, is_done = 0;
    ChromaCoding coding;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*(ii)(ii)i(fffffffp)", luma, guide, planes, noise, coded,
                          &height, &width, &low_height, &low_width, &luma_bytes,
                          &coding.luma_scale, &coding.luma_offset, &coding.chroma_scale,
                          &coding.chroma_offset, &coding.kr, &coding.kb, &coding.peak,
                          &coding.is_dithered))
        return finish(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) &&
        has_length(luma, area * (luma_bytes == 1 ? 1 : 2)) && has_length(guide, area * 4) &&
        has_length(planes, low_area * 4 * NUM_PLANES) && has_length(noise, 8.0 * TILE * TILE) &&
        has_length(coded, 2 * area * (luma_bytes == 1 ? 1 : 2))) {
        WITH_SCRATCH(CHOOSE_COLORS_SCRATCH(height, width),
                     choose_colors(height, width, low_height, low_width, luma->buf, luma_bytes,
                                   guide->buf, planes->buf, noise->buf, coding, scratch,
                                   coded->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_compose(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *first = &all.buffer[0], *second = &all.buffer[1], *composed = &all.buffer[2];
    int height, width, is_done = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*w*(ii)", first, second, composed, &height, &width))
        return finish(&all, 0);
    double length = 16.0 * height * width;
    if (is_size(height, width) && has_length(first, length) && has_length(second, length) &&
        has_length(composed, length)) {
        WITH_SCRATCH(SAMPLER_SCRATCH(width),
                     compose(height, width, first->buf, second->buf, scratch, composed->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_tracked_flows(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *flow = &all.buffer[0], *forward = &all.buffer[1], *backward = &all.buffer[2];
    int height, width, num_inversions, is_done = 0;
    FlowParams params;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*w*(ii)i(fffff)", flow, forward, backward, &height, &width,
                          &num_inversions, &params.miss_share, &params.miss_pixels,
                          &params.uncertainty, &params.max_uncertainty, &params.away))
        return finish(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && has_length(flow, area * 8) && has_length(forward, area * 16) &&
        has_length(backward, area * 16)) {
        WITH_SCRATCH(SAMPLER_SCRATCH(width),
                     tracked_flows(height, width, flow->buf, num_inversions, params, scratch,
                                   forward->buf, backward->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_warp_weight(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *source = &all.buffer[0], *flow = &all.buffer[1], *luma = &all.buffer[2];
    Py_buffer *weight = &all.buffer[3];
    int height, width, stride, is_done = 0;
    float per_square;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*(ii)fi", source, flow, luma, weight, &height, &width,
                          &per_square, &stride))
        return finish(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_size(stride, stride) && has_length(source, area) &&
        has_length(flow, area * 16) && has_length(luma, area) && has_length(weight, area * 4)) {
        WITH_SCRATCH(SAMPLER_SCRATCH(width),
                     warp_weight(height, width, source->buf, flow->buf, luma->buf, per_square,
                                 stride, scratch, weight->buf));
    }
    return finish(&all, is_done);
}

/* Return whether the three arrays of a warp source have their lengths; sets ValueError if not. */
static int has_source_lengths(const Py_buffer *arrays, double area, double low_area)
{
    return has_length(&arrays[0], area * 16) && has_length(&arrays[1], low_area * 16) &&
           has_length(&arrays[2], low_area * 4);
}

static void set_source(WarpSource *source, const Py_buffer *arrays)
{
    source->values = arrays[0].buf;
    source->flow = arrays[1].buf;
    source->weight = arrays[2].buf;
}

static PyObject *py_accumulate_warped(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *arrays = &all.buffer[0], *total = &all.buffer[3];
    int height, width, low_height, low_width, is_done = 0;
    WarpSource source = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "w*(ii)(ii)(y*y*y*ff)", total, &height, &width, &low_height,
                          &low_width, arrays, arrays + 1, arrays + 2, &source.least,
                          &source.factor))
        return finish(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) &&
        has_source_lengths(arrays, area, low_area) && has_length(total, area * 16)) {
        set_source(&source, arrays);
        WITH_SCRATCH(WARP_SCRATCH(height, width, low_width),
                     accumulate_warped(height, width, low_height, low_width, source, scratch,
                                       total->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_blend_warped(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *first = &all.buffer[0], *second = &all.buffer[3], *mean = &all.buffer[6];
    int height, width, low_height, low_width, is_done = 0;
    WarpSource sources[2] = {{0}, {0}};
    (void)self;
    if (!PyArg_ParseTuple(args, "w*(ii)(ii)(y*y*y*ff)(y*y*y*ff)", mean, &height, &width,
                          &low_height, &low_width, first, first + 1, first + 2, &sources[0].least,
                          &sources[0].factor, second, second + 1, second + 2, &sources[1].least,
                          &sources[1].factor))
        return finish(&all, 0);
    double area = (double)height * width, low_area = (double)low_height * low_width;
    if (is_size(height, width) && is_size(low_height, low_width) &&
        has_source_lengths(first, area, low_area) && has_source_lengths(second, area, low_area) &&
        has_length(mean, area * 8)) {
        set_source(&sources[0], first);
        set_source(&sources[1], second);
        WITH_SCRATCH(2 * WARP_SCRATCH(height, width, low_width),
                     blend_warped(height, width, low_height, low_width, sources, scratch,
                                  mean->buf));
    }
    return finish(&all, is_done);
}

static PyObject *py_max_pool(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *maps = &all.buffer[0], *pooled = &all.buffer[1];
    int num, height, width, channels, is_done = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*(iiii)", maps, pooled, &num, &height, &width, &channels))
        return finish(&all, 0);
    double length = 2.0 * num * (height / 2) * (width / 2) * channels; /* refuses odd sizes */
    if (is_size(height / 2, width / 2) && is_size(num, channels) && has_length(maps, 4 * length) &&
        has_length(pooled, length)) {
        WITH_SCRATCH(MAX_POOL_SCRATCH(width, channels),
                     max_pool(num, height, width, channels, maps->buf, (int16_t *)scratch,
                              pooled->buf));
    }
    return finish(&all, is_done);
}

/* Return whether the edges of so many pixels have 32-bit numbers; sets ValueError if not. */
static int is_countable(double num_pixels)
{
    if (num_pixels < INT32_MAX / 4) return 1;
    PyErr_SetString(PyExc_ValueError, "the picture is too large");
    return 0;
}

static PyObject *py_edge_weights(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *values = &all.buffer[0], *weights = &all.buffer[1];
    int height, width, num_channels, is_done = 0;
    float resolution;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*(iii)f", values, weights, &height, &width, &num_channels,
                          &resolution))
        return finish(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_size(num_channels, 1) && is_countable(area) &&
        has_length(values, 4 * area * num_channels) &&
        has_length(weights, 2 * area * NUM_DIRECTIONS)) {
        BEGIN_WORK
        edge_weights(height, width, num_channels, values->buf, resolution, weights->buf);
        END_WORK
        is_done = 1;
    }
    return finish(&all, is_done);
}

static PyObject *py_segment(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *weights = &all.buffer[0], *scales = &all.buffer[1], *labels = &all.buffer[2];
    int height, width, num_scales, min_size, is_done = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*w*(iii)i", weights, scales, labels, &num_scales, &height,
                          &width, &min_size))
        return finish(&all, 0);
    double area = (double)height * width;
    if (is_size(height, width) && is_size(num_scales, 1) && is_countable(area * num_scales) &&
        has_length(weights, 2 * area * NUM_DIRECTIONS) && has_length(scales, 4.0 * num_scales) &&
        has_length(labels, 4 * area * num_scales)) {
        WITH_SCRATCH(SEGMENT_SCRATCH(height, width),
                     segment(height, width, weights->buf, num_scales, scales->buf, min_size,
                             scratch, labels->buf));
    }
    return finish(&all, is_done);
}

/* Return the number of segments that labels name, 0 if one is negative; sets ValueError then. */
static int count_segments(const Py_buffer *buffer)
{
    const int32_t *label = buffer->buf;
    int32_t highest = -1, lowest = 0;
    for (Py_ssize_t i = 0; i < buffer->len / 4; i++) {
        if (label[i] > highest) highest = label[i];
        if (label[i] < lowest) lowest = label[i];
    }
    if (lowest == 0 && highest < buffer->len / 4) return highest + 1;
    PyErr_SetString(PyExc_ValueError, "segments must be numbered from 0 on");
    return 0;
}

static PyObject *py_vote(PyObject *self, PyObject *args)
{
    Buffers all = {0};
    Py_buffer *logits = &all.buffer[0], *labels = &all.buffer[1], *centers = &all.buffer[2];
    Py_buffer *ab = &all.buffer[3];
    int num, num_bins, num_scales, num_segments, is_done = 0;
    VoteParams params;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*(iii)(fff)", logits, labels, centers, ab, &num_scales,
                          &num, &num_bins, &params.strength, &params.tolerance, &params.max_gain))
        return finish(&all, 0);
    if (is_size(num, num_bins) && is_size(num_scales, 1) &&
        is_countable((double)num * num_scales) && has_length(logits, 4.0 * num * num_bins) &&
        has_length(labels, 4.0 * num * num_scales) && has_length(centers, 8.0 * num_bins) &&
        has_length(ab, 8.0 * num) && (num_segments = count_segments(labels)) > 0) {
        WITH_SCRATCH(VOTE_SCRATCH(num, num_bins, num_segments),
                     vote(num, num_scales, num_bins, num_segments, logits->buf, labels->buf,
                          centers->buf, params, scratch, ab->buf));
    }
    return finish(&all, is_done);
}

static PyMethodDef methods[] = {
    {"two_colors", py_two_colors, METH_VARARGS, NULL},
    {"look_up_chroma", py_look_up_chroma, METH_VARARGS, NULL},
    {"choose_colors", py_choose_colors, METH_VARARGS, NULL},
    {"compose", py_compose, METH_VARARGS, NULL},
    {"tracked_flows", py_tracked_flows, METH_VARARGS, NULL},
    {"warp_weight", py_warp_weight, METH_VARARGS, NULL},
    {"accumulate_warped", py_accumulate_warped, METH_VARARGS, NULL},
    {"blend_warped", py_blend_warped, METH_VARARGS, NULL},
    {"max_pool", py_max_pool, METH_VARARGS, NULL},
    {"edge_weights", py_edge_weights, METH_VARARGS, NULL},
    {"segment", py_segment, METH_VARARGS, NULL},
    {"vote", py_vote, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "filmcolor.kernels._compiled", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModule_Create(&module); }
