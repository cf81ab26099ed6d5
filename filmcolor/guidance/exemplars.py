"""Exemplars: pictures whose colours serve the shots that show the same things.

What serves what is planned for the whole film before its first frame (`guidance.shot_matching`), so
a preview, a part and the whole run have the same colours. The plan is small: an exemplar is its
luma, compressed, and its colours at the size of the network's features. These are computed again
where they are needed, and the latest are kept.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.guidance.guides import Guide
from filmcolor.guidance.likeness import Likeness, find_likeness, mean_likeness
from filmcolor.types.frames import FloatPlane, Gray, PredictedFrame

STRONG, LIKELY, REJECTED = "strong", "likely", "rejected"
MAX_EXEMPLARS = 3  # that serve one shot
# shares of a picture that surely show the same. Of pairs of frames of unrelated clips 0.5 % reach
# LIKELY, of frames of one clip, one of them mirrored or cropped, 67 to 80 %; REJECTED only informs
_LEAST_SHARES = {STRONG: 0.015, LIKELY: 0.005, REJECTED: 0.001}
_NUM_KEPT = 8  # exemplars whose features are kept, 2 MB each
# weight in smoothing of a colour that no exemplar gives, in a shot that some serve
_BASE_CONFIDENCE = np.float32(0.25)

FeaturesOf = Callable[[Gray], FloatPlane]


@dataclass(frozen=True, slots=True, eq=False)
class Exemplar:
    """A picture with colours, as it is kept from the plan to the last frame."""

    name: str  # for people: "postcard.jpg", "frame 120"
    png: bytes  # luma (h, w), compressed without loss
    ab: NDArray[np.float16]  # (h/8, w/8, 2), CIELAB
    coverage: NDArray[np.uint8]  # (h/8, w/8), 0 to 255: where it has colours to give
    shot: int = 0  # that it is of, from 1; 0 if it is no frame of the film
    number: int = -1  # of the frame; -1 if it is no frame of the film

    @classmethod
    def make(cls, name: str, luma: Gray, ab: FloatPlane, coverage: FloatPlane) -> "Exemplar":
        """Take luma (h, w), ab (k, l, 2) and coverage (k, l), 0 to 1, of any size."""
        size = luma.shape[1] // 8, luma.shape[0] // 8
        payload = np.dstack([ab, np.ones_like(coverage)]) * coverage[..., None]
        reduced = cv2.resize(payload, size, interpolation=cv2.INTER_AREA)
        mean_ab = reduced[..., :2] / np.maximum(reduced[..., 2:], 1e-6)
        share = np.rint(reduced[..., 2].clip(0.0, 1.0) * 255.0).astype(np.uint8)
        return cls(name, _compress(luma), mean_ab.astype(np.float16), share)

    def of_frame(self, number: int, shot: int) -> "Exemplar":
        """Return the same as a frame of the film, in a shot, from 1."""
        return replace(self, number=number, shot=shot)

    def recolored(self, ab: FloatPlane) -> "Exemplar":
        """Return the same with other colours, ab (h/2, w/2, 2)."""
        size = self.ab.shape[1::-1]
        reduced = cv2.resize(ab, size, interpolation=cv2.INTER_AREA)
        return replace(self, ab=reduced.astype(np.float16))

    @property
    def luma(self) -> Gray:
        """Its luma (h, w)."""
        luma: Gray = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_GRAYSCALE)
        return luma

    def without(self, share: FloatPlane) -> "Exemplar":
        """Return the same without the colours of a share (h/8, w/8), 0 to 1, of its samples."""
        coverage = np.rint(self.coverage * (1.0 - share)).astype(np.uint8)
        return replace(self, coverage=coverage)

    def likeness(self, features: FloatPlane, own_features: FloatPlane) -> Likeness:
        """Return what a picture's features (h, w, C) have in common with this exemplar's."""
        coverage = self.coverage.astype(np.float32) / np.float32(255.0)
        return find_likeness(features, own_features, self.ab.astype(np.float32), coverage)


@dataclass(frozen=True, slots=True)
class Match:
    """What an exemplar and a shot have in common."""

    exemplar: str  # its name
    exemplar_shot: int  # from 1; 0 if it is no frame of the film
    shot: int  # from 1
    share: float  # of the shot's key frame that surely shows the same, 0 to 1

    @property
    def strength(self) -> str:
        """STRONG, LIKELY or REJECTED, "" where there is nothing in common."""
        return next((name for name, least in _LEAST_SHARES.items() if self.share >= least), "")

    @property
    def is_used(self) -> bool:
        """Whether the exemplar's colours may serve the shot."""
        return self.strength in (STRONG, LIKELY)


@dataclass(frozen=True, slots=True, eq=False)
class ExemplarPlan:
    """The exemplars of a film, and which of them serve which frames."""

    exemplars: tuple[Exemplar, ...]
    shots: tuple[tuple[int, tuple[int, ...]], ...]  # (first frame, indices of exemplars), in order
    matches: tuple[Match, ...]

    def serving(self, number: int) -> tuple[int, ...]:
        """Return the indices of the exemplars that serve a frame."""
        index = bisect_right(self.shots, number, key=lambda shot: shot[0]) - 1
        return self.shots[index][1] if index >= 0 else ()


class ExemplarGuide(Guide):
    """Gives anchors the colours of the exemplars that serve their shots, where things look alike.

    Each anchor is compared with the exemplars by itself.
    """

    name = "likeness"

    def __init__(
        self,
        plan: ExemplarPlan,
        features_of: FeaturesOf,
        ab_of: Callable[[int], FloatPlane] | None = None,
        grade: Callable[[int, FloatPlane], FloatPlane] | None = None,
    ) -> None:
        """`features_of`: returns the features (h/8, w/8, C) of luma (h, w).

        `ab_of`: returns the ab (h/2, w/2, 2) of a frame, where they are not those of the plan.
        `grade`: returns ab as a frame's number asks for, where anchors are graded already.
        """
        self._plan, self._ab_of, self._grade = plan, ab_of, grade
        self._exemplar = lru_cache(_NUM_KEPT)(self._load)
        self._features = lru_cache(_NUM_KEPT)(lambda n: features_of(plan.exemplars[n].luma))

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the colours that exemplars have for them.

        Anchors must have their ab and features.
        """
        for frame in frames:
            if frame.ab is not None and frame.features is not None:
                serving = self._plan.serving(frame.tracked.source.number)
                if serving:
                    frame = self._guide(frame, frame.ab, frame.features, serving)
            yield frame

    def _graded(self, exemplar: Exemplar, number: int) -> Exemplar:
        """Return an exemplar with the grade of the frame that takes its colours."""
        if self._grade is None:
            return exemplar
        graded = self._grade(number, exemplar.ab.astype(np.float32))
        return replace(exemplar, ab=graded.astype(np.float16))

    def _load(self, index: int) -> Exemplar:
        exemplar = self._plan.exemplars[index]
        if self._ab_of is None or exemplar.number < 0:
            return exemplar
        return exemplar.recolored(self._ab_of(exemplar.number))

    def _guide(
        self,
        frame: PredictedFrame,
        ab: FloatPlane,
        features: FloatPlane,
        serving: tuple[int, ...],
    ) -> PredictedFrame:
        number = frame.tracked.source.number
        found = [
            self._graded(self._exemplar(n), number).likeness(features, self._features(n))
            for n in serving
        ]
        mean_ab, share = mean_likeness(found)
        # the change, not the colour, is enlarged: the edges of the anchor's own colours stay
        reduced = cv2.resize(ab, share.shape[::-1], interpolation=cv2.INTER_AREA)
        payload = np.dstack([(mean_ab - reduced) * share[..., None], share])
        payload = cv2.resize(payload, ab.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        guided, share = ab + payload[..., :2], payload[..., 2]
        confidence = _BASE_CONFIDENCE + (1 - _BASE_CONFIDENCE) * share
        if frame.confidence is not None:
            confidence *= frame.confidence
        return replace(frame, ab=guided, confidence=confidence)


def digest_of_pictures(exemplars: Iterable[Exemplar]) -> str:
    """Return a digest of exemplars' luma and colours, "" for none."""
    digest, is_empty = hashlib.sha256(), True
    for exemplar in exemplars:
        for values in (exemplar.luma, exemplar.ab, exemplar.coverage):
            digest.update(np.ascontiguousarray(values).tobytes())
        is_empty = False
    return "" if is_empty else digest.hexdigest()[:16]


def _compress(luma: Gray) -> bytes:
    encoded: NDArray[np.uint8] = cv2.imencode(".png", luma)[1]
    return encoded.tobytes()
