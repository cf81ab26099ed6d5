"""Plans, for a whole film, which pictures and which of its shots give colours to which others.

One pass divides the film into its shots and chooses key frames (`shots.key_frames`): one for each
shot, and one for about every ten seconds of a long one. The network sees each of them once, and
those that are compared with others once more. Given
colours come first: pictures and references serve every shot whose key frames show the same things.
With matched shots, the rest take one another's automatic colours:

- Key frames are ranked by how much of the film resembles them. Each is compared with those before
  it, and follows them in what they surely both show. What follows another is never handed on, so
  all colours come straight from the frame that leads, and nothing drifts along a chain.
- Which ones are compared is decided by descriptors of 10 KB. Full features (2 MB) are computed for
  these, and those of the latest are kept, so memory stays flat; a film is worked through by groups
  of key frames that resemble each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from filmcolor.guidance.exemplars import MAX_EXEMPLARS, Exemplar, ExemplarPlan, Match
from filmcolor.types.frames import FloatPlane, Gray

Analyse = Callable[[Gray], tuple[FloatPlane, FloatPlane]]

_MAX_COMPARED = 6  # exemplars that a key frame is compared with
_NUM_DIMENSIONS = 48  # of descriptors
_CELL = 4  # samples of features that a descriptor averages, in both directions
_NEAR = 0.5  # squared distance of descriptors at which resemblance has fallen to 37 %
_LEAST_RESEMBLANCE = 0.12  # of two pictures that are compared at all
_CACHE_BYTES = 192 << 20  # of features

Descriptor = torch.Tensor  # (P, D), one row for each cell


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A key frame of a film: its luma, the network's colours, and what it is compared by."""

    exemplar: Exemplar
    num_frames: int  # that it stands for
    descriptor: Descriptor

    @property
    def shot(self) -> int:
        """The number of its shot, from 1."""
        return self.exemplar.shot


class GivenMatcher:
    """Matches the key frames of a film with pictures and references."""

    def __init__(self, exemplars: Sequence[Exemplar], analyse: Analyse) -> None:
        self.exemplars, self.matches = exemplars, list[tuple[int, Match]]()
        self._features = keep_latest(lambda n: analyse(exemplars[n].luma)[1])
        self._descriptors = [describe(self._features(n)) for n in range(len(exemplars))]

    def add(self, shot: int, features: FloatPlane, descriptor: Descriptor) -> FloatPlane:
        """Match a key frame; return the share (h, w) of its samples that have given colours.

        `descriptor`: what `describe` gives for its features.
        """
        given = np.zeros(features.shape[:2], np.float32)
        resemblances = [resemblance(descriptor, other) for other in self._descriptors]
        for n in _most(resemblances):
            exemplar = self.exemplars[n]
            found = exemplar.likeness(features, self._features(n))
            match = Match(exemplar.name, exemplar.shot, shot, found.seed_share)
            self.matches.append((n, match))
            if match.is_used:
                np.maximum(given, found.share, out=given)
        return given


def match_views(
    views: Sequence[View], features_of: Callable[[int], FloatPlane]
) -> tuple[list[Exemplar], list[tuple[int, Match]]]:
    """Return exemplars of the views, and what they match: (index of the exemplar, match).

    An exemplar has colours only where its view follows none that ranks before it.
    `features_of`: returns the features (h, w, C) of a view, by its index.
    """
    own = [view.exemplar for view in views]
    matches: list[tuple[int, Match]] = []
    near = _resembling(views)
    for group in _groups(near):
        ranked = sorted(group, key=lambda n: (-_rank(n, near, views), n))
        for position, n in enumerate(ranked):
            before = [m for m in ranked[:position] if m in near[n]]
            if not before:
                continue
            features = features_of(n)
            for m in sorted(before, key=lambda m: (-near[n][m], m))[:_MAX_COMPARED]:
                found = own[m].likeness(features, features_of(m))
                match = Match(own[m].name, own[m].shot, views[n].shot, found.seed_share)
                matches.append((m, match))
                if match.is_used:
                    own[n] = own[n].without(found.share)
    return own, matches


def make_plan(
    exemplars: Sequence[Exemplar],
    matches: Sequence[tuple[int, Match]],
    first_frames: Sequence[int],
    *,
    leads_own_shot: bool,
) -> ExemplarPlan:
    """Return the plan that matches lead to: each shot has its strongest exemplars.

    `first_frames`: of the shots. `leads_own_shot`: an exemplar that serves another shot serves its
    own too, or else never does.
    """
    strongest: dict[tuple[int, int], float] = {}  # by shot and exemplar
    for n, match in matches:
        if match.is_used and (leads_own_shot or exemplars[n].shot != match.shot):
            key = match.shot, n
            strongest[key] = max(strongest.get(key, 0.0), match.share)
    serving: dict[int, list[int]] = {}
    for shot in range(1, len(first_frames) + 1):
        found = sorted(((-share, n) for (number, n), share in strongest.items() if number == shot))
        serving[shot] = [n for _, n in found[:MAX_EXEMPLARS]]
    if leads_own_shot:
        for n in sorted({n for found in serving.values() for n in found}):
            if n not in serving[exemplars[n].shot]:
                serving[exemplars[n].shot].insert(0, n)
    used = sorted({n for found in serving.values() for n in found})
    index = {n: position for position, n in enumerate(used)}
    shots = tuple(
        (first, tuple(index[n] for n in serving[shot]))
        for shot, first in enumerate(first_frames, 1)
    )
    return ExemplarPlan(tuple(exemplars[n] for n in used), shots, tuple(_best_of(matches)))


def describe(features: FloatPlane) -> Descriptor:
    """Return the descriptor of features (h, w, C)."""
    height, width, channels = features.shape
    size = max(1, height // _CELL), max(1, width // _CELL)
    maps = torch.from_numpy(np.ascontiguousarray(features, np.float32)).permute(2, 0, 1)
    cells = functional.adaptive_avg_pool2d(maps, size).flatten(1).T  # (P, C)
    return (cells @ _projection(channels)).half()


def resemblance(first: Descriptor, second: Descriptor) -> float:
    """Return how much of two pictures resembles the other, 0 to 1, by their descriptors."""
    squared = torch.cdist(first.float(), second.float()).square()
    nearest = torch.cat([squared.amin(dim=0), squared.amin(dim=1)])
    return float(torch.exp(nearest / -_NEAR).mean())


@lru_cache(maxsize=1)
def _projection(channels: int) -> torch.Tensor:
    """Return a matrix (C, D) that keeps squared distances in the mean."""
    num = min(channels, _NUM_DIMENSIONS)
    normal = np.random.default_rng(0).standard_normal((channels, num))
    orthonormal = np.linalg.qr(normal)[0] * np.sqrt(channels / num)
    return torch.from_numpy(orthonormal.astype(np.float32))


def _resembling(views: Sequence[View]) -> list[dict[int, float]]:
    """Return of each view those that it is compared with, and their resemblances."""
    table = np.zeros((len(views), len(views)), np.float32)
    for n, view in enumerate(views):
        for m in range(n):
            table[n, m] = table[m, n] = resemblance(view.descriptor, views[m].descriptor)
    near: list[dict[int, float]] = [{} for _ in views]
    for n, values in enumerate(table):
        for m in _most(values.tolist()):
            near[n][m] = near[m][n] = float(values[m])
    return near


def _most(resemblances: Sequence[float]) -> list[int]:
    """Return the indices of the greatest resemblances, those that are worth a comparison."""
    ranked = sorted(range(len(resemblances)), key=lambda n: (-resemblances[n], n))
    return [n for n in ranked[:_MAX_COMPARED] if resemblances[n] >= _LEAST_RESEMBLANCE]


def _rank(n: int, near: Sequence[dict[int, float]], views: Sequence[View]) -> float:
    """Return how many frames of the film resemble a view."""
    others = sum(value * views[m].num_frames for m, value in near[n].items())
    return others + views[n].num_frames


def _groups(near: Sequence[dict[int, float]]) -> Iterator[list[int]]:
    """Yield the views that are connected by comparisons."""
    seen: set[int] = set()
    for start in range(len(near)):
        group, waiting = [], [start]
        while waiting:
            n = waiting.pop()
            if n not in seen:
                seen.add(n)
                group.append(n)
                waiting.extend(near[n])
        if group:
            yield group


def _best_of(matches: Sequence[tuple[int, Match]]) -> list[Match]:
    """Return the strongest match of each exemplar's name and shot with another shot."""
    best: dict[tuple[str, int], Match] = {}
    for _, match in matches:
        key = match.exemplar, match.shot
        is_other = match.exemplar_shot != match.shot
        if match.strength and is_other and (key not in best or match.share > best[key].share):
            best[key] = match
    return sorted(best.values(), key=lambda m: (m.exemplar_shot, m.exemplar, m.shot))


def keep_latest(features_of: Callable[[int], FloatPlane]) -> Callable[[int], FloatPlane]:
    """Return the function with the latest of its results kept, as floats of 16 bits."""
    kept: dict[int, np.ndarray] = {}

    def cached(n: int) -> FloatPlane:
        """Return features (h, w, C)."""
        if n in kept:
            kept[n] = kept.pop(n)  # the latest comes last
        else:
            kept[n] = features_of(n).astype(np.float16)
            while len(kept) > max(2 * _MAX_COMPARED, _CACHE_BYTES // kept[n].nbytes):
                del kept[next(iter(kept))]
        return kept[n].astype(np.float32)

    return cached
