"""Decoding: planes are exact, numbered and timed, wherever reading begins."""

import gc
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import Film, shoot

from filmcolor.errors import InputError, RangeError
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.types.frames import RgbFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_luma, read_rgb, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.pixel_formats import copy_plane, extract_luma, extract_rgb
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
NUM_FRAMES = 40
LIMITED_601 = Coding(6, False, 8)


def assert_reads(info: FilmInfo, first: int, stop: int | None, shown: list[media.Shown]) -> None:
    frames = list(read_luma(info, first, stop))
    expected = shown[first:stop]
    assert [f.number for f in frames] == list(range(first, first + len(expected)))
    for frame, original in zip(frames, expected, strict=True):
        assert np.array_equal(frame.luma, original.luma)
        assert frame.pts * info.time_base == original.seconds


@pytest.fixture(scope="module", params=["b-frames.mp4", "open-gop.mkv", "late.mkv", "mpeg4.avi"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film to read from its middle: several keyframes, reordered frames."""
    kinds = {
        "b-frames.mp4": {"options": {"g": "12", "bf": "3"}},
        "open-gop.mkv": {
            "options": {"g": "8", "bf": "3", "x264-params": "open-gop=1"},
            "time_base": Fraction(1, 1000),
        },
        "late.mkv": {
            "start": Fraction(7, 2),
            "time_base": Fraction(1, 1000),
            "options": {"g": "9"},
        },
        "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "10"}, "time_base": Fraction(1, 24)},
    }
    path = tmp_path_factory.mktemp("films") / request.param
    return media.make(path, Film(shoot(NUM_FRAMES), **kinds[request.param]))


@pytest.fixture(scope="module")
def shown(film: Path) -> list[media.Shown]:
    return media.frames(film)


def test_the_whole_film(film: Path, shown: list[media.Shown]) -> None:
    assert_reads(probe(film), 0, None, shown)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, NUM_FRAMES - 1), st.integers(1, NUM_FRAMES))
def test_any_part_is_the_same_frames(
    film: Path, shown: list[media.Shown], first: int, length: int
) -> None:
    assert_reads(probe(film), first, min(NUM_FRAMES, first + length), shown)


def test_the_index_has_every_time(film: Path, shown: list[media.Shown]) -> None:
    info = probe(film)
    index = FrameIndex.read(info)
    assert [p * info.time_base for p in index.pts] == [s.seconds for s in shown]
    assert index.number_of(index.pts[7]) == 7
    assert index.number_of(index.pts[-1] + 1) is None


def test_uneven_times_are_variable_frame_rate(make_film: MakeFilm) -> None:
    uneven = [0, 1000, 2000, 2500, 7000, 7100, 8000, 9000, 10000, 11000, 12000, 13000]
    assert FrameIndex.read(probe(make_film("vfr.mp4", pts=uneven))).is_vfr
    assert not FrameIndex.read(probe(make_film("cfr.mp4"))).is_vfr


@pytest.mark.parametrize(
    ("time_range", "first", "stop"),
    [
        (TimeRange(first=3, stop=9), 3, 9),
        (TimeRange(first=3), 3, 12),
        (TimeRange(stop=9), 0, 9),
        (TimeRange(first=3, stop=900), 3, 12),
        (TimeRange(start_seconds=Fraction(1, 4)), 6, 12),
        (TimeRange(end_seconds=Fraction(1, 4)), 0, 6),  # half-open: the frame at 0.25 s is out
        (TimeRange(Fraction(1, 4) + Fraction(1, 1000), Fraction(3, 8)), 7, 9),
    ],
)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(5, 2)])
def test_a_range_counts_from_the_first_frame(
    make_film: MakeFilm, time_range: TimeRange, first: int, stop: int, start: Fraction
) -> None:
    info = probe(make_film(start=start))
    part = resolve(info, time_range)
    assert (part.first, part.stop) == (first, stop)
    assert part.offset == start + Fraction(first, 24)
    assert part.end == (None if stop == 12 else start + Fraction(stop, 24))


@pytest.mark.parametrize(
    "time_range",
    [TimeRange(first=12), TimeRange(Fraction(1)), TimeRange(Fraction(1, 100), Fraction(1, 50))],
)
def test_a_range_without_a_frame_is_an_error_that_names_the_frames(
    make_film: MakeFilm, time_range: TimeRange
) -> None:
    with pytest.raises(RangeError, match=r"which has frames 0 to 11 over 0\.458 s"):
        resolve(probe(make_film()), time_range)


def test_a_film_that_changes_its_size_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "film.ts"
    parts = [
        media.make(
            tmp_path / f"{n}.ts", Film(shoot(5, size), start=Fraction(n), options={"bf": "0"})
        )
        for n, size in enumerate([(96, 64), (64, 48)])
    ]
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    info = probe(path)
    with pytest.raises(InputError, match=r"frame 5 is 64×48 .*began as 96×64.*split it there"):
        list(read_luma(info))


def test_a_truncated_film_keeps_its_frames(make_film: MakeFilm) -> None:
    film = make_film("film.mkv", lumas=shoot(24), options={"bf": "0", "g": "1"})
    whole = media.frames(film)
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 4])
    frames = list(read_luma(probe(film)))
    assert 4 < len(frames) < 24
    for frame, original in zip(frames[:-1], whole):
        assert np.array_equal(frame.luma, original.luma)


# ---------------------------------------------------------------- pixel formats

RAMP = np.tile(np.arange(16, 236, 2, dtype=np.uint8), (8, 1))[:, :96]


def from_yuv444(pix_fmt: str) -> av.VideoFrame:
    neutral = np.full_like(RAMP, 128)
    frame = av.VideoFrame.from_ndarray(np.stack([RAMP, neutral, neutral]), "yuv444p")
    return frame.reformat(format=pix_fmt)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuyv422", "uyvy422"])
def test_luma_of_8_bit_formats_is_the_plane_itself(pix_fmt: str) -> None:
    assert np.array_equal(extract_luma(from_yuv444(pix_fmt), LIMITED_601), RAMP)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10be", "p010le", "gray10le"])
def test_luma_of_10_bit_formats_is_in_code_values(pix_fmt: str) -> None:
    values = (np.arange(96, dtype=np.uint16) * 8 + 64)[None].repeat(8, 0)
    frame = av.VideoFrame(96, 8, "gray10le")
    rows = np.frombuffer(frame.planes[0], np.uint8).reshape(8, -1)
    rows[:, :192] = values.view(np.uint8)
    if pix_fmt == "gray10le":
        assert np.array_equal(extract_luma(frame, Coding(6, True, 10)), values)
        return
    source = av.VideoFrame(96, 8, "yuv444p10le")
    for number, plane in enumerate(source.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(8, -1)
        rows[:, :192] = (values if number == 0 else np.full_like(values, 512)).view(np.uint8)
    assert np.array_equal(
        extract_luma(source.reformat(format=pix_fmt), Coding(6, False, 10)), values
    )


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr24", "gbrp", "rgba", "bgr0"])
def test_luma_of_rgb_follows_the_matrix(pix_fmt: str) -> None:
    rgb = np.zeros((8, 96, 3), np.uint8)
    rgb[:, :32, 0], rgb[:, 32:64, 1], rgb[:, 64:, 2] = 255, 255, 255
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
    luma = extract_luma(frame, LIMITED_601)
    # ITU-R BT.601-7: 16 + 219 * (0.299, 0.587, 0.114)
    assert [int(luma[0, x]) for x in (5, 40, 80)] == [81, 145, 41]


# ---------------------------------------------------------------- colour

LUMA_WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}  # ITU-T H.273: (Kr, Kb)
PATCHES = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 140, 90]], np.uint8
)
TRUTH = np.repeat(np.tile(PATCHES, (8, 1, 1)), 16, axis=1)  # (8, 96, 3), patches 16 wide
SUBSAMPLINGS = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1)}


def coded(rgb: np.ndarray, pix_fmt: str, coding: Coding) -> list[np.ndarray]:
    """Return the Y', Cb and Cr planes of R'G'B' by ITU-R BT.601-7, item 2.5."""
    kr, kb = LUMA_WEIGHTS[coding.matrix]
    red, green, blue = (rgb[..., c] / 255.0 for c in range(3))
    luma = kr * red + (1.0 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2.0 - 2.0 * kb), (red - luma) / (2.0 - 2.0 * kr)
    unit = 1 << (coding.bit_depth - 8)
    peak = 256 * unit - 1
    scales = (peak, peak) if coding.is_full_range else (219 * unit, 224 * unit)
    black = 0 if coding.is_full_range else 16 * unit
    columns, rows = SUBSAMPLINGS[pix_fmt[3:6]]
    planes = [luma * scales[0] + black]
    planes += [(c * scales[1] + 128 * unit)[::rows, ::columns] for c in chroma]
    dtype = np.uint8 if unit == 1 else np.uint16
    return [np.rint(p).clip(0, peak).astype(dtype) for p in planes]


def assert_shows(rgb: np.ndarray, truth: np.ndarray, tolerance: int) -> None:
    """Compare inside the patches; between them the chroma is a blend."""
    inside = np.arange(96) % 16 // 4 % 3 != 0  # columns 4 to 11 of each 16
    assert (rgb.dtype, rgb.shape) == (np.uint8, truth.shape)
    difference = np.abs(rgb.astype(int) - truth.astype(int))
    assert difference[:, inside].max() <= tolerance


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize(
    ("pix_fmt", "depth"),
    [
        ("yuv420p", 8),
        ("yuv422p", 8),
        ("yuv444p", 8),
        ("yuv440p", 8),
        ("yuv411p", 8),
        ("yuva420p", 8),
        ("yuv420p10le", 10),
        ("yuv444p12le", 12),
    ],
)
def test_colour_follows_range_matrix_and_depth(
    matrix: int, is_full_range: bool, pix_fmt: str, depth: int
) -> None:
    coding = Coding(matrix, is_full_range, depth)
    planes = coded(TRUTH, pix_fmt.replace("yuva", "yuv"), coding)
    assert_shows(
        extract_rgb(media.picture(pix_fmt, *planes), coding), TRUTH, 3 if depth == 8 else 1
    )


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize(
    ("planar", "pix_fmt", "depth"),
    [
        ("yuv420p", "nv12", 8),
        ("yuv420p", "nv21", 8),
        ("yuv422p", "yuyv422", 8),
        ("yuv422p", "uyvy422", 8),
        ("yuv420p10le", "p010le", 10),
        ("yuv422p10le", "yuv422p10be", 10),
    ],
)
def test_colour_is_the_same_however_the_samples_are_packed(
    planar: str, pix_fmt: str, depth: int, is_full_range: bool
) -> None:
    coding = Coding(1, is_full_range, depth)
    frame = media.picture(planar, *coded(TRUTH, planar, coding))
    frame.color_range = media.JPEG_RANGE if is_full_range else media.MPEG_RANGE
    packed = frame.reformat(format=pix_fmt)
    assert np.array_equal(extract_rgb(packed, coding), extract_rgb(frame, coding))


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr24", "gbrp", "rgba", "bgr0", "gbrp10le"])
def test_colour_of_rgb_is_its_own(pix_fmt: str) -> None:
    frame = av.VideoFrame.from_ndarray(TRUTH, "rgb24").reformat(format=pix_fmt)
    depth = 10 if "10" in pix_fmt else 8
    assert_shows(extract_rgb(frame, Coding(6, False, depth)), TRUTH, 1 if depth == 10 else 0)


def test_a_film_without_chroma_is_grey() -> None:
    frame = av.VideoFrame.from_ndarray(RAMP, "gray")
    rgb = extract_rgb(frame, Coding(6, True, 8))
    assert all(np.array_equal(rgb[..., c], RAMP) for c in range(3))


@pytest.mark.parametrize(("first", "stop"), [(0, None), (5, 9), (11, 12)])
@pytest.mark.parametrize("name", ["film.mkv", "film.avi"])
def test_frames_in_colour_have_the_numbers_and_times_of_their_luma(
    make_film: MakeFilm, name: str, first: int, stop: int | None
) -> None:
    coding = Coding(1, False, 8)
    patches = [np.roll(TRUTH, 16 * number, axis=1) for number in range(12)]
    planes = [coded(rgb, "yuv444p", coding) for rgb in patches]
    film = make_film(
        name,
        lumas=[p[0] for p in planes],
        chromas=[(p[1], p[2]) for p in planes],
        codec="ffv1",
        pix_fmt="yuv444p",
        time_base=Fraction(1, 24),
        color={"colorspace": 1},
    )
    info = replace(probe(film), coding=coding)  # AVI stores no matrix
    frames = list(read_rgb(info, first, stop))
    lumas = list(read_luma(info, first, stop))
    assert [(f.number, f.pts) for f in frames] == [(f.number, f.pts) for f in lumas]
    assert [f.number for f in frames] == list(range(first, stop or 12))
    for frame in frames:
        assert np.abs(frame.rgb.astype(int) - patches[frame.number]).max() <= 3


@pytest.mark.parametrize("wrong", [TRUTH[..., 0], TRUTH[..., :2], TRUTH.astype(np.uint16)])
def test_a_frame_in_colour_is_8_bit_rgb(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"rgb must be uint8 \(H, W, 3\)"):
        RgbFrame(0, wrong, wrong[..., 0], 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(48, 64), (2160, 3840)])
def test_copies_are_equal_and_share_no_memory(dtype: type, shape: tuple[int, int]) -> None:
    whole = np.random.default_rng(0).integers(0, 250, (shape[0], shape[1] + 8), dtype)
    view = whole[:, : shape[1]]
    copy = copy_plane(view)
    np.testing.assert_array_equal(copy, view)
    assert copy.dtype == dtype and copy.flags.c_contiguous
    assert not np.shares_memory(copy, whole)


def test_frames_are_freed_without_garbage_collection(make_film: Callable[..., Path]) -> None:
    """The command line collects garbage seldom: frames in reference cycles would fill memory."""
    info = probe(make_film("film.mkv", lumas=shoot(60)))
    gc.collect()
    gc.disable()
    try:
        most = max(sum(type(o) is av.VideoFrame for o in gc.get_objects()) for _ in read_luma(info))
    finally:
        gc.enable()
    assert most < 20  # those in the decoder's threads
