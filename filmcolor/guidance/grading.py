"""Grades: saturation, warmth and skin protection, for a film or for some of its frames.

Grades apply to the network's colours of anchors, before references do: given colours stay as they
are given, and an exported picture that comes back is not saturated twice. Other frames follow their
anchors at no cost; where a range ends inside a shot, one grade blends into the next.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from filmcolor.color.spaces import daylight_ab
from filmcolor.errors import SettingsError
from filmcolor.types.frames import FloatPlane, PredictedFrame

SATURATION = 1.15  # chosen from the curve in train/LOG.md
# reciprocal megakelvins of daylight at full warmth: Kodak's Wratten 81A, the mildest amber filter
# of photographers, so that a neutral stays believable; 82A is its blue counterpart
_MIREDS = 18.0
_D65 = 6504.0  # kelvins
# Skin in CIELAB. In Xiao et al. 2017, "Characterising the variations in ethnic skin
# colours", Skin Research and Technology 23, four groups overlap: a hardly varies, b does. The
# window is wider than measured skin, because of light and make-up.
_SKIN_HUES = (20.0, 35.0, 70.0, 85.0)  # degrees: none, all, all, none
_SKIN_CHROMAS = (3.0, 8.0, 35.0, 50.0)  # CIELAB
RANGES = {"saturation": (0.0, 4.0), "warmth": (-1.0, 1.0), "skin_protect": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Grade:
    """How the network's colours are graded.

    `saturation` multiplies chroma. `warmth`, -1 to 1, shifts all colours along the line of
    daylights, as a blue or an amber filter does: at 1 by 7 CIELAB units toward yellow. (A gain on b
    would leave neutrals alone, and those show the light.) `skin_protect`, 0 to 1, is how far
    colours that may be skin keep their ungraded value. Raises SettingsError for a value out of
    range.
    """

    saturation: float = SATURATION
    warmth: float = 0.0
    skin_protect: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                label = name.replace("_", " ")
                raise SettingsError(f"{label} {value} must be {least:g} to {most:g}")

    def apply(self, ab: FloatPlane) -> FloatPlane:
        """Return graded ab (h, w, 2)."""
        graded: FloatPlane = ab * np.float32(self.saturation)
        if self.warmth:
            graded += np.float32(self.warmth) * warm_shift()
        if self.skin_protect:
            share = np.float32(self.skin_protect) * skin_share(ab)[..., None]
            graded += share * (ab * np.float32(SATURATION) - graded)
        return graded


def skin_share(ab: FloatPlane) -> FloatPlane:
    """Return how likely ab (h, w, 2) is skin, 0 to 1 (h, w), judged by hue and chroma."""
    chroma, hue = cv2.cartToPolar(ab[..., 0], ab[..., 1], angleInDegrees=True)
    share: FloatPlane = _window(hue, _SKIN_HUES) * _window(chroma, _SKIN_CHROMAS)
    return share


@dataclass(frozen=True, slots=True)
class Palette:
    """The grade of each frame of a film: a base grade, and others for ranges of frames."""

    base: Grade
    ranges: tuple[tuple[int, int, Grade], ...] = ()  # (first, stop), half-open, in order
    has_own_base: bool = False  # the base grade is that of a palette file

    def grade_of(self, number: int) -> Grade:
        """Return the grade of a frame."""
        index = bisect_right(self.ranges, number, key=lambda entry: entry[0]) - 1
        if index >= 0 and number < self.ranges[index][1]:
            return self.ranges[index][2]
        return self.base

    @property
    def digest(self) -> str:
        """A digest of what a palette file sets, "" for nothing."""
        if not self.ranges and not self.has_own_base:
            return ""
        text = json.dumps([[first, stop, asdict(grade)] for first, stop, grade in self.ranges])
        if self.has_own_base:
            text += json.dumps(asdict(self.base))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def grade_frames(frames: Iterable[PredictedFrame], palette: Palette) -> Iterator[PredictedFrame]:
    """Yield the frames with the ab of anchors graded, each by its frame number alone.

    Frames between anchors follow them, so inside a shot one grade blends into the next.
    """
    for frame in frames:
        if frame.ab is not None:
            frame = replace(frame, ab=palette.grade_of(frame.tracked.source.number).apply(frame.ab))
        yield frame


@lru_cache(maxsize=1)
def warm_shift() -> FloatPlane:
    """Return the shift (a, b) of full warmth."""
    return np.array(daylight_ab(1e6 / (1e6 / _D65 + _MIREDS)), np.float32)


def _window(values: FloatPlane, edges: tuple[float, float, float, float]) -> FloatPlane:
    """Return 1 between the inner edges, 0 beyond the outer ones, smooth in between."""
    none, low, high, beyond = edges
    rising, falling = (values - none) / (low - none), (beyond - values) / (beyond - high)
    share: FloatPlane = np.minimum(rising, falling).clip(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
