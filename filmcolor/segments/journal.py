"""What a run has finished, kept in a folder beside its output until the output is whole.

    OUT.filmcolor/
        lock            held by the run that writes here
        journal.json    whose film, which settings, which segments
        000003.nut      a finished segment: a close_quietly group of pictures, of the picture alone
        000003.json     the times of its frames; a segment is finished when this is there

A run that was cut off, however roughly, goes on from the last finished segment.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from filmcolor.errors import ContainerError, FilmcolorError, InputError, OutputError, VerifyError
from filmcolor.files import move_into_place, remedy_for

SUFFIX = ".filmcolor"  # of the folder's name
_FORMAT = 1  # of the journal
_MAX_NAME = 255  # bytes, of nearly all file systems
_SAMPLE = 1 << 16  # bytes at either end of a film that tell it from others
_JOURNAL, _LOCK = "journal.json", "lock"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the film that is encoded by itself: frames `first` to `stop`, half-open."""

    number: int
    first: int
    stop: int | None  # None: to the film's end


@dataclass(frozen=True, slots=True)
class FinishedSegment:
    """What a finished segment holds."""

    pts: tuple[int, ...]  # of its frames in order of display, FilmInfo.time_base units
    end_pts: int  # when its last frame ends
    delay: int  # frames by which decoding runs ahead of display
    format: str  # FFmpeg's name of its container
    faults: tuple[tuple[int, str], ...] = ()  # (pts, fault) of frames that were not whole
    chroma_classes: tuple[
        tuple[str, int], ...
    ] = ()  # (chroma_class, number of frames), in order of display

    @property
    def classes_of_frames(self) -> tuple[str, ...]:
        """The chroma_class of each frame."""
        return tuple(chroma_class for chroma_class, num in self.chroma_classes for _ in range(num))


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two runs one: the film, and all settings that decide how its segments look."""

    source: Mapping[str, Any]
    settings: Mapping[str, Any]


def identify_source(path: Path) -> dict[str, Any]:
    """Return what tells a film from others wherever it lies: its size, and both its ends."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(_SAMPLE)
            file.seek(max(0, size - _SAMPLE))
            ends += file.read(_SAMPLE)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); is it still there?") from error
    return {"size": size, "ends": hashlib.sha256(ends).hexdigest()}


class Journal:
    """The folder of a run. Enter it to hold it: a second run on the same output is refused."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = _folder_of(target)
        self._lock = FileLock(self.folder / _LOCK, blocking=False)

    def __enter__(self) -> "Journal":
        while True:
            self._make()
            try:
                self._lock.acquire()
                return self
            except Timeout:
                raise OutputError(
                    f"another run is writing {self.target}; wait for it, or choose another output"
                ) from None
            except FileNotFoundError:
                continue  # that other run has just finished
            except NotImplementedError:  # some network drives have no locks
                return self
            except OSError as error:
                raise self._refused(_LOCK, error) from error

    def __exit__(self, *_: object) -> None:
        if self.folder.exists() and not self.finished():
            self.remove()
        self._lock.release()

    def begin(
        self, identity: Identity, segments: Sequence[Segment], restart: bool = False
    ) -> tuple[Segment, ...]:
        """Return the run's segments: those of the run that was cut off here, if there was one.

        Raises OutputError when that was of another film or had other settings, unless
        `restart`.
        """
        before = None if restart else self._read()
        if before is not None and self.finished():
            self._compare(before, identity)
            segments = [Segment(*fields) for fields in before["segments"]]
        try:
            for path in self.folder.iterdir():
                is_old = before is None and path.name != _LOCK
                if path.name.endswith(".partial") or is_old:
                    path.unlink()
        except OSError as error:
            raise self._refused(self.folder.name, error) from error
        listed = [[p.number, p.first, p.stop] for p in segments]
        self._write(_JOURNAL, {"format": _FORMAT, **asdict(identity), "segments": listed})
        return tuple(segments)

    def partial(self, name: str) -> Path:
        """Return where this process writes something until it is whole.

        One that was orphaned may not have noticed yet, and must not take ours for its own.
        """
        return self.folder / f"{name}.{os.getpid()}.partial"

    def media(self, segment: Segment, format_name: str) -> Path:
        """Return where a finished segment lies."""
        return self.folder / f"{segment.number:06d}.{format_name}"

    def keep(self, segment: Segment, written: Path, facts: FinishedSegment) -> None:
        """Take a segment that is written in as finished; it outlives a power cut from now on."""
        if facts.pts:
            try:
                move_into_place(written, self.media(segment, facts.format), durable=True)
            except OSError as error:
                raise self._refused(written.name, error) from error
        self._write(f"{segment.number:06d}.json", asdict(facts))

    def finished(self) -> dict[int, FinishedSegment]:
        """Return what is finished, by the numbers of the segments."""
        found = {}
        for path in self.folder.glob("[0-9]*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                facts = json.loads(path.read_text(encoding="utf-8"))
                pts = tuple(facts.pop("pts"))
                faults, chroma_classes = (
                    tuple(map(tuple, facts.pop(k))) for k in ("faults", "chroma_classes")
                )
                number = int(path.stem)
                segment = FinishedSegment(
                    pts, faults=faults, chroma_classes=chroma_classes, **facts
                )
                if not pts or self.media(Segment(number, 0, None), segment.format).exists():
                    found[number] = segment
        return found

    def missing(self, segments: Sequence[Segment]) -> list[list[Segment]]:
        """Return the segments that are not finished, those that follow each other together."""
        done = self.finished()
        runs = groupby(segments, lambda segment: segment.number in done)
        return [list(run) for is_done, run in runs if not is_done]

    def remove(self) -> None:
        """Take the folder away, with all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise self._refused(self.folder.name, error) from error

    def _read(self) -> dict[str, Any] | None:
        try:
            journal = json.loads((self.folder / _JOURNAL).read_text(encoding="utf-8"))
            is_ours = journal["format"] == _FORMAT and journal["segments"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:  # nothing is begun again because it could not be read
            raise self._refused(_JOURNAL, error) from error
        return journal if is_ours else None

    def _write(self, name: str, facts: Mapping[str, Any]) -> None:
        partial = self.partial(name)
        try:
            partial.write_text(json.dumps(facts), encoding="utf-8")
            move_into_place(partial, self.folder / name, durable=True)
        except OSError as error:
            raise self._refused(name, error) from error

    def _refused(self, name: str, error: OSError) -> OutputError:
        return OutputError(
            f"{self.target} cannot be written ({name}: {error.strerror}); {remedy_for(error)}"
        )

    def _compare(self, before: Mapping[str, Any], identity: Identity) -> None:
        ways = "to begin again add --restart, to keep it choose another output"
        if before["source"] != identity.source:
            raise OutputError(f"{self.folder} holds segments of another film; {ways}")
        was, now = before["settings"], json.loads(json.dumps(identity.settings))
        changed = [name for name in now if was.get(name) != now[name]]
        if changed:
            told = ", ".join(f"{name} {was.get(name)} (now {now[name]})" for name in changed)
            raise OutputError(f"{self.folder} holds segments of a run with {told}; {ways}")


def tidy(target: Path) -> None:
    """Take away what a run that was killed has left of an output, but for finished segments."""
    journal = Journal(target)
    if journal.folder.is_dir():
        with suppress(OutputError), journal:
            pass


@contextmanager
def explain_resume(journal: Journal, segments: Sequence[Segment]) -> Iterator[None]:
    """Say, with whatever ends a run early, what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_kept(journal, segments)) from stop
    except (ContainerError, VerifyError):
        raise  # to go on would come to the same
    except FilmcolorError as error:
        if journal.finished():
            raise type(error)(f"{error}; {_kept(journal, segments)}") from error
        raise


def _kept(journal: Journal, segments: Sequence[Segment]) -> str:
    num = len(journal.finished())
    if not num:
        return "nothing was left behind"
    return f"{num} of {len(segments)} segments are done, the same command goes on from there"


def _folder_of(target: Path) -> Path:
    name = f"{target.name}{SUFFIX}"
    if len(os.fsencode(name)) > _MAX_NAME:
        name = f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{SUFFIX}"
    return target.with_name(name)
