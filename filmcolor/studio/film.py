"""One film that is open in the studio."""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filmcolor.errors import FilmcolorError, InputError
from filmcolor.guidance.likeness_plan import analyse_with
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import describe_times
from filmcolor.runtime.platform import lower_thread_priority
from filmcolor.shots.listing import Shot
from filmcolor.studio.clips import Clips
from filmcolor.studio.colors import FilmColors
from filmcolor.studio.corrections import Corrections
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.facts import facts_of
from filmcolor.studio.gate import Gate
from filmcolor.studio.pictures import GREY, SIDES, jpeg, luma_picture, show, shown_size
from filmcolor.studio.scan import ScannedShot, ShotScan
from filmcolor.studio.swatches import FIXED, colors_of
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.poster import read_poster

OPENING, READY, FAILED = "opening", "ready", "failed"
_CLOSING_SECONDS = 3.0  # that closing waits for work in the background
_IDLE_SECONDS = 0.5  # between two looks for thumbnails to colour
_NICENESS = 10
_log = logging.getLogger(__name__)


def film_id(path: Path) -> str:
    """Return the identifier of a film in addresses: the same for the same path."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


class OpenFilm:
    """A film with its shots, its colours and a person's corrections.

    It is opened in the background; `state` says how far that is. Methods that need the open film
    raise NotFoundError before.
    """

    info: FilmInfo
    index: FrameIndex
    scan: ShotScan
    corrections: Corrections
    colors: FilmColors
    clips: Clips

    def __init__(
        self,
        path: Path,
        options: ColorOptions,
        corrections_folder: Path | None,
        colorizer: Callable[[], Colorizer],
        gate: Gate,
        looked_at: "Callable[[OpenFilm], None]",
    ) -> None:
        """Begin to open a film.

        `options`: of its colours, before any correction. `corrections_folder`: beside the film by
        default. `colorizer`: returns the colorizer of the options, with the weights loaded.
        `looked_at`: called when someone looks at a frame.
        Raises InputError for a file that is no film.
        """
        self.id, self.path = film_id(path), path
        self.info = options.probe(path)
        self.state, self.error = OPENING, ""
        self._options, self._make_colorizer, self._gate = options, colorizer, gate
        self.looked_at = looked_at
        self._folder = corrections_folder or path.with_name(f"{path.name}.corrections")
        self._temporary = TemporaryDirectory(prefix="filmcolor-studio-")
        self._is_closed, self._opened = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._revision, self._revisions = 1, dict[int, int]()
        self._visible: tuple[int, ...] = ()
        self._thumbnails: dict[int, tuple[Hashable, str, bytes]] = {}  # key, version, JPEG
        self._undecodable: set[int] = set()  # shots
        self._last_version = self._worked_on = ""
        self._poster: bytes | None = None
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop everything that goes on for the film; its files stay."""
        self._is_closed.set()
        self._thread.join(_CLOSING_SECONDS)
        if self.state == READY:
            self.clips.close()
            self.scan.close()
        self._temporary.cleanup()

    def wait(self, seconds: float) -> None:
        """Wait until the film is open, or has failed to open, at most some seconds."""
        self._opened.wait(seconds)

    # ------------------------------------------------------------ what the page shows

    def state_json(self) -> dict[str, Any]:
        """Return the film object of the API."""
        is_ready = self.state == READY
        index = self.index if is_ready else None
        width, height = shown_size(self.info)
        num_frames = self.num_frames if is_ready else self.info.num_frames_estimate or 0
        return {
            "id": self.id,
            "name": self.path.name,
            "path": str(self.path),
            "state": self.state,
            "error": self.error,
            "facts": facts_of(self.info, index),
            "notes": list(describe_times(self.info, self.index)) if is_ready else [],
            "width": width,
            "height": height,
            "num_frames": num_frames,
            "frame_rate": float(self.info.frame_rate),
            "duration_seconds": float(num_frames / self.info.frame_rate),
            "version": self._version() if is_ready else "",
            "scan": {
                "is_complete": is_ready and self.scan.is_complete,
                "num_frames": self.scan.num_frames if is_ready else 0,
            },
        }

    def _version(self) -> str:
        """Return the version of the colours, "" where the corrections' files cannot be read."""
        try:
            return self.corrections.version
        except FilmcolorError:
            return ""

    def poster(self) -> bytes:
        """Return a frame of the film in grey, a JPEG, also while the film is being opened."""
        with self._lock:
            if self._poster is None:
                luma = read_poster(self.info)
                if luma is None:
                    raise NotFoundError(f"{self.path.name}: its first pictures cannot be decoded")
                self._poster = jpeg(show(luma_picture(luma, self.info.coding), self.info))
            return self._poster

    def shots_json(self, since: int) -> dict[str, Any]:
        """Return the shots that changed after a revision."""
        self.check_ready()
        self._note_corrections()
        with self._lock:
            revision = self._revision
            changed = dict(self._revisions)
        shots = [s for s in self.scan.shots if changed.get(s.shot.number, 1) > since]
        corrected = self.corrections.shot_corrections([s.shot for s in shots])
        return {
            "revision": revision,
            "is_complete": self.scan.is_complete,
            "num_frames": self.scan.num_frames,
            "version": self.corrections.version,
            "shots": [
                {**self._shot_json(s), **own} for s, own in zip(shots, corrected, strict=True)
            ],
        }

    def set_visible(self, numbers: Sequence[int]) -> None:
        """Colour the thumbnails of these shots before others."""
        self._visible = tuple(numbers)

    def thumbnail(self, number: int, side: str) -> bytes | None:
        """Return the thumbnail of a shot, a JPEG; None until it is ready."""
        self._check_side(side)
        self.check_ready()
        if side == GREY:
            return self.scan.thumbnail(number)
        with self._lock:
            entry = self._thumbnails.get(number)
        return None if entry is None else entry[2]

    def frame_jpeg(self, number: int, side: str) -> tuple[bytes, str]:
        """Return a frame as shown, a JPEG, and the version of its colours."""
        self._check_side(side)
        self.check_frame(number)
        self.looked_at(self)
        return self.colors.jpeg(number, side)

    def swatches(self, number: int) -> dict[str, list[str]]:
        """Return colours to paint with: the frame's own, skin, sky and foliage."""
        self.check_frame(number)
        return {"film": colors_of(self.colors.picture(number)), **FIXED}

    def alike(self, number: int) -> dict[str, Any]:
        """Return the shots that look like one."""
        self.check_ready()
        return self.corrections.alike(number)

    # ------------------------------------------------------------ for others

    @property
    def num_frames(self) -> int:
        """The number of its frames."""
        return self.index.num_frames or self.info.num_frames_estimate or 0

    def check_frame(self, number: int) -> None:
        """Raise NotFoundError for a frame that the film does not have."""
        self.check_ready()
        if not 0 <= number < self.num_frames:
            raise NotFoundError(
                f"{self.path.name} has no frame {number}; its frames are 0 to {self.num_frames - 1}"
            )

    def shots(self) -> list[Shot]:
        """Return the shots that have been found."""
        return [scanned.shot for scanned in self.scan.shots]

    def check_ready(self) -> None:
        if self.state == FAILED:
            raise InputError(self.error)
        if self.state != READY:
            raise NotFoundError(f"{self.path.name} is still being opened; try again in a moment")

    @staticmethod
    def _check_side(side: str) -> None:
        if side not in SIDES:
            raise NotFoundError(f"side {side!r} is unknown; choose {' or '.join(SIDES)}")

    # ------------------------------------------------------------ in the background

    def _run(self) -> None:
        try:
            self._open()
        except FilmcolorError as error:
            self.state, self.error = FAILED, str(error)
            return
        except Exception:
            _log.exception("%s", self.path)
            self.state, self.error = FAILED, f"{self.path} cannot be opened; the log says why"
            return
        finally:
            self._opened.set()
        lower_thread_priority(_NICENESS)
        while not self._is_closed.wait(0.0 if self._work() else _IDLE_SECONDS):
            pass

    def _open(self) -> None:
        self.index = FrameIndex.read(self.info)
        self.scan = ShotScan(self.info, self.index, self._gate, self._touch)
        self.corrections = Corrections(
            self.info,
            self.index,
            self._folder,
            self._options,
            self.shots,
            is_complete=lambda: self.scan.is_complete,
            key_frame_of=self._key_frame_of,
            guide_of=lambda number: self.colors.guide(number),
            analyse=self._analyse,
        )
        self.colors = FilmColors(
            self.info,
            self.index,
            self.corrections,
            self._make_colorizer,
            self._gate,
            Path(self._temporary.name),
        )
        self.clips = Clips(self)
        self.scan.start()
        self.state = READY

    def _key_frame_of(self, number: int) -> int | None:
        scanned = self.scan.shot_of(number)
        return None if scanned is None else scanned.key_frame

    def _analyse(self, luma: Gray) -> tuple[FloatPlane, FloatPlane]:
        """Return the network's ab and features of luma (h, w)."""
        options = self.corrections.options()
        predictor = self._make_colorizer().predictor
        return analyse_with(predictor, self.info, options.cast)(luma)

    def _work(self) -> bool:
        """Colour ahead of what someone looks at, else a thumbnail; return whether any was left."""
        try:
            self._note_corrections()
            version, self._worked_on = self._worked_on, self.corrections.version
            if version != self._worked_on:
                self._undecodable.clear()
                return False  # whoever made the change asks for a frame first
            with self._gate.background:
                return self.colors.fill(self._bounds_of) or self._color_next()
        except FilmcolorError:  # of the corrections' files, which the page shows
            return False
        except Exception:
            _log.exception("%s", self.path)
            return False

    def _bounds_of(self, number: int) -> tuple[int, int]:
        """Return the frames (half-open) of the shot of a frame, as far as it is known."""
        for shot in self.shots():
            if shot.first <= number < shot.stop:
                return shot.first, shot.stop
        return number, number + 1

    def _color_next(self) -> bool:
        """Colour the thumbnail that is wanted most; return whether there was one."""
        scanned = self._next_shot()
        if scanned is None:
            return False
        number = scanned.shot.number
        try:
            version = self.corrections.version
            data, key = self.colors.thumbnail(scanned.key_frame)
        except NotFoundError:
            self._undecodable.add(number)
            return True
        except FilmcolorError:  # of the corrections' files: once they are mended, it goes on
            return False
        except Exception:
            _log.exception("%s, shot %d", self.path, number)
            self._undecodable.add(number)
            return True
        with self._lock:
            self._thumbnails[number] = key, version, data
        self._touch(number)
        return True

    def _next_shot(self) -> ScannedShot | None:
        shots = {s.shot.number: s for s in self.scan.shots if s.is_final}
        first = [shots.pop(number) for number in self._visible if number in shots]
        for scanned in (*first, *shots.values()):
            number = scanned.shot.number
            if number in self._undecodable:
                continue
            entry = self._thumbnails.get(number)
            if entry is None or entry[0] != self.colors.key(scanned.key_frame):
                return scanned
        return None

    def _shot_json(self, scanned: ScannedShot) -> dict[str, Any]:
        shot = scanned.shot
        with self._lock:
            entry = self._thumbnails.get(shot.number)
        return {
            "number": shot.number,
            "first": shot.first,
            "stop": shot.stop,
            "start_seconds": float(shot.start_seconds),
            "end_seconds": float(shot.end_seconds),
            "transition": shot.transition,
            "key_frame": scanned.key_frame,
            "is_final": scanned.is_final,
            "thumbnail": {
                "grey": self.scan.has_thumbnail(shot.number) or scanned.is_final,
                "color": "" if entry is None else entry[1],
            },
        }

    def _touch(self, number: int) -> None:
        """Note that a shot has changed for those who look; 0: all of them."""
        with self._lock:
            self._revision += 1
            if number:
                self._revisions[number] = self._revision
            else:
                self._revisions = dict.fromkeys(self._revisions, self._revision)
                for scanned in self.scan.shots:
                    self._revisions[scanned.shot.number] = self._revision

    def _note_corrections(self) -> None:
        """Note a change of the corrections for those who look."""
        version = self.corrections.version
        if version != self._last_version:
            self._last_version = version
            self._touch(0)
