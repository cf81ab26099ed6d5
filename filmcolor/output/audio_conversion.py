"""Converts sound that a container cannot hold, without changing a sample.

Converted sound has the source's times. A gap in them stays a gap: each part without one is encoded
by itself, so that sound and picture never drift apart.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

from filmcolor.output.audio_samples import (
    DTYPES,
    Samples,
    convert_samples,
    decode_sound,
    frame_samples,
)
from filmcolor.output.audio_target import AudioTarget
from filmcolor.types.film import Part

_PCM_BLOCK = 4096  # samples
# seconds: containers round times to 1 ms, and codecs' packets begin between two samples
_MAX_JITTER = Fraction(1, 500)
# seconds: less than a block of FLAC or ALAC, so that the times of blocks increase
_MAX_OVERLAP = Fraction(1, 50)


class SampleReader:
    """Decodes a stream's packets to samples in a target's format, at the source's times.

    Frames of another rate or number of channels are resampled. `num_undecodable`: packets that
    could not be decoded; they leave a gap.
    """

    def __init__(self, stream: Any, target: AudioTarget) -> None:
        self._stream, self._target = stream, target
        self._resampler: Any = None
        self._parameters: tuple[str, int, int] | None = None  # of the frames before
        self._position = 0  # of the next sample
        self._start: Fraction | None = None  # of the frame before, seconds
        self._end: Fraction | None = None  # the same of its end
        self._last_pts: int | None = None
        self.num_undecodable = 0

    def read(self, packet: av.Packet | None) -> Iterator[Samples]:
        """Yield the samples that a packet completes; those that are left for None."""
        frames = decode_sound(self._stream, packet)
        if frames is None:
            self.num_undecodable += 1
            return
        for frame in frames:
            try:
                yield from self._read_frame(frame)
            except (av.error.FFmpegError, ValueError):  # damage: parameters that no sound has
                self.num_undecodable += 1
                self._resampler = self._parameters = None
        if packet is None:
            yield from self._end_run()

    def _read_frame(self, frame: av.AudioFrame) -> Iterator[Samples]:
        parameters = frame.format.name, frame.layout.nb_channels, frame.sample_rate
        start = None
        # RealMedia repeats a time for several packets: it is that of the first
        if frame.pts is not None and frame.pts != self._last_pts:
            start = frame.pts * Fraction(frame.time_base or 0)
        self._last_pts = frame.pts
        start = self._placed_start(start)
        if parameters != self._parameters or start != self._end:
            yield from self._end_run()
            self._begin_run(parameters, start)
        self._start, self._end = start, start + Fraction(frame.samples, frame.sample_rate)
        yield from self._place([frame] if self._resampler is None else self._resample(frame))

    def _placed_start(self, start: Fraction | None) -> Fraction:
        """Return where a frame begins whose time is `start`: after the one before, unless late.

        A clock that is too slow makes frames overlap, by a little at a time.
        """
        if self._start is None or self._end is None:
            return start or Fraction(0)
        if start is None or abs(start - self._end) <= _MAX_JITTER:
            return self._end
        next_sample = self._start + Fraction(1, self._target.rate)
        return max(start, self._end - _MAX_OVERLAP, next_sample)

    def _begin_run(self, parameters: tuple[str, int, int], start: Fraction) -> None:
        """Begin a run of frames of the same parameters without a gap."""
        target = self._target
        if start != self._end:
            self._position = round(start * target.rate)
        self._parameters = parameters
        if parameters[1:] != (target.num_channels, target.rate):
            self._resampler = av.AudioResampler(
                target.sample_format + "p", target.layout, target.rate
            )

    def _end_run(self) -> Iterator[Samples]:
        if self._resampler is not None:
            yield from self._place(self._resample(None))
            self._resampler = None

    def _resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        frames: list[av.AudioFrame] = self._resampler.resample(frame)
        return frames

    def _place(self, frames: Iterable[av.AudioFrame]) -> Iterator[Samples]:
        for frame in frames:
            values = convert_samples(frame_samples(frame), self._target.sample_format)
            if self._resampler is not None:
                values = self._target.limit(values)
            samples = Samples(self._position, values)
            self._position = samples.stop
            if values.size:
                yield samples


class AudioConverter:
    """Converts a stream's packets to a target's, within a part of the film.

    Every packet of the stream from its beginning must be given: some decoders depend on all that
    came before. `reader` counts the packets that could not be decoded.
    """

    def __init__(self, stream: Any, target: AudioTarget, part: Part) -> None:
        self._target = target
        self._first, self._stop = part_in_samples(part, target.rate)
        self._encoder: _SectionEncoder | None = None
        self.reader = SampleReader(stream, target)

    def convert(self, packet: av.Packet | None) -> Iterator[av.Packet]:
        """Yield the packets that a packet of the stream completes; those that are left for None.

        Their times are in samples, on the source's clock.
        """
        for samples in self.reader.read(packet):
            cut = samples.cut(self._first, self._stop)
            if not cut.values.size:
                continue
            if self._encoder is not None and self._encoder.stop != cut.start:
                yield from self._encoder.finish(cut.start)
                self._encoder = None
            self._encoder = self._encoder or _SectionEncoder(self._target, cut.start)
            yield from self._encoder.encode(cut.values)
        if packet is None and self._encoder is not None:
            yield from self._encoder.finish()
            self._encoder = None


def part_in_samples(part: Part, rate: int) -> tuple[int | None, int | None]:
    """Return the positions of the first sample in a part and of the first one after it."""
    first = None if part.start is None else -(-part.start * rate // 1)
    stop = None if part.end is None else -(-part.end * rate // 1)
    return (None if first is None else int(first)), (None if stop is None else int(stop))


class _SectionEncoder:
    """Encodes consecutive samples without a gap.

    The next section may begin a little before the end of this one. Its last block then begins
    earlier, because MP4 and MOV need increasing times.
    """

    def __init__(self, target: AudioTarget, start: int) -> None:
        self._target = target
        self._open()
        self._size = self._context.frame_size or _PCM_BLOCK
        self._waiting = np.empty((target.num_channels, 0), DTYPES[target.sample_format])
        self._position = start  # of the first waiting sample

    def _open(self) -> None:
        self._context: Any = av.CodecContext.create(self._target.codec, "w")
        self._target.set_parameters(self._context)
        self._context.open()

    @property
    def stop(self) -> int:
        """The position after the last sample given."""
        return self._position + self._waiting.shape[1]

    def encode(self, values: np.ndarray) -> Iterator[av.Packet]:
        """Yield the packets that further samples complete."""
        self._waiting = np.concatenate([self._waiting, values], axis=1)
        while self._waiting.shape[1] >= 2 * self._size:  # the last two blocks: see `finish`
            yield from self._encode_block(self._size)

    def finish(self, next_start: int | None = None) -> Iterator[av.Packet]:
        """Yield the remaining packets; the last begins before `next_start`."""
        rest = self._waiting.shape[1]
        overlap = 0 if next_start is None else max(0, self.stop - next_start)
        last_size = min(rest, max((rest - 1) % self._size + 1, overlap + 1))
        if last_size < rest:
            first_size = rest - last_size
            yield from self._encode_block(first_size)
            if first_size < self._size:  # encoders take a short block at their end only
                yield from self._packets(self._context.encode(None))
                self._open()
        yield from self._encode_block(last_size)
        yield from self._packets(self._context.encode(None))

    def _encode_block(self, size: int) -> Iterator[av.Packet]:
        block, self._waiting = self._waiting[:, :size], self._waiting[:, size:]
        frame = av.AudioFrame(self._target.coded_format, self._target.layout, size)
        rows = block if frame.format.is_planar else [block.T]
        for plane, row in zip(frame.planes, rows, strict=True):
            content = np.ascontiguousarray(row).tobytes()
            plane.update(content + bytes(plane.buffer_size - len(content)))
        frame.sample_rate, frame.pts = self._target.rate, self._position
        frame.time_base = Fraction(1, self._target.rate)
        self._position += size
        yield from self._packets(self._context.encode(frame))

    def _packets(self, packets: list[av.Packet]) -> Iterator[av.Packet]:
        for packet in packets:
            if packet.size:  # FLAC's last packet holds only its header
                packet.time_base = Fraction(1, self._target.rate)
                yield packet
