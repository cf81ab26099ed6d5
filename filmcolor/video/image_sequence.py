"""Reads an image sequence as if it were one file: packets of one image each, with times.

The decoder and the stream are those of the first image, opened from memory, so that no name is
taken for a pattern or a protocol. Each image file is a packet; its time is its number, counted from
the first. A missing or unreadable file is a packet that cannot be decoded, so that gaps keep their
time and are reported like other damage.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from filmcolor.errors import InputError
from filmcolor.files import DEVICE_ERRORS, unreadable
from filmcolor.video.image_header import is_complete, read_image_header
from filmcolor.video.sequence_names import NumberedFiles

FORMAT = "image2"  # FFmpeg's name of its demuxer of image sequences
DEFAULT_RATE = Fraction(24)  # frames per second, without a rate in the images
_MAX_GAPS = 5  # listed in a line
_NO_IMAGE = b"\0"  # in place of a file that is missing or cannot be read
_NAMED_SUFFIXES = (".pam", ".tga")  # formats without a mark of their own
_ERRORS = (av.error.FFmpegError, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class _Format:
    name: str = FORMAT
    long_name: str = "image sequence"


class ImageSequence:
    """An open image sequence, with the parts of PyAV's InputContainer that films are read with.

    `files`: its images. `notes`: lines for people. Other attributes are those of the first image's
    container.
    """

    format = _Format()

    def __init__(self, files: NumberedFiles) -> None:
        """Open the first image. Raises InputError when none can be opened."""
        self.files = files
        self.name = os.fspath(files.pattern)
        self._position = 0  # of the next frame, counted from the first with those that are missing
        data = self._open_first()
        header = read_image_header(data)
        self.notes = tuple(filter(None, (header.note, _describe_gaps(files))))
        self.rate = header.frame_rate or DEFAULT_RATE
        self.metadata = {"timecode": header.timecode} if header.timecode else {}
        self.size = len(data) * len(files.names)  # about, without asking for each file's
        self.duration = round(files.span / self.rate * av.time_base)
        self.start_time = 0
        stream = next(s for s in self._image.streams if s.type == "video")
        self.streams = _Streams([_ImageStream(stream, self)])

    def __enter__(self) -> "ImageSequence":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_image"], name)

    def close(self) -> None:
        """Close the first image."""
        self._image.close()

    def chapters(self) -> list[dict[str, Any]]:
        """Return no chapters, which images have none of."""
        return []

    def demux(self, *streams: Any) -> Iterator[av.Packet]:
        """Yield a packet for each frame from the current position, then an empty one.

        No packets for streams that it does not have.
        """
        wanted = [s for item in streams for s in (item if isinstance(item, list) else [item])]
        stream = self.streams[0]
        if streams and not any(s is None or s.index == stream.index for s in wanted):
            return
        first = self.files.numbers[0]
        names = dict(zip(self.files.numbers, self.files.names))
        while self._position < self.files.span:
            number = self._position
            self._position += 1
            name = names.get(first + number)
            data = _NO_IMAGE if name is None else _read(self.files.pattern.with_name(name))
            packet = _make_packet(data if is_complete(data) else _NO_IMAGE)
            packet.stream = stream.original
            packet.time_base = stream.time_base
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            yield packet
        flush: av.Packet = av.Packet()
        flush.stream = stream.original
        yield flush

    def decode(self, *streams: Any) -> Iterator[av.VideoFrame]:
        """Yield the frames from the current position."""
        for packet in self.demux(*streams):
            yield from self.streams[0].decode(packet)

    def seek(self, offset: int, *, stream: Any = None, **_: Any) -> None:
        """Continue with the frame at a time, in its stream's ticks or in microseconds."""
        number = offset if stream is not None else int(offset * self.rate / av.time_base)
        self._position = min(max(0, number), self.files.span)
        self.streams[0].codec_context.flush_buffers()

    def _open_first(self) -> bytes:
        """Open the first image that can be opened, and return the contents of its file."""
        error: BaseException | None = None
        for position in range(len(self.files.names)):
            path = self.files.path(position)
            data = _read(path)
            try:
                self._image = _open_image(data, path)
                return data
            except _ERRORS as cause:
                error = error or cause
        raise InputError(
            f"{self.files.pattern}: none of its images can be read; are they complete?"
        ) from error


class _Streams(list["_ImageStream"]):
    """The one stream of a sequence, like PyAV's StreamContainer."""

    @property
    def video(self) -> "_Streams":
        return self

    def best(self, kind: str) -> "_ImageStream | None":
        """Return the stream of a type that players choose."""
        return self[0] if kind == "video" else None


class _ImageStream:
    """The first image's stream, with the rate and length of the sequence.

    Other attributes are those of the original.
    """

    start_time = 0

    def __init__(self, original: Any, sequence: ImageSequence) -> None:
        self.original, self.container = original, sequence
        self.average_rate = self.base_rate = self.guessed_rate = sequence.rate
        self.time_base = 1 / sequence.rate
        self.frames = self.duration = sequence.files.span
        self.metadata: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["original"], name)

    @property
    def thread_type(self) -> Any:
        """How the decoder uses threads."""
        return self.original.thread_type

    @thread_type.setter
    def thread_type(self, value: Any) -> None:
        self.original.thread_type = value

    def decode(self, packet: av.Packet | None = None) -> list[av.VideoFrame]:
        """Return the frames that a packet completes; raises InvalidDataError without an image."""
        if packet is not None and packet.size == len(_NO_IMAGE):
            raise av.error.InvalidDataError(-1, "there is no image")
        frames: list[av.VideoFrame] = self.original.decode(packet)
        return frames


def _describe_gaps(files: NumberedFiles) -> str:
    """Return a line about missing images, "" if there are none."""
    gaps = files.gaps
    if not gaps:
        return ""
    num_missing = files.span - len(files.names)
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in gaps]
    listed = ", ".join(runs[:_MAX_GAPS])
    more = f" and {len(runs) - _MAX_GAPS} more gaps" if len(runs) > _MAX_GAPS else ""
    images = "1 image is" if num_missing == 1 else f"{num_missing} images are"
    return f"{images} missing, the previous one is shown longer: number {listed}{more}"


def _make_packet(data: bytes) -> av.Packet:
    """Return a packet with a copy of data.

    A packet that refers to a Python object is freed under Python's lock. A decoder's threads free
    packets, so they would wait for ever for the thread that holds the lock and closes the decoder.
    """
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


def _read(path: Path) -> bytes:
    """Return the contents of a file, _NO_IMAGE if it is missing, empty or forbidden.

    Raises StorageError when a disk or a network drive fails.
    """
    try:
        return path.read_bytes() or _NO_IMAGE
    except OSError as error:
        if error.errno in DEVICE_ERRORS:
            raise unreadable(path, error) from error
        return _NO_IMAGE


def _open_image(data: bytes, path: Path) -> Any:
    """Open an image from memory; by its suffix where its contents do not show the format."""
    container: Any
    try:
        container = av.open(io.BytesIO(data))
    except _ERRORS:
        if path.suffix.lower() not in _NAMED_SUFFIXES:
            raise
        # the name has no character of a pattern
        file = io.BytesIO(data)
        file.name = f"image{path.suffix.lower()}"
        container = av.open(file, format="image2pipe")
    if not any(s.type == "video" and s.codec_context for s in container.streams):
        container.close()
        raise ValueError("no picture")
    return container
