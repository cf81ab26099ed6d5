"""References' colours reach the frames of their shots, and nothing else."""

import cv2
import numpy as np
import pytest
from scenes import HEIGHT, WIDTH, pan, proxy_frames, texture

from filmcolor.guidance.propagation import ReferencePropagator
from filmcolor.guidance.reference_shots import PlacedReference
from filmcolor.guidance.references import Reference
from filmcolor.temporal.anchors import track
from filmcolor.temporal.smoothing import Window, smooth_ab
from filmcolor.types.frames import PredictedFrame

WINDOW = Window(48, 32)
SIZE = (HEIGHT // 2, WIDTH // 2)
AUTOMATIC = (-9.0, 12.0)  # the network's colour of everything
EVERYWHERE = np.ones(SIZE, np.float32)


def flat(a, b):
    return np.broadcast_to(np.float32([a, b]), (*SIZE, 2)).copy()


def features_of(kinds):
    """Return features (h/8, w/8, C) that differ as much as possible between kinds (h, w)."""
    cells = cv2.resize(
        np.float32(kinds), (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_NEAREST
    )
    return np.float32(np.sqrt(3.0)) * np.eye(8, dtype=np.float32)[cells.astype(int)]


class Film:
    """Frames with samples of some kinds; some frames are references."""

    def __init__(self, frames, kinds_of=lambda n: np.zeros(SIZE)):
        self.frames, self.kinds_of, self.placed = frames, kinds_of, []

    def give(self, number, ab, coverage=EVERYWHERE, first=0):
        """Make a frame a reference; `first`: of its shot."""
        frame = self.frames[number]
        reference = Reference(number, ab, coverage)
        self.placed.append(PlacedReference(reference, frame.luma, frame.guide, first, None))
        return self

    def propagator(self):
        kinds = {id(s.luma): self.kinds_of(s.reference.number) for s in self.placed}
        return ReferencePropagator(self.placed, lambda small: features_of(kinds[id(small)]))

    def propagated(self):
        """Return the ab (N, h, w, 2) of the frames, with AUTOMATIC as the network's colour."""
        propagator = self.propagator()
        seen = (
            PredictedFrame(f, flat(*AUTOMATIC), features_of(self.kinds_of(f.source.number)))
            if f.is_anchor
            else PredictedFrame(f)
            for f in track(propagator.watch_cuts(self.frames), requests=propagator.anchor_requests)
        )
        return np.stack([f.ab for f in smooth_ab(propagator.propagate(seen), WINDOW)])


def discs(num, step=1):
    """Return pictures of a disc crossing a still background, and its masks (h, w)."""
    ground, thing = texture(2) * 0.5, texture(7) * 0.5 + 0.45
    pictures, masks = [], []
    for n in range(num):
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.circle(mask, (30 + step * n, 48), 18, 1.0, -1)
        shift = np.float32([[1, 0, step * n], [0, 1, 0]])
        moved = cv2.warpAffine(thing, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        pictures.append(ground * (1 - mask) + moved * mask)
        masks.append(cv2.resize(mask, SIZE[::-1], interpolation=cv2.INTER_AREA))
    return pictures, masks


def core(mask):
    return cv2.erode(mask, np.ones((7, 7))) > 0.99


def far_from(mask):
    return cv2.dilate(mask, np.ones((9, 9))) < 0.01


# ---------------------------------------------------------------- inside a shot


@pytest.mark.parametrize("step", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("number", [0, 24, 49])
def test_one_color_of_all_reaches_every_frame(step, number):
    result = Film(proxy_frames(pan(50, step))).give(number, flat(18.0, -23.0)).propagated()
    assert np.abs(result - flat(18.0, -23.0)).max() < 3.0  # of 45 between it and AUTOMATIC
    assert np.abs(result - flat(18.0, -23.0)).mean() < 0.5


def test_a_references_frame_has_the_colors_that_were_given():
    rng = np.random.default_rng(0)
    given = [rng.normal(0.0, 20.0, (*SIZE, 2)).astype(np.float32) for _ in range(2)]
    film = Film(proxy_frames(pan(50, 1.0))).give(5, given[0]).give(21, given[1])
    result = film.propagated()
    for number, ab in zip((5, 21), given, strict=True):
        np.testing.assert_allclose(result[number], ab, atol=1e-4)


@pytest.mark.parametrize("number", [0, 48])
def test_colors_follow_what_moves(number):
    pictures, masks = discs(49)
    ab = np.dstack([masks[number] * 30.0, masks[number] * 0.0])
    result = Film(proxy_frames(pictures), masks.__getitem__).give(number, ab).propagated()
    for colors, mask in zip(result, masks, strict=True):
        assert colors[core(mask)][:, 0].mean() > 26.0
        assert np.abs(colors[far_from(mask)]).mean() < 2.0


def test_what_jumps_is_found_by_its_likeness():
    """The disc moves by three times its radius at once: no flow can follow."""
    pictures, masks = discs(2, step=54)
    places = [0] * 8 + [1] * 9
    frames = proxy_frames([pictures[place] for place in places])
    ab = np.dstack([masks[0] * 30.0, masks[0] * 0.0])
    result = Film(frames, lambda n: masks[places[n]]).give(0, ab).propagated()
    for colors in result[8:]:
        assert colors[core(masks[1])][:, 0].mean() > 20.0


def test_a_new_thing_keeps_the_automatic_color():
    pictures, masks = discs(49)
    ground = texture(2) * 0.5
    frames = proxy_frames([p if n >= 20 else ground for n, p in enumerate(pictures)])
    film = Film(frames, lambda n: masks[n] * (n >= 20)).give(0, flat(30.0, 0.0))
    result = film.propagated()
    for n in range(24, 49):
        assert np.abs(result[n][core(masks[n])] - AUTOMATIC).mean() < 3.0
        assert np.abs(result[n][far_from(masks[n])] - (30.0, 0.0)).mean() < 3.0


def test_two_references_blend_by_nearness():
    film = Film(proxy_frames([texture()] * 49))
    means = film.give(0, flat(20.0, 0.0)).give(48, flat(0.0, 20.0)).propagated().mean((1, 2))
    np.testing.assert_allclose(means[[0, 48]], [[20.0, 0.0], [0.0, 20.0]], atol=1e-3)
    assert means[8][0] > means[24][0] + 1.0 > means[40][0] + 2.0
    assert means[8][1] + 2.0 < means[24][1] + 1.0 < means[40][1]
    assert np.abs(np.diff(means, axis=0)).max() < 4.0  # without a jump


def test_strokes_color_what_they_cover():
    left = np.zeros(SIZE, np.float32)
    left[:, : SIZE[1] // 2] = 1.0
    film = Film(proxy_frames([texture()] * 30), lambda n: left)
    result = film.give(0, flat(30.0, 0.0), coverage=left).propagated()
    assert np.abs(result[:, :, : SIZE[1] // 2 - 4] - (30.0, 0.0)).max() < 1.0
    assert np.abs(result[:, :, SIZE[1] // 2 + 4 :] - AUTOMATIC).max() < 1.0


def test_a_reference_without_any_color_changes_nothing():
    film = Film(proxy_frames(pan(40, 1.0))).give(0, flat(50.0, 50.0), coverage=0 * EVERYWHERE)
    np.testing.assert_allclose(film.propagated(), np.stack([flat(*AUTOMATIC)] * 40), atol=1e-3)


def test_its_shot_has_an_anchor_in_each_block():
    frames = proxy_frames([texture()] * 100, cuts=(50,))
    propagator = Film(frames).give(13, flat(0.0, 0.0)).propagator()
    tracked = track(propagator.watch_cuts(frames), requests=propagator.anchor_requests)
    numbers = [f.source.number for f in tracked if f.is_anchor]
    assert [n for n in numbers if n < 50] == [0, 13, 16, 32, 48]
    plain = [f.source.number for f in track(frames) if f.is_anchor]
    assert [n for n in numbers if n >= 50] == [n for n in plain if n >= 50]


# ---------------------------------------------------------------- other shots


def test_nothing_crosses_a_cut():
    frames = proxy_frames([texture(1)] * 30 + [texture(3)] * 30, cuts=(30,))
    film = Film(frames, lambda n: np.full(SIZE, n >= 30)).give(10, flat(30.0, 0.0))
    result = film.propagated()
    assert np.abs(result[:30] - (30.0, 0.0)).max() < 1.0
    np.testing.assert_allclose(result[30:], np.stack([flat(*AUTOMATIC)] * 30), atol=1e-4)


@pytest.mark.parametrize("number", [10, 50])
def test_a_shot_that_comes_again_has_its_colors_again(number):
    pictures = [texture(1)] * 20 + [texture(3)] * 20 + [texture(1)] * 20
    frames = proxy_frames(pictures, cuts=(20, 40))
    film = Film(frames, lambda n: np.full(SIZE, 20 <= n < 40))
    result = film.give(number, flat(30.0, 0.0), first=number // 20 * 20).propagated()
    assert np.abs(result[20:40] - AUTOMATIC).max() < 1e-3
    assert np.abs(result[[*range(20), *range(40, 60)]] - (30.0, 0.0)).max() < 1.0


def test_a_shots_own_reference_comes_first():
    film = Film(proxy_frames([texture(1)] * 60, cuts=(30,)))
    result = film.give(10, flat(30.0, 0.0)).give(59, flat(0.0, 30.0), first=30).propagated()
    assert np.abs(result[:30] - (30.0, 0.0)).max() < 1.0
    assert np.abs(result[30:] - (0.0, 30.0)).max() < 1.0


def test_a_view_that_comes_again_within_a_shot_has_its_colors_again():
    """The second shot begins with the first one's view, which its own reference lacks."""
    pictures = [texture(1)] * 50 + [texture(3)] * 30
    film = Film(proxy_frames(pictures, cuts=(20,)), lambda n: np.full(SIZE, n >= 50))
    result = film.give(10, flat(30.0, 0.0)).give(70, flat(0.0, 30.0), first=20).propagated()
    assert np.abs(result[20:40] - (30.0, 0.0)).mean() < 4.0  # of 30 between them
    assert np.abs(result[58:] - (0.0, 30.0)).mean() < 4.0
