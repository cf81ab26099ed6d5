"""The streams beside the picture: what a container can hold, and how they come along."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer

from filmcolor.errors import ContainerError
from filmcolor.frames import FilmInfo, StreamInfo
from filmcolor.probing import open_film, packets_of
from filmcolor.subtitles import HEADER, MOV_TEXT, SUBRIP, converted, is_convertible

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

_NUM_TRIED = 1000  # packets that are searched for a stream's first


@dataclass(frozen=True, slots=True)
class Fates:
    """What becomes of the streams beside the picture."""

    copied: tuple[StreamInfo, ...] = ()
    left_out: tuple[StreamInfo, ...] = ()
    conversions: Mapping[int, str] = field(default_factory=dict)  # index of a copied → codec


NO_FATES = Fates()


def fates_of(info: FilmInfo, path: Path, convert: bool, drop: bool) -> Fates:
    """Tell what becomes of each stream in an output.

    Data that no one plays, and what holds nothing, is left out.
    `convert`: subtitles may go into the container's own codec; `drop`: what it cannot hold is
    left out. Raises ContainerError, naming a container that can, where neither helps.
    """
    format_name = FORMATS[path.suffix.lower()]
    copied, left_out, conversions = [], [], {}
    with open_film(info.path) as source:
        for stream in info.streams:
            if stream.index == info.video_index or stream.is_timecode:
                continue  # timecodes are made anew of the picture's tag
            codec = _conversion(format_name, info, stream) if convert else None
            if _can_hold(format_name, source, stream):
                copied.append(stream)
            elif codec and _can_hold(format_name, source, stream, codec):
                copied.append(stream)
                conversions[stream.index] = codec
            elif drop or stream.kind in ("data", "unknown") or _is_empty(info.path, stream):
                left_out.append(stream)
            else:
                suits = _who_can_hold(source, stream)
                raise ContainerError(
                    f"{path.suffix} cannot hold {stream.name} of {info.path}; "
                    + (f"name the output {suits}, or" if suits else "no container here can;")
                    + " add --drop-unsupported to go on without it"
                )
    return Fates(tuple(copied), tuple(left_out), conversions)


def add_copy(
    output: OutputContainer, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> Any:
    """Add a stream whose packets are copied; None for what is no packets, an attachment.

    `codec`: of subtitles whose packets are converted to it.
    """
    original: Any = source.streams[stream.index]
    if stream.kind == "attachment":
        output.add_attachment(original.name or "attachment", original.mimetype, original.data)
        return None
    if stream.is_picture and output.format.name == "matroska":
        _attach_picture(output, source, stream)
        return None
    copy: Any
    if codec == MOV_TEXT:
        copy = output.add_stream(codec)
        copy.codec_context.subtitle_header = HEADER
    elif codec:
        copy = output.add_mux_stream(codec)
    else:
        copy = output.add_stream_from_template(original)
    if codec:
        copy.time_base = original.time_base
    copy_tags(original, copy)
    return copy


def converted_packet(packet: av.Packet, source: str, target: str) -> av.Packet:
    """Return a packet of subtitles in another codec, shown at the same time."""
    made = av.Packet(converted(bytes(packet), source, target))
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.time_base, made.is_keyframe = packet.time_base, True
    return made


def copy_tags(original: Any, copy: Any) -> None:
    """Give a stream the language, title, other metadata and disposition of another."""
    copy.metadata.update(original.metadata)
    if copy.container.format.name == "mov" and original.metadata.get("language") == "fre":
        copy.metadata["language"] = "fra"  # the one of French's two codes that QuickTime has
    copy.disposition = original.disposition


def _attach_picture(output: OutputContainer, source: InputContainer, stream: StreamInfo) -> None:
    """Matroska keeps cover art as an attachment."""
    ending = {"mjpeg": "jpg"}.get(stream.codec, stream.codec)
    name = stream.metadata.get("filename", f"cover.{ending}")
    mimetype = stream.metadata.get("mimetype", f"image/{'jpeg' if ending == 'jpg' else ending}")
    with open_film(Path(source.name)) as again:
        packet = next(p for p in again.demux(again.streams[stream.index]) if p.size)
        output.add_attachment(name, mimetype, bytes(packet))


def _conversion(format_name: str, info: FilmInfo, stream: StreamInfo) -> str | None:
    """Return the codec that a container has a stream's text in, where nothing is lost by that."""
    codec = MOV_TEXT if format_name in ("mp4", "mov") else SUBRIP
    if not is_convertible(stream.codec, codec):
        return None
    return None if codec == MOV_TEXT and _overlaps(info.path, stream) else codec


def _overlaps(path: Path, stream: StreamInfo) -> bool:
    """Tell whether subtitles are shown two at a time: in MP4 each ends where the next begins."""
    end = None
    with open_film(path) as source:
        for packet in packets_of(source, source.streams[stream.index]):
            if packet.size and packet.pts is not None:
                if end is not None and packet.pts < end:
                    return True
                end = packet.pts + (packet.duration or 0)
    return False


def _is_empty(path: Path, stream: StreamInfo) -> bool:
    """Tell whether nothing of a stream is there: a damaged header told of it."""
    if stream.kind == "attachment":
        return False
    with open_film(path) as source:
        packets = packets_of(source, source.streams[stream.index])
        return not any(packet.size for packet in packets)


def _can_hold(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> bool:
    """Write the stream's beginning in memory: some refusals come with the first packet."""
    if stream.is_picture and format_name == "mov":
        return False  # FFmpeg leaves it out without a word
    try:
        copy, _ = _try_copy(format_name, source, stream, codec)
        return copy is not None or format_name == "matroska"  # others drop attachments unsaid
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return False


def loses_language(source: InputContainer, stream: StreamInfo, codec: str | None) -> bool:
    """QuickTime has a short list of languages: write the stream's beginning and see."""
    copy, memory = _try_copy("mov", source, stream, codec)
    with av.open(memory) as written:
        told = [s.metadata.get("language") for s in written.streams]
    return bool(told) and told[0] != copy.metadata.get("language")


def _try_copy(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None
) -> tuple[Any, io.BytesIO]:
    """Return a copy of the stream, None for an attachment, and the file made with it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name) as output:
        copy = add_copy(output, source, stream, codec)
        if copy is not None:
            output.start_encoding()
            if first := _first_packet(Path(source.name), stream):
                first = first if codec is None else converted_packet(first, stream.codec, codec)
                first.stream = copy
                output.mux(first)
    memory.seek(0)
    return copy, memory


def _first_packet(path: Path, stream: StreamInfo) -> av.Packet | None:
    """Return a stream's first packet; None where it does not come soon, as with subtitles."""
    with open_film(path) as source:
        for packet in islice(packets_of(source, list(source.streams)), _NUM_TRIED):
            if packet.stream_index == stream.index and packet.size:
                return packet
    return None


def _who_can_hold(source: InputContainer, stream: StreamInfo) -> str:
    formats = {FORMATS[s]: s for s in (".mp4", ".mov", ".mkv")}
    return " or ".join(s for name, s in formats.items() if _can_hold(name, source, stream))
