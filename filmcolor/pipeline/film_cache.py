"""Keeps what colouring a part of a film needs and another part near it needs again.

A frame's colour depends on about 150 frames around it. Where frames are asked for one by one, as by
someone who scrubs through a film, decoding those again for each would take most of the time.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from filmcolor.guidance.propagation import GuidedColors
from filmcolor.guidance.reference_shots import ShotSource, find_cuts
from filmcolor.runtime.byte_cache import ByteCache
from filmcolor.runtime.threads import num_decoder_threads
from filmcolor.shots.source_chroma import add_chroma_thumbnails
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ProxyFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

_CHUNK = 16  # frames, read and kept together
_BLOCK = 64  # frames whose cuts are found together
_FRAME_BYTES = 24 << 20  # of frames with references
_GUIDED_BYTES = 96 << 20  # of anchors' colours: some hundred
CACHE_BYTES = 256 << 20  # some hundred frames at 480p


class ProxySource(ShotSource, Protocol):
    """Reads a film's proxies and cuts, and keeps the colours that references give its anchors."""

    @property
    def guided(self) -> ByteCache[Hashable, GuidedColors]:
        """The colours of anchors, by what decides them."""

    def proxies(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        """Yield the proxies of frames first to stop (half-open), None for the film's end."""


@dataclass(frozen=True, slots=True)
class PatientSource:
    """Reads from another source, and lets other work go first before each frame."""

    source: ProxySource
    wait: Callable[[], None]

    @property
    def guided(self) -> ByteCache[Hashable, GuidedColors]:
        """The source's."""
        return self.source.guided

    def frame(self, number: int) -> ProxyFrame | None:
        """Return the source's frame."""
        self.wait()
        return self.source.frame(number)

    def cuts(self, first: int, stop: int) -> Iterator[int]:
        """Yield the source's cuts."""
        self.wait()
        return self.source.cuts(first, stop)

    def proxies(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        """Yield the source's frames."""
        for frame in self.source.proxies(first, stop):
            self.wait()
            yield frame


class FilmCache:
    """The latest proxies of one film, in chunks of consecutive frames; safe to use from threads.

    `guided`: what references have given to anchors, see `ReferencePropagator`.
    """

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        size: int,
        *,
        is_classified: bool,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        """Take a film and the short side that the network sees, in pixels.

        `is_classified`: frames have the film's chroma, and thumbnails of it. `max_bytes`: of all
        frames that are kept.
        """
        self._info, self._index, self._size = info, index, size
        self._is_classified = is_classified
        self._chunks = ByteCache[int, Sequence[ProxyFrame]](max_bytes)
        self._frames = ByteCache[int, ProxyFrame](_FRAME_BYTES)  # with references
        self._cuts: dict[int, tuple[int, ...]] = {}  # by block
        self.guided = ByteCache[Hashable, GuidedColors](_GUIDED_BYTES)

    def proxies(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        """Yield the proxies of frames first to stop (half-open), None for the film's end.

        Raises the errors of `read_luma`.
        """
        end = self._index.num_frames if stop is None else stop
        if end is None or not self._index.is_exact:  # parts of it are decoded from the start
            yield from self._read(first, stop)
            return
        chunk, last = first // _CHUNK, (end - 1) // _CHUNK
        while chunk <= last:
            frames = self._chunks.get(chunk)
            if frames is not None:
                yield from (f for f in frames if first <= f.source.number < end)
                chunk += 1
                continue
            missing = chunk
            while missing <= last and missing not in self._chunks:
                missing += 1
            for frame in self._read_chunks(chunk, missing):
                if first <= frame.source.number < end:
                    yield frame
            chunk = missing

    def frame(self, number: int) -> ProxyFrame | None:
        """Return a frame, None where it cannot be decoded; it is kept apart from its chunk."""
        frame = self._frames.get(number)
        if frame is None:
            frame = next(self.proxies(number, number + 1), None)
            if frame is not None:
                self._frames.put(number, frame, _num_bytes(frame))
        return frame

    def cuts(self, first: int, stop: int) -> Iterator[int]:
        """Yield the numbers from first to stop (half-open) at which a shot begins."""
        for block in range(first // _BLOCK, -(-stop // _BLOCK)):
            cuts = self._cuts.get(block)
            if cuts is None:
                cuts = tuple(find_cuts(self.proxies, block * _BLOCK, (block + 1) * _BLOCK))
                self._cuts[block] = cuts
            yield from (cut for cut in cuts if first <= cut < stop)

    def _keep(self, chunk: int, frames: Sequence[ProxyFrame]) -> None:
        self._chunks.put(chunk, frames, sum(map(_num_bytes, frames)))

    def _read_chunks(self, first: int, stop: int) -> Iterator[ProxyFrame]:
        """Yield the frames of some chunks, and keep those chunks that are read whole."""
        frames: list[ProxyFrame] = []
        current = first
        for frame in self._read(first * _CHUNK, stop * _CHUNK):
            while frame.source.number >= (current + 1) * _CHUNK:
                self._keep(current, frames)
                current, frames = current + 1, []
            frames.append(frame)
            yield frame
        for chunk in range(current, stop):
            self._keep(chunk, frames)
            frames = []

    def _read(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        info = self._info
        num_threads = num_decoder_threads(info.bytes_per_frame)
        lumas = read_luma(info, first, stop, self._index, num_threads, self._is_classified)
        frames = add_proxies(lumas, info, self._size)
        if self._is_classified:
            return iter(add_chroma_thumbnails(frames, info.coding))
        return frames


def _num_bytes(frame: ProxyFrame) -> int:
    source = frame.source
    planes = [source.luma, frame.luma, frame.guide, *(source.chroma or ())]
    planes += [p for p in (source.alpha, frame.chroma_thumbnail) if p is not None]
    return sum(plane.nbytes for plane in planes)
