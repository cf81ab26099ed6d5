"""Tries out encoders and containers in memory, before a run colours its first frame.

Trials take the place of tables of what each encoder and container of FFmpeg supports. What is
written is read back and compared as `verify` does at the end of a run.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer

from filmcolor.errors import ContainerError, FilmcolorError, SettingsError
from filmcolor.output.acm import name_acm_tracks
from filmcolor.output.audio_comparison import SoundComparison, compare_parameters
from filmcolor.output.audio_conversion import AudioConverter
from filmcolor.output.audio_target import AudioTarget, choose_target
from filmcolor.output.encoder import FrameBuilder, add_video_stream, start_encoding
from filmcolor.output.muxing import muxer_options
from filmcolor.output.options import Conversion, OutputPlan
from filmcolor.output.packet_comparison import PacketComparison
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.packet_sample import clone_packet
from filmcolor.output.streams import PacketMuxer, add_copy, converted_packet, shift_packet
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.types.frames import ColorFrame
from filmcolor.video.demux import open_film, read_packets
from filmcolor.video.probe import describe_film, stream_info
from filmcolor.video.side_data import read_first_carrier

_NUM_FRAMES = 4  # of fewer, x265 may return random decoding times


def try_picture(info: FilmInfo, plan: OutputPlan) -> FilmInfo:
    """Return the properties of a film of a few black frames in the planned coding, read back.

    Raises SettingsError when the encoder refuses its settings, ContainerError when the container
    cannot hold the codec.
    """
    try:
        memory = _write_picture(info, plan)
    except ValueError as error:
        if "does not support" not in str(error):
            raise _encoder_error(plan, error) from error
        raise ContainerError(
            f"{plan.path.suffix} cannot hold {plan.codec}; name the output .mkv"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise _encoder_error(plan, error) from error
    film: Any
    with av.open(memory) as film:
        return describe_film(film, plan.path)


def _write_picture(info: FilmInfo, plan: OutputPlan) -> io.BytesIO:
    """Return a film of a few black frames with the side data of the film's first."""
    memory = io.BytesIO()
    options = muxer_options(plan.format, info.time_base)
    with av.open(memory, "w", format=plan.format, container_options=options) as output:
        stream = add_video_stream(output, info, plan)
        start_encoding(output)
        build_frame = FrameBuilder(info, plan)
        step = max(1, round(info.ticks_per_frame))
        side_data = read_first_carrier(info)
        for number in range(_NUM_FRAMES):
            frame = replace(_black_frame(info, plan, number, step), side_data=side_data)
            output.mux(stream.encode(build_frame(frame, number * step)))
        output.mux(stream.encode(None))
    memory.seek(0)
    return memory


def _encoder_error(plan: OutputPlan, error: Exception) -> SettingsError:
    options = ", ".join(f"{name}={value}" for name, value in plan.options.items())
    return SettingsError(
        f"{plan.codec} refuses {plan.width}×{plan.height} {plan.pix_fmt} with "
        f"{options or 'no options'} ({getattr(error, 'strerror', None) or error}); "
        "check --preset, --crf and --pix-fmt"
    )


def _black_frame(info: FilmInfo, plan: OutputPlan, number: int, duration: int) -> ColorFrame:
    dtype = np.uint8 if plan.coding.bit_depth == 8 else np.uint16
    columns, rows = plan.subsampling.plane_size(info.width, info.height)
    chroma = np.full((rows, columns), plan.coding.chroma_offset, dtype)
    return ColorFrame(
        number=number,
        luma=np.full((info.height, info.width), plan.coding.luma_offset, dtype),
        cb=chroma,
        cr=chroma,
        pts=number * duration,
        duration=duration,
        is_interlaced=info.is_interlaced and not info.is_deinterlaced,
    )


@dataclass(frozen=True, slots=True)
class StreamTrial:
    """What became of a sample of a stream in a container.

    difference: what a copy differs in, or why it cannot be written; "" if it is the same.
    language: that of the copy.
    """

    difference: str = ""
    language: str | None = None

    @property
    def is_kept(self) -> bool:
        """True if the container can hold the stream."""
        return not self.difference


@dataclass(frozen=True, slots=True)
class StreamTrials:
    """Tries containers with a film's own packets.

    `source`: the film, opened. `repair`: of its streams, with samples.
    """

    info: FilmInfo
    source: InputContainer
    repair: PacketRepair

    def try_stream(
        self, format_name: str, stream: StreamInfo, conversion: Conversion | None = None
    ) -> StreamTrial:
        """Return what becomes of a stream in a container, converted if that is given."""
        if stream.is_picture and format_name == "mov":
            return StreamTrial("FFmpeg does not write pictures into it")
        try:
            originals = [] if stream.type == "attachment" else self.repair.sample(stream.index)
            is_copied, memory = self._write(format_name, stream, conversion, originals)
            if not is_copied:  # an attachment; other containers drop it silently
                is_kept = format_name == "matroska"
                return StreamTrial("" if is_kept else "it holds no attachments")
            return self._compare(memory, stream, conversion, originals)
        except (av.error.FFmpegError, OSError, ValueError, NotImplementedError) as error:
            return StreamTrial(str(getattr(error, "strerror", None) or error))
        except FilmcolorError as error:
            return StreamTrial(str(error))

    def choose_target(self, format_name: str, stream: StreamInfo) -> AudioTarget | None:
        """Return what sound can be converted to in a container; None if to nothing."""
        packets = self.repair.sample(stream.index)
        if stream.type != "audio" or not packets:
            return None
        if self.source.streams[stream.index].codec_context is None:
            return None
        with open_film(self.info.path) as film:
            target = choose_target(format_name, film.streams[stream.index], packets)
        is_possible = target and self.try_stream(format_name, stream, target).is_kept
        return target if is_possible else None

    def _write(
        self,
        format_name: str,
        stream: StreamInfo,
        conversion: Conversion | None,
        packets: Sequence[av.Packet],
    ) -> tuple[bool, io.BytesIO]:
        """Return a file with a copy of a stream, and whether the copy has packets."""
        memory = io.BytesIO()
        options = muxer_options(format_name, self.info.time_base)
        with av.open(memory, "w", format=format_name, container_options=options) as output:
            copy = add_copy(output, self.source, stream, conversion)
            if copy is not None:
                start_encoding(output)
                muxer = PacketMuxer(output)
                for converted in self._convert(stream, conversion, packets):
                    shift_packet(converted, self.info.origin)
                    converted.stream = copy
                    muxer.mux(converted)
        name_acm_tracks(memory)
        memory.seek(0)
        return copy is not None, memory

    def _convert(
        self, stream: StreamInfo, conversion: Conversion | None, packets: Sequence[av.Packet]
    ) -> Iterator[av.Packet]:
        """Yield the packets of a copy."""
        if isinstance(conversion, AudioTarget):
            with open_film(self.info.path) as film:  # decoders keep a state: a new one each time
                converter = AudioConverter(film.streams[stream.index], conversion, Part())
                for packet in [*packets, None]:
                    yield from converter.convert(packet)
            return
        for packet in packets:
            converted = converted_packet(clone_packet(packet), stream, conversion)
            if converted is not None:
                yield converted

    def _compare(
        self,
        memory: io.BytesIO,
        stream: StreamInfo,
        conversion: Conversion | None,
        originals: Sequence[av.Packet],
    ) -> StreamTrial:
        """Return how a copy of a stream differs from it; raises VerifyError if its packets do."""
        if not originals:
            return StreamTrial(language=stream.language)  # containers keep no empty stream
        film: Any
        with av.open(memory) as film:
            copied: Any = next(iter(film.streams), None)
            if copied is None:
                return StreamTrial("it is lost")
            copy = stream_info(copied)
            path = Path("the copy")
            comparison = PacketComparison(
                stream, copy, self.info.path, path, film.format.name, self.info.origin
            )
            copies = (packet for packet in read_packets(film, copied) if packet.size)
            if isinstance(conversion, AudioTarget):
                with open_film(self.info.path) as source:
                    SoundComparison(stream.name, str(path), Part(origin=self.info.origin)).compare(
                        source.streams[stream.index], originals, copied, copies
                    )
            else:
                copy_list = list(copies)
                if self.repair.changes_sound(stream.index):
                    with open_film(self.info.path) as source:
                        original = source.streams[stream.index]
                        compare_parameters(original, originals, copied, copy_list)
                comparison.compare(iter(originals), iter(copy_list))
            return StreamTrial(language=copy.language)
