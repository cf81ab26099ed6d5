"""What a person corrects in one film, kept in files that the command line knows.

    FOLDER/hints/frame-000123.png       strokes, as `run --hints` takes them
    FOLDER/references/frame-000123.png  the frame's colours, as `run --reference` takes them
    FOLDER/palette.toml                 grades of the film and of its shots, for `run --palette`
    FOLDER/options.json                 options that have no file: whether shots are matched

A command that names a folder of its own, or a palette, has that edited instead. What other programs
change in these files counts from the next look on.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.picture_reader import GuideOf
from filmcolor.guidance.shot_matching import Analyse
from filmcolor.images.image_file import read_rgba
from filmcolor.output.options import Encoding
from filmcolor.pipeline.options import ColorOptions
from filmcolor.shots.listing import Shot
from filmcolor.studio.alike import Carried, KeyFrameOf, ShotComparison, over
from filmcolor.studio.command import run_arguments, run_command, timecode
from filmcolor.studio.corrected_film import CorrectedFilm
from filmcolor.studio.correction_checks import PictureChecks, suffix_of
from filmcolor.studio.correction_files import PictureFolder
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.history import History
from filmcolor.studio.pictures import shown_size
from filmcolor.studio.shot_grades import GradeValues, Shots, values_of
from filmcolor.studio.strokes import Canvas, draw_on, encode_picture, read_canvas, write_canvas
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

_ALIKE_SECONDS = 8.0  # that a search for similar shots may take at a time
_MEDIA_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}  # of browsers


class Corrections:
    """The corrections of one film. All methods are safe to call from threads.

    Methods that change something are one step of undo each, and return the corrections object of
    docs/studio-api.md. They raise a FilmcolorError, and write nothing, where a run would.
    """

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        folder: Path,
        base: ColorOptions,
        shots: Callable[[], Sequence[Shot]],
        *,
        is_complete: Callable[[], bool] | None = None,
        key_frame_of: KeyFrameOf | None = None,
        guide_of: GuideOf | None = None,
        analyse: Analyse | None = None,
    ) -> None:
        """Take a film; `folder` is made with the first correction.

        `base`: options of the colours, with sources of their own that stay in use. `shots`: returns
        the shots that have been found, the last of which may go on until they are `is_complete`.
        `key_frame_of`: returns the frame that stands for a shot, by its number. `guide_of`: see
        `PictureReader`. `analyse`: returns the network's ab and features of luma.
        Raises InputError where a source does not exist.
        """
        self._info, self._index = info, index
        self._shots = shots
        self._are_all = is_complete or self._ends_film
        self._key_frame_of = key_frame_of or self._middle_of
        self.folder = folder.absolute()
        self._lock = threading.RLock()  # the files and the history
        self._film = CorrectedFilm(
            info,
            index,
            self.folder,
            base,
            Shots(shots, self._are_all),
            analyse=analyse,
            guide_of=guide_of,
            lock=self._lock,
        )
        self._hints, self._references = self._film.hints, self._film.references
        self._grades = self._film.grades
        own = (self.folder / "hints", self.folder / "references", self.folder)
        self._history = History(own)
        self._checks = PictureChecks(info, index, base.size, guide_of)
        self._comparison = ShotComparison(info, index, base.size, self._film.analyse)

    # ------------------------------------------------------------ for the colours

    @property
    def version(self) -> str:
        """A digest of what decides the film's colours; it is the same again after an undo."""
        return self._film.latest().version

    def options(self) -> ColorOptions:
        """Return the options of a run that gives the film with its corrections."""
        return self._film.latest().options

    def snapshot(self) -> tuple[str, ColorOptions, Guidance]:
        """Return the version, the options and the guidance of one moment. Raises as `guidance`."""
        look = self._film.latest()
        return look.version, look.options, self._film.guidance(look)

    def guidance(self) -> Guidance:
        """Return the guidance of a run with these options.

        What has not changed is not read again; matched shots and pictures that are no frames of the
        film take a pass over it after each change of the pictures.
        Raises a FilmcolorError that names the file when one does not fit the film.
        """
        return self._film.guidance(self._film.latest())

    # ------------------------------------------------------------ what there is

    def state(self) -> dict[str, Any]:
        """Return the corrections object."""
        with self._lock:
            look = self._film.look()
            error, film_grade, groups = "", values_of(self._film.base.grade), list[dict[str, Any]]()
            try:
                film_grade = self._grades.film_grade(look.palette)
                groups = self._grades.groups(look.palette)
            except FilmcolorError as problem:
                error = str(problem)
            guidance = self._film.known_guidance(look)
            notes = list(guidance.notes) if isinstance(guidance, Guidance) else []
            if look.options.match_shots:
                notes.append(
                    "with matched shots the film is read once more after each change of strokes "
                    "or reference pictures"
                )
            if isinstance(guidance, FilmcolorError):
                error = str(guidance)
            return {
                "version": look.version,
                "folder": str(self.folder),
                "strokes": self._hints.frames(),
                "references": self._references.frames(),
                "film_grade": film_grade,
                "grades": groups,
                "match_shots": look.options.match_shots,
                "undo": self._history.undo_label,
                "redo": self._history.redo_label,
                "command": run_command(self.arguments()),
                "notes": notes,
                "error": error,
            }

    def shot_corrections(self, shots: Sequence[Shot]) -> list[dict[str, Any]]:
        """Return of each shot its frames with strokes and references, and its own grade."""
        look = self._film.latest()
        with self._lock:
            frames = {"strokes": self._hints.frames(), "references": self._references.frames()}
            try:
                grades = self._grades.by_shot(look.palette, shots)
            except FilmcolorError:
                grades = [{} for _ in shots]
        return [
            {
                **{k: [n for n in v if shot.first <= n < shot.stop] for k, v in frames.items()},
                "grade": grade,
            }
            for shot, grade in zip(shots, grades, strict=True)
        ]

    def strokes_png(self, frame: int) -> bytes | None:
        """Return the strokes of a frame as a transparent PNG, None without any."""
        with self._lock:
            path = self._picture_of(self._hints, frame)
            if path is None or path.suffix.lower() == ".png":
                return None if path is None else path.read_bytes()
            return write_canvas(read_canvas(path.read_bytes(), shown_size(self._info)))

    def reference_picture(self, frame: int) -> tuple[bytes, str] | None:
        """Return the reference picture of a frame and its media type, None without one."""
        with self._lock:
            path = self._picture_of(self._references, frame)
            if path is None:
                return None
            kind = _MEDIA_TYPES.get(path.suffix.lower())
            if kind is not None:
                return path.read_bytes(), f"image/{kind}"
        shown = cv2.cvtColor(read_rgba(path), cv2.COLOR_RGBA2BGRA)  # browsers show no TIFF
        return encode_picture(shown), "image/png"

    def arguments(
        self,
        output: Path | None = None,
        purpose: str = "share",
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        force: bool = False,
    ) -> list[str]:
        """Return what follows `filmcolor run` in the command that gives the film.

        `output`: the default beside the film if None. The times are of a range of it.
        """
        return run_arguments(
            self._info.path.absolute(),
            self.options(),
            output=output,
            encoding=Encoding(purpose),
            time_range=self._exact_range(TimeRange(start_seconds, end_seconds)),
            force=force,
        )

    def alike(self, shot: int) -> dict[str, Any]:
        """Return the shots that look like one, the surest first.

        `is_complete` is false where not all shots could be compared in some seconds; the next call
        goes on. Raises NotFoundError for a shot that has not been found.
        """
        self._find_shots([shot], may_go_on=True)
        key_frames = self._key_frames(self._shots())
        if shot not in key_frames:
            return {"shots": [], "is_complete": True}
        found, is_complete = self._comparison.alike(shot, key_frames, _ALIKE_SECONDS)
        return {
            "shots": [{"number": n, "confidence": strength} for n, strength in found],
            "is_complete": is_complete,
        }

    # ------------------------------------------------------------ changes

    def add_strokes(self, frame: int, strokes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Draw more strokes on a frame. Raises SettingsError where they would have no effect."""
        with self._lock:
            path, old, others = self._slot(self._hints, frame)
            canvas = read_canvas(None if old is None else old.read_bytes(), self._size)
            draw_on(canvas, strokes)
            is_left = self._checks.has_strokes(canvas, strokes)
            contents: dict[Path, bytes | None] = dict.fromkeys(others)
            contents[path] = write_canvas(canvas) if is_left else None
            return self._write(f"strokes on frame {frame}", contents)

    def clear_strokes(self, frame: int) -> dict[str, Any]:
        """Remove the strokes of a frame."""
        return self._remove(self._hints, frame, "removed strokes of frame")

    def set_reference(self, frame: int, data: bytes) -> dict[str, Any]:
        """Take a picture file's bytes as the reference of a frame, in place of an earlier one.

        Raises InputError when it does not fit the frame.
        """
        suffix = suffix_of(data)
        self._checks.check_reference(frame, data, suffix)
        with self._lock:
            _, old, others = self._slot(self._references, frame)
            contents: dict[Path, bytes | None] = dict.fromkeys(others)
            if old is not None:
                contents[old] = None
            contents[self._references.path_for(frame, suffix)] = data
            return self._write(f"reference on frame {frame}", contents)

    def remove_reference(self, frame: int) -> dict[str, Any]:
        """Remove the reference picture of a frame."""
        return self._remove(self._references, frame, "removed reference of frame")

    def set_grades(self, shots: Sequence[int] | None, grade: GradeValues) -> dict[str, Any]:
        """Set values of some shots, or of the film (None); None goes back to what is above them.

        Raises NotFoundError for shots that have not been found, SettingsError for values.
        """
        if shots is not None:
            wanted = self._find_shots(shots)
        with self._lock:
            text = self._film.palette_text()
            if shots is None:
                label, text = "grade of the film", self._grades.with_film(text, grade)
            else:
                label = f"grade of {_name_shots(shots)}"
                text = self._grades.with_shots(text, wanted, grade)
            return self._write(label, self._palette_file(text))

    def set_options(self, *, match_shots: bool) -> dict[str, Any]:
        """Set options of the whole film."""
        with self._lock:
            content = self._film.options_file.content(match_shots)
            label = "matched shots" if match_shots else "unmatched shots"
            return self._write(label, {self._film.options_file.path: content})

    def apply(
        self, shot: int, shots: Sequence[int], *, grade: bool = False, colors: bool = False
    ) -> dict[str, Any]:
        """Give other shots this shot's grade, or its corrected colours where they look alike.

        The colours are reference pictures of the others' key frames, transparent where nothing
        surely shows the same. Raises SettingsError where there is nothing to give.
        """
        (source,) = self._find_shots([shot])
        targets = [target for target in self._find_shots(shots) if target.number != shot]
        carried = self._carry(source, targets) if colors and targets else []
        pictures = [(c.frame, self._comparison.picture(c)) for c in carried]
        contents: dict[Path, bytes | None] = {}
        with self._lock:
            if grade and targets:
                text = self._film.palette_text()
                (own,) = self._grades.by_shot(text, [source])
                text = self._grades.with_shots(text, targets, own, alone=True)
                contents.update(self._palette_file(text))
            num_colored = 0
            for frame, picture in pictures:
                new = {} if picture is None else self._with_colors(frame, picture)
                contents.update(new)
                num_colored += bool(new)
            if colors and not grade and not num_colored:
                raise SettingsError(
                    f"nothing in {_name_shots([t.number for t in targets])} surely shows what is "
                    f"corrected in shot {shot}; correct a frame of theirs instead"
                )
            return self._write(f"shot {shot} applied to {_name_shots(shots)}", contents)

    def undo(self) -> dict[str, Any]:
        """Take the last change back.

        Raises ConflictError where another program has changed the file since.
        """
        with self._lock:
            self._history.undo()
            return self.state()

    def redo(self) -> dict[str, Any]:
        """Make the last change again that was taken back. Raises ConflictError as `undo` does."""
        with self._lock:
            self._history.redo()
            return self.state()

    # ------------------------------------------------------------ files

    @property
    def _size(self) -> tuple[int, int]:
        return shown_size(self._info)

    def _write(self, label: str, contents: Mapping[Path, bytes | None]) -> dict[str, Any]:
        self._history.write(label, contents)
        return self.state()

    def _palette_file(self, text: str) -> dict[Path, bytes | None]:
        return {self._grades.path: text.encode() if text.strip() else None}

    def _picture_of(self, folder: PictureFolder, frame: int) -> Path | None:
        own = folder.own_pictures(frame)
        return own[0] if own else folder.other_picture(frame)

    def _slot(self, folder: PictureFolder, frame: int) -> tuple[Path, Path | None, list[Path]]:
        """Return where a frame's picture is written, the present one, and files to remove.

        Raises SettingsError where a source that is not edited has a picture of the frame.
        """
        other = folder.other_picture(frame)
        if other is not None:
            raise SettingsError(
                f"{other} is of frame {frame} already, and pictures named in the command are not "
                f"changed; put it into {folder.folder}, or leave it out"
            )
        own = folder.own_pictures(frame)
        path = next((p for p in own if p.suffix.lower() == ".png"), folder.path_for(frame))
        return path, own[0] if own else None, [p for p in own if p != path]

    def _remove(self, folder: PictureFolder, frame: int, label: str) -> dict[str, Any]:
        with self._lock:
            _, _, _ = self._slot(folder, frame)  # it may be none of ours
            return self._write(f"{label} {frame}", dict.fromkeys(folder.own_pictures(frame)))

    # ------------------------------------------------------------ shots

    def _ends_film(self) -> bool:
        """Return whether the shots that have been found reach the end of the film."""
        shots = self._shots()
        return bool(shots) and shots[-1].stop >= self._index.num_frames

    def _find_shots(self, numbers: Sequence[int], *, may_go_on: bool = False) -> list[Shot]:
        shots = self._shots()
        num_known = len(shots) if may_go_on or self._are_all() else len(shots) - 1
        for number in numbers:
            if not 1 <= number <= num_known:
                raise NotFoundError(
                    f"shot {number} is not known yet; wait until the film has been read"
                    if not self._are_all()
                    else f"the film has no shot {number}; its shots are 1 to {len(shots)}"
                )
        return [shots[number - 1] for number in dict.fromkeys(numbers)]

    def _middle_of(self, number: int) -> int | None:
        shot = self._shots()[number - 1]
        return (shot.first + shot.stop - 1) // 2

    def _key_frames(self, shots: Sequence[Shot]) -> dict[int, int]:
        found = {shot.number: self._key_frame_of(shot.number) for shot in shots}
        return {number: frame for number, frame in found.items() if frame is not None}

    def _carry(self, source: Shot, targets: Sequence[Shot]) -> list[Carried]:
        given = [r for r in self.guidance().references if source.first <= r.number < source.stop]
        if not given:
            raise SettingsError(
                f"shot {source.number} has neither strokes nor a reference picture; correct a "
                "frame of it first"
            )
        return self._comparison.carry(given, source.number, self._key_frames(targets))

    def _with_colors(self, frame: int, picture: Canvas) -> dict[Path, bytes | None]:
        """Return the files that give a frame the colours of a picture, over those that it has.

        There are none where the picture could not be a reference.
        """
        path, old, others = self._slot(self._references, frame)
        if old is not None:
            picture = over(picture, read_canvas(old.read_bytes(), self._size))
        data = encode_picture(picture)
        try:
            self._checks.check_reference(frame, data, ".png")
        except InputError:
            return {}
        return {**dict.fromkeys(others), path: data}

    def _exact_range(self, time_range: TimeRange) -> TimeRange:
        """Return a range that a command can state: seconds without end become frames."""
        try:
            for seconds in (time_range.start_seconds, time_range.end_seconds):
                _ = None if seconds is None else timecode(seconds)
        except ValueError:
            part = resolve(self._info, time_range, self._index)
            return TimeRange(first=part.first, stop=part.stop)
        return time_range


def _name_shots(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"shot {numbers[0]}"
    return f"{len(numbers)} shots"
