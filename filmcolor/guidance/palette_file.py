"""Reads palette files: TOML with grades for a film, and for some of its shots or times.

Tables name shots, by their numbers in `filmcolor shots`, or times from the film's first frame.
Settings that they omit are those of [film], and what that omits is the run's own. They are resolved
to frame numbers before the run, so that a frame's grade is a function of its number alone;
processes get the resolved ones.

    [film]
    saturation = 1.1

    [shots.3]
    warmth = 0.4

    [shots.7-9]
    saturation = 0.8
    skin-protect = 1

    [times."00:01:10-00:01:30.5"]
    warmth = -0.5
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.guidance.grading import RANGES, Grade, Palette
from filmcolor.shots.listing import Shot, iter_shots
from filmcolor.timecodes import ROUNDING, parse_timecode
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

FILM, SHOTS, TIMES = "film", "shots", "times"  # kinds of tables
KEYS = {name.replace("_", "-"): name for name in RANGES}  # settings of `Grade`, by their names here


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a palette file: of the whole film, or of some shots or times."""

    kind: str  # FILM, SHOTS or TIMES
    name: str  # "3", "3-5", "00:01:10-00:01:30"; "" for the film
    settings: Mapping[str, float]  # by the names of the file: "skin-protect"

    @property
    def label(self) -> str:
        """What errors call it."""
        return f"{self.kind}.{self.name}" if self.name else self.kind


def read_palette(
    path: Path,
    base: Grade,
    info: FilmInfo,
    index: FrameIndex,
    shots: Sequence[Shot] | None = None,
) -> Palette:
    """Return the palette that a file gives a film; `base` is the grade that it starts from.

    `shots`: the film's, if they are known: shot numbers cost a pass over the film's luma otherwise,
    times do not. Raises a FilmcolorError that names the line, or the key, with the mistake.
    """
    tables = read_tables(path)
    if shots is None and any(table.kind == SHOTS for table in tables):
        shots = list(iter_shots(info, index=index))
    ranges = [frames_of(table, path, info, index, shots or ()) for table in tables if table.name]
    return make_palette(path, tables, ranges, base)


def read_tables(path: Path) -> list[Table]:
    """Return the tables of a palette file. Raises the errors of `read_palette`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; a palette is a TOML file") from error
    return parse_tables(text, path)


def parse_tables(text: str, path: Path) -> list[Table]:
    """Return the tables of a palette's text; errors name the path."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    tables = []
    for kind, content in document.items():
        if kind not in (FILM, SHOTS, TIMES) or not isinstance(content, dict):
            raise SettingsError(
                f"{path}: {kind} is unknown; write [shots.3] or "
                '[times."00:01:10-00:01:30"], or [film] for all frames'
            )
        for name, settings in {"": content}.items() if kind == FILM else content.items():
            if not isinstance(settings, dict):
                raise SettingsError(
                    f"{path}: {kind}.{name} is not a table; write a line: [{kind}.{name}]"
                )
            table = Table(kind, name, settings)
            _check_settings(table, f"{path}: {table.label}")
            tables.append(table)
    return tables


def make_palette(
    path: Path, tables: Sequence[Table], ranges: Sequence[tuple[int, int]], base: Grade
) -> Palette:
    """Return the palette of tables; `ranges`: the frames (half-open) of those with a name.

    Raises SettingsError where two of them hold the same frame.
    """
    film = next((table for table in tables if table.kind == FILM and table.settings), None)
    if film is not None:
        base = grade_with(film.settings, base)
    named = [table for table in tables if table.name]
    graded: list[tuple[int, int, Grade]] = []
    names: dict[int, str] = {}  # by the first frame
    for table, (first, stop) in zip(named, ranges, strict=True):
        for other_first, other_stop, _ in graded:
            if first < other_stop and other_first < stop:
                raise SettingsError(
                    f"{path}: {table.label} and {names[other_first]} both hold frame "
                    f"{max(first, other_first)}; let each frame be in one"
                )
        graded.append((first, stop, grade_with(table.settings, base)))
        names[first] = table.label
    graded.sort(key=lambda entry: entry[0])
    return Palette(base, tuple(graded), has_own_base=film is not None)


def frames_of(
    table: Table, path: Path, info: FilmInfo, index: FrameIndex, shots: Sequence[Shot]
) -> tuple[int, int]:
    """Return the frames (half-open) of a table with a name; `shots`: the film's."""
    label = f"{path}: {table.label}"
    if table.kind == SHOTS:
        first, last = shot_numbers(table.name, label)
        if not 1 <= first <= last <= len(shots):
            raise RangeError(f"{label}: the film has shots 1 to {len(shots)}; see filmcolor shots")
        return shots[first - 1].first, shots[last - 1].stop
    return _frames_of_times(table.name, info, index, label)


def grade_with(settings: Mapping[str, float], base: Grade) -> Grade:
    """Return a grade with a table's settings. Raises SettingsError for a value out of range."""
    return replace(base, **{KEYS[key]: float(value) for key, value in settings.items()})


def shot_numbers(name: str, label: str) -> tuple[int, int]:
    """Return the first and the last shot of a table's name. Raises SettingsError for others."""
    first, dash, last = name.partition("-")
    try:
        return int(first), int(last if dash else first)
    except ValueError:
        raise SettingsError(f"{label} is no shot number; write [shots.3] or [shots.3-5]") from None


def _check_settings(table: Table, label: str) -> None:
    for key, value in table.settings.items():
        if key not in KEYS:
            raise SettingsError(f"{label}.{key} is no setting; choose from {', '.join(KEYS)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"{label}.{key} must be a number, not {value!r}")
        try:
            grade_with({key: value}, Grade())
        except SettingsError as error:
            raise SettingsError(f"{label}.{key}: {error}") from error


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
