"""Keeps what colouring a part of a film needs and another part near it needs again.

A frame's colour depends on about 150 frames around it. Where frames are asked for one by one, as by
someone who scrubs through a film, decoding those again for each would take most of the time.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from filmcolor.runtime.threads import num_decoder_threads
from filmcolor.shots.source_chroma import add_chroma_thumbnails
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ProxyFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

_CHUNK = 16  # frames, read and kept together
CACHE_BYTES = 256 << 20  # some hundred frames at 480p


class ProxySource(Protocol):
    """Reads the proxies of a film."""

    def proxies(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        """Yield the proxies of frames first to stop (half-open), None for the film's end."""


@dataclass(frozen=True, slots=True)
class PatientSource:
    """Reads from another source, and lets other work go first before each frame."""

    source: ProxySource
    wait: Callable[[], None]

    def proxies(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        """Yield the source's frames."""
        for frame in self.source.proxies(first, stop):
            self.wait()
            yield frame


class FilmCache:
    """The latest proxies of one film, in chunks of consecutive frames; safe to use from threads."""

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
        self._is_classified, self._max_bytes = is_classified, max_bytes
        self._lock = threading.Lock()
        self._chunks: OrderedDict[int, Sequence[ProxyFrame]] = OrderedDict()
        self._num_bytes = 0

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
            frames = self._get(chunk)
            if frames is not None:
                yield from (f for f in frames if first <= f.source.number < end)
                chunk += 1
                continue
            missing = chunk
            while missing <= last and not self._has(missing):
                missing += 1
            for frame in self._read_chunks(chunk, missing):
                if first <= frame.source.number < end:
                    yield frame
            chunk = missing

    def _read_chunks(self, first: int, stop: int) -> Iterator[ProxyFrame]:
        """Yield the frames of some chunks, and keep those chunks that are read whole."""
        frames: list[ProxyFrame] = []
        current = first
        for frame in self._read(first * _CHUNK, stop * _CHUNK):
            while frame.source.number >= (current + 1) * _CHUNK:
                self._put(current, frames)
                current, frames = current + 1, []
            frames.append(frame)
            yield frame
        for chunk in range(current, stop):
            self._put(chunk, frames)
            frames = []

    def _read(self, first: int, stop: int | None) -> Iterator[ProxyFrame]:
        info = self._info
        num_threads = num_decoder_threads(info.bytes_per_frame)
        lumas = read_luma(info, first, stop, self._index, num_threads, self._is_classified)
        frames = add_proxies(lumas, info, self._size)
        if self._is_classified:
            return iter(add_chroma_thumbnails(frames, info.coding))
        return frames

    def _has(self, chunk: int) -> bool:
        with self._lock:
            return chunk in self._chunks

    def _get(self, chunk: int) -> Sequence[ProxyFrame] | None:
        with self._lock:
            frames = self._chunks.get(chunk)
            if frames is not None:
                self._chunks.move_to_end(chunk)
            return frames

    def _put(self, chunk: int, frames: Sequence[ProxyFrame]) -> None:
        with self._lock:
            if chunk in self._chunks:
                return
            self._chunks[chunk] = frames
            self._num_bytes += sum(map(_num_bytes, frames))
            while self._num_bytes > self._max_bytes and len(self._chunks) > 1:
                _, oldest = self._chunks.popitem(last=False)
                self._num_bytes -= sum(map(_num_bytes, oldest))


def _num_bytes(frame: ProxyFrame) -> int:
    source = frame.source
    planes = [source.luma, frame.luma, frame.guide, *(source.chroma or ())]
    planes += [p for p in (source.alpha, frame.chroma_thumbnail) if p is not None]
    return sum(plane.nbytes for plane in planes)
