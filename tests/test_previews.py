"""Previews show exactly the frames of a run, beside the grey ones."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import media
import numpy as np
import pytest
from media import Sound, shoot
from test_damage import remuxed, zeroed

from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import InputError, OutputError, RangeError, SettingsError
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.clip import clip_around, preview, side_by_side
from filmcolor.previews.contact_sheet import contact_sheet
from filmcolor.timecodes import format_timecode
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
WIDTH, HEIGHT = media.SIZE
THUMB_WIDTH, GAP, TEXT_HEIGHT = 384, 8, 22  # pixels on a sheet
THUMB_HEIGHT = THUMB_WIDTH * HEIGHT // WIDTH


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    return make_film(lumas=shoot(30), sounds=[Sound()])


@pytest.fixture
def frames(film: Path, options: ColorOptions) -> list[ColorFrame]:
    """Return the frames of a run, before the encoder."""
    return list(Colorizer(options).frames(probe(film)))


def test_a_clip_has_the_grey_film_on_the_left_and_the_run_on_the_right(
    film: Path, frames: list[ColorFrame], options: ColorOptions, tmp_path: Path
) -> None:
    report = preview(
        film,
        tmp_path / "clip.mp4",
        time_range=TimeRange(first=10, stop=20),
        options=options,
        encoding=Encoding(crf=0),  # x264's lossless mode: any difference comes from filmcolor
    )
    shown = media.frames(tmp_path / "clip.mp4")
    assert (report.num_frames, len(shown)) == (10, 10)
    for frame, expected in zip(shown, frames[10:20]):
        luma, cb, cr = frame.planes
        assert np.array_equal(luma, np.hstack([expected.luma, expected.luma]))
        for plane, chroma in ((cb, expected.cb), (cr, expected.cr)):
            assert np.array_equal(plane, np.hstack([np.full_like(chroma, 128), chroma]))
    assert max(np.abs(f.cb.astype(int) - 128).max() for f in frames[10:20]) > 10


def test_a_clip_keeps_its_sound_in_sync(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    preview(film, clip, time_range=TimeRange(Fraction(1, 2), Fraction(1)), options=options)
    num_samples, rate = media.num_samples(clip)
    assert media.seconds(clip)[0] == 0
    assert float(num_samples / rate) == pytest.approx(0.5, abs=0.03)


def test_without_a_range_it_is_the_first_five_seconds(
    make_film: MakeFilm, options: ColorOptions
) -> None:
    film = make_film(lumas=shoot(13), rate=Fraction(2))
    report = preview(film, options=options)
    assert (report.num_frames, report.output.name) == (10, "film.preview.mp4")


def test_a_clip_around_a_time_has_five_seconds() -> None:
    assert clip_around(Fraction(60)) == TimeRange(Fraction(115, 2), Fraction(125, 2))
    assert clip_around(1) == TimeRange(Fraction(0), Fraction(5))
    for seconds in (60.5, "60.5", "1:00.5", Fraction(121, 2)):
        assert clip_around(seconds) == TimeRange(58, 63)


def test_odd_sizes_stand_side_by_side(frames: list[ColorFrame], film: Path) -> None:
    frame = frames[0]
    odd = replace(frame, luma=frame.luma[:, :-1])
    both = side_by_side(odd, probe(film).coding)
    assert both.luma.shape == (HEIGHT, 2 * WIDTH)
    assert both.cb.shape == (HEIGHT // 2, WIDTH)
    assert np.array_equal(both.luma[:, WIDTH:-1], odd.luma)


@pytest.mark.slow
@pytest.mark.parametrize(("num_frames", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (5, 2, 3)])
def test_a_sheet_holds_the_frames_asked_for(
    film: Path, options: ColorOptions, num_frames: int, columns: int, rows: int
) -> None:
    sheet = cv2.imread(str(contact_sheet(film, num_frames=num_frames, options=options)))
    pair = 2 * THUMB_WIDTH + GAP
    assert sheet.shape[:2] == (
        rows * (THUMB_HEIGHT + TEXT_HEIGHT + GAP) + GAP,
        columns * (pair + 2 * GAP) + GAP,
    )


def test_a_sheet_shows_the_very_frames_of_a_run(
    film: Path, frames: list[ColorFrame], options: ColorOptions, tmp_path: Path
) -> None:
    path = contact_sheet(film, tmp_path / "a.png", at_seconds=["0:00.5"], options=options)
    sheet = cv2.imread(str(path))[..., ::-1]
    grey = sheet[GAP : GAP + THUMB_HEIGHT, GAP : GAP + THUMB_WIDTH]
    left = 2 * GAP + THUMB_WIDTH
    colored = sheet[GAP : GAP + THUMB_HEIGHT, left : left + THUMB_WIDTH]
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    picture = np.rint(rgb_picture(frames[12], probe(film).coding) * 255).astype(np.uint8)
    expected = cv2.resize(picture, (THUMB_WIDTH, THUMB_HEIGHT), interpolation=cv2.INTER_AREA)
    assert np.abs(colored.astype(int) - expected).max() <= 3
    assert np.ptp(colored.astype(int), axis=2).max() > 20
    caption = sheet[GAP + THUMB_HEIGHT : -GAP, GAP:]
    assert caption.min() < 80 < caption.max()


def test_sheets_of_a_rotated_film_are_upright(make_film: MakeFilm, options: ColorOptions) -> None:
    film = make_film(rotation=90)
    sheet = cv2.imread(str(contact_sheet(film, num_frames=1, options=options)))
    assert sheet.shape[0] == THUMB_WIDTH + TEXT_HEIGHT + 2 * GAP


def test_preview_and_run_encode_the_same_chroma(
    film: Path, frames: list[ColorFrame], options: ColorOptions, tmp_path: Path
) -> None:
    colorize(film, tmp_path / "out.mkv", options=options, encoding=Encoding(codec="ffv1"))
    for frame, expected in zip(media.frames(tmp_path / "out.mkv"), frames, strict=True):
        assert np.array_equal(frame.planes[1], expected.cb)
        assert np.array_equal(frame.planes[2], expected.cr)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3723.042, "01:02:03.042")],
)
def test_timecodes(seconds: float, text: str) -> None:
    assert format_timecode(seconds) == text


def test_what_cannot_be_previewed(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    with pytest.raises(RangeError, match="which has frames 0 to 29"):
        preview(film, time_range=TimeRange(first=99), options=options)
    with pytest.raises(InputError, match="no such file"):
        preview(tmp_path / "gone.mp4", options=options)
    with pytest.raises(SettingsError, match="ask for 1 or more"):
        contact_sheet(film, num_frames=0, options=options)
    with pytest.raises(OutputError, match=r"name it \.png"):
        contact_sheet(film, tmp_path / "a.jpg", options=options)
    with pytest.raises(OutputError, match="make it first"):
        contact_sheet(film, tmp_path / "gone" / "a.png", options=options)
    assert sorted(p.name for p in tmp_path.iterdir()) == [film.name]


def test_progress_is_reported(film: Path, options: ColorOptions) -> None:
    calls: list[tuple[int, int | None]] = []
    preview(
        film,
        time_range=TimeRange(first=0, stop=3),
        options=options,
        progress=lambda *p: calls.append(p),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_clip_of_a_film_with_cover_art(make_film: MakeFilm, options: ColorOptions) -> None:
    film = make_film(cover=media.jpeg())
    output = preview(film, options=options).output
    with av.open(str(output)) as clip:
        assert clip.streams.best("video").width == 2 * WIDTH


@pytest.mark.slow
def test_a_sheet_of_a_damaged_film_shows_what_can_be_decoded(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", lumas=shoot(12), codec="mjpeg", pix_fmt="yuvj420p")
    broken = remuxed(film, tmp_path / "broken.mkv", zeroed(5, 10, 11))
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    contact_sheet(film, whole, num_frames=12, options=options)
    contact_sheet(broken, part, num_frames=12, options=options)
    assert cv2.imread(str(part)).shape[0] < cv2.imread(str(whole)).shape[0]  # two are missing
    with pytest.raises(InputError, match="nothing from there on can be decoded"):
        contact_sheet(broken, tmp_path / "late.png", at_seconds=[Fraction(10, 24)], options=options)
