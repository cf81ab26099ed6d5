"""What people bring: any pixel format, any name, wrong headers, encrypted films, pictures, URLs."""

import re
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import images
import media
import numpy as np
import pytest
from media import Sound, shoot
from PIL import Image

import filmcolor
from filmcolor.cli.inputs import list_films
from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, SettingsError, VerifyError
from filmcolor.files import partial_path
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_photo
from filmcolor.shots.listing import find_shots
from filmcolor.timecodes import parse_rate
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.demux import open_film
from filmcolor.video.encryption import check_is_clear
from filmcolor.video.interlacing import is_interlaced
from filmcolor.video.pixel_formats import (
    extract_chroma,
    extract_deep_rgb,
    extract_luma,
    extract_rgb,
)
from filmcolor.video.pixel_layout import code_depth, is_known, is_rgb_like
from filmcolor.video.probe import probe
from filmcolor.video.source_options import SourceOptions

MakeFilm = Callable[..., Path]

# ---------------------------------------------------------------- pixel formats

WIDTH, HEIGHT = 96, 6


def bytes_of(words: np.ndarray, is_big: bool) -> np.ndarray:
    """Return rows of integers or floats as rows of bytes."""
    ordered = words.astype(words.dtype.newbyteorder(">" if is_big else "<"))
    return np.ascontiguousarray(ordered).view(np.uint8).reshape(words.shape[0], -1)


def make_frame(pix_fmt: str, planes: Sequence[np.ndarray]) -> av.VideoFrame:
    """Return a frame of planes of words (rows, words), in the format's byte order."""
    frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
    for plane, words in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        data = bytes_of(words, frame.format.is_big_endian)
        rows[: data.shape[0], : data.shape[1]] = data
    return frame


def ramp(depth: int, first: int = 0) -> np.ndarray:
    """Return code values (HEIGHT, WIDTH) over the whole range, each row another."""
    peak = (1 << depth) - 1
    codes = (np.arange(WIDTH)[None] * peak // (WIDTH - 1) + np.arange(HEIGHT)[:, None] + first) % (
        peak + 1
    )
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def interleave(*components: np.ndarray) -> np.ndarray:
    """Return words that take turns."""
    return np.stack(components, axis=2).reshape(components[0].shape[0], -1)


def pack(*fields: tuple[np.ndarray, int]) -> np.ndarray:
    """Return words of 32 bits with (values, lowest bit) in them."""
    return sum(values.astype(np.uint32) << low for values, low in fields)


Y8, Y10, Y12, Y16 = (ramp(depth) for depth in (8, 10, 12, 16))
U8, U10, U12, U16 = (ramp(depth, 7) for depth in (8, 10, 12, 16))
V8, V10, V12, V16 = (ramp(depth, 99) for depth in (8, 10, 12, 16))
A8, A16 = ramp(8, 3), ramp(16, 3)


def half(values: np.ndarray) -> np.ndarray:
    """Return every second column."""
    return values[:, ::2]


def packed_422(y: np.ndarray, u: np.ndarray, v: np.ndarray, order: str) -> np.ndarray:
    """Return Y', Cb, Y', Cr and so on, in an order such as "yuyv"."""
    parts = {"u": half(u), "v": half(v)}
    lumas = iter((y[:, ::2], y[:, 1::2]))
    return interleave(*(next(lumas) if c == "y" else parts[c] for c in order))


# format without byte order: (depth, planes, Cb, Cr), written after the comments of pixfmt.h
YUV_FORMATS: dict[str, tuple[int, list[np.ndarray], np.ndarray, np.ndarray]] = {
    "yuyv422": (8, [packed_422(Y8, U8, V8, "yuyv")], half(U8), half(V8)),
    "yvyu422": (8, [packed_422(Y8, U8, V8, "yvyu")], half(U8), half(V8)),
    "uyvy422": (8, [packed_422(Y8, U8, V8, "uyvy")], half(U8), half(V8)),
    "uyyvyy411": (
        8,
        [
            interleave(
                *(U8[:, ::4], Y8[:, ::4], Y8[:, 1::4]),
                *(V8[:, ::4], Y8[:, 2::4], Y8[:, 3::4]),
            )
        ],
        U8[:, ::4],
        V8[:, ::4],
    ),
    "y210": (10, [packed_422(Y10, U10, V10, "yuyv") << 6], half(U10), half(V10)),
    "y212": (12, [packed_422(Y12, U12, V12, "yuyv") << 4], half(U12), half(V12)),
    "y216": (16, [packed_422(Y16, U16, V16, "yuyv")], half(U16), half(V16)),
    "nv12": (8, [Y8, interleave(half(U8), half(V8))[::2]], half(U8)[::2], half(V8)[::2]),
    "nv21": (8, [Y8, interleave(half(V8), half(U8))[::2]], half(U8)[::2], half(V8)[::2]),
    "nv16": (8, [Y8, interleave(half(U8), half(V8))], half(U8), half(V8)),
    "nv24": (8, [Y8, interleave(U8, V8)], U8, V8),
    "nv42": (8, [Y8, interleave(V8, U8)], U8, V8),
    "nv20": (10, [Y10, interleave(half(U10), half(V10))], half(U10), half(V10)),
    "p010": (
        10,
        [Y10 << 6, interleave(half(U10), half(V10))[::2] << 6],
        half(U10)[::2],
        half(V10)[::2],
    ),
    "p012": (
        12,
        [Y12 << 4, interleave(half(U12), half(V12))[::2] << 4],
        half(U12)[::2],
        half(V12)[::2],
    ),
    "p210": (10, [Y10 << 6, interleave(half(U10), half(V10)) << 6], half(U10), half(V10)),
    "p212": (12, [Y12 << 4, interleave(half(U12), half(V12)) << 4], half(U12), half(V12)),
    "p216": (16, [Y16, interleave(half(U16), half(V16))], half(U16), half(V16)),
    "p410": (10, [Y10 << 6, interleave(U10, V10) << 6], U10, V10),
    "p412": (12, [Y12 << 4, interleave(U12, V12) << 4], U12, V12),
    "p416": (16, [Y16, interleave(U16, V16)], U16, V16),
    "yuv444p10msb": (10, [Y10 << 6, U10 << 6, V10 << 6], U10, V10),
    "yuv444p12msb": (12, [Y12 << 4, U12 << 4, V12 << 4], U12, V12),
    "vuya": (8, [interleave(V8, U8, Y8, A8)], U8, V8),
    "vuyx": (8, [interleave(V8, U8, Y8, A8)], U8, V8),
    "ayuv": (8, [interleave(A8, Y8, U8, V8)], U8, V8),
    "uyva": (8, [interleave(U8, Y8, V8, A8)], U8, V8),
    "vyu444": (8, [interleave(V8, Y8, U8)], U8, V8),
    "ayuv64": (16, [interleave(A16, Y16, U16, V16)], U16, V16),
    "xv30": (10, [pack((V10, 20), (Y10, 10), (U10, 0))], U10, V10),
    "v30x": (10, [pack((V10, 22), (Y10, 12), (U10, 2))], U10, V10),
    "xv36": (12, [interleave(U12, Y12, V12, Y12 * 0) << 4], U12, V12),
    "xv48": (16, [interleave(U16, Y16, V16, A16)], U16, V16),
    "yuv410p": (8, [Y8, U8[::4, ::4], V8[::4, ::4]], U8[::4, ::4], V8[::4, ::4]),
    "yuv411p": (8, [Y8, U8[:, ::4], V8[:, ::4]], U8[:, ::4], V8[:, ::4]),
    "yuv440p": (8, [Y8, U8[::2], V8[::2]], U8[::2], V8[::2]),
    "yuv440p12": (12, [Y12, U12[::2], V12[::2]], U12[::2], V12[::2]),
    "yuva444p": (8, [Y8, U8, V8, A8], U8, V8),
    "yuva444p12": (12, [Y12, U12, V12, U12], U12, V12),
    "yuv444p16": (16, [Y16, U16, V16], U16, V16),
    "yuv422p9": (
        9,
        [ramp(9), half(ramp(9, 5)), half(ramp(9, 6))],
        half(ramp(9, 5)),
        half(ramp(9, 6)),
    ),
    "yuv444p14": (14, [ramp(14), ramp(14, 5), ramp(14, 6)], ramp(14, 5), ramp(14, 6)),
}
GRAY_FORMATS: dict[str, tuple[int, np.ndarray]] = {
    "gray": (8, Y8),
    "gray9": (9, ramp(9)),
    "gray10": (10, Y10),
    "gray12": (12, Y12),
    "gray14": (14, ramp(14)),
    "gray16": (16, Y16),
    "gray32": (16, Y16.astype(np.uint32) << 16 | 0x1234),
    "ya8": (8, interleave(Y8, A8)),
    "ya16": (16, interleave(Y16, A16)),
}
F16 = (Y16 / np.float32(65535)).astype(np.float32)
FLOAT_FORMATS: dict[str, list[np.ndarray]] = {
    "grayf32": [F16],
    "grayf16": [F16.astype(np.float16)],
    "yaf32": [interleave(F16, F16 * 0)],
    "yaf16": [interleave(F16, F16 * 0).astype(np.float16)],
    "gbrpf32": [F16] * 3,
    "gbrapf32": [F16] * 3 + [F16 * 0],
    "gbrpf16": [F16.astype(np.float16)] * 3,
    "gbrapf16": [F16.astype(np.float16)] * 4,
    "rgbf32": [interleave(F16, F16, F16)],
    "rgbaf32": [interleave(F16, F16, F16, F16 * 0)],
    "rgbf16": [interleave(F16, F16, F16).astype(np.float16)],
    "rgbaf16": [interleave(F16, F16, F16, F16 * 0).astype(np.float16)],
}
R, G, B = ramp(8), ramp(8, 60), ramp(8, 120)
R10, G10, B10 = ramp(10), ramp(10, 60), ramp(10, 120)
R16, G16, B16 = ramp(16), ramp(16, 60), ramp(16, 120)
WIDE = [values.astype(np.uint32) << 16 for values in (R16, G16, B16)]
RGB_FORMATS: dict[str, tuple[int, list[np.ndarray]]] = {
    "rgb24": (8, [interleave(R, G, B)]),
    "bgr24": (8, [interleave(B, G, R)]),
    "argb": (8, [interleave(A8, R, G, B)]),
    "rgba": (8, [interleave(R, G, B, A8)]),
    "abgr": (8, [interleave(A8, B, G, R)]),
    "bgra": (8, [interleave(B, G, R, A8)]),
    "0rgb": (8, [interleave(A8, R, G, B)]),
    "bgr0": (8, [interleave(B, G, R, A8)]),
    "gbrp": (8, [G, B, R]),
    "gbrap": (8, [G, B, R, A8]),
    "gbrp10": (10, [G10, B10, R10]),
    "gbrp10msb": (10, [G10 << 6, B10 << 6, R10 << 6]),
    "gbrap16": (16, [G16, B16, R16, A16]),
    "gbrap32": (16, [WIDE[1], WIDE[2], WIDE[0], WIDE[0]]),
    "x2rgb10": (10, [pack((R10, 20), (G10, 10), (B10, 0))]),
    "x2bgr10": (10, [pack((B10, 20), (G10, 10), (R10, 0))]),
    "rgb48": (16, [interleave(R16, G16, B16)]),
    "bgr48": (16, [interleave(B16, G16, R16)]),
    "rgba64": (16, [interleave(R16, G16, B16, A16)]),
    "bgra64": (16, [interleave(B16, G16, R16, A16)]),
    "rgb96": (16, [interleave(*WIDE)]),
    "rgba128": (16, [interleave(*WIDE, WIDE[0])]),
}
_NOT_READ = re.compile(r"bayer_.*|(rgb|bgr)4")


def orders(name: str) -> list[str]:
    """Return a format's names for both byte orders, where it has them."""
    names = [name] if has_format(name) else []
    return names + [name + order for order in ("le", "be") if has_format(name + order)]


def has_format(name: str) -> bool:
    try:
        av.VideoFormat(name)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", YUV_FORMATS)
def test_luma_and_chroma_are_the_code_values(name: str) -> None:
    depth, planes, cb, cr = YUV_FORMATS[name]
    coding, expected = Coding(1, False, depth), ramp(depth)
    assert orders(name)
    for pix_fmt in orders(name):
        frame = make_frame(pix_fmt, planes)
        assert code_depth(frame.format) == depth
        np.testing.assert_array_equal(extract_luma(frame, coding), expected)
        for chroma, values in zip(extract_chroma(frame, coding), (cb, cr), strict=True):
            np.testing.assert_array_equal(chroma, values)


@pytest.mark.parametrize("name", GRAY_FORMATS)
def test_luma_of_gray_is_the_code_values(name: str) -> None:
    depth, words = GRAY_FORMATS[name]
    for pix_fmt in orders(name):
        frame = make_frame(pix_fmt, [words])
        luma = extract_luma(frame, Coding(1, True, depth))
        np.testing.assert_array_equal(luma, ramp(depth))


@pytest.mark.parametrize("name", FLOAT_FORMATS)
@pytest.mark.parametrize("is_linear", [False, True])
def test_luma_of_floats_has_16_bits(name: str, is_linear: bool) -> None:
    planes = FLOAT_FORMATS[name]
    values = planes[0].astype(float).reshape(HEIGHT, WIDTH, -1)[..., 0]
    if is_linear:  # IEC 61966-2-1
        values = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    for pix_fmt in orders(name):
        frame = make_frame(pix_fmt, planes)
        luma = extract_luma(frame, Coding(1, True, 16), is_linear)
        assert luma.dtype == np.uint16
        assert np.abs(luma - values * 65535).max() < 1.1


@pytest.mark.parametrize("name", RGB_FORMATS)
def test_rgb_is_unpacked_and_its_luma_follows_the_matrix(name: str) -> None:
    depth, planes = RGB_FORMATS[name]
    red, green, blue = ramp(depth), ramp(depth, 60), ramp(depth, 120)
    coding = Coding(1, True, depth)
    expected = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709-6, item 3.2
    for pix_fmt in orders(name):
        frame = make_frame(pix_fmt, planes)
        assert np.abs(extract_luma(frame, coding) - expected).max() < 0.51
        deep = extract_deep_rgb(frame, coding) / 65535 * ((1 << depth) - 1)
        np.testing.assert_allclose(deep, np.dstack([red, green, blue]), atol=0.01)
        cb, _ = extract_chroma(frame, coding)
        peak = (1 << depth) - 1
        expected_cb = (blue - expected) / 1.8556 + (1 << (depth - 1))
        assert np.abs(cb - expected_cb.clip(0, peak)).max() < 1.1


@pytest.mark.parametrize(
    ("name", "shifts", "bits"),
    [
        ("rgb565", (11, 5, 0), (5, 6, 5)),
        ("bgr565", (0, 5, 11), (5, 6, 5)),
        ("rgb555", (10, 5, 0), (5, 5, 5)),
        ("bgr555", (0, 5, 10), (5, 5, 5)),
        ("rgb444", (8, 4, 0), (4, 4, 4)),
        ("bgr444", (0, 4, 8), (4, 4, 4)),
        ("rgb8", (5, 2, 0), (3, 3, 2)),
        ("bgr8", (0, 3, 6), (3, 3, 2)),
        ("rgb4_byte", (3, 1, 0), (1, 2, 1)),
        ("bgr4_byte", (0, 1, 3), (1, 2, 1)),
    ],
)
def test_rgb_of_few_bits(name: str, shifts: Sequence[int], bits: Sequence[int]) -> None:
    channels = [ramp(8, n) % (1 << b) for n, b in enumerate(bits)]
    words = sum(c.astype(np.uint16) << s for c, s in zip(channels, shifts, strict=True))
    if sum(bits) <= 8:
        words = words.astype(np.uint8)
    expected = [np.rint(c * 255.0 / ((1 << b) - 1)) for c, b in zip(channels, bits, strict=True)]
    for pix_fmt in orders(name):
        rgb = extract_rgb(make_frame(pix_fmt, [words]), Coding(1, False, 8))
        np.testing.assert_allclose(rgb, np.dstack(expected), atol=0.51)


@pytest.mark.parametrize(("name", "black"), [("monob", 0), ("monow", 255)])
def test_black_and_white_of_one_bit(name: str, black: int) -> None:
    frame = make_frame(name, [np.full((HEIGHT, WIDTH // 8), 0b11110000, np.uint8)])
    luma = extract_luma(frame, Coding(1, True, 8))
    assert luma[0, :8].tolist() == [255 - black] * 4 + [black] * 4


def test_a_palette_is_looked_up() -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, "pal8")
    palette = np.frombuffer(frame.planes[1], np.uint32)
    palette[:] = [0xFF000000 | v << 16 | v << 8 | v for v in range(255, -1, -1)]
    rows = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    rows[:HEIGHT, :WIDTH] = Y8
    np.testing.assert_array_equal(extract_luma(frame, Coding(1, True, 8)), 255 - Y8)


def test_xyz_of_digital_cinema_has_the_luma_of_its_colours() -> None:
    source = make_frame("rgb48le", [interleave(Y16, Y16, Y16)])
    frame = source.reformat(format="xyz12le")
    luma = extract_luma(frame, Coding(1, True, 12))
    assert np.abs(luma - Y16 / 65535 * 4095).max() <= 40  # 1 % of white


def test_every_format_of_ffmpeg_is_read_or_refused() -> None:
    tested = {n for table in (YUV_FORMATS, GRAY_FORMATS, FLOAT_FORMATS, RGB_FORMATS) for n in table}
    encoders = (c for c in map(open_codec, sorted(av.codecs_available)) if c is not None)
    names = {f.name for codec in encoders for f in codec.video_formats or ()}
    names |= {pix_fmt for name in tested for pix_fmt in orders(name)}
    assert len(names) > 150
    for name in sorted(names):
        frame_format = av.VideoFormat(name)
        if not frame_format.components:  # of a graphics card
            continue
        assert is_known(frame_format) != bool(_NOT_READ.fullmatch(name))
        if is_known(frame_format):
            frame = av.VideoFrame(WIDTH, HEIGHT, name)
            is_full = is_rgb_like(frame_format) or name.startswith(("gray", "ya"))
            coding = Coding(1, is_full, code_depth(frame_format))
            assert extract_luma(frame, coding).shape == (HEIGHT, WIDTH)
            assert extract_rgb(frame, coding).shape == (HEIGHT, WIDTH, 3)


def open_codec(name: str) -> av.Codec | None:
    try:
        codec = av.Codec(name, "w")
    except ValueError:
        return None
    return codec if codec.type == "video" else None


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "name"),
    [
        ("gbrpf32le", "rawvideo", "film.nut"),
        ("gbrpf32le", "exr", "film.mov"),
        ("grayf32le", "exr", "film.mov"),
        ("gbrpf32le", "ffv1", "film.mkv"),
        ("gbrpf16le", "ffv1", "film.mkv"),
    ],
)
def test_a_film_of_floats_is_not_black(
    tmp_path: Path, options: ColorOptions, pix_fmt: str, codec: str, name: str
) -> None:
    dtype = np.float16 if "16" in pix_fmt else np.float32
    shots = shoot(3, depth=16, is_full_range=True)
    lumas = [(luma / np.float32(65535)).astype(dtype).astype(np.float32) for luma in shots]
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        settings = {"strict": "experimental", "level": "4"} if codec == "ffv1" else {}
        stream = output.add_stream(codec, rate=24, options=settings)
        height, width = lumas[0].shape
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for luma in lumas:
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane in frame.planes:
                rows = np.frombuffer(plane, dtype)
                rows = rows.reshape(-1, plane.line_size // rows.itemsize)
                rows[:height, :width] = luma
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    info = probe(path)
    assert any("floating point" in note for note in info.notes)
    coding = info.coding
    for frame, luma in zip(read_luma(info), lumas, strict=True):
        shown = (frame.luma.astype(float) - coding.luma_offset) / coding.luma_scale
        assert np.abs(shown - luma).max() < 2e-5
    report = colorize(path, options=options)
    assert any("floating point" in note for note in report.notes)


def test_raw_sensor_data_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.nut"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=24)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bayer_rggb8"
        output.mux(stream.encode(av.VideoFrame(16, 16, "bayer_rggb8")))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"bayer_rggb8, are a camera's raw data; develop them"):
        probe(path)


# ---------------------------------------------------------------- names

STRANGE_NAMES = [
    "Nosferatu: A Symphony of Horror.mp4",
    "concat:a.mp4",
    "pipe:1.mp4",
    "http:film.mp4",
    "file:a.mp4",
    "data:x,y.mp4",
    "subfile,,start,0,end,9,,:a.mp4",
    "-i.mp4",
    "50%.mp4",
    "reel_%03d.mp4",
    "a*b?[c].mp4",
    "a|b.mp4",
    " space and\nline.mp4",
    "émile 映画.mp4",
    "a.b.c.mp4",
    "x" * 240 + ".mp4",
]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_any_name_is_that_of_a_file(
    make_film: MakeFilm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: ColorOptions,
    name: str,
) -> None:
    source = make_film("film.mp4", lumas=shoot(3), sounds=[Sound()])
    monkeypatch.chdir(tmp_path)
    film = source.rename(name)
    assert list_films([film]).films == (Path(name),)
    report = colorize(name, options=options)  # a relative path
    assert report.output == Path(name[:-4] + ".color.mp4")
    target = tmp_path / "out" / (name[:200] + ".mkv")
    target.parent.mkdir()
    colorize(tmp_path / name, target, options=options)
    for output in (report.output, target):
        assert verify(name, output) == 3
    assert {path.name for path in tmp_path.iterdir()} == {name, report.output.name, "out"}
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert len(find_shots(name)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_a_name_that_is_no_text(make_film: MakeFilm, tmp_path: Path, options: ColorOptions) -> None:
    film = make_film("film.mp4", lumas=shoot(2)).rename(tmp_path / "\udcff\udcfe.mp4")
    report = colorize(film, options=options)
    assert verify(film, report.output) == 2


def test_an_animation_with_the_name_of_a_pattern_keeps_its_frames(tmp_path: Path) -> None:
    pictures = [Image.fromarray(luma) for luma in shoot(5, is_full_range=True)]
    path = tmp_path / "film%03d.png"
    pictures[0].save(path, format="PNG", save_all=True, append_images=pictures[1:])
    assert len(list(read_luma(probe(path)))) == 5


def test_a_folder_with_the_characters_of_a_pattern(make_film: MakeFilm, tmp_path: Path) -> None:
    folder = tmp_path / "reels [1920]"
    folder.mkdir()
    film = make_film().rename(folder / "a.mp4")
    assert list_films([folder / "*.mp4"]).films == (film,)


def test_the_partial_file_of_a_long_name_is_short_enough(tmp_path: Path) -> None:
    for length in (200, 246, 247, 255):
        partial_path(tmp_path / ("é" * (length // 2))).write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 3  # 246 and 247 bytes are one name


def test_a_file_whose_name_begins_with_a_dash(
    make_film: MakeFilm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    make_film().rename(tmp_path / "-film.mp4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["filmcolor", "probe", "-film.mp4"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "for the file '-film.mp4' write './-film.mp4'" in capfd.readouterr().err


@pytest.mark.parametrize(
    "address",
    ["http://host/film.mp4", "https://host/f.mp4?x=1&y=*", "rtsp://host/a", "s3://bucket/a.mp4"],
)
def test_addresses_are_refused_in_one_line(address: str) -> None:
    films = list_films([address]).films
    message = re.escape(f"{address} is an address; filmcolor reads files: download it first")
    with pytest.raises(InputError, match=message):
        probe(films[0])


def test_the_address_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the file's path, without 'file://'"):
        probe(f"file://{tmp_path}/film.mp4")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile http://127.0.0.1:9/a.mp4\n",
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    ],
)
def test_playlists_open_nothing_elsewhere(tmp_path: Path, text: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_text(text)
    with pytest.raises(InputError, match="is a playlist, and what it names is no file in its fold"):
        probe(path)


def test_a_playlist_of_files_beside_it_is_a_film(make_film: MakeFilm, tmp_path: Path) -> None:
    make_film("a.mp4")
    path = tmp_path / "film.txt"
    path.write_text("ffconcat version 1.0\nfile a.mp4\nfile a.mp4\n")
    assert len(list(read_luma(probe(path)))) == 24


# ---------------------------------------------------------------- encryption


def encrypt_mp4(source: Path, target: Path, **options: str) -> Path:
    """Copy a film with FFmpeg's Common Encryption."""
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, **options}
    key["encryption_kid"] = "11" * 16
    with av.open(str(source)) as film, av.open(str(target), "w", container_options=key) as output:
        copies = {s.index: output.add_stream_from_template(s) for s in film.streams}
        for packet in film.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
    return target


@pytest.mark.parametrize("options", [{}, {"movflags": "frag_keyframe+empty_moov"}])
@pytest.mark.parametrize("sounds", [(), (Sound(),)])
def test_common_encryption_is_refused(
    make_film: MakeFilm, tmp_path: Path, options: dict[str, str], sounds: Sequence[Sound]
) -> None:
    film = encrypt_mp4(make_film("clear.mp4", sounds=sounds), tmp_path / "film.mp4", **options)
    with pytest.raises(InputError, match=r"is encrypted \(Common Encryption, cenc\); decrypt it"):
        probe(film)
    probe(tmp_path / "clear.mp4")


def test_fairplay_is_refused(make_film: MakeFilm, tmp_path: Path) -> None:
    film = encrypt_mp4(make_film("clear.mp4"), tmp_path / "film.m4v")
    film.write_bytes(film.read_bytes().replace(b"encv", b"drmi"))
    with pytest.raises(InputError, match=r"is encrypted \(FairPlay\)"):
        probe(film)


def packets_of(data: bytearray, pid: int) -> list[int]:
    """Return where the packets of a stream begin in MPEG-TS."""
    starts = range(0, len(data), 188)
    return [n for n in starts if int.from_bytes(data[n + 1 : n + 3], "big") & 0x1FFF == pid]


@pytest.mark.parametrize("stream", [0, 1])
def test_scrambled_transport_streams_are_refused(make_film: MakeFilm, stream: int) -> None:
    film = make_film("film.ts", sounds=[Sound()])
    with av.open(str(film)) as container:
        pid = container.streams[stream].id
    data = bytearray(film.read_bytes())
    rng = np.random.default_rng(0)
    for start in packets_of(data, pid):
        data[start + 3] |= 0x80
        data[start + 16 : start + 188] = rng.bytes(172)
    film.write_bytes(data)
    with pytest.raises(InputError, match=rf"is encrypted \(scrambled MPEG-TS, PID {pid:#x}\)"):
        probe(film)


def test_other_scrambled_programmes_do_not_matter(make_film: MakeFilm) -> None:
    film = make_film("film.ts")
    other = bytearray(188 * 100)
    for start in range(0, len(other), 188):
        other[start : start + 4] = 0x47, 0x01, 0x23, 0x90
    film.write_bytes(film.read_bytes() + other)
    assert len(list(read_luma(probe(film)))) == 12


def test_aacs_is_refused(make_film: MakeFilm) -> None:
    film = make_film("film.ts")
    data = film.read_bytes()
    packets = b"".join(b"\0\0\0\0" + data[n : n + 188] for n in range(0, len(data), 188))
    clear = packets * (12 * 6144 // len(packets) + 1)
    content = bytearray(clear[: len(clear) - len(clear) % 6144])
    rng = np.random.default_rng(0)
    for start in range(0, len(content), 6144):  # AACS Blu-ray book, 3.10: the first 16 are clear
        content[start] |= 0xC0
        content[start + 16 : start + 6144] = rng.bytes(6128)
    film = film.with_suffix(".m2ts")
    film.write_bytes(clear)
    check_is_clear(film)
    film.write_bytes(content)
    with pytest.raises(InputError, match=r"is encrypted \(AACS of Blu-ray discs\)"):
        probe(film)


def test_css_is_refused(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film(
        "film.vob",
        lumas=shoot(12, (352, 288)),
        codec="mpeg2video",
        rate=Fraction(25),
        time_base=Fraction(1, 25),
    )
    probe(film)
    data = bytearray(film.read_bytes())
    for start in range(0, len(data) - 2047, 2048):
        pes = start + 14 + (data[start + 13] & 7)
        if data[pes + 3] == 0xE0:
            data[pes + 6] |= 0x10
    film.write_bytes(data)
    with pytest.raises(InputError, match=r"is encrypted \(CSS of DVDs\)"):
        probe(film)


def ebml(name: int, value: bytes) -> bytes:
    """Return an EBML element."""
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big")
        + struct.pack(">Q", 1 << 56 | len(value))
        + value
    )


@pytest.mark.parametrize("kind", ["encrypted", "compressed"])
def test_matroska_encryption_is_refused(tmp_path: Path, kind: str) -> None:
    encoding = ebml(0x5033, b"\1") + ebml(0x5035, ebml(0x47E1, b"\5"))
    if kind == "compressed":
        encoding = ebml(0x5034, ebml(0x4254, b"\3"))
    track = ebml(0xAE, ebml(0xD7, b"\1") + ebml(0x6D80, ebml(0x6240, encoding)))
    segment = ebml(0xEC, bytes(50)) + ebml(0x1654AE6B, track)
    path = tmp_path / "film.mkv"
    path.write_bytes(ebml(0x1A45DFA3, ebml(0x4282, b"matroska")) + ebml(0x18538067, segment))
    if kind == "compressed":
        check_is_clear(path)
        return
    with pytest.raises(InputError, match=r"is encrypted \(Matroska's encryption of tracks\)"):
        check_is_clear(path)


@pytest.mark.parametrize(
    ("head", "mark", "kind"),
    [
        ("3026b2758e66cf11a6d900aa0062ce6c", "fbb3112223bdd211b4b700a0c955fc6e", "Windows Media"),
        ("3026b2758e66cf11a6d900aa0062ce6c", "14e68a292226174cb935dae07ee9289c", "Windows Media"),
        ("060e2b34020501010d010201", "060e2b34020401010d010301027e0100", "MXF encryption"),
    ],
)
def test_encrypted_asf_and_mxf_are_refused(tmp_path: Path, head: str, mark: str, kind: str) -> None:
    path = tmp_path / "film"
    path.write_bytes(bytes.fromhex(head) + bytes(100))
    check_is_clear(path)
    path.write_bytes(bytes.fromhex(head) + bytes(100) + bytes.fromhex(mark) + bytes(100))
    with pytest.raises(InputError, match=rf"is encrypted \({kind}"):
        check_is_clear(path)


# ---------------------------------------------------------------- wrong headers


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("18", Fraction(18)),
        (16.5, Fraction(33, 2)),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        ("23.98", Fraction(24000, 1001)),
    ],
)
def test_rates_are_exact(text: str | float, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-18", "x", "", "1/0", "1e9", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"is no frame rate; write 18, 16.5 or 24000/1001"):
        SourceOptions(rate=text)


@pytest.mark.parametrize("name", ["film.mp4", "film.avi", "film.h264", "film.ts", "film.mov"])
@pytest.mark.parametrize("rate", ["18", "16.5", "24000/1001"])
def test_rate_changes_the_clock_and_nothing_else(
    make_film: MakeFilm, options: ColorOptions, name: str, rate: str
) -> None:
    codec = {"film.avi": "mpeg4", "film.mov": "prores_ks"}.get(name, "libx264")
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    extra = {"time_base": Fraction(1, 24)} if name == "film.avi" else {}
    film = make_film(name, lumas=shoot(9), codec=codec, pix_fmt=pix_fmt, **extra)
    source = SourceOptions(rate=rate)
    report = colorize(film, film.with_name("out.mov"), options=replace(options, source=source))
    exact = parse_rate(rate)
    times = media.seconds(report.output)
    assert [time - times[0] for time in times] == [n / exact for n in range(9)]
    assert len(media.lumas(film)) == 9
    assert verify(film, report.output, source_options=source) == 9
    with pytest.raises(VerifyError, match="is shown at"):
        verify(film, report.output)
    assert probe(report.output).frame_rate == exact


def test_chapters_stay_at_their_pictures(make_film: MakeFilm) -> None:
    film = make_film(lumas=shoot(24), chapters=[(0, 500, "one"), (500, 1000, "two")])
    info = SourceOptions(rate=12).apply(probe(film))
    assert [(c.start, c.end) for c in info.chapters] == [(0, 1), (1, 2)]
    assert info.duration_seconds == 2


def test_sound_with_another_rate_is_the_users_choice(
    make_film: MakeFilm, tmp_path: Path, options: ColorOptions
) -> None:
    film = make_film(lumas=shoot(24), sounds=[Sound()])
    with pytest.raises(SettingsError, match=r"in step with its stream 1 \(audio, aac.*rate-audio"):
        colorize(film, options=replace(options, source=SourceOptions(rate=18)))
    sent = media.packets(film, "audio")
    for choice, fate, kept in (("keep", "no longer in step", sent), ("drop", "left out", [])):
        source = SourceOptions(rate=18, rate_audio=choice)
        output = tmp_path / f"{choice}.mp4"
        report = colorize(film, output, options=replace(options, source=source))
        assert any(fate in note for note in report.notes)
        assert verify(film, output, source_options=source) == 24
        copies = media.packets(output, "audio") if media.streams(output, "audio") else []
        assert [p.data for p in copies] == [p.data for p in kept]
        if kept:
            assert [p.seconds for p in copies] == [p.seconds for p in kept]


def test_the_films_own_rate_changes_nothing(make_film: MakeFilm) -> None:
    info = probe(make_film(sounds=[Sound()]))
    assert SourceOptions(rate="24").apply(info) == info


def test_sound_without_a_rate_is_wrong_usage() -> None:
    with pytest.raises(SettingsError, match="--rate-audio is of a film with another --rate"):
        SourceOptions(rate_audio="drop")


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("scan", ["", "tff", "bff"])
def test_field_order_overrules_the_mark(
    make_film: MakeFilm, options: ColorOptions, order: str, scan: str
) -> None:
    film = make_film("film.mov", codec="prores_ks", pix_fmt="yuv422p10le", scan=scan)
    source = SourceOptions(field_order=order)
    output = film.with_name("out.mov")
    report = colorize(
        film, output, options=replace(options, source=source), encoding=Encoding("edit")
    )
    assert media.first_fields(output) == [order] * 12
    told = [note for note in report.notes if note.startswith(f"field order {order}, as chosen")]
    assert len(told) == (scan != order)
    assert verify(film, output, source_options=source) == 12


def test_progressive_overrules_marks_of_frames(make_film: MakeFilm, options: ColorOptions) -> None:
    film = make_film("film.mov", codec="prores_ks", pix_fmt="yuv422p10le", scan="tff")
    source = SourceOptions(field_order="progressive")
    info = source.apply(probe(film))
    with open_film(film) as container:
        frame = next(container.decode(video=0))
    assert frame.interlaced_frame and not is_interlaced(frame, info)
    output = film.with_name("out.mov")
    colorize(film, output, options=replace(options, source=source), encoding=Encoding("edit"))
    assert media.first_fields(output) == [""] * 12


def test_other_headers_do_not_resume(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("filmcolor.segments.segment._SECONDS", Fraction(4, 24))
    film, output = make_film(lumas=shoot(12), options={"g": "4"}), tmp_path / "out.mp4"

    def stop(done: int, _: int | None) -> None:
        if done == 6:
            raise KeyboardInterrupt

    slow = replace(options, source=SourceOptions(rate=18, field_order="tff"))
    with pytest.raises(KeyboardInterrupt):
        colorize(film, output, options=slow, progress=stop)
    with pytest.raises(OutputError, match=r"with rate 18 \(now \), field-order tff \(now \)"):
        colorize(film, output, options=options)
    colorize(film, output, options=slow)
    assert verify(film, output, source_options=slow.source) == 12


@pytest.mark.parametrize("command", ["run", "preview", "shots", "probe", "verify"])
def test_every_command_of_a_film_takes_its_rate(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["filmcolor", command, "--help"])
    with pytest.raises(SystemExit):
        main()
    text = capfd.readouterr().out
    assert all(name in text for name in ("--rate R", "--rate-audio", "--field-order"))


# ---------------------------------------------------------------- pictures


def save_picture(path: Path, **options: Any) -> Path:
    luma = cv2.resize(shoot(1, is_full_range=True)[0], (96, 64))
    Image.fromarray(luma).convert("RGB").save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".jp2", ".avif"])
def test_pictures_given_to_run_point_to_photo(
    tmp_path: Path, options: ColorOptions, suffix: str
) -> None:
    path = save_picture(tmp_path / f"photo{suffix}")
    with pytest.raises(InputError, match="is a picture, not a film; `filmcolor photo` colours pic"):
        colorize(path, options=options)
    with pytest.raises(InputError, match="is a picture, not a film"):
        plan_output(probe(path), None, Encoding())


def test_one_image_of_a_sequence_points_to_the_sequence(
    tmp_path: Path, options: ColorOptions
) -> None:
    folder = images.write_images(tmp_path / "scan")
    with pytest.raises(InputError, match=r"and '.*reel_%06d.dpx' is the film that it is from"):
        colorize(folder / "reel_000003.dpx", options=options)


def test_a_picture_that_ffmpeg_does_not_read_points_to_photo(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(InputError, match="is a picture, not a film"):
        probe(path)


def test_a_photo_may_be_avif(tmp_path: Path, options: ColorOptions) -> None:
    path = save_picture(tmp_path / "photo.avif", quality=100)
    result = colorize_photo(path, options=options)
    assert result == tmp_path / "photo.color.png"
    with Image.open(result) as colored, Image.open(path) as original:
        luma, expected = (
            np.asarray(i, float) @ (0.2126, 0.7152, 0.0722) for i in (colored, original)
        )
    middle = (expected > 60) & (expected < 190)  # colours are within the gamut
    assert np.abs(luma - expected)[middle].max() <= 1.5


def test_heic_without_its_reader_is_one_line(
    tmp_path: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r"reader is missing; .*pip install 'filmcolor\[heic\]'"):
        colorize_photo(path, options=options)


@pytest.mark.parametrize("depth", [8, 10])
def test_heic_is_read_by_its_plugin(
    tmp_path: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    codes = ramp(depth)[..., None].repeat(3, axis=2)

    class Heif:
        """What pillow_heif.open_heif returns: 10 bits are in the upper bits of 16."""

        def __init__(self) -> None:
            self.info = {"bit_depth": depth}

        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            return codes if depth == 8 else codes << 6

        def to_pillow(self) -> Image.Image:
            return Image.fromarray(codes)

    plugin = SimpleNamespace(open_heif=lambda path, convert_hdr_to_8bit: Heif())
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    path = tmp_path / "photo.heic"
    path.write_bytes(b"heic")
    result = colorize_photo(path, options=options)
    assert result == tmp_path / "photo.color.png"
    colored = cv2.imread(str(result), cv2.IMREAD_UNCHANGED)
    peak = 255 if depth == 8 else 65535
    luma = colored.astype(float) @ (0.0722, 0.7152, 0.2126) / peak
    middle = (codes[..., 0] > 0.2 * ((1 << depth) - 1)) & (codes[..., 0] < 0.8 * ((1 << depth) - 1))
    assert np.abs(luma - codes[..., 0] / ((1 << depth) - 1))[middle].max() < 0.01


@pytest.mark.parametrize("kind", ["DPX 10", "PAM"])
def test_a_photo_may_be_one_image_of_a_film(
    tmp_path: Path, options: ColorOptions, kind: str
) -> None:
    folder = images.write_images(tmp_path, kind, [1])
    path = next(folder.iterdir())
    result = colorize_photo(path, options=options)
    colored = cv2.imread(str(result), cv2.IMREAD_UNCHANGED)
    assert (colored.dtype, result.suffix) == (np.uint16, ".png")
    depth = images.KINDS[kind].depth
    luma = colored.astype(float) @ (0.0722, 0.7152, 0.2126) / 65535
    expected = images.grey(1, depth) / ((1 << depth) - 1)
    middle = (expected > 0.2) & (expected < 0.8)
    assert np.abs(luma - expected)[middle].max() < 0.01


def test_a_film_given_to_photo_points_back(make_film: MakeFilm, options: ColorOptions) -> None:
    film = make_film("film.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    with pytest.raises(InputError, match="is not a picture; give a JPEG, PNG or TIFF"):
        colorize_photo(film, options=options)
    assert filmcolor.probe(film).is_still is False
