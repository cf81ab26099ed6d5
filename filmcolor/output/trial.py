"""Tries out encoders and containers in memory, before a run decodes its first frame.

Trials take the place of tables of what each encoder and container of FFmpeg supports.
"""

import io
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from filmcolor.errors import ContainerError, SettingsError
from filmcolor.output.encoder import add_video_stream, start_encoding
from filmcolor.output.options import OutputPlan
from filmcolor.output.streams import add_copy, convert_packet
from filmcolor.types.film import FilmInfo, StreamInfo
from filmcolor.video.demux import open_film, read_packets

_MAX_PACKETS = 1000  # read in search of a stream's first packet


def try_encoder(info: FilmInfo, plan: OutputPlan) -> None:
    """Open the encoder and the container in memory.

    Raises SettingsError when the encoder refuses its settings, ContainerError when the container
    cannot hold the codec.
    """
    try:
        with av.open(io.BytesIO(), "w", format=plan.format) as output:
            add_video_stream(output, info, plan)
            start_encoding(output)
    except ValueError as error:
        if "does not support" not in str(error):
            raise _encoder_error(plan, error) from error
        raise ContainerError(
            f"{plan.path.suffix} cannot hold {plan.codec}; name the output .mkv"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise _encoder_error(plan, error) from error


def _encoder_error(plan: OutputPlan, error: Exception) -> SettingsError:
    options = ", ".join(f"{name}={value}" for name, value in plan.options.items())
    return SettingsError(
        f"{plan.codec} refuses {plan.width}×{plan.height} {plan.pix_fmt} with "
        f"{options or 'no options'} ({getattr(error, 'strerror', None) or error}); "
        "check --preset, --crf and --pix-fmt"
    )


def keeps_pixel_shape(info: FilmInfo, plan: OutputPlan) -> bool:
    """Return True when the container keeps the sample aspect ratio.

    PyAV does not pass it to Matroska, which so has only what the codec itself stores: H.264 and
    H.265 store it; FFV1, ProRes and AV1 do not.
    """
    with av.open(_write_one_frame(info, plan, {})) as film:
        return film.streams.video[0].sample_aspect_ratio == info.sar


def keeps_timecode(info: FilmInfo, plan: OutputPlan) -> bool:
    """Return True when the container keeps the film's timecode.

    QuickTime's timecodes must fit the frame rate: some others are dropped, some fail the run.
    """
    if plan.format not in ("mp4", "mov") or info.timecode is None:
        return True
    try:
        with av.open(_write_one_frame(info, plan, {"timecode": info.timecode})) as film:
            return film.streams.video[0].metadata.get("timecode") == info.timecode
    except (av.error.FFmpegError, OSError):
        return False


def _write_one_frame(info: FilmInfo, plan: OutputPlan, metadata: Mapping[str, str]) -> io.BytesIO:
    """Return a film of one frame, to be read back."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=plan.format) as output:
        stream = add_video_stream(output, info, plan)
        output.metadata.update(metadata)
        start_encoding(output)
        frame = av.VideoFrame(plan.width, plan.height, plan.pix_fmt)
        for plane in frame.planes:  # x264 ends the process at code values beyond the bit depth
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, info.time_base
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    memory.seek(0)
    return memory


def can_hold(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> bool:
    """Return True when a container can hold a copy of a stream, converted to `codec` if given.

    Writes the stream's first packet, for some muxers refuse only that.
    """
    if stream.is_picture and format_name == "mov":
        return False  # FFmpeg drops it silently
    try:
        copy, _ = _write_first_packet(format_name, source, stream, codec)
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return False
    return copy is not None or format_name == "matroska"  # others drop attachments silently


def loses_language(source: InputContainer, stream: StreamInfo, codec: str | None) -> bool:
    """Return True when QuickTime's short list of languages lacks that of a stream."""
    copy, memory = _write_first_packet("mov", source, stream, codec)
    with av.open(memory) as film:
        languages = [written.metadata.get("language") for written in film.streams]
    return bool(languages) and languages[0] != copy.metadata.get("language")


def _write_first_packet(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None
) -> tuple[Any, io.BytesIO]:
    """Return a copy of a stream, None for an attachment, and the file that holds it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name) as output:
        copy = add_copy(output, source, stream, codec)
        if copy is not None:
            start_encoding(output)
            packet = _first_packet(Path(source.name), stream)
            if packet is not None:
                if codec is not None:
                    packet = convert_packet(packet, stream.codec, codec)
                packet.stream = copy
                output.mux(packet)
    memory.seek(0)
    return copy, memory


def _first_packet(path: Path, stream: StreamInfo) -> av.Packet | None:
    """Return a stream's first packet; None if it comes late, as with subtitles."""
    with open_film(path) as source:
        for packet in islice(read_packets(source, list(source.streams)), _MAX_PACKETS):
            if packet.stream_index == stream.index and packet.size:
                return packet
    return None
