"""Grades of shots in a palette file: read, shown and changed shot by shot.

A new table names times, `[times."00:01:10.000-00:01:30.500"]  # shot 3`, because shot numbers cost
a run a pass over the film. Tables that are there already keep their form.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from filmcolor.errors import FilmcolorError, SettingsError
from filmcolor.guidance.grading import RANGES, Grade, Palette
from filmcolor.guidance.palette_file import (
    FILM,
    KEYS,
    SHOTS,
    TIMES,
    Table,
    frames_of,
    grade_with,
    make_palette,
    parse_tables,
    shot_numbers,
)
from filmcolor.shots.listing import Shot
from filmcolor.studio.command import timecode
from filmcolor.studio.palette_edits import Address, Settings, edit_tables
from filmcolor.timecodes import ROUNDING
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex

_FILE_KEYS = {name: key for key, name in KEYS.items()}
_DECIMALS = range(3, 10)  # of seconds: milliseconds, and more where two frames are that near

GradeValues = Mapping[str, float | None]  # by the names of `Grade`; None: the film's, or the run's


@dataclass(slots=True, eq=False)
class _Entry:
    """A table with the frames (half-open) that it selects."""

    first: int
    stop: int
    kind: str
    name: str
    settings: dict[str, float]

    @property
    def address(self) -> Address:
        return self.kind, self.name

    def holds(self, shot: Shot) -> bool:
        return self.first <= shot.first and shot.stop <= self.stop


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """The shots of a film, as far as they have been found."""

    found: Callable[[], Sequence[Shot]]  # the last one may go on
    are_all: Callable[[], bool]


class ShotGrades:
    """A film's palette file, by its shots. Its methods take the file's text, "" for none.

    Tables of shots that have not been found yet are left out until they are.
    """

    def __init__(
        self,
        path: Path,
        base: Grade,
        info: FilmInfo,
        index: FrameIndex,
        shots: Shots,
    ) -> None:
        self.path, self._base = path, base
        self._info, self._index = info, index
        self._shots, self._is_complete = shots.found, shots.are_all
        self._times: dict[str, tuple[int, int]] = {}  # names of tables, where they cost something

    def palette(self, text: str) -> Palette:
        """Return the palette. Raises the errors of `read_palette`."""
        tables = parse_tables(text, self.path)
        entries = self._entries(tables)
        known = [Table(e.kind, e.name, e.settings) for e in entries]
        film = [table for table in tables if table.kind == FILM]
        ranges = [(e.first, e.stop) for e in entries]
        return make_palette(self.path, [*film, *known], ranges, self._base)

    def film_grade(self, text: str) -> dict[str, float]:
        """Return the grade of frames that no table of shots or times names."""
        settings = _film_settings(parse_tables(text, self.path))
        return values_of(grade_with(settings, self._base))

    def by_shot(self, text: str, shots: Sequence[Shot]) -> list[dict[str, float]]:
        """Return the values of each shot that one table sets for the whole of it."""
        entries = sorted(self._entries(parse_tables(text, self.path)), key=lambda e: e.first)
        firsts = [entry.first for entry in entries]
        found = []
        for shot in shots:
            position = bisect_right(firsts, shot.first) - 1
            is_held = position >= 0 and entries[position].holds(shot)
            found.append(_values(entries[position].settings) if is_held else {})
        return found

    def groups(self, text: str) -> list[dict[str, Any]]:
        """Return the shots with values of their own, those with equal ones in one group."""
        groups: dict[tuple[tuple[str, float], ...], list[int]] = {}
        shots = self._shots()
        for shot, values in zip(shots, self.by_shot(text, shots), strict=True):
            if values:
                groups.setdefault(tuple(values.items()), []).append(shot.number)
        return [{"shots": numbers, **dict(values)} for values, numbers in groups.items()]

    def known_shots(self, text: str) -> list[tuple[int, int]]:
        """Return the frames of tables that name shots, as far as they are known now."""
        with suppress(FilmcolorError):
            entries = self._entries(parse_tables(text, self.path))
            return [(e.first, e.stop) for e in entries if e.kind == SHOTS]
        return []

    def with_film(self, text: str, grade: GradeValues) -> str:
        """Return the text with values for the whole film. Raises SettingsError."""
        tables = parse_tables(text, self.path)
        settings = _changed(_film_settings(tables), grade)
        if not settings and not any(table.kind == FILM for table in tables):
            return text
        return edit_tables(text, {(FILM, ""): settings or None}, self.path)

    def with_shots(
        self, text: str, shots: Sequence[Shot], grade: GradeValues, *, alone: bool = False
    ) -> str:
        """Return the text with values for some shots; `alone`: without those that they had.

        Raises SettingsError for values out of range.
        """
        entries = self._entries(parse_tables(text, self.path))
        old = {entry.address: dict(entry.settings) for entry in entries}
        comments: dict[Address, str] = {}
        for shot in shots:
            exact = next((e for e in entries if (e.first, e.stop) == (shot.first, shot.stop)), None)
            holding = exact or next((e for e in entries if e.holds(shot)), None)
            current = {} if alone or holding is None else holding.settings
            settings = _changed(current, grade)
            if exact is not None:
                exact.settings = settings
                if not settings:
                    entries.remove(exact)
                continue
            entries = [part for e in entries for part in self._without(e, shot)]
            if settings:
                name = self._times_name(shot.first, shot.stop)
                kind, name = (TIMES, name) if name else (SHOTS, str(shot.number))
                entries.append(_Entry(shot.first, shot.stop, kind, name, settings))
                comments[kind, name] = f"shot {shot.number}"
        new = {entry.address: entry.settings for entry in entries}
        changes: dict[Address, Settings | None] = {a: None for a in old if a not in new}
        changes.update((a, s) for a, s in new.items() if old.get(a) != s)
        return edit_tables(text, changes, self.path, comments)

    def _entries(self, tables: Sequence[Table]) -> list[_Entry]:
        """Return the tables of shots and times whose frames are known."""
        shots, is_complete = self._shots(), self._is_complete()
        entries = []
        for table in tables:
            if table.kind == FILM or (not is_complete and self._is_ahead(table, shots)):
                continue
            first, stop = self._range(table, shots)
            entries.append(_Entry(first, stop, table.kind, table.name, dict(table.settings)))
        return entries

    def _is_ahead(self, table: Table, shots: Sequence[Shot]) -> bool:
        """Return whether a table is of shots that have not been found, or go on."""
        if table.kind != SHOTS:
            return False
        return shot_numbers(table.name, f"{self.path}: {table.label}")[1] >= len(shots)

    def _range(self, table: Table, shots: Sequence[Shot]) -> tuple[int, int]:
        if table.kind == TIMES and table.name in self._times:
            return self._times[table.name]
        found = frames_of(table, self.path, self._info, self._index, shots)
        if table.kind == TIMES:
            self._times[table.name] = found
        return found

    def _without(self, entry: _Entry, shot: Shot) -> list[_Entry]:
        """Return what is left of a table beside a shot that gets its own."""
        if entry.stop <= shot.first or shot.stop <= entry.first:
            return [entry]
        bounds = (entry.first, shot.first), (shot.stop, entry.stop)
        parts = []
        for first, stop in bounds:
            if first < stop:
                kind, name = self._name(entry.kind, first, stop)
                parts.append(_Entry(first, stop, kind, name, dict(entry.settings)))
        return parts

    def _name(self, kind: str, first: int, stop: int) -> Address:
        """Return the name of frames, of a kind where that is possible."""
        shots = self._shots()
        start = bisect_left([shot.first for shot in shots], first)
        end = bisect_left([shot.stop for shot in shots], stop)
        are_shots = start <= end < len(shots) and (shots[start].first, shots[end].stop) == (
            first,
            stop,
        )
        times = None if kind == SHOTS and are_shots else self._times_name(first, stop)
        if times:
            return TIMES, times
        if not are_shots:
            raise SettingsError(
                f"{self.path} has a table for a part of this shot; change that table, or remove it"
            )
        return SHOTS, str(start + 1) if start == end else f"{start + 1}-{end + 1}"

    def _times_name(self, first: int, stop: int) -> str:
        """Return the name of a table that selects just these frames, "" where there is none."""
        index, info = self._index, self._info
        if not (index.is_exact or index.has_guessed_times):
            return ""  # to find its frames a run would decode the film
        start = self._bound(first)
        end = self._bound(stop)
        if start is None or end is None:
            return ""
        name = f"{timecode(start)}-{timecode(end)}"
        try:
            found = frames_of(Table(TIMES, name, {}), self.path, info, index, ())
        except FilmcolorError:
            return ""
        self._times[name] = found
        return name if found == (first, stop) else ""

    def _bound(self, number: int) -> Fraction | None:
        """Return a time up to which the frames before a frame begin, and no others."""
        pts, base = self._index.pts, self._info.time_base
        if number == 0:
            return Fraction(0)
        previous = (pts[number - 1] - pts[0]) * base
        if number == len(pts):
            own = previous + max(1 / self._info.frame_rate, 4 * ROUNDING)
        else:
            own = (pts[number] - pts[0]) * base
        for decimals in _DECIMALS:
            scale = 10**decimals
            time = Fraction((own + ROUNDING) * scale // 1, scale)
            if previous < time - ROUNDING:
                return time
        return None


def values_of(grade: Grade) -> dict[str, float]:
    """Return the values of a grade by their names."""
    return {name: getattr(grade, name) for name in RANGES}


def _film_settings(tables: Sequence[Table]) -> Mapping[str, float]:
    return next((table.settings for table in tables if table.kind == FILM), {})


def _values(settings: Mapping[str, float]) -> dict[str, float]:
    """Return settings by the names of `Grade`, in a fixed order."""
    named = {KEYS[key]: float(value) for key, value in settings.items()}
    return {name: named[name] for name in RANGES if name in named}


def _changed(settings: Mapping[str, float], grade: GradeValues) -> dict[str, float]:
    """Return the settings of a table with other values. Raises SettingsError out of range."""
    changed = dict(settings)
    for name, value in grade.items():
        if name not in _FILE_KEYS:
            raise SettingsError(f"{name} is no setting; choose from {', '.join(_FILE_KEYS)}")
        if value is None:
            changed.pop(_FILE_KEYS[name], None)
        else:
            changed[_FILE_KEYS[name]] = float(value)
    grade_with(changed, Grade())
    return changed
