"""Decides which streams besides the picture an output keeps, converts and leaves out."""

from pathlib import Path

from av.container import InputContainer

from filmcolor.errors import ContainerError
from filmcolor.output.options import FORMATS, StreamPlan
from filmcolor.output.subtitles import MOV_TEXT, SUBRIP, is_convertible
from filmcolor.output.trial import can_hold
from filmcolor.types.film import FilmInfo, StreamInfo
from filmcolor.video.demux import open_film, read_packets


def plan_streams(info: FilmInfo, path: Path, convert: bool, drop: bool) -> StreamPlan:
    """Return what becomes of each stream besides the picture in an output.

    Streams of data without a player, and empty streams, are left out if the container cannot hold
    them. `convert`: subtitles may be converted to the container's own codec. `drop`: leave out
    whatever it cannot hold. Raises ContainerError, naming a container that can hold it, if neither
    helps.
    """
    format_name = FORMATS[path.suffix.lower()]
    copied, left_out, conversions = [], [], {}
    with open_film(info.path) as source:
        for stream in info.streams:
            if stream.index == info.video_index or stream.is_timecode:
                continue  # the muxer writes a timecode track from the picture's tag
            codec = _conversion(format_name, info, stream) if convert else None
            if can_hold(format_name, source, stream):
                copied.append(stream)
            elif codec and can_hold(format_name, source, stream, codec):
                copied.append(stream)
                conversions[stream.index] = codec
            elif drop or stream.type in ("data", "unknown") or _is_empty(info.path, stream):
                left_out.append(stream)
            else:
                suffixes = _suffixes_that_hold(source, stream)
                remedy = f"name the output {suffixes}, or" if suffixes else "no container here can;"
                raise ContainerError(
                    f"{path.suffix} cannot hold {stream.name} of {info.path}; {remedy} "
                    "add --drop-unsupported to go on without it"
                )
    return StreamPlan(tuple(copied), tuple(left_out), conversions)


def _conversion(format_name: str, info: FilmInfo, stream: StreamInfo) -> str | None:
    """Return the container's own codec for a stream's text; None if the conversion loses text."""
    codec = MOV_TEXT if format_name in ("mp4", "mov") else SUBRIP
    if not is_convertible(stream.codec, codec):
        return None
    return None if codec == MOV_TEXT and _overlaps(info.path, stream) else codec


def _overlaps(path: Path, stream: StreamInfo) -> bool:
    """Return True when two titles are shown at a time: in MP4 each ends where the next begins."""
    end = None
    with open_film(path) as source:
        for packet in read_packets(source, source.streams[stream.index]):
            if packet.size and packet.pts is not None:
                if end is not None and packet.pts < end:
                    return True
                end = packet.pts + (packet.duration or 0)
    return False


def _is_empty(path: Path, stream: StreamInfo) -> bool:
    """Return True for a stream without packets, which a damaged header announces."""
    if stream.type == "attachment":
        return False
    with open_film(path) as source:
        packets = read_packets(source, source.streams[stream.index])
        return not any(packet.size for packet in packets)


def _suffixes_that_hold(source: InputContainer, stream: StreamInfo) -> str:
    suffixes = (".mp4", ".mov", ".mkv")
    return " or ".join(s for s in suffixes if can_hold(FORMATS[s], source, stream))
