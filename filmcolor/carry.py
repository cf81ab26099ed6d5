"""Carries the colours of references to the anchors of their shots, and to like shots.

An anchor is compared with each reference by itself, so its colours do not depend on what
lies between. Two ways lead to a reference's colours, and where both fail the network's stay:

- Likeness. Each sample takes the mean colour of the reference's samples whose keys are
  nearest (non-local, as in exemplar colourisation: He et al. 2018). It finds what moved fast,
  or left and came back. Samples that a person gave no colour to take part: what is most like
  them keeps the network's colour.
- Motion. Dense flow straight to the reference, begun where likeness leads, counts as far as
  the way there and back agree, and the luma.

How surely a colour was carried becomes its weight in steadying (`smooth`), which also brings
the reference's own colours along the chain of motion as far as its window reaches.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import torch

from filmcolor.anchors import TrackedFrame, Wishes
from filmcolor.flow import FINE, Flow, fetch, find_courses, is_inside
from filmcolor.frames import FloatPlane, Gray, SmallFrame
from filmcolor.sites import NEAREST, Site

# chosen on the clips of benchmarks/references.py: figures in train/LOG.md
_TEMPERATURE = 0.15  # squared distance of keys at which likeness has fallen to 37 %
_UNLIKE = 2.6  # squared distance of keys at which a colour found by likeness counts 37 %
_LUMA_SIGMA = 30.0  # 8-bit steps
_AVERAGED = 1.0  # samples over which disagreement of luma is averaged
_TRUST, _BY_LIKENESS, _BY_MOTION = 0.05, 0.5, 1.0  # the network's, and what each way adds
# mean squared distance of keys up to which another shot is one that comes again, and none
_RETURN, _NO_RETURN = 1.2, 1.6
_LIKE = 0.8  # the same up to which a reference of the shot is enough
_ROWS = 128  # of likeness at a time, so that it stays in the cache
_CLEARLY = 0.4  # by so much it is more like a shot's frame than the shot's own are
_SPARSE = 4  # samples from one that tells how alike two pictures are to the next
_MEDIAN = 3  # samples: what is alone in leading elsewhere is mistaken


class Carrier:
    """A film's references at work."""

    def __init__(
        self, sites: Sequence[Site], keys_of: Callable[[Gray], FloatPlane], start: int = 0
    ) -> None:
        """Take references in order of their frames.

        `keys_of`: gives the keys (h/8, w/8, C) of small luma (h, w). `start`: the number of the
        frame from which on cuts are told by `follow`; the sites know those before it.
        """
        self._sites = sites
        self._numbers = [site.reference.number for site in sites]
        self._start = start
        self._cuts: list[int] = []
        # those of a moment: a film may have many references
        self._keys = lru_cache(2 * NEAREST)(lambda site: keys_of(site.small))

    def follow(self, frames: Iterable[SmallFrame]) -> Iterator[SmallFrame]:
        """Yield the same frames, before all that is done with them, and note the cuts."""
        for frame in frames:
            if frame.is_cut and frame.frame.number >= self._start:
                self._cuts.append(frame.frame.number)
            yield frame

    @property
    def wishes(self) -> Wishes:
        """What it asks for of the choice of anchors."""
        return Wishes(set(self._numbers).__contains__, lambda number: bool(self._own(number)))

    def _own(self, number: int) -> list[Site]:
        """Return the references nearest to a frame on either side, of those of its shot."""
        place = bisect_right(self._numbers, number)
        near = [*self._sites[max(0, place - 1) : place], *self._sites[place : place + 1]]
        return [site for site in near if self._serves(site, number)]

    def _serves(self, site: Site, number: int) -> bool:
        """Tell whether a frame is in a reference's own shot."""
        given = site.reference.number
        is_cut_off = given < number and bisect_right(self._cuts, given) < bisect_right(
            self._cuts, number
        )
        return site.holds(number) and not is_cut_off

    def add_colors(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yield the same frames, anchors with the colours that references have for them.

        Anchors must have their ab and keys.
        """
        for frame in frames:
            yield self._colored(frame) if frame.is_anchor else frame

    def _colored(self, frame: TrackedFrame) -> TrackedFrame:
        assert frame.ab is not None and frame.keys is not None
        number = frame.frame.number
        place = bisect_right(self._numbers, number) - 1
        given = self._sites[place] if place >= 0 and self._numbers[place] == number else None
        if given is not None:
            coverage = given.reference.coverage
            ab = _mixed(frame.ab, given.reference.ab, coverage)
            trust = np.maximum(coverage, np.float32(_TRUST))
            return replace(frame, ab=ab, trust=trust, fixed=coverage, keys=None)
        pairs = self._pairs(frame, _rows(frame.keys))
        if not pairs:
            return replace(frame, keys=None)
        alike, likeness = self._by_likeness(frame, pairs)
        moved, surety = self._by_motion(frame, pairs)
        ab = _mixed(_mixed(frame.ab, alike, likeness), moved, surety)
        trust = _TRUST + _BY_LIKENESS * likeness + _BY_MOTION * surety
        return replace(frame, ab=ab, trust=trust, keys=None)

    def _pairs(self, frame: TrackedFrame, keys: torch.Tensor) -> list["_Pair"]:
        """Return the references that serve an anchor: the nearest of its shot on either side.

        Where these are unlike it, or there are none, also the one around it whose frame is most
        like it, if that is of a view that comes again.
        """
        number = frame.frame.number
        own = self._own(number)
        pairs = [_Pair(frame, keys, site, self._keys(site), 1.0) for site in own]
        place = bisect_right(self._numbers, number)
        near = self._sites[max(0, place - NEAREST) : place + NEAREST]
        others = [site for site in near if site not in own]
        if not others:
            return pairs
        least = min((pair.unlikeness for pair in pairs), default=_NO_RETURN + _CLEARLY)
        if least <= _LIKE:
            return pairs
        some = keys[::_SPARSE]
        unlike = {site: _unlikeness(some, _rows(self._keys(site))) for site in others}
        site = min(unlike, key=unlike.__getitem__)
        strength = min(
            1.0,
            (_NO_RETURN - unlike[site]) / (_NO_RETURN - _RETURN),
            (least - unlike[site]) / _CLEARLY,
            (least - _LIKE) / _CLEARLY,
        )
        if strength > 0.0:
            pairs.append(_Pair(frame, keys, site, self._keys(site), strength))
        return pairs

    def _by_likeness(
        self, frame: TrackedFrame, pairs: Sequence["_Pair"]
    ) -> tuple[FloatPlane, FloatPlane]:
        """Return ab (h, w, 2) of what looks most alike, and how much it counts, 0 to 1, (h, w)."""
        assert frame.keys is not None
        height, width = frame.keys.shape[:2]
        values = []
        for pair in pairs:
            small = cv2.resize(pair.payload, pair.size, interpolation=cv2.INTER_AREA)
            values.append(torch.from_numpy(small.reshape(-1, 3)))
        found, most = _likeliest_values([pair.likeness for pair in pairs], torch.cat(values))
        found = found.reshape(height, width, 3)
        nearest = (pairs[0].squares.numpy() - most) * _TEMPERATURE
        count = np.exp(-((nearest / _UNLIKE) ** 4)).reshape(height, width)
        count *= found[..., 2] * max(pair.strength for pair in pairs)
        found[..., :2] /= np.maximum(found[..., 2:], 1e-6)
        found[..., 2] = count
        found = cv2.resize(found, frame.guide.shape[::-1])
        return found[..., :2], found[..., 2]

    def _by_motion(
        self, frame: TrackedFrame, pairs: Sequence["_Pair"]
    ) -> tuple[FloatPlane, FloatPlane]:
        """Return the ab (h, w, 2) that flow leads to, and how sure it is, 0 to 1, (h, w)."""
        total = np.zeros((*frame.guide.shape, 3), np.float32)
        doubt = np.ones(frame.guide.shape, np.float32)
        for pair in pairs:
            fetched, surety = pair.along_motion()
            gap = abs(pair.site.reference.number - frame.frame.number)
            total += fetched * (surety / np.float32(gap))[..., None]
            doubt *= 1.0 - surety * fetched[..., 2]
        total[..., :2] /= np.maximum(total[..., 2:], 1e-9)
        return total[..., :2], 1.0 - doubt


class _Pair:
    """An anchor beside a reference that serves it."""

    def __init__(
        self,
        frame: TrackedFrame,
        keys: torch.Tensor,
        site: Site,
        others: FloatPlane,
        strength: float,
    ) -> None:
        """Compare an anchor, whose keys are rows (N, C), with a reference of keys (h, w, C)."""
        self.site, self.strength = site, np.float32(strength)
        self.size = others.shape[1::-1]  # (w, h)
        self.payload = _covered(site)  # (h, w, 3)
        self._frame = frame
        # less likeness it is the squared distance of keys, in units of _TEMPERATURE
        self.squares = (keys * keys).sum(dim=1) / _TEMPERATURE  # (N,)
        self.likeness = _likeness(keys, _rows(others), math.log(strength))  # (N, M)

    @property
    def unlikeness(self) -> float:
        """The mean squared distance of the anchor's keys from the nearest of the reference's."""
        nearest = self.squares - self.likeness.amax(dim=1)
        return _TEMPERATURE * float(nearest.mean())

    def along_motion(self) -> tuple[FloatPlane, FloatPlane]:
        """Return the reference's payload where the anchor has it, and how sure that is (h, w)."""
        guide, other = self._frame.guide, self.site.guide
        there, _ = find_courses(guide, other, FINE, self._likeliest(guide.shape[::-1]))
        difference = cv2.subtract(guide, fetch(other, there), dtype=cv2.CV_32F)
        difference -= np.median(difference)  # a change of exposure
        difference *= difference
        astray = cv2.GaussianBlur(difference, (0, 0), _AVERAGED)
        doubt = cv2.extractChannel(there, 2)
        surety = cv2.exp(astray * np.float32(-0.5 / _LUMA_SIGMA**2) - doubt)
        surety *= is_inside(there) * self.strength
        return fetch(self.payload, there), surety

    def _likeliest(self, size: tuple[int, int]) -> Flow:
        """Return the flow of a size (w, h) to what is likest in the reference, less outliers."""
        assert self._frame.keys is not None
        height, width = self._frame.keys.shape[:2]
        every_other = self.likeness.unflatten(0, (height, width))[::2, ::2]
        rows, columns = np.divmod(every_other.argmax(dim=2).numpy(), self.size[0])
        own_rows, own_columns = np.mgrid[:height:2, :width:2]
        steps = (columns - own_columns, rows - own_rows)
        medians = [cv2.medianBlur(step.astype(np.float32), _MEDIAN) for step in steps]
        return cv2.resize(np.dstack(medians), size) * np.float32(size[0] / width)


def _likeliest_values(
    likeness: Sequence[torch.Tensor], values: torch.Tensor
) -> tuple[FloatPlane, FloatPlane]:
    """Return means (N, C) of values (M, C) by likeness (N, M) in parts, and the most of it (N,)."""
    found, most = [], []
    for parts in zip(*(part.split(_ROWS) for part in likeness), strict=True):
        rows = torch.cat(parts, dim=1)
        most.append(rows.amax(dim=1))
        rows -= most[-1][:, None]
        rows.exp_()
        found.append((rows @ values) / rows.sum(dim=1, keepdim=True))
    return torch.cat(found).numpy(), torch.cat(most).numpy()


def _rows(keys: FloatPlane) -> torch.Tensor:
    """Return keys (h, w, C) as rows (N, C)."""
    return torch.from_numpy(np.ascontiguousarray(keys)).flatten(0, 1)


def _unlikeness(keys: torch.Tensor, others: torch.Tensor) -> float:
    """Return the mean squared distance of keys (N, C) from the nearest of others (M, C)."""
    nearest = (keys * keys).sum(dim=1) - _TEMPERATURE * _likeness(keys, others).amax(dim=1)
    return float(nearest.mean())


def _likeness(keys: torch.Tensor, others: torch.Tensor, bonus: float = 0.0) -> torch.Tensor:
    """Return how like keys (N, C) are to others (M, C): softmax makes shares of it (N, M).

    It is less than the keys' squares by their squared distances, in units of _TEMPERATURE;
    `bonus` is added.
    """
    squares = (others * others).sum(dim=1) / -_TEMPERATURE
    return torch.addmm(squares + bonus, keys, others.T, alpha=2.0 / _TEMPERATURE)


def _covered(site: Site) -> FloatPlane:
    """Return a reference's a, b and 1 (h, w, 3), each times its coverage."""
    coverage = site.reference.coverage
    payload: FloatPlane = np.dstack([site.reference.ab, np.ones_like(coverage)])
    payload *= coverage[..., None]
    return payload


def _mixed(ab: FloatPlane, other: FloatPlane, share: FloatPlane) -> FloatPlane:
    """Return ab (h, w, 2), of which a share (h, w) is another's."""
    mixed: FloatPlane = ab + (other - ab) * share[..., None]
    return mixed
