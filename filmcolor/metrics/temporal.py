"""Metrics of colours over time: CDC and warp error.

Pictures are 8-bit R'G'B' (H, W, 3), ab is CIELAB (H, W, 2). No metric is a goal by itself: grey has
the best CDC and warp error possible, and noise is colourful. Pairs of frames across a cut are left
out of both. Published CDC values are of other picture sizes.

Motion is estimated once for all colourings of a film that are compared:

    tracker, errors = MotionTracker(), {name: WarpErrors() for name in names}
    for luma, is_cut, abs in film:
        motion = tracker.add(luma, is_cut)
        for name in names:
            errors[name].add(abs[name], motion)
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from filmcolor.kernels.ops import warp
from filmcolor.metrics.image import Mean
from filmcolor.temporal.flow import MISS_PIXELS, MISS_SHARE, compose_flow, find_flow, is_inside
from filmcolor.types.frames import FloatPlane, Flow, Gray, Picture

CDC_STEPS = (1, 2, 4)  # frames apart, each with a weight of one third (Liu et al. 2021)
LONG_STEP = 24  # frames between the two of a long pair: a second of sound film
LONG_EVERY = 6  # frames from one long pair to the next, so four are open at a time


# ---------------------------------------------------------------- CDC


def distributions(rgb: Picture) -> NDArray[np.float64]:
    """Return the normalised histogram of each channel, (3, 256)."""
    counts = [np.bincount(rgb[..., c].ravel(), minlength=256) for c in range(3)]
    return np.stack(counts) / (rgb.shape[0] * rgb.shape[1])


def divergence(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence of distributions (..., 256), in nats: 0 to ln 2.

    SciPy's function returns its square root, the distance. Source: Lin 1991.
    """
    distance: NDArray[np.float64] = jensenshannon(first, second, axis=-1)
    return np.square(distance)


class Cdc:
    """Colour Distribution Consistency of consecutive frames; lower is steadier.

    For each of `CDC_STEPS`, the divergence between the distributions of frames that far apart is
    averaged over all pairs and channels; the mean over the steps is the CDC. Source: TCVC, Liu et
    al. 2021.
    """

    def __init__(self) -> None:
        self._past: deque[NDArray[np.float64]] = deque(maxlen=max(CDC_STEPS))
        self.means = {step: Mean() for step in CDC_STEPS}

    def add(self, rgb: Picture, is_cut: bool = False) -> None:
        """Add the next frame; `is_cut` is True on the first frame of a shot."""
        if is_cut:
            self._past.clear()
        current = distributions(rgb)
        for step, mean in self.means.items():
            if step <= len(self._past):
                mean.add(float(divergence(self._past[-step], current).mean()))
        self._past.append(current)

    @property
    def value(self) -> float | None:
        """The mean over the steps that have pairs; None for fewer than two frames."""
        values = [m.value for m in self.means.values() if m.value is not None]
        return float(np.mean(values)) if values else None


# ---------------------------------------------------------------- motion


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The motion from a frame to a later one, and which of its pixels the later one shows."""

    forward: Flow  # (H, W, 2), from the first frame to the later one
    backward: Flow  # (H, W, 2), from the later frame to the first
    is_visible: NDArray[np.bool_]  # (H, W), of the first; False where occluded or out of frame

    @property
    def num_visible(self) -> int:
        """The number of pixels that the later frame shows."""
        return int(self.is_visible.sum())


def find_motion(first: Gray, second: Gray) -> Motion:
    """Return the motion from one 8-bit luma (H, W) to another.

    DIS flow (Kroeger et al. 2016) in both directions. A pixel counts as occluded where the two
    disagree (Sundaram et al. 2010, equation 5).
    """
    forward, backward = find_flow(first, second), find_flow(second, first)
    return _check_occlusion(forward, backward, is_inside(forward))


def _check_occlusion(forward: Flow, backward: Flow, is_in_frame: NDArray[np.bool_]) -> Motion:
    """Return a motion whose visible pixels are in frame and pass the forward-backward test."""
    returned = warp(backward, forward)
    miss = np.square(forward + returned).sum(axis=2)
    length = np.square(forward).sum(axis=2) + np.square(returned).sum(axis=2)
    is_visible = is_in_frame & (miss < MISS_SHARE * length + MISS_PIXELS)
    return Motion(forward, backward, is_visible)


@dataclass(frozen=True, slots=True, eq=False)
class FrameMotion:
    """The motion to a frame from earlier frames of its shot."""

    number: int  # frames before it
    short: Motion | None  # from the previous frame; None on the first frame of a shot
    long: Motion | None  # from LONG_STEP frames before; None where no long pair ends

    @property
    def starts_long_pair(self) -> bool:
        """True on the first frame of a long pair."""
        return self.number % LONG_EVERY == 0


@dataclass(frozen=True, slots=True, eq=False)
class _ComposedMotion:
    """The composed flows between the first frame of a long pair and the latest frame."""

    forward: Flow
    backward: Flow
    is_in_frame: NDArray[np.bool_]  # (H, W), of the first frame: in frame all the way

    def extend(self, motion: Motion) -> "_ComposedMotion":
        """Return the flows to the next frame."""
        forward = compose_flow(self.forward, motion.forward)
        backward = compose_flow(motion.backward, self.backward)
        return _ComposedMotion(forward, backward, self.is_in_frame & is_inside(forward))


class MotionTracker:
    """Estimates the motion between neighbouring frames, and over LONG_STEP frames.

    Over LONG_STEP frames, the flows between neighbours are composed in both directions. A pixel
    is visible where the composed flows agree (the test of `find_motion`) and it was in frame all
    the way. Long pairs start at every LONG_EVERY-th added frame, so memory holds a few flows
    whatever the film's length, and the pairs of a part are not those of the whole film.
    """

    def __init__(self) -> None:
        self._previous: Gray | None = None
        self._number = 0
        self._open: dict[int, _ComposedMotion] = {}  # by the number of their first frame

    def add(self, luma: Gray, is_cut: bool = False) -> FrameMotion:
        """Add the next frame's 8-bit luma (H, W); `is_cut` is True on the first of a shot."""
        short: Motion | None = None
        long: Motion | None = None
        number = self._number
        if is_cut or self._previous is None:
            self._open.clear()
        else:
            short = find_motion(self._previous, luma)
            self._open = {start: c.extend(short) for start, c in self._open.items()}
            composed = self._open.pop(number - LONG_STEP, None)
            if composed is not None:
                long = _check_occlusion(composed.forward, composed.backward, composed.is_in_frame)
        motion = FrameMotion(number, short, long)
        if motion.starts_long_pair:
            zero = np.zeros((*luma.shape, 2), np.float32)
            self._open[number] = _ComposedMotion(zero, zero, np.ones(luma.shape, np.bool_))
        self._previous, self._number = luma, number + 1
        return motion


# ---------------------------------------------------------------- warp error


def warp_error(first: FloatPlane, second: FloatPlane, motion: Motion) -> float | None:
    """Return the mean over visible pixels of |warp(ab(t+1)) - ab(t)|, in Lab units.

    |…| is the distance in the ab plane; `motion` is that of the luma from the first frame to the
    second. None when no pixel is visible. To average pairs, weight them by `Motion.num_visible`.
    Source: Lai et al. 2018.
    """
    if not motion.num_visible:
        return None
    difference = (warp(second, motion.forward) - first)[motion.is_visible]
    return float(np.hypot(difference[:, 0], difference[:, 1]).mean(dtype=np.float64))


class WarpErrors:
    """The warp error of a film's ab between neighbouring frames, and over LONG_STEP frames.

    The long one separates slow drift from steadiness, which the short one cannot: a colour that
    changes a little in each frame changes by LONG_STEP times as much in a long pair.
    """

    def __init__(self) -> None:
        self.short, self.long = Mean(), Mean()
        self._previous: FloatPlane | None = None
        self._starts: dict[int, FloatPlane] = {}  # first frames of long pairs, by number

    def add(self, ab: FloatPlane, motion: FrameMotion) -> float | None:
        """Add the next frame's ab (H, W, 2); return its error since the previous frame.

        `motion`: the result of `MotionTracker.add` for the frame's luma, of the same size.
        """
        start = self._starts.pop(motion.number - LONG_STEP, None)
        error = _add_pair(self.short, self._previous, ab, motion.short)
        _add_pair(self.long, start, ab, motion.long)
        if motion.starts_long_pair:
            self._starts[motion.number] = ab
        self._previous = ab
        return error

    @property
    def value(self) -> float | None:
        """Between neighbours, in Lab units; pairs are weighted by the pixels visible in both."""
        return self.short.value

    @property
    def long_value(self) -> float | None:
        """The same for frames LONG_STEP apart; None when all shots are shorter."""
        return self.long.value


def _add_pair(
    mean: Mean, first: FloatPlane | None, second: FloatPlane, motion: Motion | None
) -> float | None:
    """Add the error of a pair to a mean and return it; None where there is no pair."""
    if first is None or motion is None:
        return None
    error = warp_error(first, second, motion)
    if error is not None:
        mean.add(error, motion.num_visible)
    return error
