"""Films that have colour already: classified by shot, and kept as they are by default."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from media import Film, shoot

from filmcolor.cli.main import cli
from filmcolor.color.chroma import ChromaPlan, keep_source_chroma
from filmcolor.color.chroma_gpu import finish_frames_on
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.clip import preview
from filmcolor.segments import segment as segments
from filmcolor.shots import source_chroma
from filmcolor.shots.source_chroma import (
    BLOCK,
    FRAMES_AFTER,
    FRAMES_BEFORE,
    chroma_thumbnail,
    classify,
    mark_chroma_classes,
)
from filmcolor.types.film import Part, TimeRange
from filmcolor.types.frames import (
    COLORED,
    MONOCHROME,
    TINTED,
    AbFrame,
    ColorFrame,
    LumaFrame,
    ProxyFrame,
)
from filmcolor.types.yuv import SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444, Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.pixel_formats import extract_chroma
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
Chroma = tuple[np.ndarray, np.ndarray]
MASTER = Encoding(purpose="master")  # ffv1
EIGHT, TEN = Coding(1, False, 8), Coding(1, False, 10)
SHOTS = (25, 30, 31)  # frames: grey, tinted, in colour
CUTS = (25, 55)
NUM_FRAMES = sum(SHOTS)
GREY_SHOT, TINTED_SHOT, COLORED_SHOT = slice(0, 25), slice(25, 55), slice(55, 86)


# ---------------------------------------------------------------- test films


def halved(luma: np.ndarray) -> np.ndarray:
    return cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def coded(cb: np.ndarray, cr: np.ndarray) -> Chroma:
    """Return 8-bit chroma planes from distances to neutral."""
    planes = (np.rint(128.0 + plane).clip(16, 240).astype(np.uint8) for plane in (cb, cr))
    return next(planes), next(planes)


def noise(luma: np.ndarray, deviation: float, seed: int = 0) -> Chroma:
    shape = halved(luma).shape
    cb, cr = np.random.default_rng(seed).normal(0.0, deviation, (2, *shape))
    return coded(cb, cr)


def sepia(luma: np.ndarray) -> Chroma:
    light = halved(luma).astype(float) / 255.0
    return coded(-60.0 * light * (1.2 - light), 40.0 * light * (1.2 - light))


def two_tone(luma: np.ndarray) -> Chroma:
    light = halved(luma).astype(float) / 255.0
    return coded(40.0 - 80.0 * light, -15.0 + 45.0 * light)


def uneven(luma: np.ndarray) -> Chroma:
    """Return a sepia tint that has faded on one side."""
    share = np.linspace(0.7, 1.3, luma.shape[1] // 2)
    cb, cr = (plane - 128.0 for plane in sepia(luma))
    return coded(cb * share, cr * share)


def mark(luma: np.ndarray) -> Chroma:
    """Return a small logo in strong colours, in a corner of a grey picture."""
    cb, cr = np.zeros((2, luma.shape[0] // 2, luma.shape[1] // 2))
    cb[2:6, 2:8], cr[2:6, 4:8] = -60.0, 70.0
    return coded(cb, cr)


def random_hues(luma: np.ndarray, strength: float = 25.0, seed: int = 5) -> Chroma:
    """Return colours that do not depend on luma."""
    height, width = halved(luma).shape
    field = np.random.default_rng(seed).normal(0.0, strength, (3, 4, 2)).astype(np.float32)
    cb, cr = cv2.split(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC))
    return coded(cb, cr)


@cache
def reel() -> tuple[list[np.ndarray], list[Chroma]]:
    """Return the luma and chroma of a grey, a tinted and a true-colour shot."""
    lumas = [shoot(num, seed=seed) for seed, num in enumerate(SHOTS)]
    chromas = [noise(luma, 1.0, n) for n, luma in enumerate(lumas[0])]
    chromas += [sepia(luma) for luma in lumas[1]]
    chromas += [random_hues(luma) for luma in lumas[2]]
    return [luma for shot in lumas for luma in shot], chromas


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas, chromas = reel()
    path = tmp_path_factory.mktemp("tints") / "film.mkv"
    return media.make(path, Film(lumas, codec="ffv1", chromas=chromas))


@cache
def whole_of(film: Path, options: ColorOptions) -> list[ColorFrame]:
    return list(Colorizer(options).frames(probe(film)))


def is_kept(frames: list[ColorFrame], shot: slice) -> bool:
    """Return whether a shot keeps the film's own chroma: all of its frames, or none."""
    _, chromas = reel()
    same = {
        np.array_equal(frame.cb, cb) and np.array_equal(frame.cr, cr)
        for frame, (cb, cr) in zip(frames[shot], chromas[shot], strict=True)
    }
    assert len(same) == 1
    return same.pop()


# ---------------------------------------------------------------- one picture


@pytest.mark.parametrize(
    ("chroma_class", "made"),
    [
        (MONOCHROME, lambda luma: noise(luma, 0.0)),
        (MONOCHROME, lambda luma: noise(luma, 2.0)),
        (MONOCHROME, lambda luma: coded(*np.full((2, 1, 1), 1.5) + np.zeros((32, 48)))),
        (MONOCHROME, mark),
        (TINTED, sepia),
        (TINTED, two_tone),
        (TINTED, uneven),
        (TINTED, lambda luma: coded(*np.array([[[30.0]], [[-12.0]]]) + np.zeros((32, 48)))),
        (COLORED, random_hues),
        (COLORED, lambda luma: random_hues(luma, 8.0)),
    ],
    ids=["none", "noise", "cast", "mark", "sepia", "two-tone", "uneven", "blue", "colours", "dull"],
)
@pytest.mark.parametrize("seed", range(4))
def test_pictures_are_classified(
    chroma_class: str, made: Callable[[np.ndarray], Chroma], seed: int
) -> None:
    luma = shoot(1, seed=seed)[0]
    chroma = made(luma)
    assert classify(chroma_thumbnail(luma, chroma, EIGHT)) == chroma_class
    deep = chroma[0].astype(np.uint16) << 2, chroma[1].astype(np.uint16) << 2
    assert np.array_equal(chroma_thumbnail(luma, deep, TEN), chroma_thumbnail(luma, chroma, EIGHT))


# ---------------------------------------------------------------- shots


def test_each_shot_is_treated_by_its_class(film: Path, options: ColorOptions) -> None:
    frames = whole_of(film, options)
    chroma_classes = [frame.chroma_class for frame in frames]
    assert chroma_classes == [MONOCHROME] * 25 + [TINTED] * 30 + [COLORED] * 31
    assert not is_kept(frames, GREY_SHOT)
    assert not is_kept(frames, TINTED_SHOT)
    assert is_kept(frames, COLORED_SHOT)
    for frame, luma in zip(frames, reel()[0], strict=True):
        assert np.array_equal(frame.luma, luma)


def test_a_tint_is_kept_on_request(film: Path, options: ColorOptions) -> None:
    frames = whole_of(film, replace(options, keep_tint=True))
    assert not is_kept(frames, GREY_SHOT)
    assert is_kept(frames, TINTED_SHOT)
    assert is_kept(frames, COLORED_SHOT)
    for frame, same in zip(frames[GREY_SHOT], whole_of(film, options)[GREY_SHOT], strict=True):
        assert np.array_equal(frame.cb, same.cb)


def test_recolor_colors_all_from_luma(
    film: Path, options: ColorOptions, make_film: MakeFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutral = whole_of(make_film("neutral.mkv", lumas=reel()[0], codec="ffv1"), options)
    monkeypatch.setattr(source_chroma, "chroma_thumbnail", None)  # chroma is not read
    frames = whole_of(film, replace(options, recolor=True))
    for frame, same in zip(frames, neutral, strict=True):
        assert np.array_equal(frame.cb, same.cb)
        assert np.array_equal(frame.cr, same.cr)
        assert frame.chroma_class == ""


def test_dark_frames_of_a_shot_in_color_are_kept_too(
    make_film: MakeFilm, options: ColorOptions
) -> None:
    """A frame's class is its shot's, whatever the frame itself holds."""
    lumas = shoot(40, seed=3)
    chromas = [random_hues(luma) for luma in lumas]
    chromas[20:24] = [noise(luma, 0.0) for luma in lumas[20:24]]
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", chromas=chromas)
    frames = list(Colorizer(options).frames(probe(film)))
    for frame, (cb, cr) in zip(frames, chromas, strict=True):
        assert np.array_equal(frame.cb, cb)
        assert np.array_equal(frame.cr, cr)


def test_a_glitch_in_a_grey_shot_is_colored(make_film: MakeFilm, options: ColorOptions) -> None:
    lumas = shoot(60, seed=3)
    chromas = [noise(luma, 0.0) for luma in lumas]
    chromas[30:34] = [random_hues(luma) for luma in lumas[30:34]]
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", chromas=chromas)
    assert {frame.chroma_class for frame in Colorizer(options).frames(probe(film))} == {MONOCHROME}


# ---------------------------------------------------------------- the law


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(first=st.integers(0, NUM_FRAMES - 1), length=st.integers(1, 40))
def test_a_part_is_the_whole(film: Path, options: ColorOptions, first: int, length: int) -> None:
    options = replace(options, keep_tint=True)
    whole = whole_of(film, options)
    stop = min(NUM_FRAMES, first + length)
    frames = list(Colorizer(options).frames(probe(film), Part(first, stop)))
    assert [frame.number for frame in frames] == list(range(first, stop))
    for frame in frames:
        assert frame.chroma_class == whole[frame.number].chroma_class
        if frame.chroma_class != MONOCHROME:
            assert np.array_equal(frame.cb, whole[frame.number].cb)
            assert np.array_equal(frame.cr, whole[frame.number].cr)


def proxy_frames(chroma_classes: list[str], cuts: set[int], first: int = 0) -> Iterator[ProxyFrame]:
    """Yield frames that have these chroma classes by themselves."""
    luma = np.full((8, 8), 100, np.uint8)
    strays = {MONOCHROME: (0.0, 0.0), TINTED: (20.0, 0.0), COLORED: (0.0, 20.0)}
    for number, chroma_class in enumerate(chroma_classes, first):
        even, odd = strays[chroma_class]
        pictures = np.zeros((3, 8, 8), np.float32)
        pictures[0], pictures[1] = 100.0, even
        pictures[2, ::2], pictures[2, 1::2] = odd, -odd
        frame = LumaFrame(number, luma, number, 1, chroma=(luma, luma))
        yield ProxyFrame(frame, luma, luma, number in cuts, pictures)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_class_depends_on_its_neighbourhood_alone(data: st.DataObject) -> None:
    runs = st.tuples(st.sampled_from([MONOCHROME, TINTED, COLORED]), st.integers(1, 70))
    drawn = data.draw(st.lists(runs, min_size=1, max_size=8))
    chroma_classes = [chroma_class for chroma_class, num in drawn for _ in range(num)]
    cuts = data.draw(st.sets(st.integers(0, len(chroma_classes) - 1), max_size=4))
    whole = [
        f.source.chroma_class for f in mark_chroma_classes(proxy_frames(chroma_classes, cuts), ())
    ]
    assert len(whole) == len(chroma_classes)
    number = data.draw(st.integers(0, len(chroma_classes) - 1))
    start, stop = max(0, number - FRAMES_BEFORE), number + FRAMES_AFTER + 1
    part = mark_chroma_classes(proxy_frames(chroma_classes[start:stop], cuts, start), ())
    assert next(f.source.chroma_class for f in part if f.source.number == number) == whole[number]


def test_frames_wait_for_no_more_than_their_context() -> None:
    num_read = 0

    def counted() -> Iterator[ProxyFrame]:
        nonlocal num_read
        for frame in proxy_frames([MONOCHROME] * 200, set()):
            num_read += 1
            yield frame

    for frame in mark_chroma_classes(counted(), ()):
        assert num_read - frame.source.number <= FRAMES_AFTER + 2


def test_only_kept_classes_keep_their_chroma() -> None:
    chroma_classes = [MONOCHROME] * 4 * BLOCK + [COLORED] * 4 * BLOCK
    for frame in mark_chroma_classes(proxy_frames(chroma_classes, {4 * BLOCK}), {COLORED}):
        assert (frame.source.chroma is not None) == (frame.source.chroma_class == COLORED)
        assert frame.chroma_thumbnail is None


# ---------------------------------------------------------------- runs


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SECONDS", Fraction(1, 2))  # at 24 frames/s: 12 frames


KEPT_NOTE = (
    "in colour already, left as it is: 00:00:02.292 to 00:00:03.584 (frames 55 to 85) "
    "(--recolor colours it)"
)
TINTED_NOTE = (
    "tinted, coloured from its luma: 00:00:01.042 to 00:00:02.292 (frames 25 to 54) "
    "(--keep-tint keeps the tint)"
)


def test_a_run_keeps_shots_in_colour_and_reports_them(
    film: Path, options: ColorOptions, tmp_path: Path, short_segments: None
) -> None:
    """In several segments, and interrupted."""

    def stop(done: int, _: int | None) -> None:
        if done == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER, progress=stop)
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER)
    assert report.notes[-2:] == (KEPT_NOTE, TINTED_NOTE)
    for number, (frame, expected) in enumerate(
        zip(media.frames(tmp_path / "out.mkv"), whole_of(film, options), strict=True)
    ):
        planes = expected.luma, expected.cb, expected.cr
        for ours, theirs in zip(frame.planes, planes, strict=True):
            limit = 0 if number >= CUTS[1] else 1
            assert np.abs(ours.astype(int) - theirs).max() <= limit


def test_a_run_resumes_with_the_same_options_only(
    film: Path, options: ColorOptions, tmp_path: Path, short_segments: None
) -> None:
    def stop(done: int, _: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    output = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        colorize(film, output, options=options, encoding=MASTER, progress=stop)
    with pytest.raises(Exception, match="left as it is"):
        colorize(film, output, options=replace(options, recolor=True), encoding=MASTER)


def test_a_kept_film_is_not_tagged_as_colourised(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    lumas = shoot(12, seed=1)
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", chromas=[random_hues(f) for f in lumas])
    report = colorize(film, tmp_path / "kept.mkv", options=options, encoding=MASTER)
    assert "in colour already, left as it is: all of it" in report.notes[-1]
    assert not any("filmcolor" in value for value in media.metadata(report.output).values())
    recolored = replace(options, recolor=True)
    report = colorize(film, tmp_path / "made.mkv", options=recolored, encoding=MASTER)
    assert not any("colour" in note for note in report.notes)
    assert any("filmcolor" in value for value in media.metadata(report.output).values())


def test_a_preview_shows_and_reports_the_same(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    encoding = Encoding(codec="libx264", crf=0, preset="ultrafast")
    time_range = TimeRange(first=50, stop=60)
    report = preview(
        film, tmp_path / "clip.mp4", time_range=time_range, options=options, encoding=encoding
    )
    assert "(frames 55 to 59)" in report.notes[-2]
    shown = media.frames(tmp_path / "clip.mp4")[-1]
    width = media.SIZE[0] // 2
    assert np.array_equal(shown.planes[1][:, width:], reel()[1][59][0])


def test_the_command_line_has_both_options(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    common = ["run", str(film), "-o", str(output), "--weights", options.weights, "--size", "32"]
    common += ["--frames", "40:70", "--for", "master", "--force"]
    result = CliRunner().invoke(cli, common)
    assert result.exit_code == 0, result.output
    assert "in colour already, left as it is" in result.output
    result = CliRunner().invoke(cli, [*common, "--recolor", "--keep-tint"])
    assert result.exit_code == 0, result.output
    assert "tinted, left as it is: 00:00:01.667 to 00:00:02.292 (frames 40 to 54)" in result.output
    assert "already" not in result.output


def test_a_photo_has_neither_option() -> None:
    assert CliRunner().invoke(cli, ["photo", "x.png", "--recolor"]).exit_code == 2


# ---------------------------------------------------------------- other sources


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_films_without_chroma_are_not_classified(
    make_film: MakeFilm, options: ColorOptions, monkeypatch: pytest.MonkeyPatch, pix_fmt: str
) -> None:
    depth = 10 if "10" in pix_fmt else 8
    lumas = shoot(4, depth=depth, is_full_range=True)
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", pix_fmt=pix_fmt)
    monkeypatch.setattr(source_chroma, "chroma_thumbnail", None)
    assert all(frame.chroma is None for frame in read_luma(probe(film), with_chroma=True))
    assert {frame.chroma_class for frame in Colorizer(options).frames(probe(film))} == {""}


def test_chroma_is_read_on_request_only(film: Path) -> None:
    assert all(frame.chroma is None for frame in read_luma(probe(film)))


@pytest.mark.parametrize(
    ("pix_fmt", "depth", "subsampling"),
    [
        ("yuv420p10le", 10, SUBSAMPLING_420),
        ("yuv422p", 8, SUBSAMPLING_422),
        ("yuv444p", 8, SUBSAMPLING_444),
        ("yuv444p10le", 10, SUBSAMPLING_444),
    ],
)
def test_kept_chroma_is_the_same_at_every_depth_and_subsampling(
    make_film: MakeFilm, options: ColorOptions, pix_fmt: str, depth: int, subsampling
) -> None:
    lumas = shoot(10, depth=depth)
    size = subsampling.plane_size(*media.SIZE)
    planes = [random_hues(luma) for luma in shoot(10)]
    chromas = [
        tuple(cv2.resize(p, size).astype(lumas[0].dtype) << (depth - 8) for p in pair)
        for pair in planes
    ]
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", pix_fmt=pix_fmt, chromas=chromas)
    colorize(
        film, film.with_name("out.mkv"), options=options, encoding=replace(MASTER, pix_fmt=pix_fmt)
    )
    for frame, luma, (cb, cr) in zip(
        media.frames(film.with_name("out.mkv")), lumas, chromas, strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, (luma, cb, cr), strict=True))


def test_a_rotated_film_is_kept_as_it_is(make_film: MakeFilm, options: ColorOptions) -> None:
    lumas = shoot(10)
    chromas = [random_hues(luma) for luma in lumas]
    lossless = {"crf": "0", "preset": "ultrafast"}
    film = make_film("film.mp4", lumas=lumas, options=lossless, rotation=90, chromas=chromas)
    frames = list(Colorizer(options).frames(probe(film)))
    for frame, (cb, cr) in zip(frames, chromas, strict=True):
        assert np.array_equal(frame.cb, cb)
        assert np.array_equal(frame.cr, cr)


@pytest.mark.parametrize("is_tinted", [False, True])
def test_rgb_films_are_classified_too(
    make_film: MakeFilm, options: ColorOptions, is_tinted: bool
) -> None:
    lumas = shoot(10, is_full_range=True, depth=10)
    warm = [np.rint(luma * 0.6).astype(np.uint16) for luma in lumas]
    field = cv2.resize(np.random.default_rng(1).random((3, 4)), media.SIZE).clip(0.0, 1.0)
    odd = [np.rint(luma * field).astype(np.uint16) for luma in lumas]
    # chromas are the blue and red planes
    chromas = list(zip(warm, lumas)) if is_tinted else list(zip(odd, odd[::-1]))
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", pix_fmt="gbrp10le", chromas=chromas)
    frames = list(Colorizer(options).frames(probe(film), subsampling=SUBSAMPLING_444))
    assert {frame.chroma_class for frame in frames} == {TINTED if is_tinted else COLORED}
    if not is_tinted:
        for frame, green, (blue, red) in zip(frames, lumas, chromas, strict=True):
            kr, kb = probe(film).coding.kr_kb
            luma = kr * red + (1 - kr - kb) * green + kb * blue
            cb = 512 + 0.5 * (blue - luma) / (1 - kb) * 896 / 1023
            cr = 512 + 0.5 * (red - luma) / (1 - kr) * 896 / 1023
            assert np.abs(frame.cb - cb).max() < 0.6
            assert np.abs(frame.cr - cr).max() < 0.6


@pytest.mark.parametrize(
    "pix_fmt",
    [
        *("nv12", "nv21", "yuyv422", "uyvy422", "p010le", "yuv411p", "yuv410p", "yuv440p"),
        *("yuva420p", "yuv420p16be"),
    ],
)
def test_chroma_is_extracted_from_every_packing(pix_fmt: str) -> None:
    picture = media.picture("yuv444p", np.full((32, 64), 90, np.uint8))
    for plane, value in zip(picture.planes[1:], (100, 170), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame = picture.reformat(format=pix_fmt)
    depth = frame.format.components[0].bits
    for plane, value in zip(
        extract_chroma(frame, Coding(1, False, depth)), (100, 170), strict=True
    ):
        assert np.abs(plane.astype(float) / (1 << (depth - 8)) - value).max() < 5.0


# ---------------------------------------------------------------- another depth or subsampling


def kept(chroma: Chroma, source: Coding, target: Coding, subsampling) -> ColorFrame:
    luma = np.full((64, 96), 100 << (source.bit_depth - 8), chroma[0].dtype)
    film = LumaFrame(3, luma, 30, 10, chroma=chroma, chroma_class=COLORED)
    return keep_source_chroma(film, ChromaPlan(source, target, subsampling))


def test_more_bits_lose_nothing() -> None:
    cb, cr = random_hues(np.zeros((64, 96), np.uint8))
    frame = kept((cb, cr), EIGHT, TEN, SUBSAMPLING_420)
    assert np.array_equal(frame.cb, cb.astype(np.uint16) << 2)
    assert np.array_equal(frame.cr, cr.astype(np.uint16) << 2)
    back = kept((frame.cb, frame.cr), TEN, EIGHT, SUBSAMPLING_420)
    assert np.array_equal(back.cb, cb) and back.cb.dtype == np.uint8


def slope(subsampling) -> np.ndarray:
    """Return a chroma plane that is linear in the position of its samples, with MPEG's siting."""
    width, height = subsampling.plane_size(96, 64)
    columns = subsampling.x * np.arange(width)
    rows = subsampling.y * np.arange(height) + (subsampling.y - 1) / 2.0
    return np.rint(400.0 + 2.0 * columns[None] + 1.5 * rows[:, None]).astype(np.uint16)


@pytest.mark.parametrize("source", [SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444])
@pytest.mark.parametrize("target", [SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444])
def test_another_subsampling_moves_nothing(source, target) -> None:
    plane = slope(source)
    frame = kept((plane, plane), TEN, TEN, target)
    expected = slope(target)
    assert frame.cb.shape == expected.shape
    inner = slice(2, -2), slice(2, -2)
    assert np.abs(frame.cb.astype(int) - expected)[inner].max() <= 1
    if source == target:
        assert frame.cb is plane


def test_a_device_keeps_chroma_too() -> None:
    chroma = random_hues(np.zeros((64, 96), np.uint8))
    luma = np.full((64, 96), 100, np.uint8)
    ab = np.zeros((12, 16, 2), np.float32)
    guide = np.full((12, 16), 100, np.uint8)
    frames = [
        AbFrame(LumaFrame(n, luma, n, 1, chroma=chroma if n % 2 else None), guide, False, ab)
        for n in range(7)
    ]
    plan = ChromaPlan(EIGHT, EIGHT, SUBSAMPLING_420)
    made = list(finish_frames_on(torch.device("cpu"), frames, plan))
    assert [frame.number for frame in made] == list(range(7))
    for number, frame in enumerate(made):
        assert np.array_equal(frame.cb, chroma[0]) == bool(number % 2)
