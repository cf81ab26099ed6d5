"""How colours are graded: saturation, warmth, and what is done to skin, of a film or by shots.

A palette file is TOML. Its tables name shots, by their numbers in `filmcolor shots`, or times
from the film's first frame; what a table leaves out is the run's own.

    [shots.3]
    warmth = 0.4

    [shots.7-9]
    saturation = 0.8
    skin-protect = 1

    [times."00:01:10-00:01:30.5"]
    warmth = -0.5
"""

import hashlib
import json
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from filmcolor.anchors import TrackedFrame
from filmcolor.color import daylight_ab
from filmcolor.decode import FrameIndex, resolve
from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.frames import FilmInfo, FloatPlane, Span
from filmcolor.shot_list import Shot, each_shot
from filmcolor.timecodes import ROUNDING, seconds_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SATURATION = 1.1  # chosen from the curve in train/LOG.md
# reciprocal megakelvins by which full warmth moves daylight: what Kodak's Wratten filter 81A
# does, the mildest amber that photographers put before a lens, and 82A the other way
_MIREDS = 18.0
_D65 = 6504.0  # kelvins
# Where skin is in CIELAB. In Xiao et al. 2017, "Characterising the variations in ethnic skin
# colours", Skin Research and Technology 23, four groups overlap: a hardly varies, b does. The
# window is wider than what is measured on skin, for pictures have light and make-up too.
_SKIN_HUES = (20.0, 35.0, 70.0, 85.0)  # degrees: none, all, all, none
_SKIN_CHROMAS = (3.0, 8.0, 35.0, 50.0)  # CIELAB
_RANGES = {"saturation": (0.0, 4.0), "warmth": (-1.0, 1.0), "skin_protect": (0.0, 1.0)}
_KEYS = {name.replace("_", "-"): name for name in _RANGES}


@dataclass(frozen=True, slots=True)
class Grade:
    """What is done to the network's colours.

    `saturation` multiplies chroma. `warmth`, -1 to 1, moves all colours along the daylights, as
    an amber or a blue filter would: at 1 by 7 CIELAB units, toward yellow. `skin_protect`, 0
    to 1, is how far colours that may be skin's keep what they are without a grade.
    """

    saturation: float = SATURATION
    warmth: float = 0.0
    skin_protect: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                told = name.replace("_", " ")
                raise SettingsError(f"{told} {value} must be {least:g} to {most:g}")

    def apply(self, ab: FloatPlane) -> FloatPlane:
        """Return graded ab (h, w, 2)."""
        graded: FloatPlane = ab * np.float32(self.saturation)
        if self.warmth:
            graded += np.float32(self.warmth) * _warm()
        if self.skin_protect:
            share = np.float32(self.skin_protect) * skin_share(ab)[..., None]
            graded += share * (ab * np.float32(SATURATION) - graded)
        return graded


def skin_share(ab: FloatPlane) -> FloatPlane:
    """Return how surely colours (h, w, 2) may be skin's, 0 to 1 (h, w), by hue and chroma."""
    chroma, hue = cv2.cartToPolar(ab[..., 0], ab[..., 1], angleInDegrees=True)
    share: FloatPlane = _window(hue, _SKIN_HUES) * _window(chroma, _SKIN_CHROMAS)
    return share


@dataclass(frozen=True, slots=True)
class Palette:
    """The grade of each frame of a film: a base, and others in ranges of frames."""

    base: Grade
    ranges: tuple[tuple[int, int, Grade], ...] = ()  # (first, stop), half-open, in order

    def grade_of(self, number: int) -> Grade:
        """Return the grade of a frame."""
        place = bisect_right(self.ranges, number, key=lambda entry: entry[0]) - 1
        if place >= 0 and number < self.ranges[place][1]:
            return self.ranges[place][2]
        return self.base

    @property
    def digest(self) -> str:
        """What tells the ranges from others, "" for none."""
        if not self.ranges:
            return ""
        told = json.dumps([[first, stop, asdict(grade)] for first, stop, grade in self.ranges])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def graded(frames: Iterable[TrackedFrame], palette: Palette) -> Iterator[TrackedFrame]:
    """Yield the same frames, the ab of anchors graded, each by its number alone.

    The frames between follow them; so inside a shot one grade gives way to another by degrees.
    """
    for frame in frames:
        if frame.ab is not None:
            frame = replace(frame, ab=palette.grade_of(frame.frame.number).apply(frame.ab))
        yield frame


def read_palette(path: Path, base: Grade, info: FilmInfo, index: FrameIndex) -> Palette:
    """Return what a palette file says of a film; `base` is the grade of all else.

    Numbers of shots cost a pass over the film's luma, times do not. Raises an error that
    names the line, or the key, that cannot be.
    """
    ranges: list[tuple[int, int, Grade]] = []
    names: dict[int, str] = {}  # by the first frame
    shots: list[Shot] = []
    for kind, name, settings in _tables(path):
        told = f"{path}: {kind}.{name}"
        grade = _grade(settings, base, told)
        if kind == "shots":
            shots = shots or list(each_shot(info))
            first, stop = _frames_of_shots(name, shots, told)
        else:
            first, stop = _frames_of_times(name, info, index, told)
        for other_first, other_stop, _ in ranges:
            if first < other_stop and other_first < stop:
                raise SettingsError(
                    f"{told} and {names[other_first]} both hold frame {max(first, other_first)}; "
                    "let each frame be in one"
                )
        ranges.append((first, stop, grade))
        names[first] = f"{kind}.{name}"
    return Palette(base, tuple(sorted(ranges, key=lambda entry: entry[0])))


def _tables(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8, and a palette is TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    for kind, tables in told.items():
        if kind not in ("shots", "times") or not isinstance(tables, dict):
            raise SettingsError(
                f"{path}: {kind} has no meaning there; "
                'write [shots.3] or [times."00:01:10-00:01:30"]'
            )
        for name, settings in tables.items():
            if not isinstance(settings, dict):
                raise SettingsError(
                    f"{path}: {kind}.{name} has no settings; begin a table: [{kind}.{name}]"
                )
            yield kind, name, settings


def _grade(settings: Mapping[str, Any], base: Grade, told: str) -> Grade:
    grade = base
    for key, value in settings.items():
        if key not in _KEYS:
            raise SettingsError(f"{told}.{key} is no setting; there are {', '.join(_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"{told}.{key} must be a number, not {value!r}")
        try:
            grade = replace(grade, **{_KEYS[key]: float(value)})
        except SettingsError as error:
            raise SettingsError(f"{told}.{key}: {error}") from error
    return grade


def _frames_of_shots(name: str, shots: list[Shot], told: str) -> tuple[int, int]:
    first, dash, last = name.partition("-")
    try:
        numbers = int(first), int(last if dash else first)
    except ValueError:
        raise SettingsError(
            f"{told} is no number of a shot; write [shots.3] or [shots.3-5]"
        ) from None
    if not 1 <= numbers[0] <= numbers[1] <= len(shots):
        raise RangeError(f"{told}: the film has shots 1 to {len(shots)}; see filmcolor shots")
    return shots[numbers[0] - 1].first, shots[numbers[1] - 1].stop


def _frames_of_times(name: str, info: FilmInfo, index: FrameIndex, told: str) -> tuple[int, int]:
    start, dash, end = (part.strip() for part in name.partition("-"))
    try:
        # a time copied from `filmcolor shots` is of milliseconds, its frame's may be earlier
        times = [seconds_of(text) - ROUNDING if text else None for text in (start, end)]
        if not dash or times == [None, None]:
            raise SettingsError('write [times."00:01:10-00:01:30"]; one side may be left out')
        span = Span(None if times[0] is None else max(Fraction(0), times[0]), times[1])
        part = resolve(info, span, index)
    except (SettingsError, RangeError) as error:
        raise type(error)(f"{told}: {error}") from error
    assert part.stop is not None  # a span that is not the whole film has both ends
    return part.first, part.stop


@lru_cache(maxsize=1)
def _warm() -> FloatPlane:
    """Return the (a, b) by which full warmth moves colours."""
    return np.array(daylight_ab(1e6 / (1e6 / _D65 + _MIREDS)), np.float32)


def _window(values: FloatPlane, edges: tuple[float, float, float, float]) -> FloatPlane:
    """Return 1 between the inner edges, 0 beyond the outer ones, by degrees between."""
    none, low, high, beyond = edges
    rising, falling = (values - none) / (low - none), (beyond - values) / (beyond - high)
    share: FloatPlane = np.minimum(rising, falling).clip(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
