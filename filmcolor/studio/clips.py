"""Clips of a film to be played on the page: grey and colour side by side, with the sound."""

import hashlib
import logging
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from filmcolor.errors import FilmcolorError, InputError, RangeError
from filmcolor.output.playback import PlaybackWriter, playback_coding
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

MAX_SECONDS = 30
_MAX_BYTES = 1 << 30  # of clips that are kept
_MAX_WAITING = 8  # older requests are forgotten: nobody looks at that place any more
WAITING, COLORING, READY, FAILED = "waiting", "coloring", "ready", "failed"
_log = logging.getLogger(__name__)


class Versioned(Protocol):
    """The corrections of a film."""

    @property
    def version(self) -> str:
        """Changes when any colour of the film may change."""


class FrameSource(Protocol):
    """The frames of a film in colour."""

    def frames(
        self, first: int, stop: int, *, target: Coding | None = None
    ) -> Generator[ColorFrame, None, None]:
        """Yield finished frames first to stop (half-open)."""


class ClipFilm(Protocol):
    """A film that clips are made of."""

    @property
    def info(self) -> FilmInfo:
        """Its properties."""

    @property
    def index(self) -> FrameIndex:
        """Its frames' times."""

    @property
    def corrections(self) -> Versioned:
        """What decides its colours."""

    @property
    def colors(self) -> FrameSource:
        """Its frames in colour."""


@dataclass(slots=True)
class _Clip:
    part: Part
    version: str
    path: Path
    state: str = WAITING
    done: int = 0
    error: str = ""
    num_bytes: int = 0

    @property
    def total(self) -> int:
        return (self.part.stop or 0) - self.part.first


class _InterruptedError(Exception):
    """A clip is given up: a later request comes first, or the film is closed."""


class Clips:
    """Makes clips one at a time in a thread, the latest request first; safe to use from threads.

    A request that comes while a clip is made takes its place; that one begins again later.
    """

    def __init__(self, film: ClipFilm) -> None:
        self._film = film
        self._clips: dict[str, _Clip] = {}  # the one used last is last
        self._waiting: list[str] = []  # the latest request is last
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_superseded = False  # a request came after the one that is being made
        self._is_closed = False
        self._folder = TemporaryDirectory(prefix="filmcolor-clips-", ignore_cleanup_errors=True)

    def begin(self, first: int, stop: int) -> str:
        """Begin a clip of the frames first to stop (half-open), and return its identifier.

        The same range and colours give the same clip. Raises RangeError for more than 30 seconds,
        or frames that the film does not have.
        """
        part = self._part(first, stop)
        version = self._film.corrections.version
        key = f"{part.first}:{part.stop}:{version}"
        identifier = hashlib.sha256(key.encode()).hexdigest()[:16]
        with self._changed:
            clip = self._clips.pop(identifier, None)
            if clip is None or clip.state == FAILED:
                clip = _Clip(part, version, Path(self._folder.name) / f"{identifier}.mp4")
            self._clips[identifier] = clip
            if clip.state == WAITING:
                if identifier in self._waiting:
                    self._waiting.remove(identifier)
                self._waiting.append(identifier)
                self._is_superseded = True
                for forgotten in self._waiting[:-_MAX_WAITING]:
                    del self._clips[forgotten]
                del self._waiting[:-_MAX_WAITING]
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._work, name="clips", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return identifier

    def state(self, identifier: str) -> dict[str, Any]:
        """Return how far a clip is. Raises NotFoundError for one that is no longer kept."""
        with self._changed:
            clip = self._find(identifier)
            return {
                "state": clip.state,
                "done": clip.done,
                "total": clip.total,
                "error": clip.error,
            }

    def path(self, identifier: str) -> Path:
        """Return the file of a clip. Raises ConflictError before it is ready, NotFoundError."""
        with self._changed:
            clip = self._find(identifier)
            if clip.state != READY:
                raise ConflictError(f"this clip is {clip.state}; ask again when it is ready")
            self._clips[identifier] = self._clips.pop(identifier)  # the last one used
            return clip.path

    def close(self) -> None:
        """Give up what is being made, and remove all clips."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._folder.cleanup()

    def _find(self, identifier: str) -> _Clip:
        clip = self._clips.get(identifier)
        if clip is None:
            raise NotFoundError("this clip is no longer kept; play the range again")
        return clip

    def _part(self, first: int, stop: int) -> Part:
        """Return a range with both its times."""
        info, index = self._film.info, self._film.index
        if not 0 <= first < stop:
            raise RangeError(f"frames {first} to {stop} are no range; the first must come before")
        if index.num_frames and stop > index.num_frames:
            raise RangeError(
                f"{info.path.name} has frames 0 to {index.num_frames - 1}; "
                f"choose a range up to {index.num_frames}"
            )
        part = resolve(info, TimeRange(first=first, stop=stop), index)
        end = self._end_seconds() if part.end is None else part.end
        seconds = end - (part.start or 0)
        if seconds >= MAX_SECONDS + 1 / info.frame_rate:
            raise RangeError(
                f"this range is {float(seconds):.1f} s long; choose one of {MAX_SECONDS} s at most"
            )
        return replace(part, end=end)

    def _end_seconds(self) -> Fraction:
        """Return when the last frame ends, from the container's zero."""
        info, index = self._film.info, self._film.index
        end_pts = index.pts[-1] + max(1, round(info.ticks_per_frame))
        return max(end_pts, info.end_pts or end_pts) * info.time_base

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                identifier, self._is_superseded = self._waiting.pop(), False
                clip = self._clips[identifier]
                clip.state = COLORING
            state, error = READY, ""
            try:
                self._make(clip)
            except _InterruptedError:
                state = WAITING
            except FilmcolorError as reason:
                state, error = FAILED, str(reason)
            except Exception:
                _log.exception("%s, a clip", self._film.info.path)
                state, error = FAILED, "the clip cannot be made; the server's log says why"
            with self._changed:
                clip.state, clip.error = state, error
                if state == WAITING:
                    clip.done = 0
                    self._waiting.insert(0, identifier)
                    if len(self._waiting) > _MAX_WAITING:
                        del self._clips[self._waiting.pop(0)]
                elif state == READY:
                    self._remove_oldest(identifier)

    def _make(self, clip: _Clip) -> None:
        film, stop = self._film, clip.part.stop
        assert stop is not None
        self._check_version(clip)
        coding = playback_coding(film.info)
        partial = clip.path.with_suffix(".partial")
        with (
            PlaybackWriter(partial, film.info, clip.part) as writer,
            closing(film.colors.frames(clip.part.first, stop, target=coding)) as frames,
        ):
            for frame in frames:
                if not clip.done:
                    self._check_version(clip)  # colours were decided with the first frame
                writer.write(frame)
                clip.done += 1
                if self._is_superseded or self._is_closed:
                    raise _InterruptedError
            writer.finish()
        partial.replace(clip.path)
        clip.done, clip.num_bytes = clip.total, clip.path.stat().st_size

    def _check_version(self, clip: _Clip) -> None:
        if self._film.corrections.version != clip.version:
            raise InputError("the corrections were changed meanwhile; play the range again")

    def _remove_oldest(self, latest: str) -> None:
        """Remove the clips that were used longest ago, until the others have room."""
        ready = {name: clip for name, clip in self._clips.items() if clip.state == READY}
        num_bytes = sum(clip.num_bytes for clip in ready.values())
        for name, clip in ready.items():
            if num_bytes <= _MAX_BYTES:
                return
            if name != latest:
                num_bytes -= clip.num_bytes
                clip.path.unlink(missing_ok=True)
                del self._clips[name]
