"""What sound is converted to that a container cannot hold: another codec, the same samples.

Sound of integer samples becomes FLAC, in MOV ALAC, with the same samples. Lossy codecs decode to
floating point, which is rounded to 24 bits: 144 dB below full scale. Samples of more bits become
PCM, in Matroska only: MP4 and MOV keep no gap in PCM.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import OutputContainer

from filmcolor.output.audio_samples import DTYPES, decode_sound

# by container: the encoder of up to 24 bits and 8 channels
_ENCODERS = {"mp4": "flac", "mov": "alac", "matroska": "flac"}
_MAX_CHANNELS = 8
_PCM_ENCODERS = {"s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_CODED_FORMATS = {"flac": ("s16", "s32"), "alac": ("s16p", "s32p")}
# ALAC has no layout with channels at the sides; they are in the same order
_ALAC_LAYOUTS = {"5.0(side)": "5.0", "5.1(side)": "5.1"}
# codecs whose decoders give 32 bits of which 24 at most are used
_24_BIT_CODECS = re.compile(r"pcm_\w*24\w*|pcm_(dvd|bluray)|s302m|wmalossless|mlp|truehd|aptx\w*")


@dataclass(frozen=True, slots=True)
class AudioTarget:
    """What sound is converted to."""

    codec: str  # FFmpeg's name of the encoder
    sample_format: str  # "s16", "s32" (24 bits of it in FLAC and ALAC), "flt" or "dbl"
    rate: int  # samples per second
    layout: str  # of channels
    is_rounded: bool = False  # from the floating point of a lossy codec, to 24 bits
    resampled_rates: tuple[int, ...] = ()  # of parts of the source, where it changes its rate
    mixed_channels: tuple[int, ...] = ()  # the same, of its numbers of channels

    def __str__(self) -> str:
        return self.codec

    def describe(self) -> str:
        """Return what becomes of the samples, in words."""
        words = "every sample is kept" + (", rounded to 24 bits" if self.is_rounded else "")
        if self.resampled_rates:
            rates = " and ".join(map(str, self.resampled_rates))
            words += f"; parts at {rates} Hz are resampled to {self.rate} Hz, at the same pitch"
        if self.mixed_channels:
            numbers = " and ".join(map(str, self.mixed_channels))
            words += f"; parts with {numbers} channels are mixed to {self.num_channels}"
        return words

    @property
    def num_channels(self) -> int:
        """The number of channels."""
        return av.AudioLayout(self.layout).nb_channels

    def limit(self, values: np.ndarray) -> np.ndarray:
        """Return samples without the bits that the encoder leaves out: FLAC and ALAC take 24."""
        is_24_bit = self.codec in _CODED_FORMATS and self.sample_format == "s32"
        return values & ~255 if is_24_bit else values

    @property
    def coded_format(self) -> str:
        """FFmpeg's name of the sample format that the encoder takes."""
        if self.codec not in _CODED_FORMATS:
            return self.sample_format
        return _CODED_FORMATS[self.codec][self.sample_format == "s32"]

    def set_parameters(self, context: Any) -> None:
        """Set an encoder's parameters, before it is opened."""
        context.sample_rate, context.layout = self.rate, self.layout
        context.format = self.coded_format
        context.time_base = Fraction(1, self.rate)


def choose_target(
    format_name: str, stream: Any, packets: Iterable[av.Packet]
) -> AudioTarget | None:
    """Return what a stream's sound can be converted to in a container; None if to nothing.

    `packets`: some of the stream, among them those where its parameters change. The target has the
    highest rate and the most channels of all.
    """
    frames = [frame for packet in [*packets, None] for frame in decode_sound(stream, packet) or ()]
    names = {frame.format.name.rstrip("p") for frame in frames}
    if format_name not in _ENCODERS or not names or not names <= DTYPES.keys():
        return None
    sample_format = _target_format(stream, names)
    rates = sorted({frame.sample_rate for frame in frames})
    layout = max((frame.layout for frame in frames), key=lambda layout: layout.nb_channels)
    num_channels = layout.nb_channels
    others = sorted({frame.layout.nb_channels for frame in frames} - {num_channels})
    layout_name = f"{num_channels}c" if layout.name.endswith(" channels") else layout.name
    is_coded = sample_format == "s16" or (sample_format == "s32" and _is_24_bit(stream, names))
    if is_coded and num_channels <= _MAX_CHANNELS:
        codec = _ENCODERS[format_name]
    elif format_name == "matroska":
        codec = _PCM_ENCODERS[sample_format]
    else:
        return None
    if codec == "alac":
        layout_name = _ALAC_LAYOUTS.get(layout_name, layout_name)
    is_rounded = sample_format == "s32" and bool(names & {"flt", "dbl"})
    return AudioTarget(
        codec,
        sample_format,
        rates[-1],
        layout_name,
        is_rounded,
        tuple(rates[:-1]),
        tuple(others),
    )


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
    target.set_parameters(stream.codec_context)
    return stream
