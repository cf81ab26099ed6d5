"""Films and folders of photographs to stills for training: sharp, in colour, no two alike."""

import csv
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path, PurePosixPath
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmcolor.color import Coding, lab_from_rgb, luma_from_rgb
from filmcolor.decode import FrameIndex, read_luma, read_rgb, resolve
from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.frames import WHOLE, FilmInfo, FloatPlane, Part, Picture, Plane, SmallFrame, Span
from filmcolor.photo import SUFFIXES as PHOTO_SUFFIXES
from filmcolor.photo import read_photo
from filmcolor.pipeline import Prefetch
from filmcolor.predict import add_small
from filmcolor.previews import timecode
from filmcolor.probing import probe
from filmcolor.shots import LOOK, mark_cuts

Progress = Callable[[int, int | None], None]  # frames and pictures done, in all where known

SUFFIXES = PHOTO_SUFFIXES | {".webp", ".bmp"}
MANIFEST = "manifest.csv"
_FILM, _PHOTO = "film", "photo"  # kinds of source

# Where a threshold says "photographs", these are 235 of BSDS500 and other public sets.
_SIGHT = 256  # short side, pixels, at which sharpness is measured: grain is averaged away
_THUMB = (64, 48)  # (width, height), for colour and spread
_MARK, _AB_MARK = (16, 12), (4, 3)  # (width, height), for likeness in luma and in ab
MIN_CHROMA = 3.0  # mean CIELAB chroma; the palest of the photographs has 4.7, dull films 3.5
MIN_HUES = 1.0  # CIELAB units off the best curve of ab over L; photographs from 1.5, sepia 0
_MIN_SPREAD = 0.03  # standard deviation of luma in 0..1; photographs from 0.042
_MIN_LIGHT = 0.15  # luma in 0..1 that 5 % of a picture must reach; photographs from 0.31
_MIN_SHARPNESS = 0.004  # photographs from 0.027, and 0.001 when blurred by 3 pixels
_MIN_SHARE = 0.4  # of the shot's sharpest frame: half of it is a trace of motion blur
MIN_DIFFERENCE = 0.3  # mean |difference| of normalised luma; the nearest photographs: 0.40
MIN_AB_DIFFERENCE = 4.0  # CIELAB units; landscapes share their luma, not their colours
_MAX_REMEMBERED = 1 << 15  # signatures that a new one is compared with: 28 MB
_SECONDS_PER_STILL = 4  # a shot must last so long for each still after its first
_EDGE = 6  # frames left out at either end of a shot, where dissolves and flashes are
_MAX_STRETCHES = 64  # candidates remembered of a shot, however long
_MAX_EXAMPLES = 3  # named per reason in a report
_PQ_AND_HLG = (16, 18)  # ITU-T H.273 table 3: transfers of HDR

_DARK = 24 / 255  # luma in 0..1 that a line of a bar stays below, noise included
_SHOT_SHARE = 0.1  # of a shot's frames in which a line is lit, when it is picture
_FILM_SHARE = 0.05  # of a film's frames: full-screen titles are rarer than that
_BAR_EDGE = 0.06  # how much brighter the picture is than the bar beside it, luma in 0..1
_MIN_PICTURE = 4  # a picture fills one part in so many of the frame, or there are no bars
_FULL_RANGE = Coding(1, True, 8)  # of photographs
_LINES_MEASURED = 480  # across a bar's line, about so many pixels are looked at

# JPEG, for a third of PNG's space and reading time: what comes from films has been through
# worse. 4:4:4, for the colours are what is learned.
_JPEG = {"quality": 95, "subsampling": 0, "optimize": True}


@dataclass(frozen=True, slots=True)
class Picking:
    """How stills are chosen. `short_side`: pixels, 0 keeps the size; `limit`: per film."""

    per_shot: int = 1
    short_side: int = 256
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.per_shot < 1:
            raise SettingsError(f"{self.per_shot} stills per shot: ask for 1 or more")
        if self.short_side != 0 and self.short_side < 32:
            raise SettingsError(
                f"short side {self.short_side} must be 32 or more, or 0 to keep the size"
            )
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"a limit of {self.limit} stills: ask for 1 or more")


@dataclass(frozen=True, slots=True)
class Still:
    """A line of manifest.csv: a still and where it comes from.

    `shot` and `frame` count from 0, `timecode` from the film's first frame; a photograph
    has none of the three, and its path stands for the film.
    """

    file: str  # below the folder, with /
    film: str
    timecode: str
    shot: str
    frame: str
    width: int
    height: int
    kind: str  # of source: "film" or "photo"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How often stills were left out for one reason, and the first of them by name."""

    reason: str
    num: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.num > len(self.examples) else ""
        return f"{self.num} {self.reason} ({', '.join(self.examples)}{more})"


@dataclass(frozen=True, slots=True)
class StillsReport:
    """What was picked and what was not."""

    folder: Path
    num_kept: int
    num_films: int
    num_photos: int  # that were looked at
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        sources = [
            f"{num} {name}{'' if num == 1 else 's'}"
            for num, name in ((self.num_films, "film"), (self.num_photos, "picture"))
            if num
        ]
        kept = f"{self.num_kept} still{'' if self.num_kept == 1 else 's'}"
        lines = [f"{kept} of {' and '.join(sources)} → {self.folder}"]
        lines += [f"left out: {reason}" for reason in self.left_out]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


# ---------------------------------------------------------------- bars


@dataclass(frozen=True, slots=True)
class Bars:
    """The black lines around a picture, in pixels of the frame as coded."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def trim(self, picture: Plane) -> Plane:
        """Return a plane or picture (H, W, ...) without its bars, and without their soft edge."""
        height, width = picture.shape[:2]
        top, bottom, left, right = (bar and bar + 1 for bar in astuple(self))
        return picture[top : height - bottom, left : width - right]


class Profile:
    """How often each row and column of a frame was lit, over any number of frames."""

    def __init__(self, height: int, width: int) -> None:
        self.num = 0
        self._lit = np.zeros(height), np.zeros(width)
        self._level = np.zeros(height), np.zeros(width)
        self._step = max(1, height // _LINES_MEASURED), max(1, width // _LINES_MEASURED)

    def add(self, luma: Plane, coding: Coding) -> None:
        """Look at one more frame's luma code values (H, W)."""
        down, across = self._step
        for axis, lines in enumerate((luma[:, ::across], luma[::down].T)):
            level = (lines.astype(np.float32) - coding.luma_offset) / coding.luma_scale
            mean = level.mean(axis=1)
            # one lamp in a night sky lights its line; the noise of a bar does not
            self._lit[axis][:] += mean + 2.0 * level.std(axis=1) > _DARK
            self._level[axis][:] += mean
        self.num += 1

    def dark(self, share: float) -> Bars:
        """Return what was dark at each side in all but a share of the frames."""
        return Bars(*(n for axis in (0, 1) for n in self._dark_lines(axis, share)))

    def bars(self, share: float) -> Bars:
        """Return what was dark and is a bar: as broad as its opposite, or sharply cut."""
        widths = []
        for axis in (0, 1):
            before, after = self._dark_lines(axis, share)
            level = self._level[axis] / max(self.num, 1)
            is_even = abs(before - after) <= max(2, len(level) // 64)
            is_bar = [
                is_even or _is_cut_sharply(side, bar)
                for side, bar in ((level, before), (level[::-1], after))
            ]
            widths += [bar if is_it else 0 for bar, is_it in zip((before, after), is_bar)]
        return Bars(*widths)

    def _dark_lines(self, axis: int, share: float) -> tuple[int, int]:
        lit = np.flatnonzero(self._lit[axis] >= max(1.0, share * self.num))
        length = len(self._lit[axis])
        if len(lit) == 0 or (lit[-1] + 1 - lit[0]) * _MIN_PICTURE < length:
            return 0, 0
        return int(lit[0]), int(length - 1 - lit[-1])


def _is_cut_sharply(level: NDArray[np.float64], bar: int) -> bool:
    return 0 < bar < len(level) - 2 and bool(level[bar + 2] - level[bar - 1] >= _BAR_EDGE)


def settle_bars(dark: Bars, bars: Bars, film: Bars) -> Bars:
    """Return the bars of a shot: its own, or the film's where darkness hides them.

    `dark`, `bars`: the shot's; `film`: the whole film's. What is lit in the shot stays.
    """
    sides = zip(astuple(dark), astuple(bars), astuple(film))
    return Bars(*(own or min(lines, usual) for lines, own, usual in sides))


# ---------------------------------------------------------------- what a good picture is


def sharpness(luma: FloatPlane) -> float:
    """Return the variance of the Laplacian over that of luma (h, w): detail for its contrast."""
    if min(luma.shape) < 3:
        return 0.0
    detail = cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    return float(detail.var() / max(luma.var(), _MIN_SPREAD**2))


def is_blank(luma: FloatPlane) -> bool:
    """Tell whether luma (h, w) in 0..1 shows nothing: black, white, or one even tone."""
    thumb = cv2.resize(luma, _THUMB, interpolation=cv2.INTER_AREA)
    return bool(thumb.std() < _MIN_SPREAD or np.percentile(thumb, 95) < _MIN_LIGHT)


def flaw_of(rgb: Picture) -> str | None:
    """Return why a picture without bars teaches no colour: blank, grey, tinted; None if it does.

    Grey is a mean CIELAB chroma below MIN_CHROMA. Tinted is a picture whose ab follow from
    its L, as in sepia, to less than MIN_HUES.
    """
    thumb = cv2.resize(rgb, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    red, green, blue = (thumb[..., c] for c in range(3))
    if is_blank(luma_from_rgb(red, green, blue)):
        return "blank"
    lightness, a, b = (c.ravel() for c in lab_from_rgb(red, green, blue))
    if np.hypot(a, b).mean() < MIN_CHROMA:
        return "grey"
    curve = np.stack([(lightness / 100.0) ** power for power in range(4)], axis=1)
    ab = np.stack([a, b], axis=1)
    off = ab - curve @ np.linalg.lstsq(curve, ab, rcond=None)[0]
    return "tinted" if np.sqrt((off**2).sum(axis=1).mean()) < MIN_HUES else None


def signature(rgb: Picture) -> FloatPlane:
    """Return a picture's mark for likeness: 192 numbers of its luma, then 24 of its ab.

    Luma has mean 0 and spread 1, so that exposure does not matter; ab are CIELAB units.
    """
    thumb = cv2.resize(rgb, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    red, green, blue = (thumb[..., c] for c in range(3))
    luma = cv2.resize(luma_from_rgb(red, green, blue), _MARK, interpolation=cv2.INTER_AREA)
    ab = np.dstack(lab_from_rgb(red, green, blue)[1:])
    ab = cv2.resize(ab, _AB_MARK, interpolation=cv2.INTER_AREA)
    normal = (luma - luma.mean()) / max(float(luma.std()), _MIN_SPREAD)
    mark: FloatPlane = np.concatenate([normal.ravel(), ab.ravel()])
    return mark


def difference(mark: FloatPlane, others: FloatPlane) -> tuple[FloatPlane, FloatPlane]:
    """Return mean |difference| in luma and in ab of a signature and each of others (N, 216)."""
    apart = np.abs(others - mark)
    num = math.prod(_MARK)
    return apart[:, :num].mean(axis=1), apart[:, num:].mean(axis=1)


class Memory:
    """Signatures of the stills that were kept, the newest _MAX_REMEMBERED of them."""

    def __init__(self) -> None:
        size = math.prod(_MARK) + 2 * math.prod(_AB_MARK)
        self._marks = np.empty((_MAX_REMEMBERED, size), np.float32)
        self._num = 0

    def is_new(self, mark: FloatPlane) -> bool:
        """Tell whether no still that is remembered looks like this one."""
        luma, ab = difference(mark, self._marks[: min(self._num, _MAX_REMEMBERED)])
        return not bool(((luma < MIN_DIFFERENCE) & (ab < MIN_AB_DIFFERENCE)).any())

    def add(self, mark: FloatPlane) -> None:
        """Remember a still."""
        self._marks[self._num % _MAX_REMEMBERED] = mark
        self._num += 1


# ---------------------------------------------------------------- a film's shots


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What is remembered of a frame."""

    number: int
    pts: int
    sharpness: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot that was looked through: half-open in frames, and its best, in order."""

    number: int
    first: int
    stop: int
    start_pts: int
    best: tuple[Glimpse, ...]
    flaw: str | None  # why there is none
    dark: Bars
    bars: Bars


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to take from a film."""

    shot: int
    number: int
    pts: int
    bars: Bars


class _ShotSoFar:
    """A shot while its frames pass: of each stretch of it, the sharpest is remembered."""

    def __init__(self, number: int, start: SmallFrame) -> None:
        self.number, self.start = number, start.frame.number
        self.start_pts = self.end_pts = start.frame.pts
        self.profile = Profile(*start.frame.luma.shape)
        self.stretches: dict[int, Glimpse] = {}
        self.length = 1  # of a stretch, in frames

    def add(self, frame: SmallFrame, coding: Coding) -> None:
        luma, small = frame.frame.luma, frame.small
        self.profile.add(luma, coding)
        self.end_pts = frame.frame.pts
        seen = _scaled(self.profile.dark(_SHOT_SHARE), luma.shape, small.shape).trim(small)
        if is_blank(seen):
            return
        glimpse = Glimpse(frame.frame.number, frame.frame.pts, sharpness(seen))
        self._keep((glimpse.number - self.start) // self.length, glimpse)
        if len(self.stretches) > _MAX_STRETCHES:
            self.length *= 2
            kept, self.stretches = self.stretches, {}
            for position, glimpse in kept.items():
                self._keep(position // 2, glimpse)

    def _keep(self, position: int, glimpse: Glimpse) -> None:
        rival = self.stretches.get(position)
        if rival is None or glimpse.sharpness > rival.sharpness:
            self.stretches[position] = glimpse

    def finish(self, info: FilmInfo, per_shot: int) -> Shot:
        first, stop = self.start, self.start + self.profile.num
        seconds = (self.end_pts - self.start_pts) * info.time_base
        num = min(per_shot, 1 + int(seconds // _SECONDS_PER_STILL))
        glimpses = list(self.stretches.values())
        best = tuple(g for g in sharpest(glimpses, first, stop, num))
        flaw = None if best else "blurred" if glimpses else "blank"
        dark, bars = self.profile.dark(_SHOT_SHARE), self.profile.bars(_SHOT_SHARE)
        return Shot(self.number, first, stop, self.start_pts, best, flaw, dark, bars)


def sharpest(glimpses: Iterable[Glimpse], first: int, stop: int, num: int) -> list[Glimpse]:
    """Return the sharpest frame of each of `num` equal parts of a shot, blurred ones left out.

    The ends of the shot are avoided where something else is there.
    """
    edge = min(_EDGE, (stop - first) // 8)
    sharp = [g for g in glimpses if g.sharpness >= _MIN_SHARPNESS]
    inner = [g for g in sharp if first + edge <= g.number < stop - edge] or sharp
    best: dict[int, Glimpse] = {}
    for glimpse in inner:
        part = (glimpse.number - first) * num // (stop - first)
        if part not in best or glimpse.sharpness > best[part].sharpness:
            best[part] = glimpse
    enough = _MIN_SHARE * max((g.sharpness for g in inner), default=0.0)
    return [g for _, g in sorted(best.items()) if g.sharpness >= enough]


def _scaled(bars: Bars, shape: tuple[int, ...], small: tuple[int, ...]) -> Bars:
    """Return bars on a frame's small copy, rounded to the inside."""
    down, across = small[0] / shape[0], small[1] / shape[1]
    factors = (down, down, across, across)
    return Bars(*(math.ceil(bar * f) for bar, f in zip(astuple(bars), factors)))


def survey(
    info: FilmInfo,
    part: Part,
    per_shot: int,
    index: FrameIndex | None = None,
    advance: Callable[[], None] | None = None,
) -> tuple[list[Shot], Bars, str | None]:
    """Return a film's shots, its usual bars, and what broke it off, if anything did.

    The film's luma is read once and nothing of it kept but a few numbers per shot. Cuts
    are those that a run finds. `advance()` is called after every frame.
    """
    start, end = max(0, part.first - LOOK), None if part.stop is None else part.stop + LOOK
    sight = min(_SIGHT, *map(int, info.display_size))  # what is enlarged has no detail
    whole = Profile(info.height, info.width)
    shots: list[Shot] = []
    shot: _ShotSoFar | None = None
    broken = None
    try:
        lumas = read_luma(info, start, end, index)
        with Prefetch(add_small(lumas, info, sight), 8) as small:
            for frame in mark_cuts(small):
                if frame.frame.number < part.first:
                    continue
                if part.stop is not None and frame.frame.number >= part.stop:
                    break
                if shot is None or frame.is_cut:
                    shots += [shot.finish(info, per_shot)] if shot else []
                    shot = _ShotSoFar(len(shots), frame)
                shot.add(frame, info.coding)
                whole.add(frame.frame.luma, info.coding)
                if advance:
                    advance()
    except InputError as error:  # what came before is good
        broken = str(error)
    if shot is not None:
        shots.append(shot.finish(info, per_shot))
    return shots, whole.bars(_FILM_SHARE), broken


def taking_order(num: int) -> list[int]:
    """Return 0 to num - 1 so that any beginning of the list is spread over the whole.

    Van der Corput's sequence in base 2: the numbers by their bits read backwards.
    """
    num_bits = max(1, (num - 1).bit_length())
    order = (int(f"{i:0{num_bits}b}"[::-1], 2) for i in range(1 << num_bits))
    return [i for i in order if i < num]


def upright(rgb: Picture, info: FilmInfo, bars: Bars, short_side: int) -> Picture:
    """Return a frame as it is shown: without bars, pixels square, turned, never enlarged.

    Of an interlaced film one field is taken, so that nothing is combed.
    """
    picture = bars.trim(rgb)
    pixel_shape = float(info.sar)
    if info.is_interlaced:
        picture, pixel_shape = picture[::2], pixel_shape / 2
    height, width = picture.shape[:2]
    square = width * min(1.0, pixel_shape), height / max(1.0, pixel_shape)
    return np.ascontiguousarray(
        np.rot90(_shrunk(picture, square, short_side), round(info.rotation / 90) % 4)
    )


def _shrunk(picture: Picture, size: tuple[float, float], short_side: int) -> Picture:
    """Return a picture at a size (width, height), or smaller, its short side as asked."""
    scale = min(1.0, short_side / min(size)) if short_side else 1.0
    width, height = (max(1, round(side * scale)) for side in size)
    if (height, width) == picture.shape[:2]:
        return picture
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------- the folder


class StillsFolder:
    """A folder that is filled with stills, and its manifest.

    Every file appears whole or not at all. When filling it fails, what was written is
    removed again; a process that is killed leaves whole stills and no line for the film
    it was at.
    """

    def __init__(self, folder: Path, force: bool = False) -> None:
        self.folder, self.stills = folder, list[Still]()
        self._made: list[Path] = []  # folders that were not there, outermost first
        self._names = {MANIFEST}  # in use, in small letters: some disks take A for a
        self._old = _check_folder(folder, force)

    def __enter__(self) -> "StillsFolder":
        try:
            self._make(self.folder)
            self.write_manifest()  # now, not after hours: is there room, may it be written?
        except BaseException:
            self._undo()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self._undo()

    def name(self, wanted: str) -> str:
        """Return a name that nothing here has: the one wanted, or with a number after it."""
        path = PurePosixPath(wanted)
        name, number = wanted, 1
        while name.casefold() in self._names:
            number += 1
            name = str(path.with_name(f"{path.stem}~{number}{path.suffix}"))
        self._names.add(name.casefold())
        return name

    def add(self, picture: Picture, still: Still) -> None:
        """Write a still (H, W, 3) and remember its line."""
        target = self.folder / still.file
        self._make(target.parent)
        self.stills.append(still)  # first: then it is removed again, whatever happens
        partial = target.with_name(f".{target.name}.partial")
        try:
            Image.fromarray(picture).save(partial, format="JPEG", **_JPEG)
            partial.replace(target)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written: {error.strerror or error}; is the disk full?"
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def write_manifest(self) -> None:
        """Write the lines of all stills so far."""
        _write_manifest(self.folder / MANIFEST, self.stills)

    def finish(self) -> None:
        """Write the manifest, and remove the stills of an older one that are not in it."""
        self.stills.sort(key=lambda s: s.file)
        self.write_manifest()
        kept = {still.file for still in self.stills}
        for still in self._old:
            if still.file not in kept:
                self._remove(still.file)

    def _make(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be made: {error.strerror}; choose another folder"
            ) from error
        self._made += reversed(missing)

    def _remove(self, file: str) -> None:
        (self.folder / file).unlink(missing_ok=True)
        for parent in PurePosixPath(file).parents[:-1]:  # up to the folder, not the folder
            if (self.folder / parent).is_dir() and not any((self.folder / parent).iterdir()):
                (self.folder / parent).rmdir()

    def _undo(self) -> None:
        try:
            for still in self.stills:
                self._remove(still.file)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            left = [still for still in self._old if (self.folder / still.file).exists()]
            if self._old:
                _write_manifest(self.folder / MANIFEST, left)
            for folder in reversed(self._made):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError:
            pass  # the disk is gone: what made us stop says so


def _check_folder(folder: Path, force: bool) -> list[Still]:
    """Return the stills that a folder's own manifest names.

    Raises OutputError when the folder may not be filled.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; name a folder for the stills")
        if not folder.exists() or not any(folder.iterdir()):
            return []
        if not (folder / MANIFEST).is_file():
            raise OutputError(
                f"{folder} holds other things, and no {MANIFEST}; name an empty or a new folder"
            )
        if not force:
            raise OutputError(
                f"{folder} already holds stills; choose another folder or add --force"
            )
        return _read_manifest(folder / MANIFEST)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror}") from error


def _read_manifest(path: Path) -> list[Still]:
    """Return a manifest's stills; a line that leads out of the folder is none of ours."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("file")]
    names = [field.name for field in fields(Still)]
    stills = [Still(*(row.get(name) or "" for name in names)) for row in rows]  # type: ignore[arg-type]
    inside = (s for s in stills if ".." not in PurePosixPath(s.file).parts)
    return [s for s in inside if not PurePosixPath(s.file).is_absolute()]


def _write_manifest(path: Path, stills: Sequence[Still]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow([field.name for field in fields(Still)])
            lines.writerows(astuple(still) for still in stills)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


# ---------------------------------------------------------------- picking


@dataclass(slots=True)
class _Tally:
    """What has been left out so far, and how far the work is."""

    progress: Progress | None
    total: int
    done: int = 0
    nums: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def advance(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, max(self.total, self.done))

    def leave_out(self, reason: str, name: str, num: int = 1) -> None:
        self.nums[reason] += num
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(name)

    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(
            LeftOut(reason, num, tuple(self.examples[reason]))
            for reason, num in self.nums.most_common()
        )


class _Picker:
    """One picking: the folder, what it remembers, and what it has left out."""

    def __init__(self, picking: Picking, output: StillsFolder, tally: _Tally) -> None:
        self.picking, self.output, self.tally = picking, output, tally
        self.memory = Memory()

    def film(self, info: FilmInfo, part: Part) -> None:
        """Pick a film's stills."""
        index = FrameIndex(info)
        shots, usual, broken = survey(info, part, self.picking.per_shot, index, self.tally.advance)
        if broken:
            self.tally.notes.append(broken)
        for shot in shots:
            if shot.flaw:
                self.tally.leave_out(shot.flaw, _moment(info, shot.start_pts))
        picks = [
            Pick(shot.number, glimpse.number, glimpse.pts, settle_bars(shot.dark, shot.bars, usual))
            for shot in shots
            for glimpse in shot.best
        ]
        self._take(info, picks, index)

    def _take(self, info: FilmInfo, picks: list[Pick], index: FrameIndex) -> None:
        stem = info.path.stem
        name = self.output.name(stem)
        limit = len(picks) if self.picking.limit is None else self.picking.limit
        num_kept = num_looked_at = 0
        self.tally.total += len(picks)
        with closing(_pictures(info, picks, index, limit)) as pictures:
            for pick, rgb in pictures:
                num_looked_at += 1
                where = _moment(info, pick.pts)
                picture = (
                    None if rgb is None else upright(rgb, info, pick.bars, self.picking.short_side)
                )
                if picture is not None and self._is_wanted(picture, where):
                    height, width = picture.shape[:2]
                    still = Still(
                        f"{name}/{stem}-{pick.number:07}.jpg",
                        str(info.path),
                        _timecode(info, pick.pts),
                        str(pick.shot),
                        str(pick.number),
                        width,
                        height,
                        _FILM,
                    )
                    self.output.add(picture, still)
                    num_kept += 1
                elif picture is None:
                    self.tally.leave_out("unreadable", where)
                self.tally.advance()
                if num_kept == limit:
                    break
        if num_looked_at < len(picks):
            self.tally.leave_out("over the limit", info.path.name, len(picks) - num_looked_at)

    def photos(self, folder: Path, paths: Sequence[Path]) -> None:
        """Pick among the photographs below a folder, its sub-folders kept."""
        name = self.output.name(folder.resolve().name or "photos")
        for path in paths:
            self._photo(path, f"{name}/{path.relative_to(folder).with_suffix('').as_posix()}")
            self.tally.advance()

    def _photo(self, path: Path, name: str) -> None:
        try:
            deep = read_photo(path).rgb
        except InputError:
            self.tally.leave_out("unreadable", str(path))
            return
        rgb = np.rint(deep / (1.0 if deep.dtype == np.uint8 else 257.0)).astype(np.uint8)
        profile = Profile(*rgb.shape[:2])
        profile.add(_luma(rgb) * 255.0, _FULL_RANGE)
        whole = profile.bars(1.0).trim(rgb)
        height, width = whole.shape[:2]
        picture = _shrunk(whole, (width, height), self.picking.short_side)
        seen = _luma(_shrunk(whole, (width, height), _SIGHT))
        if sharpness(seen) < _MIN_SHARPNESS and not is_blank(seen):
            self.tally.leave_out("blurred", str(path))
        elif self._is_wanted(picture, str(path)):
            height, width = picture.shape[:2]
            file = self.output.name(f"{name}.jpg")
            still = Still(file, str(path), "", "", "", width, height, _PHOTO)
            self.output.add(picture, still)

    def _is_wanted(self, picture: Picture, where: str) -> bool:
        """Tell whether a picture is kept, and put down why not."""
        flaw, mark = flaw_of(picture), signature(picture)
        if flaw is None and not self.memory.is_new(mark):
            flaw = "near-duplicate"
        if flaw is None:
            self.memory.add(mark)
        else:
            self.tally.leave_out(flaw, where)
        return flaw is None


def pick_stills(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    picking: Picking | None = None,
    span: Span = WHOLE,
    force: bool = False,
    progress: Progress | None = None,
) -> StillsReport:
    """Pick stills out of colour films and folders of photographs, and list them in manifest.csv.

    A film gives the sharpest frame of each shot; blank, grey, tinted and blurred pictures
    are left out, and those like one that was kept. `span`: of one film. `force` refills a
    folder that has a manifest. `progress(done, total)` counts frames and pictures.
    Raises InputError for what is no film and holds no picture and when nothing is kept,
    OutputError when the folder cannot be filled; what was written is then removed.
    """
    picking, target = picking or Picking(), Path(folder)
    films, photos = _find(sources, target)
    if not span.is_whole and (len(films) != 1 or photos):
        raise SettingsError("a range is of one film; leave it out, or name that film alone")
    parts = {info.path: resolve(info, span) for info in films}
    lengths = [_length(info, parts[info.path]) for info in films]
    num_photos = sum(map(len, photos.values()))
    tally = _Tally(progress, sum(lengths) + num_photos)
    with StillsFolder(target, force) as output:
        picker = _Picker(picking, output, tally)
        for info in films:
            picker.film(info, parts[info.path])
            output.write_manifest()
        for source, paths in photos.items():
            picker.photos(source, paths)
            output.write_manifest()
        if not output.stills:
            raise InputError(_nothing_kept(sources, tally.left_out()))
        output.finish()
        num = len(output.stills)
    notes = tuple(tally.notes)
    return StillsReport(target, num, len(films), num_photos, tally.left_out(), notes)


def _find(
    sources: Sequence[str | Path], target: Path
) -> tuple[list[FilmInfo], dict[Path, list[Path]]]:
    """Return the films among the sources, and the pictures below each folder."""
    if not sources:
        raise InputError("no film and no folder of pictures is named; name one")
    films: dict[Path, FilmInfo] = {}
    photos: dict[Path, list[Path]] = {}
    for source in map(Path, sources):
        if source.is_dir():
            if source.resolve() in (target.resolve(), *target.resolve().parents):
                raise OutputError(f"{target} lies in {source}, which is read; name another folder")
            photos[source] = find_pictures(source)
            continue
        info = probe(source)
        if info.transfer in _PQ_AND_HLG:
            raise InputError(f"{source} is HDR, its colours would come out pale; make it SDR first")
        films.setdefault(source.resolve(), info)
    return list(films.values()), photos


def find_pictures(folder: Path) -> list[Path]:
    """Return every picture below a folder, sorted.

    Raises InputError when there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InputError(
            f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}); "
            "films in it are named one by one"
        )
    return paths


def _length(info: FilmInfo, part: Part) -> int:
    return (info.num_frames_told or 0) if part.stop is None else part.stop - part.first


def _nothing_kept(sources: Sequence[str | Path], left_out: Sequence[LeftOut]) -> str:
    names = ", ".join(map(str, sources[:_MAX_EXAMPLES])) + (
        ", …" if len(sources) > _MAX_EXAMPLES else ""
    )
    if left_out and all(reason.reason in ("grey", "tinted", "blank") for reason in left_out):
        return f"{names}: no colour in it ({_listed(left_out)}); name films in colour"
    return f"{names}: no still is worth keeping ({_listed(left_out)}); name other films"


def _listed(left_out: Sequence[LeftOut]) -> str:
    return ", ".join(f"{reason.num} {reason.reason}" for reason in left_out) or "no frames"


def _pictures(
    info: FilmInfo, picks: list[Pick], index: FrameIndex, limit: int
) -> Generator[tuple[Pick, Picture | None], None, None]:
    """Yield picks with their frames, None for one that cannot be read.

    With a limit below their number, any beginning is spread over the film. A film that
    cannot be sought in is read once, and only as many picks of it as may be kept.
    """
    is_limited = limit < len(picks)
    if not picks:
        return
    if index.is_exact:
        for i in taking_order(len(picks)) if is_limited else range(len(picks)):
            pick = picks[i]
            try:
                frame = next(iter(read_rgb(info, pick.number, pick.number + 1, index)), None)
            except InputError:
                frame = None
            yield pick, None if frame is None else frame.rgb
        return
    if is_limited:
        picks = [picks[len(picks) * (2 * i + 1) // (2 * limit)] for i in range(limit)]
    waiting = {pick.number: pick for pick in picks}
    try:
        for frame in read_rgb(info, min(waiting), max(waiting) + 1, index):
            if frame.number in waiting:
                yield waiting.pop(frame.number), frame.rgb
    except InputError:
        yield from ((pick, None) for pick in waiting.values())


def _luma(rgb: Picture) -> FloatPlane:
    """Return luma (H, W) in 0..1."""
    luma: FloatPlane = luma_from_rgb(*(rgb[..., c].astype(np.float32) / 255.0 for c in range(3)))
    return luma


def _timecode(info: FilmInfo, pts: int) -> str:
    return timecode(float((pts - info.start_pts) * info.time_base))


def _moment(info: FilmInfo, pts: int) -> str:
    return f"{info.path.name} at {_timecode(info, pts)}"
