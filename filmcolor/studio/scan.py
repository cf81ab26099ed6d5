"""Finds the shots of a film in the background, each with a grey thumbnail, and keeps them.

A shot appears with its first frame, before its end is known; when it has ended, its key frame takes
the place of the first one. What has been found is kept in the user's cache: the next time, the film
need not be read.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from filmcolor.errors import FilmcolorError, OutputError
from filmcolor.files import atomic_write
from filmcolor.runtime.platform import cache_folder, lower_thread_priority
from filmcolor.segments.journal import identify_source
from filmcolor.shots.key_frames import iter_key_frames
from filmcolor.shots.listing import Shot
from filmcolor.studio.gate import Gate
from filmcolor.studio.pictures import luma_picture, show, thumbnail_jpeg
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ProxyFrame
from filmcolor.version import __version__
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader

_FORMAT = 1  # of the file that keeps the shots
_PROVISIONAL = 0, 12, 48  # positions in a shot whose frame stands for it until it has ended
_NICENESS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScannedShot:
    """A shot with the frame that stands for it; `is_final` once its end is known."""

    shot: Shot
    key_frame: int
    is_final: bool


class ShotScan:
    """The shots of a film, as far as they have been found. `changed(number)` names a shot."""

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        gate: Gate,
        changed: Callable[[int], None],
        *,
        kept: bool = True,
    ) -> None:
        """Take a film; `kept`: read and write the user's cache."""
        self._info, self._index, self._gate, self._changed = info, index, gate, changed
        self._path = _cache_path(info) if kept else None
        self._lock = threading.Lock()
        self._shots: list[ScannedShot] = []
        self._thumbnails: dict[int, tuple[int, bytes]] = {}  # by shot: the frame, its JPEG
        self._reader: FrameReader | None = None
        self._reader_lock = threading.Lock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shots", daemon=True)
        self.num_frames = 0  # that have been read
        self.is_complete = False
        self.error = ""

    def start(self) -> None:
        """Begin to look for shots."""
        if not self._load():
            self._thread.start()

    def close(self) -> None:
        """Stop, and wait until the film is no longer read."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def shots(self) -> Sequence[ScannedShot]:
        """The shots in order; the last one may go on."""
        with self._lock:
            return tuple(self._shots)

    def shot_of(self, number: int) -> ScannedShot | None:
        """Return the shot with a number, from 1."""
        with self._lock:
            return self._shots[number - 1] if 1 <= number <= len(self._shots) else None

    def has_thumbnail(self, number: int) -> bool:
        """Return whether a shot's thumbnail needs no reading."""
        with self._lock:
            return number in self._thumbnails

    def thumbnail(self, number: int) -> bytes | None:
        """Return a shot's grey thumbnail, a JPEG; None where its frame cannot be decoded."""
        scanned = self.shot_of(number)
        with self._lock:
            kept = self._thumbnails.get(number)
        if kept is not None or scanned is None:
            return None if kept is None else kept[1]
        with self._reader_lock:
            if self._reader is None:
                self._reader = FrameReader(self._info, self._index)
            frame = self._reader.read(scanned.key_frame)
        if frame is None:
            return None
        data = thumbnail_jpeg(show(luma_picture(frame.luma, self._info.coding), self._info))
        with self._lock:
            self._thumbnails[number] = scanned.key_frame, data
        return data

    def _run(self) -> None:
        lower_thread_priority(_NICENESS)
        try:
            found = iter_key_frames(
                self._info, progress=self._progress, index=self._index, observer=self
            )
            for shot, key_frame in found:
                self._finish(shot, key_frame)
            self.is_complete = True
            self._save()
        except _ClosedError:
            return
        except FilmcolorError as error:  # what has been found can be used
            self.error, self.is_complete = str(error), True
        except Exception:
            _log.exception("%s", self._info.path)
            self.error, self.is_complete = "its shots cannot be found", True
        self._changed(0)

    def _progress(self, done: int, _: int | None) -> None:
        self.num_frames = done
        self._gate.wait()
        if self._is_closed.is_set():
            raise _ClosedError

    def add(self, number: int, transition: str, position: int, frame: ProxyFrame) -> None:
        """Receive a frame at a position of a shot."""
        source, info = frame.source, self._info
        if position == 0:
            seconds = info.seconds(source.pts)
            with self._lock:
                if self._shots and not self._shots[-1].is_final:
                    last = self._shots[-1]
                    shot = replace(last.shot, stop=source.number, end_seconds=seconds)
                    self._shots[-1] = replace(last, shot=shot)
                shot = Shot(number, source.number, source.number + 1, seconds, seconds, transition)
                self._shots.append(ScannedShot(shot, source.number, False))
        if position in _PROVISIONAL:
            data = thumbnail_jpeg(show(frame.luma, info))
            with self._lock:
                self._thumbnails[number] = source.number, data
                self._shots[number - 1] = replace(self._shots[number - 1], key_frame=source.number)
        if position in _PROVISIONAL or position % 24 == 0:
            with self._lock:
                scanned = self._shots[number - 1]
                end = info.seconds(source.pts) + 1 / info.frame_rate
                shot = replace(scanned.shot, stop=source.number + 1, end_seconds=end)
                self._shots[number - 1] = replace(scanned, shot=shot)
            self._changed(number)

    def _finish(self, shot: Shot, key_frame: int | None) -> None:
        with self._lock:
            frame = self._shots[shot.number - 1].key_frame if key_frame is None else key_frame
            self._shots[shot.number - 1] = ScannedShot(shot, frame, True)
            if self._thumbnails.get(shot.number, (None,))[0] != frame:
                self._thumbnails.pop(shot.number, None)
        self.thumbnail(shot.number)
        self._changed(shot.number)

    def _load(self) -> bool:
        """Take the shots from the user's cache; return whether they are there."""
        if self._path is None:
            return False
        with suppress(OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["format"] != _FORMAT or kept["filmcolor"] != __version__:
                return False
            self._shots = [
                ScannedShot(
                    Shot(number, first, stop, Fraction(start), Fraction(end), transition),
                    key_frame,
                    True,
                )
                for number, first, stop, start, end, transition, key_frame in kept["shots"]
            ]
            self.num_frames, self.is_complete = kept["num_frames"], True
            self._changed(0)
            return True
        return False

    def _save(self) -> None:
        if self._path is None:
            return
        shots = [
            [
                s.shot.number,
                s.shot.first,
                s.shot.stop,
                str(s.shot.start_seconds),
                str(s.shot.end_seconds),
                s.shot.transition,
                s.key_frame,
            ]
            for s in self.shots
        ]
        document = {
            "format": _FORMAT,
            "filmcolor": __version__,
            "num_frames": self.num_frames,
            "shots": shots,
        }
        with suppress(OSError, OutputError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as partial:
                partial.write_text(json.dumps(document), encoding="utf-8")


class _ClosedError(Exception):
    """The scan has been told to stop."""


def _cache_path(info: FilmInfo) -> Path:
    """Return where the shots of a film are kept; the film is known by its content."""
    identity = [
        identify_source(info.path),
        str(info.frame_rate),
        info.is_deinterlaced,
        str(info.field_order),
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    return cache_folder() / "shots" / f"{digest}.json"
