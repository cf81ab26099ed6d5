/* Python's side: arrays in, their sizes checked, the interpreter let go of meanwhile. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

/* Without the interpreter; and what is too small for a float is 0: in even pictures much is, and
 * x86 takes a hundred times as long for it. */
#if defined(__SSE__)
#include <xmmintrin.h>
#define BEGIN_WORK                            \
    Py_BEGIN_ALLOW_THREADS                    \
    const unsigned int control = _mm_getcsr(); \
    _mm_setcsr(control | 0x8040);
#define END_WORK          \
    _mm_setcsr(control); \
    Py_END_ALLOW_THREADS
#else
#define BEGIN_WORK Py_BEGIN_ALLOW_THREADS
#define END_WORK Py_END_ALLOW_THREADS
#endif

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

/* Do work that needs `room` of so many floats; `is_done` tells whether there was as much. */
#define WORK_IN(num_floats, work)            \
    do {                                     \
        float *room = room_for(num_floats);  \
        if (room != NULL) {                  \
            BEGIN_WORK                       \
            work;                            \
            END_WORK                         \
            free(room);                      \
            is_done = 1;                     \
        }                                    \
    } while (0)

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
        WORK_IN(ROOM_OF_TWO_COLORS(height, width), make_two_colors(height, width, luma->buf,
                cb->buf, cr->buf, taste, room, low->buf));
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
        BEGIN_WORK
        look_up_chroma(num, codes->buf, ab->buf, table->buf, side, per_step, scale, cb->buf, cr->buf);
        END_WORK
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
        WORK_IN(ROOM_OF_CHOICE(height, width), choose_colors(height, width, low_height, low_width,
                luma->buf, luma_bytes, guide->buf, low->buf, noise->buf, codes, room, coded->buf));
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
        WORK_IN(ROOM_OF_SPOTS * (size_t)width, follow_courses(height, width, first->buf,
                second->buf, room, out->buf));
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
        WORK_IN(ROOM_OF_SPOTS * (size_t)width, find_courses(height, width, flow->buf,
                num_inversions, doubts, room, there->buf, back->buf));
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
        WORK_IN(ROOM_OF_SPOTS * (size_t)width, weigh_course(height, width, source->buf, course->buf,
                luma->buf, per_square, sparse, room, out->buf));
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
        way.values = way_of[0].buf, way.course = way_of[1].buf, way.weight = way_of[2].buf;
        WORK_IN(ROOM_OF_WAY(height, width, low_width), add_fetched(height, width, low_height,
                low_width, way, room, total->buf));
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
        for (int n = 0; n < 2; n++) {
            const Py_buffer *arrays = n ? second : first;
            ways[n].values = arrays[0].buf, ways[n].course = arrays[1].buf;
            ways[n].weight = arrays[2].buf;
        }
        WORK_IN(2 * ROOM_OF_WAY(height, width, low_width), blend_fetched(height, width, low_height,
                low_width, ways, room, out->buf));
    }
    return done(&all, is_done);
}

static PyObject *py_pool(PyObject *self, PyObject *words)
{
    Buffers all = {0};
    Py_buffer *maps = &all.buffer[0], *out = &all.buffer[1];
    int num, height, width, channels, is_done = 0;
    (void)self;
    if (!PyArg_ParseTuple(words, "y*w*(iiii)", maps, out, &num, &height, &width, &channels))
        return done(&all, 0);
    double length = 2.0 * num * (height / 2) * (width / 2) * channels;
    if (is_size(height / 2, width / 2) && is_size(num, channels) && is_long(maps, 4 * length) &&
        is_long(out, length)) { /* so no odd size comes further */
        WORK_IN(((size_t)width * channels + 1) / 2, pool_maps(num, height, width, channels,
                maps->buf, (int16_t *)room, out->buf));
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
    {"pool", py_pool, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "filmcolor._kernels", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
