"""Converts sound that a container cannot hold, without changing a sample.

Sound of integer samples becomes FLAC, in MOV ALAC, with the same samples. Lossy codecs decode to
floating point, which is rounded to 24 bits: 144 dB below full scale. Samples of more bits become
PCM, in Matroska only: MP4 and MOV keep no gap in PCM.

Converted sound has the source's times. A gap in them stays a gap: each part without one is encoded
by itself, so that sound and picture never drift apart.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.container import OutputContainer

from filmcolor.types.film import Part

# by container: the encoder of up to 24 bits and 8 channels
_ENCODERS = {"mp4": "flac", "mov": "alac", "matroska": "flac"}
_MAX_CHANNELS = 8
_PCM_ENCODERS = {"s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_CODED_FORMATS = {"flac": ("s16", "s32"), "alac": ("s16p", "s32p")}
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}
_BITS = {"u8": 8, "s16": 16, "s32": 32}
# codecs whose decoders give 32 bits of which 24 at most are used
_24_BIT_CODECS = re.compile(r"pcm_\w*24\w*|pcm_(dvd|bluray)|s302m|wmalossless|mlp|truehd|aptx\w*")
_FULL_SCALE_24 = 1 << 23
_PCM_BLOCK = 4096  # samples
# seconds: containers round times to 1 ms, and codecs' packets begin between two samples
_MAX_JITTER = Fraction(1, 500)


@dataclass(frozen=True, slots=True)
class AudioTarget:
    """What sound is converted to."""

    codec: str  # FFmpeg's name of the encoder
    sample_format: str  # "s16", "s32" (24 bits of it in FLAC and ALAC), "flt" or "dbl"
    rate: int  # samples per second
    layout: str  # of channels
    is_rounded: bool = False  # from the floating point of a lossy codec, to 24 bits
    resampled_rates: tuple[int, ...] = ()  # of parts of the source, where it changes its rate

    def __str__(self) -> str:
        return self.codec

    def describe(self) -> str:
        """Return what becomes of the samples, in words."""
        words = "every sample is kept" + (", rounded to 24 bits" if self.is_rounded else "")
        if self.resampled_rates:
            rates = " and ".join(f"{rate} Hz" for rate in self.resampled_rates)
            words += (
                f", except where it has {rates}: resampled to {self.rate} Hz, at the same pitch"
            )
        return words

    @property
    def num_channels(self) -> int:
        """The number of channels."""
        return av.AudioLayout(self.layout).nb_channels

    @property
    def coded_format(self) -> str:
        """FFmpeg's name of the sample format that the encoder takes."""
        if self.codec not in _CODED_FORMATS:
            return self.sample_format
        return _CODED_FORMATS[self.codec][self.sample_format == "s32"]


def choose_target(
    format_name: str, stream: Any, packets: Iterable[av.Packet]
) -> AudioTarget | None:
    """Return what a stream's sound can be converted to in a container; None if to nothing.

    `packets`: some of the stream, among them those where its parameters change. The target has the
    highest rate and the most channels of all.
    """
    frames = [frame for packet in [*packets, None] for frame in decode_sound(stream, packet) or ()]
    names = {frame.format.name.rstrip("p") for frame in frames}
    if format_name not in _ENCODERS or not names or not names <= _DTYPES.keys():
        return None
    sample_format = _target_format(stream, names)
    rates = sorted({frame.sample_rate for frame in frames})
    layout = max((frame.layout for frame in frames), key=lambda layout: layout.nb_channels)
    num_channels = layout.nb_channels
    layout_name = f"{num_channels}c" if layout.name.endswith(" channels") else layout.name
    is_coded = sample_format == "s16" or (sample_format == "s32" and _is_24_bit(stream, names))
    if is_coded and num_channels <= _MAX_CHANNELS:
        codec = _ENCODERS[format_name]
    elif format_name == "matroska":
        codec = _PCM_ENCODERS[sample_format]
    else:
        return None
    is_rounded = sample_format == "s32" and bool(names & {"flt", "dbl"})
    return AudioTarget(codec, sample_format, rates[-1], layout_name, is_rounded, tuple(rates[:-1]))


def _target_format(stream: Any, names: set[str]) -> str:
    """Return the sample format that holds all samples of a stream's decoder."""
    is_float = bool(names & {"flt", "dbl"})
    if not is_float:
        return "s32" if "s32" in names else "s16"
    if not stream.codec_context.codec.lossless:
        return "s32"  # the decoder of a lossy codec: 24 bits
    return "dbl" if "dbl" in names else "flt"


def _is_24_bit(stream: Any, names: set[str]) -> bool:
    """Return True when 24 bits hold what a stream's decoder gives in 32 bits or floating point."""
    context = stream.codec_context
    if "s32" not in names:
        return True
    name = context.codec.canonical_name
    if name == "flac" and context.extradata:
        # STREAMINFO, RFC 9639, 8.2: bits per sample less one follow 20 bits of rate, 3 of channels
        return (int.from_bytes(context.extradata[-24:-20], "big") >> 4 & 31) < 24
    return _24_BIT_CODECS.fullmatch(name) is not None


def is_target(codec: str) -> bool:
    """Return True for a codec that sound is converted to."""
    return codec in _ENCODERS.values() or codec in _PCM_ENCODERS.values()


def add_target_stream(output: OutputContainer, target: AudioTarget) -> Any:
    """Add a stream for converted packets to a container, and return it."""
    stream: Any = output.add_stream(target.codec, rate=target.rate)
    _set_parameters(stream.codec_context, target)
    return stream


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples in the target's format."""

    start: int  # position of the first, samples from the container's zero
    values: np.ndarray  # (channels, samples): int16, int32, float32 or float64

    @property
    def stop(self) -> int:
        """The position after the last sample."""
        return self.start + self.values.shape[1]

    def cut(self, first: int | None, stop: int | None) -> "Samples":
        """Return the samples at positions from `first` up to, not including, `stop`."""
        low = 0 if first is None else max(0, first - self.start)
        high = None if stop is None else max(low, stop - self.start)
        return Samples(self.start + low, self.values[:, low:high])


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
        self._end: Fraction | None = None  # of the frames before, seconds
        self._last_pts: int | None = None
        self.num_undecodable = 0

    def read(self, packet: av.Packet | None) -> Iterator[Samples]:
        """Yield the samples that a packet completes; those that are left for None."""
        frames = decode_sound(self._stream, packet)
        if frames is None:
            self.num_undecodable += 1
            return
        for frame in frames:
            yield from self._read_frame(frame)
        if packet is None:
            yield from self._end_run()

    def _read_frame(self, frame: av.AudioFrame) -> Iterator[Samples]:
        parameters = frame.format.name, frame.layout.nb_channels, frame.sample_rate
        start = None
        # RealMedia repeats a time for several packets: it is that of the first
        if frame.pts is not None and frame.pts != self._last_pts:
            start = frame.pts * Fraction(frame.time_base or 0)
        self._last_pts = frame.pts
        is_gap = (
            start is not None and self._end is not None and abs(start - self._end) > _MAX_JITTER
        )
        if parameters != self._parameters or is_gap:
            yield from self._end_run()
            self._begin_run(parameters, self._end if start is None else start)
        assert self._end is not None
        self._end += Fraction(frame.samples, frame.sample_rate)
        yield from self._place([frame] if self._resampler is None else self._resample(frame))

    def _begin_run(self, parameters: tuple[str, int, int], start: Fraction | None) -> None:
        """Begin a run of frames of the same parameters without a gap."""
        target = self._target
        self._end = start or Fraction(0)
        self._position = round(self._end * target.rate)
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
            samples = Samples(self._position, values)
            self._position = samples.stop
            if values.size:
                yield samples


def decode_sound(stream: Any, packet: av.Packet | None) -> list[av.AudioFrame] | None:
    """Return the frames that a packet completes, None if it is broken.

    For a packet of None, returns those that are left, and the decoder can begin anew.
    """
    try:
        return list(stream.decode(packet))
    except EOFError:
        return []
    except av.error.FFmpegError:
        return None
    finally:
        if packet is None:
            stream.codec_context.flush_buffers()


def frame_samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples, (channels, samples)."""
    dtype = _DTYPES[frame.format.name.rstrip("p")]
    num_values = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    planes = [np.frombuffer(plane, dtype, num_values) for plane in frame.planes]
    return np.stack(planes) if frame.format.is_planar else planes[0].reshape(frame.samples, -1).T


def convert_samples(values: np.ndarray, sample_format: str) -> np.ndarray:
    """Return samples in another format: integers in the upper bits, 24 of them of a float."""
    dtype = np.dtype(_DTYPES[sample_format])
    if values.dtype == dtype:
        return values
    if values.dtype.kind == "f" and dtype.kind == "i":
        scaled = np.rint(values.astype(np.float64) * _FULL_SCALE_24)
        limited = scaled.clip(-_FULL_SCALE_24, _FULL_SCALE_24 - 1).astype(np.int32)
        return (limited << 8) if dtype.itemsize == 4 else (limited >> 8).astype(dtype)
    if dtype.kind == "f":
        divisor = 1.0 if values.dtype.kind == "f" else 2.0 ** (8 * values.dtype.itemsize - 1)
        return (values / divisor).astype(dtype)
    if values.dtype == np.uint8:
        values = values.astype(np.int16) - 128 << 8
    shift = 8 * (dtype.itemsize - values.dtype.itemsize)
    return values.astype(dtype) << shift if shift >= 0 else (values >> -shift).astype(dtype)


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
                yield from self._encoder.finish()
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
    """Encodes consecutive samples without a gap."""

    def __init__(self, target: AudioTarget, start: int) -> None:
        self._target = target
        self._context: Any = av.CodecContext.create(target.codec, "w")
        _set_parameters(self._context, target)
        self._context.open()
        self._size = self._context.frame_size or _PCM_BLOCK
        self._waiting = np.empty((target.num_channels, 0), _DTYPES[target.sample_format])
        self._position = start  # of the first waiting sample

    @property
    def stop(self) -> int:
        """The position after the last sample given."""
        return self._position + self._waiting.shape[1]

    def encode(self, values: np.ndarray) -> Iterator[av.Packet]:
        """Yield the packets that further samples complete."""
        self._waiting = np.concatenate([self._waiting, values], axis=1)
        while self._waiting.shape[1] >= self._size:
            yield from self._encode_block(self._size)

    def finish(self) -> Iterator[av.Packet]:
        """Yield the remaining packets."""
        if self._waiting.shape[1]:
            yield from self._encode_block(self._waiting.shape[1])
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


def _set_parameters(context: Any, target: AudioTarget) -> None:
    context.sample_rate, context.layout = target.rate, target.layout
    context.format = target.coded_format
    context.time_base = Fraction(1, target.rate)
