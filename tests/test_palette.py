"""Grades: their effect on colours, and the grade of each frame."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import shoot

from filmcolor.color.spaces import daylight_ab
from filmcolor.errors import FilmcolorError, InputError, OutputError, RangeError, SettingsError
from filmcolor.guidance.grading import SATURATION, Grade, Palette, skin_share
from filmcolor.guidance.palette_file import read_palette
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_rgb
from filmcolor.pipeline.pieces import PieceColorizer, color_missing
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.previews.clip import preview
from filmcolor.shots.listing import iter_shots
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
LENGTHS = 20, 12, 18  # frames
SKIN, SKY = (13.0, 17.0), (-8.0, -25.0)  # a, b


def plane(*colors: tuple[float, float]) -> np.ndarray:
    return np.array([colors], np.float32)


# ---------------------------------------------------------------- what a grade does


def test_a_plain_grade_is_one_multiplication() -> None:
    ab = plane(SKIN, SKY, (0.0, 0.0))
    grade_frames = Grade(1.3).apply(ab)
    assert grade_frames.dtype == np.float32
    np.testing.assert_array_equal(grade_frames, ab * np.float32(1.3))
    assert not Grade(0.0).apply(ab).any()
    np.testing.assert_array_equal(Grade().apply(ab), ab * np.float32(SATURATION))


def test_daylight_is_that_of_the_tables() -> None:
    assert daylight_ab(6504) == pytest.approx((0, 0), abs=0.1)
    for kelvin, x, z in ((5503, 0.95682, 0.92149), (5003, 0.96422, 0.82521)):  # CIE 15: D55, D50
        wanted = 500 * ((x / 0.95047) ** (1 / 3) - 1), 200 * (1 - (z / 1.08883) ** (1 / 3))
        assert daylight_ab(kelvin) == pytest.approx(wanted, abs=0.1)


def test_warmth_moves_all_colors_along_the_daylights() -> None:
    ab = plane(SKIN, SKY, (0.0, 0.0))
    moved = Grade(1.0, 1.0).apply(ab) - ab
    assert np.allclose(moved, moved[0, 0], atol=1e-5)
    assert np.hypot(*moved[0, 0]) == pytest.approx(7.06, abs=0.05)
    # 18 reciprocal megakelvins from D65, toward yellow, a little toward red
    assert moved[0, 0] == pytest.approx(daylight_ab(1e6 / (1e6 / 6504 + 18)), abs=1e-4)
    assert 0 < moved[0, 0, 0] < 0.1 * moved[0, 0, 1]
    for warmth in (-1.0, -0.5, 0.5):
        part = Grade(1.0, warmth).apply(ab) - ab
        np.testing.assert_allclose(part, warmth * moved, atol=1e-5)


def test_skin_is_in_its_window_and_other_things_are_not() -> None:
    inside = plane(SKIN, (10.0, 10.0), (20.0, 24.0), (8.0, 20.0))
    outside = plane(SKY, (0.0, 0.0), (60.0, 40.0), (-10.0, 30.0), (20.0, -5.0), (1.0, 1.0))
    assert skin_share(inside).min() == 1.0
    assert skin_share(outside).max() == 0.0


def test_protected_skin_keeps_its_color() -> None:
    ab = plane(SKIN, SKY)
    grade = Grade(1.8, 0.8)
    loose, half, kept = (replace(grade, skin_protect=p).apply(ab) for p in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(kept[0, 0], ab[0, 0] * SATURATION, rtol=1e-6)
    np.testing.assert_array_equal(kept[0, 1], loose[0, 1])
    np.testing.assert_allclose(half[0, 0], (loose[0, 0] + kept[0, 0]) / 2, rtol=1e-5)


def test_protection_ends_by_degrees() -> None:
    """A step would be a visible edge in a soft gradient."""
    grade = Grade(2.0, 1.0, 1.0)
    degrees = np.radians(np.linspace(0, 360, 1441))
    ring = 20.0 * np.stack([np.cos(degrees), np.sin(degrees)], axis=-1)[None].astype(np.float32)
    ray = np.linspace(0, 70, 1401)[:, None] * np.array([0.6, 0.8]) / 1.0
    for colors in (ring, ray[None].astype(np.float32)):
        steps = np.abs(np.diff(colors, axis=1)).max()
        assert np.abs(np.diff(grade.apply(colors), axis=1)).max() < 12 * steps


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"saturation": 4.1}, "saturation 4.1 must be 0 to 4"),
        ({"saturation": -0.1}, "saturation -0.1 must be 0 to 4"),
        ({"warmth": 1.5}, "warmth 1.5 must be -1 to 1"),
        ({"skin_protect": -1}, "skin protect -1 must be 0 to 1"),
    ],
)
def test_settings_without_meaning(settings: dict[str, float], words: str) -> None:
    for make in (Grade, ColorOptions):
        with pytest.raises(SettingsError, match=words):
            make(**settings)


# ---------------------------------------------------------------- which frame has which


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for seed, n in enumerate(LENGTHS) for luma in shoot(n, seed=seed)]
    path = tmp_path_factory.mktemp("palette") / "film.mkv"
    return media.make(path, media.Film(lumas, codec="ffv1"))


@pytest.fixture
def read(film: Path, tmp_path: Path) -> Callable[[str], Palette]:
    info: FilmInfo = probe(film)

    def read_text(text: str) -> Palette:
        path = tmp_path / "film.toml"
        path.write_text(text, encoding="utf-8")
        return read_palette(path, Grade(1.2, 0.1), info, FrameIndex.read(info))

    return read_text


Read = Callable[[str], Palette]


def test_shots_and_times_become_frames(read: Read) -> None:
    palette = read(
        '[times."00:00:01.542 - 1.75"]\n"warmth" = -1\nskin-protect = 1  # a face\n'
        "[shots.2]\nsaturation = 0\n"
    )
    second, third = Grade(0.0, 0.1), Grade(1.2, -1.0, 1.0)
    assert palette == Palette(Grade(1.2, 0.1), ((20, 32, second), (37, 42, third)))
    assert [palette.grade_of(n) for n in (0, 19, 20, 31, 32, 36, 37, 41, 42, 99)] == [
        *[palette.base] * 2,
        *[second] * 2,
        *[palette.base] * 2,
        *[third] * 2,
        *[palette.base] * 2,
    ]


def test_times_of_the_list_of_shots_are_its_frames(read: Read) -> None:
    """00:00:01.042 is frame 25, which begins a little earlier."""
    assert read('[times."00:00:01.042-00:00:01.333"]').ranges[0][:2] == (25, 32)
    assert read('[times."1.3-"]').ranges[0][:2] == (32, 50)
    assert read('[times."-0.5"]').ranges[0][:2] == (0, 12)
    assert read("[shots.2-3]").ranges[0][:2] == (20, 50)


def test_a_table_for_the_film_is_the_grade_of_all_other_frames(read: Read) -> None:
    palette = read("[film]\nwarmth = -0.5\n[shots.2]\nsaturation = 0.8\n[shots.3]\nwarmth = 0")
    assert palette.base == Grade(1.2, -0.5)  # stronger than the command line
    assert [palette.grade_of(n) for n in (0, 19, 20, 31, 32, 49)] == [
        *[Grade(1.2, -0.5)] * 2,
        *[Grade(0.8, -0.5)] * 2,  # what a shot omits is the film's
        *[Grade(1.2, 0.0)] * 2,
    ]
    assert read("[film]").base == Grade(1.2, 0.1)


def test_shots_that_are_known_need_no_pass(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(film)
    index, shots = FrameIndex.read(info), list(iter_shots(info))
    path = tmp_path / "film.toml"
    path.write_text("[shots.2]\nwarmth = 1\n")
    wanted = read_palette(path, Grade(), info, index)
    monkeypatch.setattr("filmcolor.guidance.palette_file.iter_shots", None)
    assert read_palette(path, Grade(), info, index, shots) == wanted


def test_digests_tell_palettes_apart(read: Read) -> None:
    texts = "[shots.1]", "[shots.2]", "[shots.1]\nwarmth = 1", ""
    digests = [read(text).digest for text in texts]
    assert len(set(digests)) == 4
    assert digests[-1] == ""
    film = [read(f"[film]\nwarmth = {value}").digest for value in (0.2, 0.3)]
    assert len({*digests, *film, read("[film]\nwarmth = 0.2\n[shots.1]").digest}) == 7
    assert read('[times."-0.833"]').digest == digests[0]  # the same frames


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("[shots.1\n", SettingsError, r"film\.toml is not TOML: .*line 1"),
        ("[shots.1]\nwarmth = \n", SettingsError, "line 2"),
        ("[shots.1]\nwarm = 1", SettingsError, r"shots\.1\.warm is no setting; .*skin-protect"),
        ("[shots.1]\nwarmth = 3", SettingsError, r"shots\.1\.warmth: warmth 3.0 must be -1 to 1"),
        ("[shots.1]\nwarmth = true", SettingsError, r"shots\.1\.warmth must be a number"),
        ("[shots.1]\nwarmth = 'x'", SettingsError, r"must be a number, not 'x'"),
        ("[scenes.1]", SettingsError, r"scenes is unknown; write \[shots\.3\]"),
        ("[film]\nwarm = 1", SettingsError, r"film\.warm is no setting; choose from"),
        ("[film]\nwarmth = 2", SettingsError, r"film\.warmth: warmth 2.0 must be -1 to 1"),
        ("film = 3", SettingsError, r"film is unknown; write .* or \[film\] for all frames"),
        ("shots = 3", SettingsError, "shots is unknown"),
        ("[shots]\n3 = 1", SettingsError, r"shots\.3 is not a table; write a line: \[shots\.3\]"),
        ("[shots.x]", SettingsError, r"shots\.x is no shot number"),
        ("[shots.4]", RangeError, r"shots\.4: the film has shots 1 to 3"),
        ("[shots.3-2]", RangeError, "the film has shots 1 to 3"),
        ('[times."noon-1"]', SettingsError, r"times\.noon-1: 'noon' is no time"),
        ('[times."1"]', SettingsError, "one side may be left out"),
        ('[times."9-10"]', RangeError, r"times\.9-10: the range asked for .* 0 to 49"),
        (
            '[shots.1]\n[times."0.5-1"]',
            SettingsError,
            r"times\.0\.5-1 and shots\.1 both hold frame 12; let each frame be in one",
        ),
    ],
)
def test_what_cannot_be_is_named(
    read: Read, text: str, error: type[FilmcolorError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        read(text)
    assert "film.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_palette(film: Path, tmp_path: Path) -> None:
    info = probe(film)
    with pytest.raises(InputError, match=r"gone\.toml cannot be read"):
        read_palette(tmp_path / "gone.toml", Grade(), info, FrameIndex.read(info))
    (tmp_path / "film.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_palette(tmp_path / "film.toml", Grade(), info, FrameIndex.read(info))


# ---------------------------------------------------------------- films


@pytest.fixture
def graded_look(options: ColorOptions, tmp_path: Path) -> ColorOptions:
    path = tmp_path / "film.toml"
    path.write_text("[shots.2]\nsaturation = 0\n[times.'1.333-']\nwarmth = 1\n")
    return replace(options, palette=str(path))


@pytest.mark.slow
def test_parts_have_the_grades_of_the_whole(
    film: Path, options: ColorOptions, graded_look: ColorOptions
) -> None:
    info = probe(film)
    whole = list(Colorizer(graded_look).frames(info))
    plain = list(Colorizer(options).frames(info))
    for frame, same in zip(whole, plain, strict=True):
        if 20 <= frame.number < 32:
            assert (frame.cb == 128).all()
            assert (frame.cr == 128).all()
        elif frame.number < 32:
            np.testing.assert_array_equal(frame.cb, same.cb)
        else:
            assert frame.cb.mean() < same.cb.mean() - 1  # yellower
    for first, stop in pairwise((0, 18, 25, 36, 50)):
        for frame in Colorizer(graded_look).frames(info, Part(first, stop)):
            np.testing.assert_allclose(frame.cb.astype(int), whole[frame.number].cb, atol=1)


def test_inside_a_shot_grades_change_by_degrees(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    info = probe(film)
    path = tmp_path / "late.toml"
    path.write_text("[times.'1.8-']\nwarmth = 1\n")  # frame 43 of a shot from 32 to 49
    late = Colorizer(replace(options, palette=str(path))).frames(info)
    plain = Colorizer(options).frames(info)
    moved = [a.cb.mean() - b.cb.mean() for a, b in zip(plain, late, strict=True)]
    assert not any(moved[:32])
    assert 0.0 < moved[32] < moved[40] < moved[49]
    assert max(np.abs(np.diff(moved[32:]))) < 0.25 * moved[49]


def test_runs_and_previews_are_graded(
    film: Path, graded_look: ColorOptions, tmp_path: Path
) -> None:
    lossless = Encoding(codec="ffv1")
    whole = list(Colorizer(graded_look).frames(probe(film)))
    colorize(film, tmp_path / "out.mkv", options=graded_look, encoding=lossless)
    for shown, wanted in zip(media.frames(tmp_path / "out.mkv"), whole, strict=True):
        np.testing.assert_array_equal(shown.planes[1], wanted.cb)
    time_range = TimeRange(first=18, stop=40)
    preview(
        film, tmp_path / "clip.mkv", time_range=time_range, options=graded_look, encoding=lossless
    )
    for shown, wanted in zip(media.frames(tmp_path / "clip.mkv"), whole[18:40], strict=True):
        half = shown.planes[1][:, wanted.cb.shape[1] :]
        np.testing.assert_allclose(half.astype(int), wanted.cb, atol=1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"warmth": 0.5}, "warmth"),
        ({"skin_protect": 1.0}, "skin-protect"),
        ({"surfaces": 0.5}, "surfaces"),
        ({"cast": "reduce"}, "cast"),
        ({}, "palette"),
    ],
)
def test_a_run_with_other_grades_is_another_run(
    film: Path,
    options: ColorOptions,
    graded_look: ColorOptions,
    tmp_path: Path,
    change: dict[str, float],
    word: str,
) -> None:
    output = tmp_path / "out.mkv"
    run = Run.prepare(film, output, RunSettings(options, Encoding(), TimeRange()))
    with run.locked():
        color_missing(run, PieceColorizer(Colorizer(options)))
    other = replace(options, **change) if change else graded_look
    again = Run.prepare(film, output, RunSettings(other, Encoding(), TimeRange()))
    with pytest.raises(OutputError, match=f"of a run with .*{re.escape(word)} "), again.locked():
        pass


def test_a_run_with_another_grade_of_the_film_is_another_run(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output, path = tmp_path / "out.mkv", tmp_path / "film.toml"
    own = replace(options, palette=str(path))
    path.write_text("[film]\nwarmth = 0.2\n")
    run = Run.prepare(film, output, RunSettings(own, Encoding(), TimeRange()))
    with run.locked():
        color_missing(run, PieceColorizer(Colorizer(own)))
    again = Run.prepare(film, output, RunSettings(own, Encoding(), TimeRange()))
    with again.locked():
        assert again.missing() == []
    path.write_text("[film]\nwarmth = 0.3\n")
    other = Run.prepare(film, output, RunSettings(own, Encoding(), TimeRange()))
    with pytest.raises(OutputError, match=r"of a run with .*palette "), other.locked():
        pass


def test_photographs_are_graded_too(options: ColorOptions) -> None:
    rgb = np.repeat(shoot(1, is_full_range=True)[0][..., None], 3, axis=2)
    plain, warm = (
        colorize_rgb(rgb, Colorizer(replace(options, warmth=warmth))).astype(int)
        for warmth in (0.0, 1.0)
    )
    assert (warm[..., 2] - warm[..., 0]).mean() < (plain[..., 2] - plain[..., 0]).mean() - 5
    assert cv2.norm(warm.astype(np.float32), plain.astype(np.float32)) > 0
