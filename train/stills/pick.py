"""Chooses stills from films and photographs: sharp, in colour, without near-duplicates.

A film is scanned once for its luma; colour is read for the chosen frames only. Each film gives the
sharpest frame of each shot.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.images.image_file import STILL_SUFFIXES, find_images
from filmcolor.timecodes import format_timecode
from filmcolor.train.stills.extract import (
    read_photo_without_bars,
    read_picks,
    shrink,
    to_still,
)
from filmcolor.train.stills.folder import Still, StillsFolder
from filmcolor.train.stills.quality import (
    SHARPNESS_SIZE,
    SignatureIndex,
    find_flaw,
    is_blurred,
    luma_of_rgb,
    signature,
)
from filmcolor.train.stills.scan import Pick, scan_film
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import Picture
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

_MAX_EXAMPLES = 3  # named per reason in a report
_PQ_AND_HLG = (16, 18)  # ITU-T H.273 table 3: transfers of HDR

Progress = Callable[[int, int | None], None]  # frames and pictures done, total if known


@dataclass(frozen=True, slots=True)
class PickOptions:
    """How stills are chosen.

    `per_shot`: the most stills of a shot. `short_side`: pixels, 0 keeps the size. `limit`: the most
    stills of a film. Raises SettingsError for values that have no meaning.
    """

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
class Rejection:
    """A reason for which pictures were left out: how many, and the names of the first."""

    reason: str
    num: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.num > len(self.examples) else ""
        return f"{self.num} {self.reason} ({', '.join(self.examples)}{more})"


@dataclass(frozen=True, slots=True)
class StillsReport:
    """How many stills were kept, and why others were left out."""

    folder: Path
    num_kept: int
    num_films: int
    num_photos: int  # that were examined
    rejections: tuple[Rejection, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        sources = [
            f"{num} {name}{'' if num == 1 else 's'}"
            for num, name in ((self.num_films, "film"), (self.num_photos, "picture"))
            if num
        ]
        kept = f"{self.num_kept} still{'' if self.num_kept == 1 else 's'}"
        lines = [f"{kept} of {' and '.join(sources)} → {self.folder}"]
        lines += [f"left out: {rejection}" for rejection in self.rejections]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def pick_stills(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    options: PickOptions | None = None,
    time_range: TimeRange = WHOLE,
    force: bool = False,
    progress: Progress | None = None,
) -> StillsReport:
    """Write stills from colour films and folders of photographs, and list them in manifest.csv.

    A film gives the sharpest frame of each shot. Blank, grey, tinted and blurred pictures are left
    out, and near-duplicates of stills that were kept. `time_range`: of a single film. `force`
    refills a folder that has a manifest. `progress(done, total)` counts frames and pictures.
    Raises InputError for a source that is no film and holds no picture and when nothing is kept,
    OutputError when the folder cannot be filled; what was written is then removed.
    """
    options, target = options or PickOptions(), Path(folder)
    films, photos = _find_sources(sources, target)
    if not time_range.is_whole and (len(films) != 1 or photos):
        raise SettingsError("a range is of one film; leave it out, or name that film alone")
    parts = [resolve(info, time_range) for info in films]
    num_photos = sum(map(len, photos.values()))
    tracker = _Tracker(progress, sum(map(_length, films, parts)) + num_photos)
    with StillsFolder(target, force) as output:
        picker = _Picker(options, output, tracker)
        for info, part in zip(films, parts):
            picker.add_film(info, part)
            output.write_manifest()
        for source, paths in photos.items():
            picker.add_photos(source, paths)
            output.write_manifest()
        if not output.stills:
            raise InputError(_nothing_kept(sources, tracker.rejections()))
        output.finish()
    num, notes = len(output.stills), tuple(tracker.notes)
    return StillsReport(target, num, len(films), num_photos, tracker.rejections(), notes)


def _find_sources(
    sources: Sequence[str | Path], target: Path
) -> tuple[list[FilmInfo], dict[Path, list[Path]]]:
    """Return the films among the sources, and the pictures below each folder among them."""
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
    """Return every picture below a folder, sorted; raises InputError when there is none."""
    paths = find_images(folder)
    if not paths:
        raise InputError(
            f"{folder} holds no pictures ({', '.join(sorted(STILL_SUFFIXES))}); "
            "films in it are named one by one"
        )
    return paths


@dataclass(slots=True)
class _Tracker:
    """Counts the progress and the rejections."""

    progress: Progress | None
    total: int
    done: int = 0
    nums: Counter[str] = field(default_factory=Counter)  # by reason
    examples: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def advance(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, max(self.total, self.done))

    def reject(self, reason: str, name: str, num: int = 1) -> None:
        self.nums[reason] += num
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(name)

    def rejections(self) -> tuple[Rejection, ...]:
        return tuple(
            Rejection(reason, num, tuple(self.examples[reason]))
            for reason, num in self.nums.most_common()
        )


class _Picker:
    """Adds stills from films and photographs to a folder, without near-duplicates among them."""

    def __init__(self, options: PickOptions, output: StillsFolder, tracker: _Tracker) -> None:
        self.options, self.output, self.tracker = options, output, tracker
        self.signatures = SignatureIndex()

    def add_film(self, info: FilmInfo, part: Part) -> None:
        """Add the stills of a part of a film."""
        index = FrameIndex.read(info)
        scan = scan_film(info, part, self.options.per_shot, index, self.tracker.advance)
        if scan.error:
            self.tracker.notes.append(scan.error)
        for shot in scan.shots:
            if shot.flaw:
                self.tracker.reject(shot.flaw, _position(info, shot.start_pts))
        self._add_picks(info, scan.picks(), index)

    def _add_picks(self, info: FilmInfo, picks: list[Pick], index: FrameIndex) -> None:
        subfolder = self.output.unique_name(info.path.stem)
        limit = len(picks) if self.options.limit is None else self.options.limit
        num_kept = num_examined = 0
        self.tracker.total += len(picks)
        with closing(read_picks(info, picks, index, limit)) as pictures:
            for pick, rgb in pictures:
                num_examined += 1
                if rgb is None:
                    self.tracker.reject("unreadable", _position(info, pick.pts))
                else:
                    picture = to_still(rgb, info, pick.bars, self.options.short_side)
                    num_kept += self._add_frame(picture, info, pick, subfolder)
                self.tracker.advance()
                if num_kept == limit:
                    break
        if num_examined < len(picks):
            self.tracker.reject("over the limit", info.path.name, len(picks) - num_examined)

    def _add_frame(self, picture: Picture, info: FilmInfo, pick: Pick, subfolder: str) -> bool:
        """Add a frame to a sub-folder unless it is rejected; return whether it was added."""
        if not self._accept(picture, _position(info, pick.pts)):
            return False
        height, width = picture.shape[:2]
        still = Still(
            file=f"{subfolder}/{info.path.stem}-{pick.number:07}.jpg",
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

    def add_photos(self, folder: Path, paths: Sequence[Path]) -> None:
        """Add photographs of a folder; sub-folders keep their names."""
        subfolder = self.output.unique_name(folder.resolve().name or "photos")
        for path in paths:
            name = path.relative_to(folder).with_suffix("").as_posix()
            self._add_photo(path, f"{subfolder}/{name}")
            self.tracker.advance()

    def _add_photo(self, path: Path, name: str) -> None:
        try:
            photo = read_photo_without_bars(path)
        except InputError:
            self.tracker.reject("unreadable", str(path))
            return
        picture = shrink(photo, self.options.short_side)
        if is_blurred(luma_of_rgb(shrink(photo, SHARPNESS_SIZE))):
            self.tracker.reject("blurred", str(path))
        elif self._accept(picture, str(path)):
            height, width = picture.shape[:2]
            file = self.output.unique_name(f"{name}.jpg")
            self.output.add(picture, Still(file, str(path), "", "", "", width, height, "photo"))

    def _accept(self, picture: Picture, name: str) -> bool:
        """Return whether a picture is to be kept; a rejection is counted under `name`."""
        flaw, values = find_flaw(picture), signature(picture)
        if flaw is None and not self.signatures.is_new(values):
            flaw = "near-duplicate"
        if flaw is None:
            self.signatures.add(values)
        else:
            self.tracker.reject(flaw, name)
        return flaw is None


def _length(info: FilmInfo, part: Part) -> int:
    return (info.num_frames_estimate or 0) if part.stop is None else part.stop - part.first


def _nothing_kept(sources: Sequence[str | Path], rejections: Sequence[Rejection]) -> str:
    more = ", …" if len(sources) > _MAX_EXAMPLES else ""
    names = ", ".join(map(str, sources[:_MAX_EXAMPLES])) + more
    counts = ", ".join(f"{r.num} {r.reason}" for r in rejections) or "no frames"
    if rejections and all(r.reason in ("grey", "tinted", "blank") for r in rejections):
        return f"{names}: no colour in it ({counts}); name films in colour"
    return f"{names}: no usable still ({counts}); name other films"


def _timecode(info: FilmInfo, pts: int) -> str:
    return format_timecode(float(info.seconds(pts)))


def _position(info: FilmInfo, pts: int) -> str:
    return f"{info.path.name} at {_timecode(info, pts)}"
