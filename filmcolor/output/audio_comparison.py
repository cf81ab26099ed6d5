"""Compares converted sound with the source's: its samples and their times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import numpy as np

from filmcolor.errors import VerifyError
from filmcolor.output.audio_conversion import SampleReader, part_in_samples
from filmcolor.output.audio_samples import Samples, convert_samples, decode_sound, frame_samples
from filmcolor.output.audio_target import AudioTarget, is_target
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.video.demux import open_film, read_packets


def is_converted_sound(original: StreamInfo, copy: StreamInfo) -> bool:
    """Return True when a copy of a sound stream has another codec, which sound is converted to."""
    is_sound = original.type == copy.type == "audio"
    return is_sound and original.codec != copy.codec and is_target(copy.codec)


def has_samples(film: FilmInfo, stream: StreamInfo, part: Part) -> bool:
    """Return whether a sound stream has a sample in a part of its film; True if unknown.

    The first packets of some codecs complete none.
    """
    with open_film(film.path) as container:
        source: Any = container.streams[stream.index]
        context = source.codec_context
        if context is None or not context.sample_rate or not context.layout.nb_channels:
            return True
        layout = f"{context.layout.nb_channels}c"
        target = AudioTarget("pcm_f32le", "flt", context.sample_rate, layout)
        packets = (packet for packet in read_packets(container, source) if packet.size)
        return next(_read(source, packets, target, part), None) is not None


def compare_parameters(
    source_stream: Any,
    originals: Iterable[av.Packet],
    copied_stream: Any,
    copies: Iterable[av.Packet],
) -> None:
    """Compare the rates and the numbers of channels that sound is played with.

    A container that states them once makes sound whose parameters change play at a wrong pitch.
    Raises VerifyError, naming what is lost.
    """
    expected = _parameters(source_stream, originals)
    result = _parameters(copied_stream, copies)
    if expected != result:
        words = " and ".join(f"{rate} Hz with {num} channels" for rate, num in sorted(expected))
        raise VerifyError(f"its sound has {words}, of which the container keeps one")


def _parameters(stream: Any, packets: Iterable[av.Packet]) -> set[tuple[int, int]]:
    """Return the rates and numbers of channels of decoded sound."""
    return {
        (frame.sample_rate, frame.layout.nb_channels)
        for packet in chain(packets, [None])
        for frame in decode_sound(stream, packet) or ()
    }


@dataclass(frozen=True, slots=True)
class SoundComparison:
    """Compares a stream of converted sound with its source.

    `name`: of the stream in messages. `part`: the part of the source that the output holds.
    """

    name: str
    output_name: str
    part: Part

    def compare(
        self,
        source_stream: Any,
        originals: Iterable[av.Packet],
        copied_stream: Any,
        copies: Iterable[av.Packet],
    ) -> None:
        """Raise VerifyError, naming the time of the first difference.

        The streams belong to opened containers, which decode their packets.
        """
        blocks = _blocks(copied_stream, copies)
        first = next(blocks, None)
        context = copied_stream.codec_context
        sample_format = context.format.name.rstrip("p") if first is None else first.sample_format
        target = AudioTarget(
            context.codec.canonical_name, sample_format, context.sample_rate, context.layout.name
        )
        expected = _Expected(source_stream, originals, target, self.part)
        clock = Fraction(copied_stream.time_base) * target.rate  # samples per tick
        for block in chain([] if first is None else [first], blocks):
            position, values = expected.take(block.values.shape[1])
            if values.shape[1] < block.values.shape[1]:
                raise self._error(position, target, "goes on where the source ends")
            if block.rate != target.rate or block.values.shape[0] != values.shape[0]:
                raise self._error(position, target, "has another rate or number of channels")
            copied = convert_samples(block.values, target.sample_format)
            if copied.tobytes() != values.tobytes():  # a float may be no number
                raise self._error(position, target, "has other samples than the source")
            drift = block.start * target.rate - (position - self.part.offset * target.rate)
            if abs(drift) > clock + 1:
                milliseconds = float(drift / target.rate) * 1000
                raise self._error(
                    position, target, f"comes {milliseconds:+.1f} ms from where it was"
                )
        position, values = expected.take(1)
        if values.size:
            raise self._error(position, target, "ends before the source's")

    def _error(self, position: int, target: AudioTarget, message: str) -> VerifyError:
        seconds = position / target.rate
        return VerifyError(
            f"{self.name}: the sound of {self.output_name} {message}, at {seconds:.3f} s"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A decoded frame of converted sound."""

    start: Fraction  # seconds
    values: np.ndarray  # (channels, samples)
    sample_format: str
    rate: int


def _blocks(stream: Any, packets: Iterable[av.Packet]) -> Iterator[_Block]:
    for packet in chain(packets, [None]):
        for frame in decode_sound(stream, packet) or ():
            name = frame.format.name.rstrip("p")
            start = (frame.pts or 0) * Fraction(frame.time_base or 0)
            yield _Block(start, frame_samples(frame), name, frame.sample_rate)


class _Expected:
    """The samples that a source's packets are converted to, taken a number at a time."""

    def __init__(
        self, stream: Any, packets: Iterable[av.Packet], target: AudioTarget, part: Part
    ) -> None:
        self._samples = _read(stream, packets, target, part)
        self._waiting: list[Samples] = []

    def take(self, num_samples: int) -> tuple[int, np.ndarray]:
        """Return the position of the next sample, and as many as are left up to a number."""
        missing = num_samples - sum(s.values.shape[1] for s in self._waiting)
        while missing > 0 and (samples := next(self._samples, None)) is not None:
            self._waiting.append(samples)
            missing -= samples.values.shape[1]
        if not self._waiting:
            return 0, np.empty((0, 0))
        position = self._waiting[0].start
        values = np.concatenate([samples.values for samples in self._waiting], axis=1)
        last = self._waiting[-1]
        rest = values.shape[1] - num_samples
        self._waiting = [last.cut(last.stop - rest, None)] if rest > 0 else []
        return position, values[:, :num_samples]


def _read(
    stream: Any, packets: Iterable[av.Packet], target: AudioTarget, part: Part
) -> Iterator[Samples]:
    first, stop = part_in_samples(part, target.rate)
    reader = SampleReader(stream, target)
    for packet in chain(packets, [None]):
        for samples in reader.read(packet):
            cut = samples.cut(first, stop)
            if cut.values.size:
                yield cut
