"""Interlaced films: marks and field order are kept, each field has its own chroma, bwdif."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import media
import numpy as np
import pytest
from media import shoot
from test_zoo import ZOO

from filmcolor.color.chroma import ChromaPlan, add_chroma, chroma_planes
from filmcolor.errors import VerifyError
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.contact_sheet import contact_sheet
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import AbFrame, LumaFrame
from filmcolor.types.yuv import SUBSAMPLING_420, Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.interlacing import detect_field_order
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
MASTER = Encoding(purpose="master")
MILLISECOND = Fraction(1, 1000)
ENCODINGS = {
    "h264.mp4": Encoding(codec="libx264", preset="ultrafast"),
    "h264.mkv": Encoding(codec="libx264", preset="ultrafast"),
    "h264.mov": Encoding(codec="libx264", preset="medium"),
    "prores.mov": Encoding(purpose="edit"),
    "ffv1.mkv": MASTER,
    "ffv1.mp4": MASTER,
}
# codecs without marks on frames: only the container stores the field order
UNMARKED = {
    "hevc.mkv": Encoding(codec="libx265", preset="ultrafast"),
    "av1.mkv": Encoding(codec="libsvtav1", preset="12"),
}


def woven(num_frames: int, *, depth: int = 8, seed: int = 0) -> list[np.ndarray]:
    """Return frames of two moments each: moving edges are combed."""
    moments = shoot(2 * num_frames, depth=depth, seed=seed)
    frames = []
    for top, bottom in zip(moments[::2], moments[1::2]):
        frame = top.copy()
        frame[1::2] = bottom[1::2]
        frames.append(frame)
    return frames


# ---------------------------------------------------------------- marks


@pytest.mark.slow
@pytest.mark.parametrize("scan", ["tff", "bff"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_field_order_is_in_the_output(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str, scan: str
) -> None:
    film = make_film("film.mkv", codec="ffv1", scan=scan, time_base=MILLISECOND)
    output = tmp_path / name
    colorize(film, output, options=options, encoding=ENCODINGS[name])
    assert media.first_fields(output) == [scan] * 12
    assert verify(film, output) == 12
    if name not in ("h264.mp4", "h264.mov"):  # for these FFmpeg always reports top first
        assert media.field_order(output) == media.FIELD_ORDERS[scan]


@pytest.mark.parametrize("scan", ["tff", "bff"])
@pytest.mark.parametrize("name", UNMARKED)
def test_field_order_is_in_the_container_if_frames_have_no_mark(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str, scan: str
) -> None:
    film = make_film("film.mkv", codec="ffv1", scan=scan, time_base=MILLISECOND)
    output = tmp_path / name
    colorize(film, output, options=options, encoding=UNMARKED[name])
    assert media.field_order(output) == media.FIELD_ORDERS[scan]
    assert probe(output).is_interlaced


@pytest.mark.parametrize("name", ENCODINGS)
def test_progressive_stays_progressive(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str
) -> None:
    film, output = make_film(), tmp_path / name
    colorize(film, output, options=options, encoding=ENCODINGS[name])
    assert media.first_fields(output) == [""] * 12
    assert media.field_order(output) in (0, 1)


def test_fields_of_an_odd_number_of_block_rows(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    """libx264 codes fields of whole chroma rows only: 486 rows are padded to 488, by fields."""
    film = make_film("film.mkv", shoot_of((96, 54)), codec="ffv1", scan="bff")
    output = tmp_path / "out.mkv"
    colorize(film, output, options=options, encoding=ENCODINGS["h264.mkv"])
    assert media.picture_context(output)["size"] == (96, 56)
    assert media.first_fields(output) == ["bff"] * 4
    luma = next(read_luma(probe(output))).luma.astype(int)
    assert abs(luma[54] - luma[52]).mean() < abs(luma[54] - luma[53]).mean()
    assert verify(film, output) == 4


@pytest.mark.parametrize("name", ["h264.mkv", "prores.mov"])
def test_all_frames_have_one_order_if_all_are_marked(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str
) -> None:
    """The first frames are progressive; the missing mark must not reverse the order."""
    film = ZOO["hard-telecine.mkv"]
    source = film.make(tmp_path / "film.mkv", film.film)
    assert set(media.first_fields(source)) == {"", "tff"}
    output = tmp_path / name
    colorize(source, output, options=options, encoding=ENCODINGS[name])
    assert set(media.first_fields(output)) == {"tff"}


def shoot_of(size: tuple[int, int]) -> media.Film:
    return media.Film(shoot(4, size), time_base=MILLISECOND)


def test_the_frame_is_believed_before_the_header() -> None:
    progressive = av.VideoFrame(16, 16, "yuv420p")
    progressive.time_base = Fraction(1, 25)
    bottom = media.scanned(progressive, "bff")
    assert detect_field_order(0, [progressive]) == 0
    assert detect_field_order(2, [progressive]) == 2
    assert detect_field_order(2, [bottom]) == 3
    assert detect_field_order(1, [progressive, bottom]) == 3
    # interleaved, top field shown first; interleaved, bottom field shown first
    assert detect_field_order(4, [progressive]) == 2
    assert detect_field_order(5, [progressive]) == 3
    assert detect_field_order(5, [media.scanned(progressive, "tff")]) == 2


def test_the_container_is_believed_if_frames_have_no_mark(make_film: MakeFilm) -> None:
    film = make_film("film.mov", codec="v210", pix_fmt="yuv422p10le", lumas=shoot(2, depth=10))
    info = probe(film)
    assert not info.is_interlaced
    tagged = replace(info, is_interlaced=True, field_order=2)
    assert [f.is_interlaced for f in read_luma(info)] == [False, False]
    assert [f.is_interlaced for f in read_luma(tagged)] == [True, True]


# ---------------------------------------------------------------- chroma of fields


@pytest.mark.parametrize("height", [64, 62, 63, 65])
@pytest.mark.parametrize("depth", [8, 10])
def test_each_field_has_its_own_chroma(height: int, depth: int) -> None:
    coding = Coding(1, False, depth)
    (luma,) = shoot(1, (96, height), depth=depth)
    luma[1::2] = shoot(1, (96, height), depth=depth, seed=1)[0][1::2]
    guide = np.full((16, 24), 128, np.uint8)
    guide[:, 12:] = 60
    ab = np.random.default_rng(0).normal(0, 20, (16, 24, 2)).astype(np.float32)
    plan = ChromaPlan(coding, coding, SUBSAMPLING_420)
    frame = AbFrame(LumaFrame(0, luma, 0, 1, is_interlaced=True), guide, False, ab)
    made = add_chroma(frame, plan)
    assert made.is_interlaced
    assert made.cb.shape == (-(-height // 2), 48)
    for parity in range(2):
        field = np.ascontiguousarray(luma[parity::2])
        for plane, woven_plane in zip(
            chroma_planes(field, guide, ab, coding, SUBSAMPLING_420), (made.cb, made.cr)
        ):
            rows = woven_plane[parity::2]
            assert np.array_equal(rows, plane[: len(rows)])


def test_colour_follows_an_edge_that_moves_between_the_fields() -> None:
    """An object is 8 pixels further in the bottom field: so is its colour, without combing."""
    coding = Coding(1, False, 8)
    luma = np.full((64, 96), 60, np.uint8)
    luma[0::2, 44:] = 180
    luma[1::2, 52:] = 180
    guide = np.full((16, 24), 51, np.uint8)
    guide[:, 11:13], guide[:, 13:] = 121, 191
    ab = np.zeros((16, 24, 2), np.float32)
    ab[:, :11, 1], ab[:, 13:, 1] = -30.0, 30.0
    plan = ChromaPlan(coding, coding, SUBSAMPLING_420)
    frame = AbFrame(LumaFrame(0, luma, 0, 1, is_interlaced=True), guide, False, ab)
    cb = add_chroma(frame, plan).cb.astype(float)
    dark, bright = cb[:, :12].mean(), cb[:, 36:].mean()
    moved = slice(23, 25)  # chroma columns of the object in one field, the background in the other
    top, bottom = (cb[parity::2, moved].mean() for parity in range(2))
    assert abs(top - bright) < 0.25 * abs(dark - bright)
    assert abs(bottom - dark) < 0.25 * abs(dark - bright)
    plain = replace(frame, source=replace(frame.source, is_interlaced=False))
    blended = add_chroma(plain, plan).cb.astype(float)[:, moved]
    assert (
        abs(blended[0::2].mean() - blended[1::2].mean()) < 2.0
    )  # a frame without fields cannot separate them


# ---------------------------------------------------------------- bwdif


def by_bwdif(path: Path, scan: str) -> list[np.ndarray]:
    """Return the luma of bwdif on the film's own frames, from PyAV alone."""
    with av.open(str(path)) as film:
        graph: Any = av.filter.Graph()
        stream = film.streams.video[0]
        source = graph.add_buffer(template=stream, time_base=stream.time_base)
        bwdif = graph.add("bwdif", f"mode=send_frame:parity={scan}:deint=all")
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
        for frame in film.decode(stream):
            graph.push(frame)
        graph.push(None)
        lumas = []
        while True:
            try:
                lumas.append(media._planes(graph.pull())[0])
            except (BlockingIOError, EOFError):
                return lumas


@pytest.mark.parametrize(("pix_fmt", "depth"), [("yuv420p", 8), ("yuv420p10le", 10)])
@pytest.mark.parametrize("scan", ["tff", "bff"])
def test_deinterlaced_luma_equals_the_filters(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, scan: str, pix_fmt: str, depth: int
) -> None:
    lumas = woven(8, depth=depth)
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", pix_fmt=pix_fmt, scan=scan)
    output = tmp_path / "out.mkv"
    report = colorize(film, output, options=replace(options, deinterlace=True), encoding=MASTER)
    assert any("deinterlaced by bwdif" in note for note in report.notes)
    assert media.seconds(output) == media.seconds(film)
    assert media.first_fields(output) == [""] * 8
    assert media.field_order(output) == 1
    expected = by_bwdif(film, scan)
    for ours, theirs, woven_luma in zip(media.lumas(output), expected, lumas, strict=True):
        assert np.array_equal(ours, theirs)
        assert not np.array_equal(ours, woven_luma)


def test_parts_of_a_deinterlaced_film_are_the_whole(
    make_film: MakeFilm, options: ColorOptions
) -> None:
    film = make_film("film.mkv", lumas=woven(12), codec="ffv1", scan="tff", options={"g": "1"})
    info = replace(probe(film), is_deinterlaced=True)
    index = FrameIndex.read(info)
    whole = list(read_luma(info, index=index))
    assert [frame.number for frame in whole] == list(range(12))
    for first, stop in ((0, 1), (0, 12), (3, 7), (5, 6), (11, 12), (8, None)):
        part = list(read_luma(info, first, stop, index))
        assert [f.number for f in part] == list(range(first, 12 if stop is None else stop))
        for frame in part:
            assert np.array_equal(frame.luma, whole[frame.number].luma)
            assert frame.pts == whole[frame.number].pts


def test_a_deinterlaced_part_and_sheet(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", lumas=woven(12), codec="ffv1", scan="tff")
    deinterlaced = replace(options, deinterlace=True)
    whole, part = tmp_path / "whole.mkv", tmp_path / "part.mkv"
    colorize(film, whole, options=deinterlaced, encoding=MASTER)
    colorize(
        film, part, options=deinterlaced, encoding=MASTER, time_range=TimeRange(first=4, stop=8)
    )
    for ours, theirs in zip(media.lumas(part), media.lumas(whole)[4:8], strict=True):
        assert np.array_equal(ours, theirs)
    assert contact_sheet(film, options=deinterlaced, num_frames=2).exists()


def test_a_deinterlaced_film_of_one_frame(make_film: MakeFilm) -> None:
    film = make_film("film.mkv", lumas=woven(1), codec="ffv1", scan="tff")
    (frame,) = read_luma(replace(probe(film), is_deinterlaced=True))
    assert not frame.is_interlaced


def test_progressive_frames_of_an_interlaced_film_stay_as_they_are(make_film: MakeFilm) -> None:
    film = make_film("film.mkv", lumas=woven(4), codec="ffv1")
    info = replace(probe(film), is_interlaced=True, field_order=2, is_deinterlaced=True)
    plain = list(read_luma(replace(info, is_deinterlaced=False)))
    for ours, theirs in zip(read_luma(info), plain, strict=True):
        assert np.array_equal(ours.luma, theirs.luma)
    unknown = replace(info, is_interlaced=False, field_order=0)
    for ours, theirs in zip(read_luma(unknown), plain, strict=True):  # the header may be wrong
        assert not np.array_equal(ours.luma, theirs.luma)


# ---------------------------------------------------------------- timecodes


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_a_timecode_that_does_not_fit_the_rate_is_left_out(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str
) -> None:
    """Drop-frame timecodes exist at 29.97 and 59.94 frames/s only; MP4's muxer refuses others."""
    film = make_film("film.mkv", tags={"timecode": "01:00:00;02"})
    output = tmp_path / name
    report = colorize(film, output, options=options, encoding=ENCODINGS["h264.mp4"])
    assert any("timecode 01:00:00;02 left out" in note for note in report.notes)
    assert len(media.seconds(output)) == 12


# ---------------------------------------------------------------- containers' orders

INTERLEAVED = {"tff": 4, "bff": 5}  # AV_FIELD_TB and _BT: 9 and 14 in Matroska and QuickTime
UNMARKED_SOURCES = {
    "cineform.mov": {"codec": "cfhd", "pix_fmt": "yuv422p10le", "depth": 10},
    "jpeg2000.mov": {"codec": "jpeg2000", "pix_fmt": "gray"},
    "jpeg2000.mkv": {"codec": "jpeg2000", "pix_fmt": "gray"},
    "png.mov": {"codec": "png", "pix_fmt": "gray", "is_full_range": True},
    "uncompressed.mov": {"codec": "rawvideo", "pix_fmt": "gray", "is_full_range": True},
    "vp9.mkv": {"codec": "libvpx-vp9"},
}


@pytest.mark.parametrize("scan", INTERLEAVED)
@pytest.mark.parametrize("name", UNMARKED_SOURCES)
def test_interleaved_fields_are_shown_in_their_order(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str, scan: str
) -> None:
    """Most of these decoders do not mark frames: the container alone states the order."""
    fields = dict(UNMARKED_SOURCES[name])
    shape = {key: fields.pop(key) for key in ("depth", "is_full_range") if key in fields}
    color = {"field_order": INTERLEAVED[scan]}
    film = make_film(name, lumas=shoot(2, **shape), color=color, time_base=MILLISECOND, **fields)
    assert media.first_fields(film)[0] in ("", scan)  # raw video repeats the container
    assert media.field_order(film) == INTERLEAVED[scan]
    info = probe(film)
    assert info.is_interlaced
    assert info.field_order == media.FIELD_ORDERS[scan]
    for output, encoding in (("out.mkv", Encoding("master")), ("out.mov", Encoding("edit"))):
        colorize(film, tmp_path / output, options=options, encoding=encoding)
        assert media.first_fields(tmp_path / output) == [scan] * 2
        assert verify(film, tmp_path / output) == 2


def test_verify_compares_the_order_in_which_fields_are_shown(make_film: MakeFilm) -> None:
    film = make_film("film.mkv", codec="jpeg2000", pix_fmt="gray", color={"field_order": 4})
    same = make_film("same.mkv", codec="ffv1", scan="tff")
    reversed_ = make_film("reversed.mkv", codec="ffv1", scan="bff")
    assert verify(film, same) == 12
    with pytest.raises(VerifyError, match=r"fields bottom first where .* has top first"):
        verify(film, reversed_)


@pytest.mark.parametrize("scan", ["tff", "bff"])
@pytest.mark.parametrize("codec", ["mpeg2video", "prores_ks"])
def test_frames_overrule_a_container_that_contradicts_them(
    options: ColorOptions, tmp_path: Path, codec: str, scan: str
) -> None:
    """As in IMX in MOV: 'fiel' states one order, each picture the other."""
    depth = 10 if codec == "prores_ks" else 8
    made = media.Film(
        shoot(4, depth=depth),
        codec=codec,
        pix_fmt="yuv422p10le" if depth == 10 else "yuv420p",
        scan=scan,
        rate=Fraction(25),
        time_base=Fraction(1, 25),
    )
    film = media.make(tmp_path / "film.mov", made)
    data = bytearray(film.read_bytes())
    position = data.find(b"fiel")
    assert position > 0
    data[position + 5] = 6 if scan == "tff" else 1  # the other order
    film.write_bytes(data)
    assert media.first_fields(film) == [scan] * 4
    for output in ("out.mov", "out.mkv", "out.mp4"):
        colorize(film, tmp_path / output, options=options)
        assert media.first_fields(tmp_path / output) == [scan] * 4
        assert verify(film, tmp_path / output) == 4


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9"])
def test_an_encoder_without_fields_is_named_before_the_run(make_film: MakeFilm, codec: str) -> None:
    film = make_film("film.mkv", codec="ffv1", scan="bff", time_base=MILLISECOND)
    for name in ("out.mp4", "out.mkv"):
        plan = plan_output(probe(film), film.with_name(name), Encoding(codec=codec))
        assert any("interlaced" in note and "libx264" in note for note in plan.notes)
    plan = plan_output(probe(film), film.with_name("out.mkv"), Encoding(codec="libx264"))
    assert not any("interlaced" in note for note in plan.notes)
