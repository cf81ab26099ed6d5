"""Reads palette files: TOML with grades for some shots or times.

Tables name shots, by their numbers in `filmcolor shots`, or times from the film's first frame.
Settings that a table omits are the run's own. They are resolved to frame numbers before the run, so
that a frame's grade is a function of its number alone; processes get the resolved ones.

    [shots.3]
    warmth = 0.4

    [shots.7-9]
    saturation = 0.8
    skin-protect = 1

    [times."00:01:10-00:01:30.5"]
    warmth = -0.5
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.guidance.grading import RANGES, Grade, Palette
from filmcolor.shots.listing import Shot, iter_shots
from filmcolor.timecodes import ROUNDING, parse_timecode
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

_KEYS = {name.replace("_", "-"): name for name in RANGES}


def read_palette(path: Path, base: Grade, info: FilmInfo, index: FrameIndex) -> Palette:
    """Return the palette that a file gives a film; `base` is the grade of all other frames.

    Shot numbers cost a pass over the film's luma, times do not. Raises a FilmcolorError that names
    the line, or the key, with the mistake.
    """
    ranges: list[tuple[int, int, Grade]] = []
    names: dict[int, str] = {}  # by the first frame
    shots: list[Shot] = []
    for table, name, settings in _tables(path):
        label = f"{path}: {table}.{name}"
        grade = _grade(settings, base, label)
        if table == "shots":
            shots = shots or list(iter_shots(info))
            first, stop = _frames_of_shots(name, shots, label)
        else:
            first, stop = _frames_of_times(name, info, index, label)
        for other_first, other_stop, _ in ranges:
            if first < other_stop and other_first < stop:
                raise SettingsError(
                    f"{label} and {names[other_first]} both hold frame {max(first, other_first)}; "
                    "let each frame be in one"
                )
        ranges.append((first, stop, grade))
        names[first] = f"{table}.{name}"
    return Palette(base, tuple(sorted(ranges, key=lambda entry: entry[0])))


def _tables(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; a palette is a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    for table, tables in document.items():
        if table not in ("shots", "times") or not isinstance(tables, dict):
            raise SettingsError(
                f'{path}: {table} is unknown; write [shots.3] or [times."00:01:10-00:01:30"]'
            )
        for name, settings in tables.items():
            if not isinstance(settings, dict):
                raise SettingsError(
                    f"{path}: {table}.{name} is not a table; write a line: [{table}.{name}]"
                )
            yield table, name, settings


def _grade(settings: Mapping[str, Any], base: Grade, label: str) -> Grade:
    grade = base
    for key, value in settings.items():
        if key not in _KEYS:
            raise SettingsError(f"{label}.{key} is no setting; choose from {', '.join(_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"{label}.{key} must be a number, not {value!r}")
        try:
            grade = replace(grade, **{_KEYS[key]: float(value)})
        except SettingsError as error:
            raise SettingsError(f"{label}.{key}: {error}") from error
    return grade


def _frames_of_shots(name: str, shots: list[Shot], label: str) -> tuple[int, int]:
    first, dash, last = name.partition("-")
    try:
        numbers = int(first), int(last if dash else first)
    except ValueError:
        raise SettingsError(f"{label} is no shot number; write [shots.3] or [shots.3-5]") from None
    if not 1 <= numbers[0] <= numbers[1] <= len(shots):
        raise RangeError(f"{label}: the film has shots 1 to {len(shots)}; see filmcolor shots")
    return shots[numbers[0] - 1].first, shots[numbers[1] - 1].stop


def _frames_of_times(name: str, info: FilmInfo, index: FrameIndex, label: str) -> tuple[int, int]:
    start, dash, end = (part.strip() for part in name.partition("-"))
    try:
        # times copied from `filmcolor shots` are rounded to milliseconds; the frame may be earlier
        times = [parse_timecode(text) - ROUNDING if text else None for text in (start, end)]
        if not dash or times == [None, None]:
            raise SettingsError('write [times."00:01:10-00:01:30"]; one side may be left out')
        time_range = TimeRange(None if times[0] is None else max(Fraction(0), times[0]), times[1])
        part = resolve(info, time_range, index)
    except (SettingsError, RangeError) as error:
        raise type(error)(f"{label}: {error}") from error
    assert part.stop is not None  # a range that is not the whole film has both ends
    return part.first, part.stop
