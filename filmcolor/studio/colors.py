"""Frames of a film in colour, as a run gives them, for someone who looks around in it.

A finished frame is kept under what decides its colours: the grades and references near it. So a
correction in one place leaves the frames of others as they are, and taking it back gives the same
bytes without colouring anything.
"""

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from filmcolor.errors import FilmcolorError
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.reference_shots import near_references
from filmcolor.guidance.references import digest_of
from filmcolor.pipeline.colorizer import Colorizer, context_of
from filmcolor.pipeline.film_cache import FilmCache, PatientSource, ProxySource
from filmcolor.pipeline.models import settle
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.byte_cache import ByteCache
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.gate import Gate
from filmcolor.studio.pictures import (
    COLOR,
    GREY,
    jpeg,
    luma_picture,
    show,
    shown_picture,
    thumbnail_jpeg,
)
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame, Gray, Picture
from filmcolor.types.yuv import SUBSAMPLING_420, Coding, Subsampling
from filmcolor.video.frame_index import FrameIndex

_PICTURE_BYTES = 192 << 20  # of encoded frames: some thousands at 480p
_FILL_BEFORE, _FILL_AFTER = 12, 36  # frames, coloured ahead of someone who scrubs
_BACKGROUND_BYTES = 32 << 20  # of proxies for thumbnails, whose frames lie far apart


class Corrected(Protocol):
    """What a person has corrected in a film."""

    @property
    def version(self) -> str:
        """Changes when any colour of the film may change."""

    def snapshot(self) -> tuple[str, ColorOptions, Guidance]:
        """Return the version, and the options and guidance of a run, of one moment."""


@dataclass(frozen=True, eq=False)
class _Look:
    """What decides a film's colours, at one moment."""

    info: FilmInfo
    version: str
    options: ColorOptions
    guidance: Guidance

    def key(self, number: int) -> Hashable:
        """Return what decides the colours of a frame: the grades and references near it."""
        context = context_of(Part(number, number + 1), self.info, self.options)
        start, stop = context.first, context.stop
        assert stop is not None
        guidance = self.guidance
        grades = tuple(
            (first, end, astuple(grade))
            for first, end, grade in guidance.palette.ranges
            if first < stop and start < end
        )
        near = near_references(guidance.references, start, stop)
        likeness = guidance.likeness
        is_global = guidance.colored_films or likeness.given or likeness.automatic
        return (
            number,
            astuple(guidance.palette.base),
            grades,
            tuple(self._digests[reference.number] for reference in near),
            self.version if is_global else "",
        )

    @cached_property
    def _digests(self) -> dict[int, str]:
        return {r.number: digest_of((r,)) for r in self.guidance.references}


class FilmColors:
    """Colours single frames and short parts of one film; safe to use from threads."""

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        corrections: Corrected,
        colorizer: Callable[[], Colorizer],
        gate: Gate,
        model_folder: Path | None = None,
    ) -> None:
        """Take a film; `colorizer` loads the weights when they are first needed.

        `gate`: holds back background work. `model_folder`: keeps the colours of a model.
        """
        self._info, self._index, self._corrections = info, index, corrections
        self._make_colorizer, self._gate, self._model_folder = colorizer, gate, model_folder
        self._pictures = ByteCache[Hashable, bytes](_PICTURE_BYTES)
        self._lock = threading.Lock()  # held while a person's frame is coloured
        self._setup_lock = threading.Lock()
        self._latest: int | None = None  # the frame that was looked at last
        self._own: tuple[Colorizer, FilmCache] | None = None
        self._background: tuple[Colorizer, ProxySource] | None = None
        self._latest_look: _Look | None = None

    @property
    def version(self) -> str:
        """Changes when any colour of the film may change."""
        return self._corrections.version

    def jpeg(self, number: int, side: str) -> tuple[bytes, str]:
        """Return a frame as shown, a JPEG, with the version of its colours.

        Raises NotFoundError for a frame that does not exist or cannot be decoded.
        """
        if side == GREY:
            return self._kept((number, GREY), lambda: self._grey(number)), self.version
        with self._gate.urgent():
            look = self._look()
        self._latest = number
        return self._kept(look.key(number), lambda: self._color(number, look)), look.version

    def _kept(self, key: Hashable, make: Callable[[], Picture]) -> bytes:
        """Return a picture as a JPEG, made if it is not kept."""
        data = self._pictures.get(key)
        if not data:
            with self._gate.urgent(), self._lock:
                data = self._pictures.get(key)
                if not data:
                    data = jpeg(make())
                    self._keep(key, data)
        return data

    def picture(self, number: int) -> Picture:
        """Return R'G'B' (H, W, 3) of a frame in colour, as shown."""
        with self._gate.urgent(), self._lock:
            return self._color(number, self._look())

    def thumbnail(self, number: int) -> tuple[bytes, Hashable]:
        """Return a small JPEG of a frame in colour, and the key of its colours.

        Made in the background: the work stands back while someone waits for a frame.
        """
        look = self._look()
        key = look.key(number)
        picture = self._color(number, look, self._in_background())
        self._keep(key, jpeg(picture))
        return thumbnail_jpeg(picture), key

    def fill(self, shot_of: Callable[[int], tuple[int, int]]) -> bool:
        """Colour frames around the one that was looked at last; return whether any were left.

        `shot_of`: returns the first frame and the one after the last of the shot of a frame. The
        next step of someone who scrubs there is then shown at once. Made in the background.
        """
        latest = self._latest
        if latest is None:
            return False
        try:
            return self._fill(latest, *shot_of(latest))
        except FilmcolorError:  # whoever asks for such a frame is told
            self._latest = None
            return False

    def _fill(self, latest: int, first: int, stop: int) -> bool:
        first, stop = max(first, latest - _FILL_BEFORE), min(stop, latest + _FILL_AFTER)
        look = self._look()
        keys = {n: look.key(n) for n in range(first, stop)}
        missing = [n for n, key in keys.items() if key not in self._pictures]
        if not missing:
            return False
        for frame in self._frames(missing[0], missing[-1] + 1, look):
            data = jpeg(shown_picture(frame, self._info, COLOR))
            self._keep(keys[frame.number], data)
            missing = [n for n in missing if n != frame.number]
            if self._latest != latest:
                return True  # someone looks elsewhere
        for number in missing:  # it cannot be decoded
            self._keep(keys[number], b"")
        return True

    def key(self, number: int) -> Hashable:
        """Return what decides a frame's colours: frames with equal keys look the same."""
        return self._look().key(number)

    def frames(
        self,
        first: int,
        stop: int,
        *,
        target: Coding | None = None,
        subsampling: Subsampling = SUBSAMPLING_420,
    ) -> Generator[ColorFrame, None, None]:
        """Yield finished frames first to stop (half-open), as a run gives them.

        `target`, `subsampling`: how they are coded, see `Colorizer.frames`.
        """
        yield from self._frames(first, stop, self._look(), target, subsampling)

    def _frames(
        self,
        first: int,
        stop: int,
        look: "_Look",
        target: Coding | None = None,
        subsampling: Subsampling = SUBSAMPLING_420,
    ) -> Generator[ColorFrame, None, None]:
        colorizer, cache = self._tools()
        frames = colorizer.frames(
            self._info,
            Part(first, stop),
            target=target,
            index=self._index,
            guidance=look.guidance,
            cache=PatientSource(cache, self._gate.wait),
            subsampling=subsampling,
        )
        with closing(frames):
            for frame in frames:
                yield frame
                self._gate.wait()

    def release(self) -> None:
        """Forget what is needed to colour further frames, while someone looks at another film."""
        with self._setup_lock:
            self._own = self._background = None
            self._latest = None

    def guide(self, number: int) -> Gray | None:
        """Return the low-res luma (h, w) to which strokes on a frame spread; None without one."""
        frame = next(self._tools()[1].proxies(number, number + 1), None)
        return None if frame is None else frame.guide

    def _keep(self, key: Hashable, data: bytes) -> None:
        self._pictures.put(key, data, len(data))

    def _color(
        self, number: int, look: "_Look", tools: tuple[Colorizer, ProxySource] | None = None
    ) -> Picture:
        colorizer, cache = tools or self._tools()
        frames = colorizer.frames(
            self._info,
            Part(number, number + 1),
            index=self._index,
            guidance=look.guidance,
            cache=cache,
        )
        with closing(frames):
            frame = next(frames, None)
        if frame is None:
            raise self._missing(number)
        return shown_picture(frame, self._info, COLOR)

    def _grey(self, number: int) -> Picture:
        frame = next(self._tools()[1].proxies(number, number + 1), None)
        if frame is None:
            raise self._missing(number)
        return show(luma_picture(frame.source.luma, self._info.coding), self._info)

    def _missing(self, number: int) -> NotFoundError:
        return NotFoundError(
            f"{self._info.path}: frame {number} does not exist or cannot be decoded; choose another"
        )

    def _look(self) -> "_Look":
        """Return what decides the colours now: one reading, for a frame and for its key."""
        version, options, guidance = self._corrections.snapshot()
        with self._setup_lock:
            if self._latest_look is None or self._latest_look.version != version:
                self._latest_look = _Look(self._info, version, options, guidance)
            look = self._latest_look
        if options.model:
            anchors = settle(options).anchors
            guidance = replace(guidance, model_folder=self._model_folder, anchors=anchors)
            return replace(look, guidance=guidance)
        return look

    def _tools(self) -> tuple[Colorizer, FilmCache]:
        with self._setup_lock:
            if self._own is None:
                self._own = self._make_colorizer().with_cache(self._info, self._index)
            return self._own

    def _in_background(self) -> tuple[Colorizer, ProxySource]:
        with self._setup_lock:
            if self._background is None:
                colorizer = self._make_colorizer()
                _, cache = colorizer.with_cache(self._info, self._index, _BACKGROUND_BYTES)
                self._background = colorizer, PatientSource(cache, self._gate.wait)
            return self._background
