"""Pictures that are no frames of a film give their colours to what looks like them, alone."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import shoot
from PIL import Image

from filmcolor.errors import InputError
from filmcolor.guidance.exemplars import Exemplar, ExemplarPlan, digest_of_pictures
from filmcolor.guidance.likeness import find_likeness, mean_likeness
from filmcolor.guidance.picture_reader import read_pictures
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.types.film import Part
from filmcolor.types.frames import FloatPlane
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

HEIGHT, WIDTH, NUM_CHANNELS = 20, 28, 12
NAVY = (12.0, -30.0)


# ---------------------------------------------------------------- features


def thing(seed: int, height: int = 7, width: int = 6) -> FloatPlane:
    """Return features of a thing: its samples differ, those of another thing differ more."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal(NUM_CHANNELS)
    features = 1.4 * center / np.linalg.norm(center) + rng.normal(
        0.0, 0.15, (height, width, NUM_CHANNELS)
    )
    return features.astype(np.float32)


def scene(ground: int, *things: tuple[FloatPlane, int, int]) -> FloatPlane:
    """Return features of a background, and things at (row, column) of it."""
    features = thing(ground, HEIGHT, WIDTH)
    for part, row, column in things:
        features[row : row + part.shape[0], column : column + part.shape[1]] = part
    return features


def flat(color: tuple[float, float] = NAVY) -> FloatPlane:
    return np.broadcast_to(np.float32(color), (HEIGHT, WIDTH, 2)).copy()


EVERYWHERE = np.ones((HEIGHT, WIDTH), np.float32)
COAT = thing(1)


@given(
    row=st.integers(2, HEIGHT - 9),
    column=st.integers(2, WIDTH - 8),
    is_mirrored=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_thing_is_found_wherever_it_is(row: int, column: int, is_mirrored: bool) -> None:
    """The coat is elsewhere, in front of another background."""
    coat = COAT[:, ::-1] if is_mirrored else COAT
    found = find_likeness(scene(3, (coat, row, column)), scene(2, (COAT, 5, 5)), flat(), EVERYWHERE)
    inner = found.share[row + 2 : row + 5, column + 2 : column + 4]  # edges are softened
    assert inner.min() > 0.9
    np.testing.assert_allclose(found.ab[found.share > 0], flat()[found.share > 0], atol=1e-3)
    away = found.share.copy()
    away[row : row + 7, column : column + 6] = 0.0
    assert away.max() == 0.0
    assert 0.0 < found.seed_share <= 42 / (HEIGHT * WIDTH)


def test_what_is_unlike_gets_nothing() -> None:
    found = find_likeness(scene(3, (thing(4), 5, 5)), scene(2, (COAT, 5, 5)), flat(), EVERYWHERE)
    assert found.share.max() == found.seed_share == 0.0


def test_scattered_samples_are_no_thing() -> None:
    features, others = scene(3), scene(2, (COAT, 5, 5))
    for n, (row, column) in enumerate(np.argwhere(np.ones((7, 6)))):
        features[2 * row + 3, 4 * column + 2] = COAT[row, column] if n % 2 else COAT[0, 0]
    found = find_likeness(features, others, flat(), EVERYWHERE)
    assert found.share.max() == found.seed_share == 0.0


def test_without_colors_nothing_is_given() -> None:
    features = scene(2, (COAT, 5, 5))
    coverage = EVERYWHERE.copy()
    coverage[5:12, 5:11] = 0.0
    found = find_likeness(features, features, flat(), coverage)
    assert found.share[6:11, 6:10].mean() < 0.05
    assert found.share[15:, 15:].min() > 0.95


def test_of_two_exemplars_the_nearer_one_counts() -> None:
    features = scene(3, (COAT, 5, 5))
    worn = scene(2, (COAT + np.float32(0.2), 5, 5))
    near = find_likeness(features, features, flat((30.0, 0.0)), EVERYWHERE)
    far = find_likeness(features, worn, flat((0.0, 30.0)), EVERYWHERE)
    assert far.share[6:11, 6:10].max() > 0.5  # or the next line shows nothing
    ab, share = mean_likeness([far, near])
    assert share.min() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(ab[6:11, 6:10] - (30.0, 0.0)).mean() < 3.0


# ---------------------------------------------------------------- films

SIZE = 96  # short side that the network sees
LENGTH = 14  # frames of a shot
LUMAS = [luma for seed in (0, 1, 2) for luma in shoot(LENGTH, (128, 96), seed=seed, grain=0.0)]
CARD = (-40, -3, 147)  # R'G'B' less its luma: a strong blue


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("likeness") / "film.mkv"
    return media.make(path, media.Film(LUMAS, codec="ffv1"))


@pytest.fixture
def own(options: ColorOptions) -> ColorOptions:
    return replace(options, size=SIZE, batch_size=1)


def rgb_of(luma: np.ndarray) -> np.ndarray:
    """Return R'G'B' of a frame's luma in shades of one colour, which leaves its luma."""
    grey = (luma.astype(np.float32) - 16)[..., None] * (255 / 219)
    return np.rint(grey + 0.5 * np.float32(CARD)).clip(0, 255).astype(np.uint8)


Card = Callable[..., Path]


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """Make a picture of another aspect: a square part of a frame in shades of one colour."""

    def make(name: str = "postcard.png", luma: np.ndarray = LUMAS[LENGTH + 5]) -> Path:
        path = tmp_path / name
        Image.fromarray(rgb_of(luma)[:, :96]).save(path)
        return path

    return make


def test_a_picture_colors_the_shots_that_look_like_it(
    film: Path, own: ColorOptions, card: Card
) -> None:
    directed = replace(own, references=(str(card()),))
    info = probe(film)
    guidance = directed.read_guidance(info)
    assert guidance.references == ()
    (note,) = guidance.notes
    assert "postcard.png is no frame of the film; its colours serve shot 2 (strong)" in note
    automatic_guidance = own.read_guidance(info)
    plain = [f.ab for f in Colorizer(own).ab_frames(info, guidance=automatic_guidance)]
    colored = [f.ab for f in Colorizer(directed).ab_frames(info, guidance=guidance)]
    for n, (ab, automatic) in enumerate(zip(colored, plain, strict=True)):
        if n // LENGTH == 1:
            assert np.abs(ab - automatic).mean() > 4.0
        else:
            np.testing.assert_array_equal(ab, automatic)


@pytest.mark.slow
def test_a_part_is_the_whole(film: Path, own: ColorOptions, card: Card) -> None:
    directed = replace(own, references=(str(card()),))
    info = probe(film)
    whole = [
        f.ab for f in Colorizer(directed).ab_frames(info, guidance=directed.read_guidance(info))
    ]
    told = pickle.loads(pickle.dumps(directed.read_guidance(info)))
    for first, stop in ((0, 3), (LENGTH - 2, LENGTH + 4), (2 * LENGTH - 3, 3 * LENGTH)):
        part = Colorizer(directed).ab_frames(info, Part(first, stop), guidance=told)
        np.testing.assert_array_equal([f.ab for f in part], whole[first:stop])


def test_a_mistaken_picture_is_refused(film: Path, own: ColorOptions, card: Card) -> None:
    other = card("of another film.png", shoot(1, (128, 96), seed=99, grain=0.0)[0])
    with pytest.raises(InputError, match=r"another film\.png: no frame of .*film\.mkv looks") as e:
        replace(own, references=(str(card()), str(other))).read_guidance(probe(film))
    assert "\n" not in str(e.value)


def test_a_named_or_timed_picture_must_be_a_frame(
    film: Path, own: ColorOptions, card: Card
) -> None:
    sources = card("frame-000019.png"), card("00-00-00.800.png"), f"{card()}@00:00:00.8"
    for source in sources:
        with pytest.raises(InputError, match="another aspect; crop or scale"):
            replace(own, references=(str(source),)).read_guidance(probe(film))


@pytest.mark.parametrize("size", [(600, 300), (96, 96), (40, 90), (300, 60)])
def test_any_size_and_aspect_is_read(
    film: Path, card: Card, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "any.png"
    Image.open(card("card.png", shoot(1, (128, 96), seed=99)[0])).resize(size).save(path)
    info = probe(film)
    lookalikes = read_pictures([str(path)], info, FrameIndex.read(info), SIZE).lookalikes
    assert len({exemplar.name for exemplar in lookalikes}) == 1
    for exemplar in lookalikes:
        height, width = exemplar.luma.shape
        assert exemplar.ab.shape == (height // 8, width // 8, 2)
        assert width / height == pytest.approx(size[0] / size[1], rel=0.3)


def test_other_pictures_make_another_run(film: Path, own: ColorOptions, card: Card) -> None:
    def identity(path: Path) -> object:
        directed = replace(own, references=(str(path),))
        run = Run.prepare(film, film.with_name("out.mkv"), RunSettings(directed, Encoding()))
        return run.guidance.pictures_digest

    first = identity(card())
    assert first == identity(card("the same.png")) != ""
    assert first != identity(card("another.png", LUMAS[LENGTH + 9]))


# ---------------------------------------------------------------- exemplars


def test_an_exemplar_keeps_its_luma_and_colors() -> None:
    luma = cv2.resize(LUMAS[0], (64, 48))
    exemplar = Exemplar.make("a", luma, flat(), 0.5 * EVERYWHERE)
    np.testing.assert_array_equal(exemplar.luma, luma)
    assert exemplar.ab.shape == (6, 8, 2)
    np.testing.assert_allclose(exemplar.ab.astype(float), np.broadcast_to(NAVY, (6, 8, 2)))
    np.testing.assert_array_equal(exemplar.coverage, 128)
    assert digest_of_pictures(()) == "" != digest_of_pictures((exemplar,))


def test_a_frame_is_served_by_its_shots_exemplars() -> None:
    plan = ExemplarPlan((), ((0, (1,)), (10, ()), (25, (0, 2))), ())
    assert [plan.serving(n) for n in (0, 9, 10, 24, 25, 99)] == [(1,), (1,), (), (), (0, 2), (0, 2)]
