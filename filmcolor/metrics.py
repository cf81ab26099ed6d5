"""How good colours are, and how steady: colourfulness, CDC, warp error, PSNR, ab RMSE.

Pictures are 8-bit R'G'B' (H, W, 3), ab is CIELAB (H, W, 2). No figure is a target alone:
grey has the best CDC and warp error there is, and noise is colourful.

How steady several colourings of one film are, along its motion, which is found once:

    track, errors = Track(), {name: WarpErrors() for name in names}
    for luma, is_cut, abs in film:
        step = track.add(luma, is_cut)
        for name in names:
            errors[name].add(abs[name], step)
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filmcolor.flow import MISS_PIXELS, MISS_SHARE, Flow, chain, fetch, find_flow, is_inside
from filmcolor.frames import Gray

Rgb = NDArray[np.uint8]  # (H, W, 3), R'G'B'
Ab = NDArray[np.float32]  # (H, W, 2), CIELAB

CDC_STEPS = (1, 2, 4)  # frames apart, each weighing a third (Liu et al. 2021)
LONG_STEP = 24  # frames apart, of the long warp error: a second of sound film
LONG_EVERY = 6  # frames from one of its pairs to the next: four are open at a time


class Mean:
    """A weighted mean that grows by one value at a time; None as long as nothing weighs."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take in a value."""
        self._sum += value * weight
        self._weight += weight

    def since(self, earlier: "Mean | None") -> "Mean":
        """Return the mean of what was added after `earlier`, which was this at that time."""
        later = Mean()
        later._sum, later._weight = self._sum, self._weight
        if earlier is not None:
            later._sum -= earlier._sum
            later._weight -= earlier._weight
        return later

    @property
    def value(self) -> float | None:
        """The mean of what was added."""
        return self._sum / self._weight if self._weight else None


def colorfulness(rgb: Rgb) -> float:
    """Return how colourful a picture looks: 0 for grey, about 30 to 60 for photographs.

    On 8-bit code values, population deviations. Source: Hasler & Süsstrunk 2003, M3.
    """
    red, green, blue = (rgb[..., c].astype(np.float64) for c in range(3))
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def psnr(rgb: Rgb, truth: Rgb) -> float:
    """Return the peak signal-to-noise ratio in dB over all channels; inf when equal.

    Peak is 255; differences are taken in floating point, where they cannot wrap round.
    """
    error = np.square(rgb.astype(np.float64) - truth.astype(np.float64)).mean()
    return float(10.0 * np.log10(255.0**2 / error)) if error else float("inf")


def ab_square_error(ab: Ab, truth: Ab) -> float:
    """Return the mean of (Δa² + Δb²) / 2 in squared Lab units; its root is the ab RMSE.

    The root is for the whole set: errors of its pictures are averaged by their pixels.
    """
    return float(np.square(ab - truth).mean(dtype=np.float64))


def mean_chroma(ab: Ab) -> float:
    """Return the mean of C* = √(a² + b²) in Lab units (CIE 15:2004)."""
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean(dtype=np.float64))


# ---------------------------------------------------------------- over time


def distributions(rgb: Rgb) -> NDArray[np.float64]:
    """Return each channel's share of pixels at each code value, (3, 256)."""
    counts = [np.bincount(rgb[..., c].ravel(), minlength=256) for c in range(3)]
    return np.stack(counts) / (rgb.shape[0] * rgb.shape[1])


def divergence(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence of distributions (..., 256), in nats: 0 to ln 2.

    The divergence itself, not its square root. Source: Lin 1991.
    """
    middle = 0.5 * (first + second)
    return 0.5 * (_relative_entropy(first, middle) + _relative_entropy(second, middle))


class Cdc:
    """Colour Distribution Consistency of frames that are added in order; lower is steadier.

    For each of `CDC_STEPS`, the divergence between the distributions of frames that far
    apart is averaged over all pairs and channels; the steps weigh the same. Pairs with a
    cut between them are left out. Source: TCVC, Liu et al. 2021.
    """

    def __init__(self) -> None:
        self._past: deque[NDArray[np.float64]] = deque(maxlen=max(CDC_STEPS))
        self.means = {step: Mean() for step in CDC_STEPS}

    def add(self, rgb: Rgb, is_cut: bool = False) -> None:
        """Take in the next frame; `is_cut` on the first frame of a shot."""
        if is_cut:
            self._past.clear()
        now = distributions(rgb)
        for step, mean in self.means.items():
            if step <= len(self._past):
                mean.add(float(divergence(self._past[-step], now).mean()))
        self._past.append(now)

    @property
    def value(self) -> float | None:
        """The mean over the steps that have pairs; None for less than two frames."""
        values = [m.value for m in self.means.values() if m.value is not None]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where the pixels of a frame are in a later one, and which of them it shows."""

    flow: Flow  # (H, W, 2), from the first frame to the later one
    back: Flow  # the same from the later one to the first
    is_seen: NDArray[np.bool_]  # (H, W), False where occluded, or moved out of the picture

    @property
    def num_seen(self) -> int:
        """How many pixels the later frame shows."""
        return int(self.is_seen.sum())


def motion(first: Gray, second: Gray) -> Motion:
    """Return the motion from one 8-bit luma (H, W) to the next.

    DIS flow (Kroeger et al. 2016) both ways; a pixel counts as occluded where the two
    miss each other (Sundaram et al. 2010, equation 5).
    """
    there, back = find_flow(first, second), find_flow(second, first)
    return _checked(there, back, is_inside(there))


def _checked(there: Flow, back: Flow, is_kept: NDArray[np.bool_]) -> Motion:
    """Return a motion whose seen pixels are those of `is_kept` that come back where they were."""
    returned = fetch(back, there)
    miss = np.square(there + returned).sum(axis=2)
    length = np.square(there).sum(axis=2) + np.square(returned).sum(axis=2)
    return Motion(there, back, is_kept & (miss < MISS_SHARE * length + MISS_PIXELS))


def warp_error(first: Ab, second: Ab, moved: Motion) -> float | None:
    """Return the mean over seen pixels of |warp(ab(t+1)) - ab(t)|, in Lab units.

    |…| is the distance in the ab plane. `moved`: the motion of the luma from the first
    frame to the second; leave pairs with a cut between them out. None when no pixel is seen.
    Weigh pairs by `Motion.num_seen` to average them. Source: Lai et al. 2018.
    """
    if not moved.num_seen:
        return None
    difference = (fetch(second, moved.flow) - first)[moved.is_seen]
    return float(np.hypot(difference[:, 0], difference[:, 1]).mean(dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """How a film came to a frame: the motion since earlier frames of its shot."""

    number: int  # of frames before it
    near: Motion | None  # from the frame before; None on the first frame of a shot
    far: Motion | None  # from the frame LONG_STEP before; None where no long pair ends

    @property
    def begins_long(self) -> bool:
        """True where a long pair begins."""
        return self.number % LONG_EVERY == 0


class Track:
    """The motion of a film as its frames are added: from each to the next, and over a second.

    Over LONG_STEP frames it is chained of the flows between neighbours, both ways. A pixel
    counts where the chained flows agree (the test of `motion`) and it never left the picture.
    Long pairs begin at every LONG_EVERY-th of the frames that are added, so memory holds a
    few flows, whatever the film's length.
    """

    def __init__(self) -> None:
        self._last: Gray | None = None
        self._number = 0
        self._open: dict[int, _Chain] = {}  # by the number of the frame they began at

    def add(self, luma: Gray, is_cut: bool = False) -> Step:
        """Take in the next frame's 8-bit luma (H, W); `is_cut` on the first frame of a shot."""
        near: Motion | None = None
        far: Motion | None = None
        number = self._number
        if is_cut or self._last is None:
            self._open.clear()
        else:
            near = motion(self._last, luma)
            self._open = {start: c.then(near) for start, c in self._open.items()}
            chained = self._open.pop(number - LONG_STEP, None)
            if chained is not None:
                far = _checked(chained.there, chained.back, chained.is_kept)
        step = Step(number, near, far)
        if step.begins_long:
            still = np.zeros((*luma.shape, 2), np.float32)
            self._open[number] = _Chain(still, still, np.ones(luma.shape, np.bool_))
        self._last, self._number = luma, number + 1
        return step


class WarpErrors:
    """The warp error of a film's ab from frame to frame, and over a second.

    The second tells slow drift from steadiness, which the first cannot: a colour that
    changes by a little in each frame has changed by LONG_STEP times that.
    """

    def __init__(self) -> None:
        self.near, self.far = Mean(), Mean()
        self._last: Ab | None = None
        self._starts: dict[int, Ab] = {}  # of long pairs, by the frame's number

    def add(self, ab: Ab, step: Step) -> float | None:
        """Take in the next frame's ab (H, W, 2); return its error since the frame before.

        `step`: what `Track.add` gave for the frame's luma, of the same size.
        """
        first = self._starts.pop(step.number - LONG_STEP, None)
        error = _added(self.near, self._last, ab, step.near)
        _added(self.far, first, ab, step.far)
        if step.begins_long:
            self._starts[step.number] = ab
        self._last = ab
        return error

    @property
    def value(self) -> float | None:
        """From frame to frame, in Lab units: pairs weigh by the pixels seen in both."""
        return self.near.value

    @property
    def long_value(self) -> float | None:
        """The same of frames LONG_STEP apart; None for shots that are all shorter."""
        return self.far.value


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """The flows between the frame that a long pair began at and the latest one."""

    there: Flow
    back: Flow
    is_kept: NDArray[np.bool_]  # (H, W), of the first frame: never left the picture

    def then(self, near: Motion) -> "_Chain":
        there = chain(self.there, near.flow)
        return _Chain(there, chain(near.back, self.back), self.is_kept & is_inside(there))


def _added(mean: Mean, first: Ab | None, second: Ab, moved: Motion | None) -> float | None:
    """Add the error of a pair to a mean and return it; None where there is no pair."""
    if first is None or moved is None:
        return None
    error = warp_error(first, second, moved)
    if error is not None:
        mean.add(error, moved.num_seen)
    return error


def _relative_entropy(
    shares: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    is_there = shares > 0.0  # 0 · log 0 is 0
    ratio = np.divide(shares, others, out=np.ones_like(shares), where=is_there)
    total: NDArray[np.float64] = (shares * np.log(ratio)).sum(axis=-1)
    return total
