"""The laws of the design: parts equal the whole, nothing crosses a cut, public names load."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import media
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import Film, shoot

import filmcolor
from filmcolor.guidance.grading import Palette
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.references import Reference
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import Part
from filmcolor.types.frames import ColorFrame
from filmcolor.video.probe import probe

pytestmark = pytest.mark.slow

SHOTS = (25, 14, 31)  # frames
CUTS = (25, 39)
NUM_FRAMES = sum(SHOTS)


def lumas_of_shot(number: int) -> list[np.ndarray]:
    return shoot(SHOTS[number], seed=number)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for number in range(3) for luma in lumas_of_shot(number)]
    path = tmp_path_factory.mktemp("laws") / "film.mkv"
    return media.make(path, Film(lumas, codec="ffv1"))


@pytest.fixture(scope="module")
def whole(film: Path, options: ColorOptions) -> list[ColorFrame]:
    return list(Colorizer(options).frames(probe(film)))


@cache
def colorizer(options: ColorOptions) -> Colorizer:
    return Colorizer(options)


def largest_difference(first: ColorFrame, second: ColorFrame) -> int:
    return max(
        int(np.abs(a.astype(int) - b.astype(int)).max())
        for a, b in ((first.cb, second.cb), (first.cr, second.cr))
    )


@pytest.mark.parametrize(("first", "stop", "batch_size"), [(0, 9, 1), (20, 42, 3), (60, 70, 8)])
def test_a_part_is_the_whole_with_the_film_network(
    film: Path,
    film_options: ColorOptions,
    first: int,
    stop: int,
    batch_size: int,
) -> None:
    """Segments and votes must not turn a rounding error into another colour."""
    whole = list(colorizer(film_options).frames(probe(film)))
    options = replace(film_options, batch_size=batch_size)
    part = list(colorizer(options).frames(probe(film), Part(first, stop)))
    assert [f.number for f in part] == list(range(first, stop))
    for frame in part:
        assert largest_difference(frame, whole[frame.number]) <= 1


def test_surfaces_change_a_film(film: Path, film_options: ColorOptions) -> None:
    voted, plain = (
        list(colorizer(replace(film_options, surfaces=strength)).frames(probe(film), Part(0, 4)))
        for strength in (1.0, 0.0)
    )
    assert any(largest_difference(*pair) > 1 for pair in zip(voted, plain, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(0, NUM_FRAMES - 1),
    length=st.integers(1, NUM_FRAMES),
    batch_size=st.sampled_from([1, 2, 3, 8]),
)
def test_a_part_is_the_whole(
    film: Path,
    options: ColorOptions,
    whole: list[ColorFrame],
    first: int,
    length: int,
    batch_size: int,
) -> None:
    stop = min(NUM_FRAMES, first + length)
    part = Part(first, stop)
    frames = list(colorizer(replace(options, batch_size=batch_size)).frames(probe(film), part))
    assert [f.number for f in frames] == list(range(first, stop))
    for frame in frames:
        assert np.array_equal(frame.luma, whole[frame.number].luma)
        assert frame.pts == whole[frame.number].pts
        assert largest_difference(frame, whole[frame.number]) <= 1  # arithmetic in batches


# a film longer than any neighbourhood, with all speeds: (frames, pixels a frame, seed)
REEL = ((37, 0.0, 11), (310, 0.0, 12), (45, 3.0, 13), (60, 0.5, 14), (9, 8.0, 15))
NUM_REEL = sum(num for num, _, _ in REEL)


@pytest.fixture(scope="module")
def reel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shots = [shoot(num, step=step, seed=seed, grain=0.0) for num, step, seed in REEL]
    # still shots flicker, so that every frame is a different input
    gains = np.random.default_rng(0).uniform(0.8, 1.0, NUM_REEL)
    lumas = [np.rint(a * gain).astype(np.uint8) for a, gain in zip(chain(*shots), gains)]
    return media.make(tmp_path_factory.mktemp("reel") / "reel.mkv", Film(lumas, codec="ffv1"))


@pytest.fixture(scope="module")
def whole_reel(reel: Path, options: ColorOptions) -> list[ColorFrame]:
    return list(Colorizer(options).frames(probe(reel)))


@settings(max_examples=12, deadline=None)
@given(
    first=st.integers(0, NUM_REEL - 1),
    length=st.integers(1, 30),
    batch_size=st.sampled_from([1, 3, 8]),
)
def test_a_part_is_the_whole_in_a_long_film(
    reel: Path,
    options: ColorOptions,
    whole_reel: list[ColorFrame],
    first: int,
    length: int,
    batch_size: int,
) -> None:
    stop = min(NUM_REEL, first + length)
    frames = colorizer(replace(options, batch_size=batch_size)).frames(
        probe(reel), Part(first, stop)
    )
    for number, frame in enumerate(frames, first):
        assert frame.number == number
        assert largest_difference(frame, whole_reel[number]) <= 1


@pytest.mark.parametrize("level", ["off", "light", "strong"])
def test_segments_joined_are_the_whole(reel: Path, options: ColorOptions, level: str) -> None:
    own = colorizer(replace(options, smooth=level))
    whole = list(own.frames(probe(reel)))
    edges = [0, 41, 42, 130, 222, 238, 254, 363, NUM_REEL]
    parts = [own.frames(probe(reel), Part(a, b)) for a, b in pairwise(edges)]
    joined = [frame for part in parts for frame in part]
    assert [f.number for f in joined] == list(range(NUM_REEL))
    for frame, same in zip(joined, whole, strict=True):
        assert largest_difference(frame, same) <= 1


@pytest.fixture(scope="module")
def given(reel: Path, options: ColorOptions) -> Guidance:
    """References: two far apart in one shot, one in another, none in three."""
    guide = next(Colorizer(options).ab_frames(probe(reel), Part(0, 1))).guide
    rng = np.random.default_rng(3)
    references = tuple(
        Reference(
            number, np.float32(rng.normal(0.0, 25.0, (*guide.shape, 2))), np.float32(guide > 90)
        )
        for number in (50, 330, 400)
    )
    return Guidance(Palette(options.grade), references)


@pytest.mark.parametrize("level", ["off", "normal"])
def test_a_part_is_the_whole_with_references(
    reel: Path, options: ColorOptions, given: Guidance, level: str
) -> None:
    own, info = colorizer(replace(options, smooth=level, batch_size=1)), probe(reel)
    whole = [frame.ab for frame in own.ab_frames(info, guidance=given)]
    plain = own.ab_frames(info, guidance=replace(given, references=()))
    assert sum(not np.array_equal(a, frame.ab) for a, frame in zip(whole, plain)) > 340
    for first, stop in ((0, 9), (36, 41), (140, 160), (325, 334), (390, 400), (430, 461)):
        part = [frame.ab for frame in own.ab_frames(info, Part(first, stop), guidance=given)]
        np.testing.assert_array_equal(part, whole[first:stop])


@pytest.mark.parametrize("number", range(3))
def test_a_shot_is_colored_as_if_it_were_alone(
    film: Path, options: ColorOptions, whole: list[ColorFrame], tmp_path: Path, number: int
) -> None:
    alone = media.make(tmp_path / "shot.mkv", Film(lumas_of_shot(number), codec="ffv1"))
    frames = list(colorizer(options).frames(probe(alone)))
    first = (0, *CUTS)[number]
    assert len(frames) == SHOTS[number]
    for frame in frames:
        assert largest_difference(frame, whole[first + frame.number]) <= 1
    assert largest_difference(frames[0], whole[first]) == 0


@pytest.mark.parametrize("number", range(1, len(REEL)))
def test_no_color_crosses_a_cut(
    reel: Path, options: ColorOptions, whole_reel: list[ColorFrame], tmp_path: Path, number: int
) -> None:
    """The first frame after a cut is, bit for bit, what its shot gives alone."""
    first = sum(num for num, _, _ in REEL[:number])
    lumas = [frame.luma for frame in whole_reel[first : first + REEL[number][0]]]
    alone = media.make(tmp_path / "shot.mkv", Film(lumas, codec="ffv1"))
    frame = next(colorizer(options).frames(probe(alone)))
    assert largest_difference(frame, whole_reel[first]) == 0


def test_the_shots_have_colors_of_their_own(whole: list[ColorFrame]) -> None:
    """Shows that the law above can fail."""
    for cut in CUTS:
        assert largest_difference(whole[cut - 1], whole[cut]) > 8


# ---------------------------------------------------------------- the public names


def test_public_names_are_not_hidden_by_modules() -> None:
    code = (
        "import filmcolor, pkgutil, importlib\n"
        "found = [m.name for m in pkgutil.walk_packages(filmcolor.__path__, 'filmcolor.')]\n"
        "assert len(found) > 90, found\n"
        "for name in found:\n"
        "    if name != 'filmcolor.__main__':\n"
        "        importlib.import_module(name)\n"
        "names = [n for n in filmcolor.__all__ if n != '__version__']\n"
        "assert len(names) > 20 and all(callable(getattr(filmcolor, n)) for n in names)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No filmcolor attribute colourise"):
        _ = filmcolor.colourise
