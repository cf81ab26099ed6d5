"""Shot detection: cuts, dissolves and fades are found where they are, and only there."""

from functools import cache

import cv2
import numpy as np
import pytest
import transitions
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenes import gray

from filmcolor.shots import detector as shots
from filmcolor.shots import dissolves
from filmcolor.shots.detector import CONTEXT_FRAMES, MIXTURE_FRAMES, find_transitions, mark_cuts
from filmcolor.shots.dissolves import HALF_WINDOWS, dissolve_score
from filmcolor.shots.thumbnail import (
    Thumbnail,
    common_picture_area,
    dissimilarity,
    dissimilarity_bound,
)
from filmcolor.types.frames import LumaFrame
from filmcolor.video.proxy import proxy_frame

HEIGHT, WIDTH = 96, 128
EVENTFUL = 31  # the seed of a film in which every kind of transition is found
SHORTEST = 5  # frames of the shortest shot that has two cuts


def scene(seed, size=(WIDTH, HEIGHT)):
    """Return a picture in 0..1 with large and small shapes; another seed is another scene."""
    rng = np.random.default_rng(seed)
    width, height = size
    picture = sum(
        weight
        * cv2.resize(
            rng.random(cells, dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for cells, weight in (((4, 5), 0.7), ((12, 16), 0.3))
    )
    return (picture - picture.min()) / (picture.max() - picture.min()) * 0.8 + 0.1


def moved(picture, dx, dy):
    shift = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def proxy_frames(pictures, first=0):
    luma = np.zeros((2, 2), np.uint8)
    return [
        proxy_frame(LumaFrame(first + n, luma, first + n, 1), gray(p))
        for n, p in enumerate(pictures)
    ]


def cuts_of(pictures, first=0):
    return [f.source.number for f in mark_cuts(proxy_frames(pictures, first)) if f.is_cut]


def marks_of(pictures, first=0):
    frames = find_transitions(proxy_frames(pictures, first))
    return [(f.source.number, transition) for f, transition in frames if transition]


def shot(seed, num_frames, motion=1.0, grain=0.03):
    """Return one shot: a scene that drifts, with new grain in every frame."""
    rng = np.random.default_rng(1000 + seed)
    picture = scene(seed)
    return [
        moved(picture, motion * n, 0.3 * motion * n) + rng.normal(0.0, grain, (HEIGHT, WIDTH))
        for n in range(num_frames)
    ]


def film(*lengths, **options):
    return [p for seed, length in enumerate(lengths) for p in shot(seed, length, **options)]


# ---------------------------------------------------------------- cuts


@pytest.mark.parametrize("first_seed", [0, 10, 20, 30])
def test_hard_cuts_are_found_exactly(first_seed):
    lengths = 12, 7, 20, 9, 15
    pictures = [p for n, length in enumerate(lengths) for p in shot(first_seed + n, length)]
    assert cuts_of(pictures) == np.cumsum(lengths)[:-1].tolist()


def test_cuts_between_shots_of_another_brightness_are_found():
    dark, bright = shot(0, 10), shot(1, 10)
    pictures = [0.4 * p for p in dark] + [0.3 + 0.7 * p for p in bright]
    assert cuts_of(pictures) == [10]


def test_a_short_shot_has_two_cuts():
    assert cuts_of(film(10, SHORTEST, 10)) == [10, 10 + SHORTEST]


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_cut_next_to_the_beginning_is_found(position):
    assert cuts_of(film(position, 12)) == [position]


@pytest.mark.parametrize("from_end", [1, 2, 3])
def test_a_cut_next_to_the_end_is_found(from_end):
    assert cuts_of(film(12, from_end)) == [12]


def test_frames_come_back_in_order_and_otherwise_unchanged():
    frames = proxy_frames(film(6, 6), first=100)
    marked = list(mark_cuts(frames))
    assert [m.source for m in marked] == [f.source for f in frames]
    assert all(m.luma is f.luma for m, f in zip(marked, frames))


@pytest.mark.parametrize(
    "num_frames",
    [0, 1, 2, 3, CONTEXT_FRAMES, CONTEXT_FRAMES + 1, 2 * CONTEXT_FRAMES, 2 * CONTEXT_FRAMES + 1],
)
def test_short_films_come_through_whole(num_frames):
    marked = list(mark_cuts(proxy_frames(shot(0, num_frames))))
    assert [m.source.number for m in marked] == list(range(num_frames))
    assert not any(m.is_cut for m in marked)


# ---------------------------------------------------------------- no cuts


def test_flicker_is_no_cut():
    rng = np.random.default_rng(0)
    pictures = [p * gain for p, gain in zip(shot(0, 40), rng.uniform(0.8, 1.2, 40))]
    assert cuts_of(pictures) == []


def test_flicker_that_jumps_from_frame_to_frame_is_no_cut():
    pictures = [p * (0.8 if n % 2 else 1.2) for n, p in enumerate(shot(1, 30))]
    assert cuts_of(pictures) == []


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_frame_is_no_cut(level):
    pictures = shot(0, 21)
    pictures[10] = np.full((HEIGHT, WIDTH), level, np.float32)
    assert cuts_of(pictures) == []


@pytest.mark.parametrize("position", [4, 10, 16])
def test_a_flash_frame_is_no_cut(position):
    pictures = shot(0, 21)
    pictures[position] = 0.85 + 0.3 * pictures[position]
    assert cuts_of(pictures) == []


def test_a_single_foreign_frame_is_no_cut():
    pictures = shot(0, 21)
    pictures[10] = scene(99)
    assert cuts_of(pictures) == []


@pytest.mark.parametrize("speed", [2.0, 6.0, 12.0])
def test_a_pan_is_no_cut(speed):
    wide = scene(5, (WIDTH + 24 * 12, HEIGHT))
    starts = (int(n * speed) for n in range(24))
    assert cuts_of([wide[:, start : start + WIDTH] for start in starts]) == []


def test_a_pan_that_starts_and_stops_is_no_cut():
    wide = scene(6, (WIDTH + 200, HEIGHT))
    starts = [0] * 8 + list(range(0, 96, 8)) + [96] * 8
    assert cuts_of([wide[:, start : start + WIDTH] for start in starts]) == []


@pytest.mark.parametrize("grain", [0.1, 0.25])
def test_heavy_grain_is_no_cut(grain):
    assert cuts_of(shot(2, 30, grain=grain)) == []


def test_gate_weave_is_no_cut():
    rng = np.random.default_rng(3)
    picture = scene(3)
    pictures = [moved(picture, *rng.uniform(-3.0, 3.0, 2)) for _ in range(40)]
    assert cuts_of(pictures) == []


def test_black_leader_with_noise_has_no_cuts():
    rng = np.random.default_rng(4)
    assert cuts_of([rng.normal(0.02, 0.02, (HEIGHT, WIDTH)) for _ in range(30)]) == []


def test_a_worn_film_keeps_exactly_its_cuts():
    rng = np.random.default_rng(7)
    pictures = [
        moved(p, *rng.uniform(-1.5, 1.5, 2)) * rng.uniform(0.85, 1.15)
        for p in film(15, 11, 24, 8, grain=0.08)
    ]
    pictures[20] = pictures[20] + 0.6  # a flash
    assert cuts_of(pictures) == [15, 26, 50]


# ---------------------------------------------------------------- dissolves and fades


def mixed(first, second, num):
    """Return `num` frames in which one picture becomes another."""
    return [(1 - m) * first + m * second for m in np.arange(1, num + 1) / (num + 1)]


@pytest.mark.parametrize("num", [8, 12, 16, 20, 24])
def test_a_dissolve_has_one_mark_at_its_middle(num):
    first, second = shot(0, 30, motion=0.2), shot(1, 30, motion=0.2)
    pictures = first + mixed(first[-1], second[0], num) + second
    (mark,) = marks_of(pictures)
    assert mark[1] == "dissolve"
    assert abs(mark[0] - (30 + num / 2)) <= 2


def test_only_the_frames_after_a_dissolves_middle_are_mixtures():
    first, second = shot(0, 30, motion=0.2), shot(1, 40, motion=0.2)
    dissolved = first + mixed(first[-1], second[0], 12) + second
    marked = list(mark_cuts(proxy_frames(dissolved)))
    (middle,) = (f.source.number for f in marked if f.is_cut)
    mixtures = [f.source.number for f in marked if f.is_mixture]
    assert mixtures == list(range(middle, middle + MIXTURE_FRAMES))
    assert not any(f.is_mixture for f in mark_cuts(proxy_frames(first + second)))  # a hard cut


@pytest.mark.parametrize("gap", [0, 1, 6, 40])
@pytest.mark.parametrize("num", [8, 16])
def test_a_fade_out_and_in_has_one_mark_where_the_picture_reappears(num, gap):
    black = np.zeros((HEIGHT, WIDTH), np.float32)
    first, second = shot(0, 30), shot(1, 30)
    gone = first + mixed(first[-1], black, num) + [black] * gap
    (mark,) = marks_of(gone + mixed(black, second[0], num) + second)
    assert mark[1] == "fade"
    assert len(gone) - 1 <= mark[0] <= len(gone) + 2


def test_a_slow_fade_of_a_flickering_film_has_one_mark():
    rng = np.random.default_rng(5)
    levels = np.concatenate([np.linspace(1, 0, 50), np.zeros(10), np.linspace(0, 1, 50)])
    levels = np.concatenate([levels, np.ones(25)])
    pictures = shot(0, 25) + [p * v for p, v in zip(shot(2, 135), levels)]
    pictures = [p * rng.uniform(0.85, 1.15) for p in pictures]
    kinds = [kind for n, kind in marks_of(pictures) if n > 26]
    assert kinds == ["fade"]


def test_a_fade_out_for_good_begins_nothing():
    black = np.zeros((HEIGHT, WIDTH), np.float32)
    first = shot(0, 30)
    assert marks_of(first + mixed(first[-1], black, 16) + [black] * 30) == []


def test_a_picture_that_appears_at_once_after_leader_is_a_cut():
    rng = np.random.default_rng(8)
    leader = [rng.normal(0.02, 0.02, (HEIGHT, WIDTH)) for _ in range(12)]
    assert marks_of(leader + shot(0, 20)) == [(12, "cut")]


def test_leader_between_hard_cuts_is_a_shot():
    black = [np.zeros((HEIGHT, WIDTH), np.float32)] * 12
    assert marks_of(shot(0, 20) + black + shot(1, 20)) == [(20, "cut"), (32, "cut")]


# ---------------------------------------------------------------- bars and flashes


@pytest.mark.parametrize("bar", [12, 24])
@pytest.mark.parametrize("axis", [0, 1])
def test_bars_hide_no_cut(axis, bar):
    pictures = film(12, 9, 20, 11)
    for picture in pictures:
        lines = picture if axis == 0 else picture.T
        lines[:bar] = lines[-bar:] = 0.02
    assert cuts_of(pictures) == [12, 21, 41]


@pytest.mark.parametrize("num", [1, 2, 3])
@pytest.mark.parametrize("level", [0.0, 0.9])
def test_a_flash_at_a_cut_is_one_cut(num, level):
    pictures = film(15, 15)
    for n in range(15 - num, 15):
        pictures[n] = level + 0.1 * pictures[n]
    (mark,) = marks_of(pictures)
    assert 15 - num <= mark[0] <= 15
    assert mark[1] == "cut"


# ---------------------------------------------------------------- quick tests


def without_quick_tests(patch):
    """Disable the quick tests, so that everything is measured."""
    patch.setattr(shots, "dissimilarity_bound", lambda first, second: 2.0)
    patch.setattr(dissolves, "may_be_midpoint", lambda *pictures: True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", transitions.RECIPES)
def test_quick_tests_neither_remove_nor_add_marks(kind, monkeypatch):
    made = transitions.make_film(kind, 50, transitions.Source(), (96, 72), 4)
    pictures = [f / np.float32(255.0) for f in made.frames]
    marks = marks_of(pictures)
    without_quick_tests(monkeypatch)
    assert marks_of(pictures) == marks


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    gain=st.floats(0.02, 1.2),
    shift=st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
    mix=st.floats(0.0, 1.0),
    grain=st.floats(0.0, 0.3),
)
def test_no_dissimilarity_exceeds_its_bound(seeds, gain, shift, mix, grain):
    first, second = (scene(seed) for seed in seeds)
    second = gain * moved((1 - mix) * first + mix * second, *shift)
    second = second + np.random.default_rng(seeds[0]).normal(0.0, grain, second.shape)
    thumbnails = Thumbnail(gray(first)), Thumbnail(gray(second))
    for a, b in (thumbnails, thumbnails[::-1]):
        assert dissimilarity(a, b) <= dissimilarity_bound(a, b)


def test_no_dissimilarity_exceeds_its_bound_where_rounding_decides():
    for seed in range(300):
        pictures = np.random.default_rng(seed).integers(0, 256, (2, 36, 48), np.uint8)
        pictures[:, 4:-4, 5:-5] = 30  # uniform except for the edge and one pixel
        pictures[:, 10, 10] = 31
        first, second = map(Thumbnail, pictures)
        assert dissimilarity(first, second) <= dissimilarity_bound(first, second)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    reach=st.sampled_from(HALF_WINDOWS),
    late=st.integers(-2, 2),
    num=st.integers(1, 20),
    power=st.floats(0.5, 2.0),
    grain=st.floats(0.0, 0.1),
)
@example(seeds=(0, 1), reach=8, late=-1, num=3, power=1.0, grain=0.0)  # the fastest dissolve
def test_no_dissolve_is_ruled_out_by_its_middle(seeds, reach, late, num, power, grain):
    first, second = (scene(seed) for seed in seeds)
    rng = np.random.default_rng(seeds[0])
    start = reach - num // 2 + late
    levels = (np.arange(2 * reach + 1) - start).clip(0, num) / num
    thumbnails = [
        Thumbnail(gray((1 - m) * first + m * second + rng.normal(0.0, grain, first.shape)))
        for m in levels**power
    ]
    score = dissolve_score(thumbnails)
    with pytest.MonkeyPatch.context() as patch:
        without_quick_tests(patch)
        assert dissolve_score(thumbnails) == score


def test_a_true_dissolve_is_not_ruled_out():
    """Otherwise the property above could not fail."""
    first, second = scene(0), scene(1)
    levels = (np.arange(33) - 8).clip(0, 16) / 16
    assert dissolve_score([Thumbnail(gray((1 - m) * first + m * second)) for m in levels]) > 0.8


@settings(max_examples=100, deadline=None)
@given(
    bars=st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=3),
    gain=st.floats(0.0, 1.0),
)
def test_the_common_area_is_all_but_the_bars_that_all_pictures_have(bars, gain):
    thumbnails = []
    for n, (top, bottom, left, right) in enumerate(bars):
        picture = gain * scene(n)
        picture[:top] = picture[HEIGHT - bottom :] = 0.02
        picture[:, :left] = picture[:, WIDTH - right :] = 0.02
        thumbnails.append(Thumbnail(gray(picture)))
    area = common_picture_area(thumbnails)
    assert (*picture_lines(thumbnails, axis=1), *picture_lines(thumbnails, axis=0)) == area


def picture_lines(thumbnails, axis):
    """Return the first line of the pictures and the stop, straight from the definition."""
    means = np.array([t.picture.mean(axis=axis) for t in thumbnails])
    spreads = np.array([t.picture.std(axis=axis) for t in thumbnails])
    bright = np.flatnonzero((means + 2.0 * spreads).max(axis=0) > 0.094)
    length = means.shape[1]
    before, after = (bright[0], length - 1 - bright[-1]) if len(bright) else (length, length)
    if max(before, after) > 0.35 * length:
        return 0, length
    return before + (before > 0), length - after - (after > 0)


def test_earlier_comparisons_of_a_frame_change_nothing():
    pictures = scene(0), scene(1), scene(2)
    pictures[0][:12] = pictures[1][:12] = 0.02  # a bar that two of them have

    def measure(is_fresh):
        first, second, whole = (Thumbnail(gray(p)) for p in pictures)
        if not is_fresh:
            assert dissimilarity(first, whole) > 0.0
            assert dissolve_score(mixtures(first, whole)) > 0.0
        return dissimilarity(first, second), dissolve_score(mixtures(first, second))

    def mixtures(first, last):
        levels = (np.arange(1, 32) - 8).clip(0, 16) / 16
        between = [gray((1 - m) * first.picture + m * last.picture) for m in levels]
        return [first, *map(Thumbnail, between), last]

    assert measure(is_fresh=True) == measure(is_fresh=False)


# ---------------------------------------------------------------- hundreds of transitions


@pytest.fixture(scope="module")
def scores():
    """Return the score of each kind of film in `transitions.RECIPES`."""
    scores = {}
    for made in transitions.make_films(4, transitions.Source(), (96, 72), seed=40):
        marks = marks_of([f / np.float32(255.0) for f in made.frames])
        scores.setdefault(made.kind, transitions.Score()).add(made.transitions, marks)
    return scores


@pytest.mark.slow
def test_of_hundreds_of_transitions_nearly_all_are_found_and_hardly_any_besides(scores):
    whole = sum(scores.values(), transitions.Score())
    assert whole.cuts + whole.gradual >= 300
    assert whole.recall >= 0.97
    assert whole.precision >= 0.97
    assert whole.gradual_found >= 0.6 * whole.gradual
    assert whole.false_gradual <= 0.15 * whole.gradual


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in transitions.RECIPES if "dissolve" not in k])
def test_no_kind_of_film_is_lost(scores, kind):
    score = scores[kind]
    assert score.cuts_found >= 0.9 * score.cuts
    assert score.false_cuts <= 0.1 * (score.cuts + score.gradual)


# ---------------------------------------------------------------- parts and the whole


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 40, 3))
def test_marks_do_not_depend_on_where_reading_began_or_ended(start):
    pictures = film(9, 5, 13, 17, 6)
    whole = cuts_of(pictures)
    assert whole == [9, 14, 27, 44]
    stop = min(len(pictures), start + 12)
    first, last = max(0, start - CONTEXT_FRAMES), stop + CONTEXT_FRAMES
    part = cuts_of(pictures[first:last], first)
    assert [n for n in part if start <= n < stop] == [n for n in whole if start <= n < stop]


@cache
def eventful():
    """Return a worn film with all kinds of transitions, and its marks."""
    film = transitions.make_film("everything", EVENTFUL, transitions.Source(), (96, 72), 6)
    pictures = [f / np.float32(255.0) for f in film.frames]
    return pictures, marks_of(pictures)


def test_the_eventful_film_has_all_kinds():
    """Else the law below could not fail."""
    assert {kind for _, kind in eventful()[1]} == {"cut", "dissolve", "fade"}


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 250), length=st.integers(1, 60))
def test_marks_of_a_part_are_those_of_the_whole(start, length):
    pictures, whole = eventful()
    stop = min(len(pictures), start + length)
    first = max(0, start - CONTEXT_FRAMES)
    part = marks_of(pictures[first : stop + CONTEXT_FRAMES], first)
    assert [m for m in part if start <= m[0] < stop] == [m for m in whole if start <= m[0] < stop]


def test_no_more_frames_than_the_context_are_read_ahead():
    read = []

    def reading():
        for frame in proxy_frames(film(20)):
            read.append(frame.source.number)
            yield frame

    for marked in mark_cuts(reading()):
        assert len(read) <= marked.source.number + CONTEXT_FRAMES + 1
    assert len(read) == 20
