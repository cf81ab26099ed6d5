"""Shots that look like one, and pictures that carry its corrected colours to them."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from filmcolor.color.spaces import lightness_from_luma, rgb_from_lab
from filmcolor.guidance.exemplars import Exemplar, Match
from filmcolor.guidance.likeness import mean_likeness
from filmcolor.guidance.likeness_plan import network_luma
from filmcolor.guidance.references import Reference
from filmcolor.guidance.shot_matching import (
    Analyse,
    Descriptor,
    describe,
    keep_latest,
    resemblance,
)
from filmcolor.studio.pictures import luma_picture, show
from filmcolor.studio.strokes import Canvas
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader

_MAX_COMPARED = 24  # key frames that are compared in full
_LEAST_RESEMBLANCE = 0.12  # of descriptors, for that
# lightness of a picture that carries colours: its own L would leave dark areas without any
_LEAST_LIGHTNESS, _LIGHTNESS_SHARE = 30.0, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A frame with corrected colours of another shot, where it surely shows the same things."""

    frame: int
    ab: FloatPlane  # (h/8, w/8, 2)
    share: FloatPlane  # (h/8, w/8), 0 to 1


class ShotComparison:
    """Compares the shots of a film by their key frames; safe to use from threads.

    What is known of a key frame is kept: 10 KB each.
    """

    def __init__(self, info: FilmInfo, index: FrameIndex, size: int, analyse: Analyse) -> None:
        """`size`: short side that the network sees. `analyse`: its ab and features of luma."""
        self._info, self._size = info, size
        self._reader = FrameReader(info, index)
        self._descriptors: dict[int, Descriptor | None] = {}  # by frame
        self._analyse = analyse
        self._features = keep_latest(self._features_of)
        self._lock = threading.Lock()

    def alike(
        self, shot: int, key_frames: Mapping[int, int], budget_seconds: float
    ) -> tuple[list[tuple[int, str]], bool]:
        """Return the shots that look like one with how surely they do, the surest first.

        `key_frames`: by shot. Shots near it are analysed first; when the time is over, the rest is
        left for the next call, and the second value is False.
        """
        deadline = time.monotonic() + budget_seconds
        with self._lock:
            own = self._descriptor(key_frames[shot])
            if own is None:
                return [], True
            near: dict[int, float] = {}
            is_complete = True
            for number in sorted(key_frames, key=lambda n: (abs(n - shot), n)):
                frame = key_frames[number]
                if number == shot:
                    continue
                if frame not in self._descriptors and time.monotonic() > deadline:
                    is_complete = False
                    continue
                descriptor = self._descriptor(frame)
                if descriptor is not None:
                    near[number] = resemblance(own, descriptor)
            found = []
            exemplar = self._exemplar(shot, key_frames[shot])
            for number in sorted(near, key=lambda n: (-near[n], n))[:_MAX_COMPARED]:
                if near[number] < _LEAST_RESEMBLANCE:
                    break
                match = self._match(exemplar, shot, number, key_frames[number])
                if match.is_used:
                    found.append(match)
        found.sort(key=lambda match: (-match.share, match.shot))
        return [(match.shot, match.strength) for match in found], is_complete

    def carry(
        self, references: Sequence[Reference], shot: int, key_frames: Mapping[int, int]
    ) -> list[Carried]:
        """Return frames of other shots with the colours of a shot's references.

        `key_frames`: of the other shots. Those that surely show nothing of it are left out.
        """
        carried = []
        with self._lock:
            exemplars = []
            for reference in references:
                luma = self._luma(reference.number)
                if luma is not None:
                    name = f"frame {reference.number}"
                    made = Exemplar.make(name, luma, reference.ab, reference.coverage)
                    exemplars.append(made.of_frame(reference.number, shot))
            for number, frame in key_frames.items():
                if self._luma(frame) is None:
                    continue
                features = self._features(frame)
                found = [e.likeness(features, self._features(e.number)) for e in exemplars]
                used = [
                    likeness
                    for likeness, exemplar in zip(found, exemplars, strict=True)
                    if Match(exemplar.name, shot, number, likeness.seed_share).is_used
                ]
                if used:
                    carried.append(Carried(frame, *mean_likeness(used)))
        return carried

    def picture(self, carried: Carried) -> Canvas | None:
        """Return a frame as shown in its carried colours, transparent elsewhere."""
        with self._lock:
            frame = self._reader.read(carried.frame)
        if frame is None:
            return None
        grey = luma_picture(frame.luma, self._info.coding)
        payload = np.dstack([carried.ab, carried.share])
        payload = cv2.resize(payload, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
        lightness = lightness_from_luma(grey.astype(np.float32) / 255.0)
        lightness = _LEAST_LIGHTNESS + _LIGHTNESS_SHARE * lightness
        red, green, blue = rgb_from_lab(lightness, payload[..., 0], payload[..., 1])
        values = np.dstack([blue, green, red, payload[..., 2]]).clip(0.0, 1.0)
        return show(np.rint(values * 255.0).astype(np.uint8), self._info)

    def _match(self, exemplar: Exemplar, shot: int, number: int, frame: int) -> Match:
        found = exemplar.likeness(self._features(frame), self._features(exemplar.number))
        return Match(exemplar.name, shot, number, found.seed_share)

    def _exemplar(self, shot: int, frame: int) -> Exemplar:
        luma = self._luma(frame)
        assert luma is not None  # it has a descriptor
        shape = luma.shape[0] // 8, luma.shape[1] // 8
        ab, everywhere = np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32)
        return Exemplar.make(f"frame {frame}", luma, ab, everywhere).of_frame(frame, shot)

    def _descriptor(self, frame: int) -> Descriptor | None:
        if frame not in self._descriptors:
            is_there = self._luma(frame) is not None
            self._descriptors[frame] = describe(self._features(frame)) if is_there else None
        return self._descriptors[frame]

    def _features_of(self, frame: int) -> FloatPlane:
        luma = self._luma(frame)
        assert luma is not None  # callers have looked
        return self._analyse(luma)[1]

    def _luma(self, frame: int) -> Gray | None:
        return network_luma(self._reader, self._info, self._size, frame)


def over(new: Canvas, old: Canvas) -> Canvas:
    """Return a picture over another of its size; both (H, W, 4) with opacity."""
    share = new[..., 3:].astype(np.float32) / 255.0
    rest = old[..., 3:].astype(np.float32) / 255.0 * (1.0 - share)
    total = share + rest
    mixed = (new[..., :3] * share + old[..., :3] * rest) / np.maximum(total, 1e-6)
    values: Canvas = np.rint(np.dstack([mixed, 255.0 * total])).astype(np.uint8)
    return values


KeyFrameOf = Callable[[int], int | None]  # returns the key frame of a shot by its number
