"""With matched shots, a thing has one colour in all shots that show it."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

from filmcolor.errors import OutputError
from filmcolor.guidance.exemplars import LIKELY, REJECTED, STRONG, Exemplar, Match
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.shot_matching import (
    View,
    describe,
    make_plan,
    match_views,
    resemblance,
)
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, color_missing
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.saved_run import open_run, save_run
from filmcolor.types.film import Part
from filmcolor.types.frames import FloatPlane
from filmcolor.video.probe import probe

HEIGHT, WIDTH, NUM_CHANNELS = 16, 24, 40

# ---------------------------------------------------------------- views


def patch(seed: int, height: int = HEIGHT, width: int = WIDTH) -> FloatPlane:
    """Return features (h, w, C) of something: its samples differ less than from another's."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal(NUM_CHANNELS)
    noise = rng.normal(0.0, 0.1, (height, width, NUM_CHANNELS))
    return (1.4 * center / np.linalg.norm(center) + noise).astype(np.float32)


LEFT, MIDDLE, RIGHT = (
    (slice(None), slice(0, 8)),
    (slice(None), slice(8, 16)),
    (
        slice(None),
        slice(16, 24),
    ),
)
COAT, HAT, DOG = (patch(seed, HEIGHT, 8) for seed in (1, 2, 3))


def side_by_side(*parts: FloatPlane) -> FloatPlane:
    return np.concatenate(parts, axis=1)


def views_of(pictures: Sequence[FloatPlane], lengths: Sequence[int]) -> list[View]:
    """Return a view for each picture, each of a shot of its own, in a colour of its own."""
    views = []
    for n, (features, length) in enumerate(zip(pictures, lengths, strict=True)):
        ab = np.full((HEIGHT, WIDTH, 2), 10.0 * n, np.float32)
        luma = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
        exemplar = Exemplar.make(f"frame {n}", luma, ab, np.ones_like(ab[..., 0])).of_frame(
            n, n + 1
        )
        views.append(View(exemplar, length, describe(features)))
    return views


def test_the_view_that_most_of_the_film_resembles_leads() -> None:
    pictures = [side_by_side(COAT, patch(n, width=8), patch(n + 50, width=8)) for n in (10, 11, 12)]
    views = views_of(pictures, (20, 500, 30))
    exemplars, matches = match_views(views, pictures.__getitem__)
    used = [match for _, match in matches if match.is_used]
    assert {(m.exemplar_shot, m.shot) for m in used if m.exemplar_shot == 2} == {(2, 1), (2, 3)}
    assert exemplars[1].coverage.min() == 255  # it follows none
    for follower in (exemplars[0], exemplars[2]):
        assert follower.coverage[LEFT][:, 1:-1].max() == 0  # the coat is the leader's
        assert follower.coverage[RIGHT].min() == 255


def test_the_leader_is_the_same_wherever_the_film_begins() -> None:
    film = [side_by_side(COAT, patch(n, width=8), patch(n + 50, width=8)) for n in (10, 11, 12)]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        pictures, lengths = [film[n] for n in order], [(20, 500, 30)[n] for n in order]
        _, matches = match_views(views_of(pictures, lengths), pictures.__getitem__)
        leaders = {order[m.exemplar_shot - 1] for _, m in matches if m.is_used}
        assert leaders == {1}


def test_colors_are_not_handed_on_along_a_chain() -> None:
    """The second view follows the first in the coat; the third has its hat alone from it."""
    first = side_by_side(COAT, patch(10, width=8), patch(11, width=8))
    second = side_by_side(COAT, HAT, patch(12, width=8))
    third = side_by_side(patch(13, width=8), HAT, COAT)
    pictures = [first, second, third]
    exemplars, _ = match_views(views_of(pictures, (900, 500, 30)), pictures.__getitem__)
    ranked = sorted(range(3), key=lambda n: -int(exemplars[n].coverage.sum(dtype=np.int64)))
    leader, between, last = (exemplars[n] for n in ranked)
    owners_of_coat = [
        n for n, e in enumerate(exemplars) if e.coverage[(LEFT, LEFT, RIGHT)[n]][:, 2:-2].max()
    ]
    owners_of_hat = [n for n in (1, 2) if exemplars[n].coverage[MIDDLE][:, 2:-2].max()]
    assert len(owners_of_coat) == len(owners_of_hat) == 1
    assert leader.coverage.min() == 255 > between.coverage.min()
    assert last.coverage.sum(dtype=np.int64) < between.coverage.sum(dtype=np.int64)


def test_unlike_views_are_left_alone() -> None:
    pictures = [patch(seed) for seed in (5, 6, 7)]
    exemplars, matches = match_views(views_of(pictures, (100, 100, 100)), pictures.__getitem__)
    assert not any(match.is_used for _, match in matches)
    assert all(exemplar.coverage.min() == 255 for exemplar in exemplars)


def test_resemblance_is_symmetric_and_greatest_for_the_same() -> None:
    first, second = describe(side_by_side(COAT, HAT, DOG)), describe(side_by_side(COAT, HAT, COAT))
    assert resemblance(first, second) == pytest.approx(resemblance(second, first))
    assert resemblance(first, first) == pytest.approx(1.0)
    assert 1.0 > resemblance(first, second) > resemblance(first, describe(patch(9)))


@pytest.mark.parametrize(
    ("share", "strength", "is_used"),
    [(0.5, STRONG, True), (0.01, LIKELY, True), (0.003, REJECTED, False), (0.0, "", False)],
)
def test_a_match_has_a_strength(share: float, strength: str, is_used: bool) -> None:
    match = Match("frame 3", 1, 2, share)
    assert (match.strength, match.is_used) == (strength, is_used)


def test_each_shot_has_its_strongest_exemplars() -> None:
    exemplars = [view.exemplar for view in views_of([patch(n) for n in range(6)], [10] * 6)]
    shares = (0.03, 0.6, 0.2, 0.003, 0.4)  # of the last shot, with the five before
    matches = [(n, Match(f"frame {n}", n + 1, 6, share)) for n, share in enumerate(shares)]
    plan = make_plan(exemplars, matches, [0, 10, 20, 30, 40, 50], leads_own_shot=True)
    names = [[plan.exemplars[n].name for n in plan.serving(first)] for first in range(0, 60, 10)]
    assert names[5] == ["frame 1", "frame 4", "frame 2"]
    assert names[:5] == [[], ["frame 1"], ["frame 2"], [], ["frame 4"]]
    given = make_plan(exemplars, matches, [0, 10, 20, 30, 40, 50], leads_own_shot=False)
    assert [len(given.serving(first)) for first in range(0, 60, 10)] == [0, 0, 0, 0, 0, 3]


# ---------------------------------------------------------------- films

SIZE = 96  # short side that the network sees
LENGTH = 14  # frames of a shot
SHOTS = (0, 1, 2, 0, 3, 0)  # scenes of the shots
LUMAS_OF_SCENES = (16, 70), (180, 235), (90, 130), (140, 175)  # a random network sees little else


def lit(luma: np.ndarray, limits: tuple[int, int], gain: float = 1.0) -> np.ndarray:
    """Return luma between limits."""
    low, high = limits
    return np.rint(low + (luma.astype(float) - 16) / 219 * (high - low) * gain).astype(np.uint8)


def lumas() -> list[np.ndarray]:
    planes = []
    for n, seed in enumerate(SHOTS):
        shot = shoot(LENGTH, (128, 96), seed=seed, grain=0.0)
        gain = 0.9 if n == 3 else 1.0
        planes += [lit(plane, LUMAS_OF_SCENES[seed], gain) for plane in shot]
    return planes


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("matched") / "film.mkv"
    return media.make(path, media.Film(lumas(), codec="ffv1"))


@pytest.fixture(scope="module")
def own(options: ColorOptions) -> ColorOptions:
    return replace(options, size=SIZE, batch_size=1, match_shots=True)


@pytest.fixture(scope="module")
def guidance(film: Path, own: ColorOptions) -> Guidance:
    return own.read_guidance(probe(film))


Color = Callable[..., list[FloatPlane]]


@pytest.fixture(scope="module")
def color(film: Path) -> Color:
    def colored(options: ColorOptions, guidance: Guidance | None = None) -> list[FloatPlane]:
        guidance = guidance or options.read_guidance(probe(film))
        frames = Colorizer(options).ab_frames(probe(film), guidance=guidance)
        return [frame.ab for frame in frames]

    return colored


@pytest.fixture(scope="module")
def whole(color: Color, own: ColorOptions, guidance: Guidance) -> list[FloatPlane]:
    return color(own, guidance)


def of_shot(number: int) -> slice:
    return slice(number * LENGTH, (number + 1) * LENGTH)


def test_a_scene_that_comes_again_has_its_colors_again(
    whole: list[FloatPlane], color: Color, own: ColorOptions
) -> None:
    plain = color(replace(own, match_shots=False))

    def spread(abs_: list[FloatPlane]) -> float:
        first, again = np.array(abs_[of_shot(0)]), np.array(abs_[of_shot(3)])
        return float(np.abs(first - again).mean())

    assert spread(whole) < 0.8 * spread(plain)
    for number in (1, 2, 4):
        np.testing.assert_array_equal(whole[of_shot(number)], plain[of_shot(number)])


def test_what_matches_is_said(guidance: Guidance) -> None:
    (note,) = guidance.notes
    assert note.startswith("3 of 6 shots share colours with others (2 strong, 0 likely")
    pairs = {frozenset((m.exemplar_shot, m.shot)) for m in guidance.likeness.matches if m.is_used}
    assert len(pairs) == 2
    assert pairs < {frozenset(p) for p in ((1, 4), (1, 6), (4, 6))}


@pytest.mark.slow
def test_a_part_is_the_whole(
    film: Path, own: ColorOptions, guidance: Guidance, whole: list[FloatPlane]
) -> None:
    again, told = own.read_guidance(probe(film)), pickle.loads(pickle.dumps(guidance))
    for part_guidance, first, stop in (
        (again, LENGTH - 2, LENGTH + 2),
        (again, 5 * LENGTH + 3, 5 * LENGTH + 6),
        (told, 3 * LENGTH + 5, 4 * LENGTH + 2),
    ):
        part = Colorizer(own).ab_frames(probe(film), Part(first, stop), guidance=part_guidance)
        np.testing.assert_array_equal([f.ab for f in part], whole[first:stop])


def test_a_plan_is_small(guidance: Guidance) -> None:
    assert len(pickle.dumps(guidance)) < 40_000


def test_a_reference_serves_every_shot_that_shows_the_same(
    film: Path, own: ColorOptions, color: Color, tmp_path: Path
) -> None:
    grey = ((lumas()[4].astype(np.float32) - 16) / 54).clip(0, 1)[..., None]
    path = tmp_path / "frame-000004.png"
    Image.fromarray(np.rint(grey * 140 + np.float32((30, 40, 100))).astype(np.uint8)).save(path)
    directed = replace(own, references=(str(path),))
    guidance = directed.read_guidance(probe(film))
    given = guidance.references[0].ab.mean(axis=(0, 1))
    colored = color(directed, guidance)
    for number in (0, 3, 5):
        means = np.mean(colored[of_shot(number)], axis=(0, 1, 2))
        assert np.linalg.norm(means - given) < 6.0 < np.linalg.norm(given)
    plain = color(replace(own, match_shots=False))
    np.testing.assert_array_equal(colored[of_shot(1)], plain[of_shot(1)])


@pytest.mark.slow
def test_a_run_does_not_go_on_with_unmatched_shots(
    film: Path, own: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"

    def run_of(options: ColorOptions) -> Run:
        return Run.prepare(film, output, RunSettings(options, Encoding(codec="ffv1")))

    run = run_of(own)
    with run.locked():
        color_missing(run, PieceColorizer(Colorizer(own)))
        save_run(run)
        kept = open_run(run.journal.folder).guidance.likeness.automatic
    plan = run.guidance.likeness.automatic
    assert plan is not None and kept is not None
    assert (kept.shots, kept.matches) == (plan.shots, plan.matches)
    for one, other in zip(kept.exemplars, plan.exemplars, strict=True):
        assert (one.name, one.png, one.shot, one.number) == (
            *(other.name, other.png, other.shot, other.number),
        )
        np.testing.assert_array_equal(one.ab, other.ab)
    with (
        pytest.raises(OutputError, match="match-shots"),
        run_of(replace(own, match_shots=False)).locked(),
    ):
        pass
    again = run_of(own)
    with again.locked():
        assert again.missing() == []
