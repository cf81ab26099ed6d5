"""Films and folders of photographs to stills for training: sharp, in colour, no two alike."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.images.image_file import STILL_SUFFIXES, find_images
from filmcolor.pipeline.run import Progress
from filmcolor.timecodes import format_timecode
from filmcolor.train.stills.extract import read_picks, read_whole, shrunk, upright
from filmcolor.train.stills.folder import Still, StillsFolder
from filmcolor.train.stills.quality import (
    SIGHT,
    Memory,
    flaw_of,
    is_blurred,
    luma_of_rgb,
    signature,
)
from filmcolor.train.stills.scan import Pick, look_through
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import Picture
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

_MAX_EXAMPLES = 3  # named per reason in a report
_PQ_AND_HLG = (16, 18)  # ITU-T H.273 table 3: transfers of HDR


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


def pick_stills(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    picking: Picking | None = None,
    time_range: TimeRange = WHOLE,
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
    if not time_range.is_whole and (len(films) != 1 or photos):
        raise SettingsError("a range is of one film; leave it out, or name that film alone")
    parts = [resolve(info, time_range) for info in films]
    num_photos = sum(map(len, photos.values()))
    ledger = _Ledger(progress, sum(map(_length, films, parts)) + num_photos)
    with StillsFolder(target, force) as output:
        picker = _Picker(picking, output, ledger)
        for info, part in zip(films, parts):
            picker.film(info, part)
            output.write_manifest()
        for source, paths in photos.items():
            picker.photos(source, paths)
            output.write_manifest()
        if not output.stills:
            raise InputError(_nothing_kept(sources, ledger.left_out()))
        output.finish()
    num, notes = len(output.stills), tuple(ledger.notes)
    return StillsReport(target, num, len(films), num_photos, ledger.left_out(), notes)


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
            photos[source] = _find_pictures(source)
            continue
        info = probe(source)
        if info.transfer in _PQ_AND_HLG:
            raise InputError(f"{source} is HDR, its colours would come out pale; make it SDR first")
        films.setdefault(source.resolve(), info)
    return list(films.values()), photos


def _find_pictures(folder: Path) -> list[Path]:
    """Return every picture below a folder, sorted; InputError when there is none."""
    paths = find_images(folder)
    if not paths:
        raise InputError(
            f"{folder} holds no pictures ({', '.join(sorted(STILL_SUFFIXES))}); "
            "films in it are named one by one"
        )
    return paths


@dataclass(slots=True)
class _Ledger:
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

    def __init__(self, picking: Picking, output: StillsFolder, ledger: _Ledger) -> None:
        self.picking, self.output, self.ledger = picking, output, ledger
        self.memory = Memory()

    def film(self, info: FilmInfo, part: Part) -> None:
        """Pick a film's stills."""
        index = FrameIndex(info)
        footage = look_through(info, part, self.picking.per_shot, index, self.ledger.advance)
        if footage.broken:
            self.ledger.notes.append(footage.broken)
        for shot in footage.shots:
            if shot.flaw:
                self.ledger.leave_out(shot.flaw, _moment(info, shot.start_pts))
        self._take(info, footage.picks(), index)

    def _take(self, info: FilmInfo, picks: list[Pick], index: FrameIndex) -> None:
        name = self.output.name(info.path.stem)
        limit = len(picks) if self.picking.limit is None else self.picking.limit
        num_kept = num_looked_at = 0
        self.ledger.total += len(picks)
        with closing(read_picks(info, picks, index, limit)) as pictures:
            for pick, rgb in pictures:
                num_looked_at += 1
                if rgb is None:
                    self.ledger.leave_out("unreadable", _moment(info, pick.pts))
                else:
                    picture = upright(rgb, info, pick.bars, self.picking.short_side)
                    num_kept += self._keep_frame(picture, info, pick, name)
                self.ledger.advance()
                if num_kept == limit:
                    break
        if num_looked_at < len(picks):
            self.ledger.leave_out("over the limit", info.path.name, len(picks) - num_looked_at)

    def _keep_frame(self, picture: Picture, info: FilmInfo, pick: Pick, name: str) -> bool:
        """Keep a frame that is wanted, in the sub-folder `name`, and tell whether it was."""
        if not self._is_wanted(picture, _moment(info, pick.pts)):
            return False
        height, width = picture.shape[:2]
        still = Still(
            file=f"{name}/{info.path.stem}-{pick.number:07}.jpg",
            film=str(info.path),
            timecode=_timecode(info, pick.pts),
            shot=str(pick.shot),
            frame=str(pick.number),
            width=width,
            height=height,
            kind="film",
        )
        self.output.add(picture, still)
        return True

    def photos(self, folder: Path, paths: Sequence[Path]) -> None:
        """Pick among the photographs below a folder, its sub-folders kept."""
        name = self.output.name(folder.resolve().name or "photos")
        for path in paths:
            self._photo(path, f"{name}/{path.relative_to(folder).with_suffix('').as_posix()}")
            self.ledger.advance()

    def _photo(self, path: Path, name: str) -> None:
        try:
            whole = read_whole(path)
        except InputError:
            self.ledger.leave_out("unreadable", str(path))
            return
        picture = shrunk(whole, self.picking.short_side)
        if is_blurred(luma_of_rgb(shrunk(whole, SIGHT))):
            self.ledger.leave_out("blurred", str(path))
        elif self._is_wanted(picture, str(path)):
            height, width = picture.shape[:2]
            file = self.output.name(f"{name}.jpg")
            self.output.add(picture, Still(file, str(path), "", "", "", width, height, "photo"))

    def _is_wanted(self, picture: Picture, where: str) -> bool:
        """Tell whether a picture is kept, and put down why not."""
        flaw, mark = flaw_of(picture), signature(picture)
        if flaw is None and not self.memory.is_new(mark):
            flaw = "near-duplicate"
        if flaw is None:
            self.memory.add(mark)
        else:
            self.ledger.leave_out(flaw, where)
        return flaw is None


def _length(info: FilmInfo, part: Part) -> int:
    return (info.num_frames_estimate or 0) if part.stop is None else part.stop - part.first


def _nothing_kept(sources: Sequence[str | Path], left_out: Sequence[LeftOut]) -> str:
    more = ", …" if len(sources) > _MAX_EXAMPLES else ""
    names = ", ".join(map(str, sources[:_MAX_EXAMPLES])) + more
    if left_out and all(reason.reason in ("grey", "tinted", "blank") for reason in left_out):
        return f"{names}: no colour in it ({_listed(left_out)}); name films in colour"
    return f"{names}: no still is worth keeping ({_listed(left_out)}); name other films"


def _listed(left_out: Sequence[LeftOut]) -> str:
    return ", ".join(f"{reason.num} {reason.reason}" for reason in left_out) or "no frames"


def _timecode(info: FilmInfo, pts: int) -> str:
    return format_timecode(float(info.seconds(pts)))


def _moment(info: FilmInfo, pts: int) -> str:
    return f"{info.path.name} at {_timecode(info, pts)}"
