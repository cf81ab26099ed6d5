"""Propagates the colours of references to the anchors of their shots, and to similar shots.

Each anchor is compared with a reference directly, never along a chain, so its colours do not
depend on where reading began: on the nearest references around it, and on nothing else. Two ways
lead to a reference's colours; where both fail, the network's remain:

- Similarity. Each sample takes the mean colour of the reference's samples with the nearest
  features (non-local, as in exemplar colourisation: He et al. 2018). It finds what moved fast, or
  left and came back. Samples without a given colour take part: what is most similar to them keeps
  the network's colour.
- Motion. Dense flow straight to the reference, started where similarity leads, counts as far as
  forward and backward flow agree, and the luma.

The confidence of a colour becomes its weight in `temporal.smoothing`, which also brings the
reference's own colours along the motion as far as its window reaches.

Where the references of its own shot are dissimilar (mean squared distance of features over 0.8),
an anchor also takes the colours of the most similar of the eight nearest references, if it is
clearly more similar and its distance is under 1.6: frames of one shot up to 40 frames apart have
0.7 to 1.9 (median 1.1), other shots 1.7 to 3.2. Nothing is propagated along motion across a cut.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch

from filmcolor.guidance.guides import Guide
from filmcolor.guidance.reference_shots import MAX_NEIGHBORS, ReferenceFrame
from filmcolor.kernels.ops import warp
from filmcolor.runtime.byte_cache import ByteCache
from filmcolor.temporal.anchors import AnchorRequests
from filmcolor.temporal.flow import FINE, find_tracked_flows, is_inside
from filmcolor.types.frames import (
    FloatPlane,
    Flow,
    Gray,
    PredictedFrame,
    ProxyFrame,
    TrackedFrame,
)

# chosen on the clips of benchmarks/references.py: figures in train/LOG.md
_TEMPERATURE = 0.15  # squared distance of features at which similarity has fallen to 37 %
_DISSIMILAR = 2.6  # squared distance of features at which a matched colour counts 37 %
_LUMA_SIGMA = 30.0  # 8-bit codes
_BLUR_SIGMA = 1.0  # samples over which luma differences are averaged
# confidence of the network's colour, and what each way adds
_BASE_CONFIDENCE, _BY_SIMILARITY, _BY_MOTION = 0.05, 0.5, 1.0
# mean squared distance of features up to which another shot counts in full, and not at all
_SAME_VIEW, _OTHER_VIEW = 1.2, 1.6
_SIMILAR = 0.8  # the same: up to it a reference of the shot is enough
_ROWS = 128  # of similarity at a time, so that they stay in the cache
_MARGIN = 0.4  # by which another shot's reference must be more similar than the shot's own
_STRIDE = 4  # samples between those that are compared to choose a reference
_MEDIAN = 3  # samples: isolated matches are outliers


@dataclass(frozen=True, slots=True, eq=False)
class GuidedColors:
    """What references have for an anchor: ab (h, w, 2) by similarity and by motion.

    `similarity`, `certainty` (h, w): how much each counts, 0 to 1.
    """

    similar: FloatPlane
    similarity: FloatPlane
    moved: FloatPlane
    certainty: FloatPlane

    @classmethod
    def of(
        cls, frame: TrackedFrame, features: FloatPlane, pairs: "Sequence[_Pair]"
    ) -> "GuidedColors | None":
        """Return the colours of an anchor's references, None without any."""
        if not pairs:
            return None
        return cls(*_by_similarity(frame, features, pairs), *_by_motion(frame, pairs))

    @property
    def num_bytes(self) -> int:
        """Of all planes."""
        planes = self.similar, self.similarity, self.moved, self.certainty
        return sum(plane.nbytes for plane in planes)


_NOTHING = GuidedColors(*(np.zeros((0, 0), np.float32) for _ in range(4)))  # no reference serves


class ReferencePropagator(Guide):
    """Gives the anchors of a film the colours of its references."""

    name = "references"

    def __init__(
        self,
        references: Sequence[ReferenceFrame],
        features_of: Callable[[Gray], FloatPlane],
        start: int = 0,
        num_neighbors: int = MAX_NEIGHBORS,
        memory: ByteCache[Hashable, GuidedColors] | None = None,
    ) -> None:
        """Take references in order of their frames.

        `features_of`: returns the features (h/8, w/8, C) of luma (h, w). `start`: the frame number
        from which on `watch_cuts` sees the cuts; the references know those before it.
        `num_neighbors`: references on either side of a frame, of whatever shot, that may serve it;
        with 0 only those of its own shot do, and no others are compared.
        `memory`: keeps what the film's anchors were given, for the next time.
        """
        self._memory = memory
        is_kept = memory is not None
        self._digests = {placed: _digest_of(placed) for placed in references if is_kept}
        self._num_neighbors = num_neighbors
        self._references = references
        self._numbers = [placed.reference.number for placed in references]
        self._start = start
        self._cuts: list[int] = []
        # a film may have many references: keep those around the current frame
        features = lru_cache(2 * max(1, num_neighbors))(lambda placed: features_of(placed.luma))
        self._features: Callable[[Any], FloatPlane] = features

    def watch_cuts(self, frames: Iterable[ProxyFrame]) -> Iterator[ProxyFrame]:
        """Yield the same frames and note the cuts; frames must pass here before `propagate`."""
        for frame in frames:
            if frame.is_cut and frame.source.number >= self._start:
                self._cuts.append(frame.source.number)
            yield frame

    @property
    def anchor_requests(self) -> AnchorRequests:
        """The anchors that references need."""
        return AnchorRequests(
            is_reference=set(self._numbers).__contains__,
            has_references=lambda number: bool(self._of_shot(number)),
        )

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the colours that references have for them.

        Anchors must have their ab and features.
        """
        for frame in frames:
            if frame.ab is not None and frame.features is not None:
                frame = self._guide(frame, frame.ab, frame.features)
            yield frame

    def _of_shot(self, number: int) -> list[ReferenceFrame]:
        """Return the nearest reference on either side of a frame that are in its shot."""
        index = bisect_right(self._numbers, number)
        near = [*self._references[max(0, index - 1) : index], *self._references[index : index + 1]]
        return [placed for placed in near if self._is_same_shot(placed, number)]

    def _is_same_shot(self, placed: ReferenceFrame, number: int) -> bool:
        own = placed.reference.number
        is_cut_between = own < number and bisect_right(self._cuts, own) < bisect_right(
            self._cuts, number
        )
        return placed.holds(number) and not is_cut_between

    def _guide(
        self, predicted: PredictedFrame, ab: FloatPlane, features: FloatPlane
    ) -> PredictedFrame:
        frame = predicted.tracked
        number = frame.source.number
        base: np.float32 | FloatPlane = np.float32(_BASE_CONFIDENCE)
        if predicted.confidence is not None:
            base = _BASE_CONFIDENCE * predicted.confidence
        index = bisect_right(self._numbers, number) - 1
        if index >= 0 and self._numbers[index] == number:
            reference = self._references[index].reference
            confidence = np.maximum(reference.coverage, base)
            given = _mix(ab, reference.ab, reference.coverage)
            return replace(predicted, ab=given, confidence=confidence, pinned=reference.coverage)
        guided = self._colors(frame, features)
        if guided is None:
            return predicted
        ab = _mix(_mix(ab, guided.similar, guided.similarity), guided.moved, guided.certainty)
        confidence = base + _BY_SIMILARITY * guided.similarity + _BY_MOTION * guided.certainty
        return replace(predicted, ab=ab, confidence=confidence)

    def _colors(self, frame: TrackedFrame, features: FloatPlane) -> "GuidedColors | None":
        """Return the colours that references have for an anchor, None without any."""
        if self._memory is None:
            return GuidedColors.of(frame, features, self._pairs(frame, features))
        number = frame.source.number
        own = self._of_shot(number)
        near = self._near(number)
        key = number, *((self._digests[placed], placed in own) for placed in [*own, *near])
        guided = self._memory.get(key)
        if guided is None:
            guided = GuidedColors.of(frame, features, self._pairs(frame, features))
            if guided is None:
                guided = _NOTHING
            self._memory.put(key, guided, guided.num_bytes)
        return None if guided is _NOTHING else guided

    def _near(self, number: int) -> Sequence[ReferenceFrame]:
        """Return the references around a frame, of whatever shot."""
        index, num = bisect_right(self._numbers, number), self._num_neighbors
        return self._references[max(0, index - num) : index + num]

    def _pairs(self, frame: TrackedFrame, features: FloatPlane) -> list["_Pair"]:
        """Return an anchor's references: the nearest of its shot on either side.

        Where they are dissimilar, or there are none, also the most similar one around it.
        """
        rows = _rows(features)
        number = frame.source.number
        own = self._of_shot(number)
        pairs = [_Pair(frame, features, rows, p, self._features(p), 1.0) for p in own]
        others = [placed for placed in self._near(number) if placed not in own]
        if not others:
            return pairs
        least = min((pair.distance for pair in pairs), default=_OTHER_VIEW + _MARGIN)
        if least <= _SIMILAR:
            return pairs
        sampled = rows[::_STRIDE]
        distances = {p: _distance(sampled, _rows(self._features(p))) for p in others}
        nearest = min(distances, key=distances.__getitem__)
        strength = min(
            1.0,
            (_OTHER_VIEW - distances[nearest]) / (_OTHER_VIEW - _SAME_VIEW),
            (least - distances[nearest]) / _MARGIN,
            (least - _SIMILAR) / _MARGIN,
        )
        if strength > 0.0:
            pairs.append(_Pair(frame, features, rows, nearest, self._features(nearest), strength))
        return pairs


class _Pair:
    """An anchor and a reference that serves it."""

    def __init__(
        self,
        frame: TrackedFrame,
        features: FloatPlane,
        rows: torch.Tensor,
        placed: ReferenceFrame,
        reference_features: FloatPlane,
        strength: float,
    ) -> None:
        """Compare an anchor's features (h, w, C), also as rows (N, C), with a reference's."""
        self.placed, self.strength = placed, np.float32(strength)
        self.size = reference_features.shape[1::-1]  # (w, h)
        self.payload = _payload(placed)  # (h, w, 3)
        self._frame, self._shape = frame, features.shape[:2]
        # squares - similarity is the squared distance of features, in units of _TEMPERATURE
        self.squares = (rows * rows).sum(dim=1) / _TEMPERATURE  # (N,)
        others = _rows(reference_features)
        self.similarity = _similarity(rows, others, math.log(strength))  # (N, M)

    @property
    def distance(self) -> float:
        """The mean squared distance of the anchor's features from the nearest reference's."""
        nearest = self.squares - self.similarity.amax(dim=1)
        return _TEMPERATURE * float(nearest.mean())

    def along_motion(self) -> tuple[FloatPlane, FloatPlane]:
        """Return the reference's payload warped to the anchor, and its certainty (h, w)."""
        guide, other = self._frame.guide, self.placed.guide
        initial = self._flow_by_similarity(guide.shape[::-1])
        flow, _ = find_tracked_flows(guide, other, FINE, initial)
        difference = cv2.subtract(guide, warp(other, flow), dtype=cv2.CV_32F)
        difference -= np.median(difference)  # a change of exposure
        difference *= difference
        blurred = cv2.GaussianBlur(difference, (0, 0), _BLUR_SIGMA)
        uncertainty = cv2.extractChannel(flow, 2)
        certainty = cv2.exp(blurred * np.float32(-0.5 / _LUMA_SIGMA**2) - uncertainty)
        certainty *= is_inside(flow) * self.strength
        return warp(self.payload, flow), certainty

    def _flow_by_similarity(self, size: tuple[int, int]) -> Flow:
        """Return the flow of a size (w, h) to the most similar features, without outliers."""
        height, width = self._shape
        every_other = self.similarity.unflatten(0, (height, width))[::2, ::2]
        rows, columns = np.divmod(every_other.argmax(dim=2).numpy(), self.size[0])
        own_rows, own_columns = np.mgrid[:height:2, :width:2]
        steps = (columns - own_columns, rows - own_rows)
        medians = [cv2.medianBlur(step.astype(np.float32), _MEDIAN) for step in steps]
        return cv2.resize(np.dstack(medians), size) * np.float32(size[0] / width)


def _by_similarity(
    frame: TrackedFrame, features: FloatPlane, pairs: Sequence[_Pair]
) -> tuple[FloatPlane, FloatPlane]:
    """Return the ab (h, w, 2) of the most similar samples, and how much it counts, 0..1 (h, w)."""
    height, width = features.shape[:2]
    values = []
    for pair in pairs:
        reduced = cv2.resize(pair.payload, pair.size, interpolation=cv2.INTER_AREA)
        values.append(torch.from_numpy(reduced.reshape(-1, 3)))
    means, most = _mean_values([pair.similarity for pair in pairs], torch.cat(values))
    means = means.reshape(height, width, 3)
    nearest = (pairs[0].squares.numpy() - most) * _TEMPERATURE
    count = np.exp(-((nearest / _DISSIMILAR) ** 4)).reshape(height, width)
    count *= means[..., 2] * max(pair.strength for pair in pairs)
    means[..., :2] /= np.maximum(means[..., 2:], 1e-6)
    means[..., 2] = count
    means = cv2.resize(means, frame.guide.shape[::-1])
    return means[..., :2], means[..., 2]


def _by_motion(frame: TrackedFrame, pairs: Sequence[_Pair]) -> tuple[FloatPlane, FloatPlane]:
    """Return the ab (h, w, 2) that flow leads to, and its certainty, 0..1 (h, w)."""
    total = np.zeros((*frame.guide.shape, 3), np.float32)
    remainder = np.ones(frame.guide.shape, np.float32)
    for pair in pairs:
        warped, certainty = pair.along_motion()
        gap = abs(pair.placed.reference.number - frame.source.number)
        total += warped * (certainty / np.float32(gap))[..., None]
        remainder *= 1.0 - certainty * warped[..., 2]
    total[..., :2] /= np.maximum(total[..., 2:], 1e-9)
    return total[..., :2], 1.0 - remainder


def _mean_values(
    similarity: Sequence[torch.Tensor], values: torch.Tensor
) -> tuple[FloatPlane, FloatPlane]:
    """Return means (N, C) of values (M, C) by similarity (N, M) in parts, and its maximum (N,)."""
    means, most = [], []
    for parts in zip(*(part.split(_ROWS) for part in similarity), strict=True):
        rows = torch.cat(parts, dim=1)
        most.append(rows.amax(dim=1))
        rows -= most[-1][:, None]
        rows.exp_()
        means.append((rows @ values) / rows.sum(dim=1, keepdim=True))
    return torch.cat(means).numpy(), torch.cat(most).numpy()


def _rows(features: FloatPlane) -> torch.Tensor:
    """Return features (h, w, C) as rows (N, C)."""
    return torch.from_numpy(np.ascontiguousarray(features)).flatten(0, 1)


def _distance(features: torch.Tensor, others: torch.Tensor) -> float:
    """Return the mean squared distance of features (N, C) from the nearest of others (M, C)."""
    most = _similarity(features, others).amax(dim=1)
    nearest = (features * features).sum(dim=1) - _TEMPERATURE * most
    return float(nearest.mean())


def _similarity(features: torch.Tensor, others: torch.Tensor, bonus: float = 0.0) -> torch.Tensor:
    """Return how similar features (N, C) are to others (M, C), (N, M): softmax gives weights.

    It is the features' squares less their squared distances, in units of _TEMPERATURE, plus
    `bonus`.
    """
    squares = (others * others).sum(dim=1) / -_TEMPERATURE
    return torch.addmm(squares + bonus, features, others.T, alpha=2.0 / _TEMPERATURE)


def _payload(placed: ReferenceFrame) -> FloatPlane:
    """Return a reference's a, b and 1 (h, w, 3), each times its coverage."""
    coverage = placed.reference.coverage
    payload: FloatPlane = np.dstack([placed.reference.ab, np.ones_like(coverage)])
    payload *= coverage[..., None]
    return payload


def _digest_of(placed: ReferenceFrame) -> bytes:
    """Return a digest of a reference's frame and colours."""
    reference = placed.reference
    digest = hashlib.blake2b(str(reference.number).encode(), digest_size=16)
    for plane in (reference.ab, reference.coverage):
        digest.update(np.ascontiguousarray(plane).data)
    return digest.digest()


def _mix(ab: FloatPlane, other: FloatPlane, share: FloatPlane) -> FloatPlane:
    """Return ab (h, w, 2) with a share (h, w), 0..1, of another."""
    mixed: FloatPlane = ab + (other - ab) * share[..., None]
    return mixed
