"""What a run has finished, in a folder beside its output, until the output is finished.

    OUT.filmcolor/
        lock            held by the run that writes here
        journal.json    {"format": 1, "source": {"size", "ends"}, "settings": {...},
                        "segments": [[number, first, stop], ...]}
        000003.nut      a finished segment: a closed group of pictures, the picture alone
        000003.json     its content: {"pts", "end_pts", "delay", "format", "faults",
                        "chroma_classes", "has_captions", "machine", "identity"}
        *.TOKEN.partial a file that a process is writing, with a random token of its own

A segment is finished when its JSON file exists. That file is written last, after the segment itself
is on the disk (fsync, then rename), so a run that was cut off in any way, even by a power cut, is
resumed after its last finished segment.

A run resumes if its settings, the versions of filmcolor and the encoder, and the source are equal.
The source is compared by its size and both its ends, not by name or date, so that it may be moved
in between. An image sequence, too large to read for that, is compared by its folder's listing.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from filmcolor.errors import ContainerError, FilmcolorError, InputError, OutputError, VerifyError
from filmcolor.files import MAX_NAME, move_into_place, remedy_for
from filmcolor.output.image_formats import is_image_output
from filmcolor.video.partial_films import num_bytes, open_bytes
from filmcolor.video.sequence_names import find_sequence, listing_digest

SUFFIX = ".filmcolor"  # of the folder's name
_FORMAT = 2  # of the journal
_SAMPLE_BYTES = 1 << 16  # at either end of a film, to identify it
JOURNAL, _LOCK = "journal.json", "lock"
JOINED = "joined.json"  # what a folder that is kept has at the end, see `farm.work`
_OUR_FILES = re.compile(
    r"lock|moving|(journal|joined|key-frames|farm)\.json|plan\.(json|npz)|weights\..*|commands\.txt"
    r"|\d{6}\.(nut|mov|json)|model-\d+\.npz|(piece-\d+|join)\.log|.*\.[0-9a-f]{8}\.partial"
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the film that is encoded by itself: frames `first` to `stop`, half-open."""

    number: int
    first: int
    stop: int | None  # None: to the film's end


@dataclass(frozen=True, slots=True)
class FinishedSegment:
    """The content of a finished segment."""

    pts: tuple[int, ...]  # of its frames in display order, FilmInfo.time_base units
    end_pts: int  # when its last frame ends
    delay: int  # frames by which decoding runs ahead of display
    format: str  # FFmpeg's name of its container
    faults: tuple[tuple[int, str], ...] = ()  # (pts, fault) of damaged frames
    chroma_classes: tuple[tuple[str, int], ...] = ()  # runs (class, number of frames) in order
    has_captions: bool = False  # in some of its frames
    machine: Mapping[str, str] = field(default_factory=dict)  # that coloured it: `network.machine`
    identity: str = ""  # of the run, see `Identity.digest`

    @property
    def classes_of_frames(self) -> tuple[str, ...]:
        """The chroma class of each frame."""
        return tuple(name for name, num_frames in self.chroma_classes for _ in range(num_frames))


@dataclass(frozen=True, slots=True)
class Identity:
    """What two runs must share to share segments: the film, and all settings that affect them."""

    source: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """A hash, which each segment carries: a late one of another run must not count."""
        text = json.dumps([self.source, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def identify_source(path: Path) -> dict[str, Any]:
    """Return a film's size and a digest of both its ends, which identify it under any name.

    Of an image sequence: the number of images, and a digest of their names, sizes and times.
    Raises InputError when it cannot be read.
    """
    try:
        if files := find_sequence(path):
            return {"images": len(files.names), "listing": listing_digest(files)}
        size = num_bytes(path)
        with open_bytes(path) as file:
            ends = file.read(_SAMPLE_BYTES)
            file.seek(max(0, size - _SAMPLE_BYTES))
            ends += file.read(_SAMPLE_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); is it still there?") from error
    return {"size": size, "ends": hashlib.sha256(ends).hexdigest()}


class Journal:
    """The folder of a run. Its context locks it against a second run on the same output.

    Leaving the context removes a folder without finished segments. Every method that writes raises
    OutputError, with a remedy, if it fails.
    """

    def __init__(self, target: Path, folder: Path | None = None) -> None:
        """Take the run's output; `folder`: for its files, which is then kept and may be shared."""
        self.target = target
        self.folder = folder or _folder_for(target)
        self._is_kept = folder is not None
        self._token = secrets.token_hex(4)  # of partial files
        self.identity: str | None = None  # of the run whose segments count; None for any
        # not bound to a thread: one may plan a film, and another end its run
        self._lock = FileLock(self.folder / _LOCK, blocking=False, thread_local=False)

    def __enter__(self) -> "Journal":
        while True:
            self._make_folder()
            try:
                self._lock.acquire()
                return self
            except Timeout:
                raise OutputError(
                    f"another run is writing {self.target}; wait for it, or choose another output"
                ) from None
            except FileNotFoundError:
                continue  # another run has just finished and removed the folder
            except NotImplementedError:  # some network drives have no locks
                return self
            except OSError as error:
                raise self._write_error(_LOCK, error) from error

    def __exit__(self, *_: object) -> None:
        is_empty = self.folder.exists() and not self.finished() and not self._is_other_format()
        if is_empty and not self._is_kept:
            self.remove()
        self._lock.release()
        with suppress(OSError):  # still there on Windows, where an open lock cannot be removed
            self.folder.rmdir()

    def begin(
        self, identity: Identity, segments: Sequence[Segment], restart: bool = False
    ) -> tuple[Segment, ...]:
        """Start or resume a run; return its segments, those of the interrupted run if there is one.

        Discards the interrupted run's segments with `restart`. Raises OutputError when they are of
        another film, of other settings, or of another version's format.
        """
        if not restart and self._is_other_format():
            raise OutputError(
                f"{self.folder} holds segments of another version of filmcolor; finish with that "
                "version, to begin again add --restart, to keep it choose another output"
            )
        previous = None if restart else self._read()
        if previous is not None and self.finished():
            self._compare(previous, identity)
            segments = [Segment(*fields) for fields in previous["segments"]]
        elif previous is not None and not _is_of(previous, identity):
            previous = None  # what it prepared is of no use
        try:
            if self._is_kept and (
                strangers := [p for p in self.folder.iterdir() if not _is_ours(p)]
            ):
                raise OutputError(
                    f"{self.folder} holds other files, as {strangers[0].name}; name a new folder"
                )
            for path in self.folder.iterdir():
                if path.name.endswith(".partial"):
                    with suppress(PermissionError):  # Windows: its process may still have it open
                        _remove(path)
                elif previous is None and path.name != _LOCK:
                    _remove(path)
        except OutputError:
            raise
        except OSError as error:
            raise self._write_error(self.folder.name, error) from error
        fields = [[segment.number, segment.first, segment.stop] for segment in segments]
        self.identity = identity.digest
        self._write(JOURNAL, {"format": _FORMAT, **asdict(identity), "segments": fields})
        return tuple(segments)

    def _check_folder(self, previous: Mapping[str, Any] | None) -> None:
        """Raise OutputError when the folder holds files that are not of a run.

        Without a journal all files are: numbered images look like segments.
        """
        for path in self.folder.iterdir():
            is_new = path.name == _LOCK or path.name.endswith(".partial")
            if not (_is_ours(path) and (is_new or previous is not None)):
                raise OutputError(
                    f"{self.folder} holds other files, as {path.name}; name a new folder"
                )

    def previous_setting(self, name: str) -> Any:
        """Return a setting of an interrupted run, None without one."""
        previous = self._read() if self.folder.is_dir() else None
        return None if previous is None else previous.get("settings", {}).get(name)

    def partial_path(self, name: str) -> Path:
        """Return the path under which this process writes a file until it is finished.

        It is not another's: a process whose parent was killed may still be writing, and machines
        may share the folder.
        """
        return self.folder / f"{name}.{self._token}.partial"

    def media_path(self, segment: Segment, format_name: str) -> Path:
        """Return the path of a finished segment."""
        return self.folder / f"{segment.number:06d}.{format_name}"

    def keep(self, segment: Segment, partial: Path, content: FinishedSegment) -> None:
        """Record a segment, written to `partial`, as finished; it survives a power cut now."""
        if content.pts:
            try:
                move_into_place(partial, self.media_path(segment, content.format), durable=True)
            except OSError as error:
                raise self._write_error(partial.name, error) from error
        content = replace(content, identity=self.identity or "")
        self._write(self._content_path(segment).name, asdict(content))

    def finished(self) -> dict[int, FinishedSegment]:
        """Return the finished segments, by number; files that cannot be read are ignored."""
        paths = self.folder.glob("[0-9]*.json")
        contents = {int(path.stem): self._content(path) for path in paths if path.stem.isdigit()}
        return {number: content for number, content in contents.items() if content is not None}

    def is_finished(self, segment: Segment, needs_media: bool = True) -> bool:
        """Return whether a segment is finished; without `needs_media` by its JSON file alone."""
        return self._content(self._content_path(segment), needs_media) is not None

    def _content_path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.number:06d}.json"

    def _content(self, path: Path, needs_media: bool = True) -> FinishedSegment | None:
        """Return the content of a finished segment by its file, None if it is not finished."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["pts"] = tuple(fields["pts"])
            for name in ("faults", "chroma_classes"):
                fields[name] = tuple(map(tuple, fields[name]))
            content = FinishedSegment(**fields)
            media = self.media_path(Segment(int(path.stem), 0, None), content.format)
            is_ours = self.identity is None or content.identity == self.identity
            if is_ours and (not content.pts or not needs_media or media.exists()):
                return content
        return None

    def missing(self, segments: Sequence[Segment]) -> list[list[Segment]]:
        """Return the unfinished segments, consecutive ones in one list."""
        finished = self.finished()
        runs = groupby(segments, lambda segment: segment.number in finished)
        return [list(run) for is_finished, run in runs if not is_finished]

    def remove(self) -> None:
        """Remove the folder and everything in it; only its content where it is to be kept."""
        if not self._is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.name not in (_LOCK, JOINED) and _is_ours(path):
                with suppress(OSError):
                    _remove(path)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=self._is_kept, exist_ok=True)
        except OSError as error:
            raise self._write_error(self.folder.name, error) from error

    def _is_other_format(self) -> bool:
        """Return whether another version of filmcolor wrote the journal."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            journal = json.loads((self.folder / JOURNAL).read_text(encoding="utf-8"))
            return bool(journal["source"]) and journal["format"] != _FORMAT
        return False

    def _read(self) -> dict[str, Any] | None:
        """Return the journal of an interrupted run; None if it is missing or broken."""
        try:
            journal = json.loads((self.folder / JOURNAL).read_text(encoding="utf-8"))
            is_valid = journal["format"] == _FORMAT and journal["segments"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:  # a journal that may be whole must not be discarded
            raise self._write_error(JOURNAL, error) from error
        return journal if is_valid else None

    def _write(self, name: str, fields: Mapping[str, Any]) -> None:
        partial = self.partial_path(name)
        try:
            partial.write_text(json.dumps(fields), encoding="utf-8")
            move_into_place(partial, self.folder / name, durable=True)
        except OSError as error:
            raise self._write_error(name, error) from error

    def _write_error(self, name: str, error: OSError) -> OutputError:
        return OutputError(
            f"{self.target} cannot be written ({name}: {error.strerror}); {remedy_for(error)}"
        )

    def _compare(self, previous: Mapping[str, Any], identity: Identity) -> None:
        remedy = "to begin again add --restart, to keep it choose another output"
        if previous["source"] != identity.source:
            raise OutputError(f"{self.folder} holds segments of another film; {remedy}")
        old, new = previous["settings"], json.loads(json.dumps(identity.settings))
        changes = ", ".join(
            f"{name} {old.get(name)} (now {value})"
            for name, value in new.items()
            if old.get(name) != value
        )
        if changes:
            raise OutputError(f"{self.folder} holds segments of a run with {changes}; {remedy}")


def _is_of(journal: Mapping[str, Any], identity: Identity) -> bool:
    """Return whether a journal is of the same film and settings."""
    settings = json.loads(json.dumps(identity.settings))
    return bool(journal["source"] == identity.source and journal.get("settings") == settings)


def remove_leftovers(target: Path) -> None:
    """Remove what a killed run has left of an output, except finished segments."""
    journal = Journal(target)
    if journal.folder.is_dir():
        with suppress(OutputError), journal:
            pass


def is_being_written(target: Path) -> bool:
    """Return whether a run is writing an output now."""
    lock = _folder_for(target) / _LOCK
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # it has just ended, or the drive has no locks
        return False


def discard_segments(target: Path) -> None:
    """Remove what interrupted runs have left of an output; nothing while a run is writing it."""
    journal = Journal(target)
    if journal.folder.is_dir():
        with suppress(OutputError), journal:
            journal.remove()


@contextmanager
def explain_resume(journal: Journal, segments: Sequence[Segment]) -> Iterator[None]:
    """Add to an error that ends a run what has been finished and how to resume."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(_explanation(journal, segments)) from interrupt
    except (ContainerError, VerifyError):
        raise  # a resumed run would fail in the same way
    except FilmcolorError as error:
        if journal.finished():
            raise type(error)(f"{error}; {_explanation(journal, segments)}") from error
        raise


def _explanation(journal: Journal, segments: Sequence[Segment]) -> str:
    num_finished = len(journal.finished())
    if not num_finished:
        return "nothing was left behind"
    return (
        f"{num_finished} of {len(segments)} segments are done, the same command goes on from there"
    )


def _is_ours(path: Path) -> bool:
    """Return whether a file in a folder of segments is one that filmcolor writes there."""
    return _OUR_FILES.fullmatch(path.name) is not None and not path.is_dir()


def _remove(path: Path) -> None:
    """Remove a file, or a folder that a killed run wrote images into."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _folder_for(target: Path) -> Path:
    """Return the folder of a run; beside that of its images if that is only to be made."""
    folder = target.parent
    if is_image_output(target) and folder.name not in ("", ".."):
        beside = folder.with_name(f"{folder.name}{SUFFIX}")
        if beside.exists() or not folder.exists():
            target = folder
    name = f"{target.name}{SUFFIX}"
    if len(os.fsencode(name)) > MAX_NAME:
        name = f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{SUFFIX}"
    return target.with_name(name)
