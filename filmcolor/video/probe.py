"""Reads a film's properties from its headers and its first frame."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition

from filmcolor.errors import InputError
from filmcolor.types.film import Chapter, FilmInfo, StreamInfo
from filmcolor.types.yuv import UNSPECIFIED, Coding, default_matrix, is_known_matrix
from filmcolor.video.demux import JPEG_RANGE, MPEG_RANGE, decode_packet, open_film, read_packets
from filmcolor.video.interlacing import detect_field_order, is_interlaced_order

_MAX_RATE = 1000  # frames per second; more is a clock's rate
_DISPOSITIONS = tuple(flag.name for flag in Disposition if flag.name)


def probe(path: str | os.PathLike[str], video: int | None = None) -> FilmInfo:
    """Return the properties of a film; its first frame is decoded to verify them.

    `video`: the position of the film among the file's video streams, counted from 0 without cover
    art; FFmpeg's choice by default.
    Raises InputError when the file has no video stream that can be decoded.
    """
    path = Path(path)
    with open_film(path) as container:
        streams = tuple(_stream_info(s) for s in container.streams if not _is_chapter_track(s))
        videos = [s.index for s in streams if s.type == "video" and not s.is_picture]
        if not videos:
            raise InputError(f"{path} has no video stream; is it an audio file or a picture?")
        stream: Any = container.streams[_choose_video(container, videos, video)]
        if not hasattr(stream.codec_context, "decode"):
            raise InputError(f"{path}: no decoder for its video in this build of PyAV")
        frame = _first_frame(container, stream, path)
        tags = _color_tags(stream.codec_context, frame)
        field_order = detect_field_order(stream.codec_context.field_order, frame)
        return FilmInfo(
            path=path,
            container=container.format.name,
            video_index=stream.index,
            codec=stream.codec_context.codec.canonical_name,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            **tags,
            sar=Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
            rotation=frame.rotation,
            is_interlaced=is_interlaced_order(field_order),
            time_base=Fraction(stream.time_base),
            frame_rate=_frame_rate(stream, has_times=frame.pts is not None),
            start_pts=frame.pts or 0,
            end_pts=_end_pts(stream),
            num_frames_estimate=_num_frames(container, stream),
            duration_seconds=_duration(container, stream),
            streams=streams,
            chapters=_chapters(container),
            metadata=dict(container.metadata),
            field_order=field_order,
            origin=_origin(container, stream, frame),
            has_times=frame.pts is not None,
            num_bytes=max(0, container.size),
        )


def _choose_video(container: InputContainer, videos: list[int], video: int | None) -> int:
    """Return the index of the stream to colour, among those of `videos`."""
    if video is not None and video < len(videos):
        return videos[video]
    best = container.streams.best("video")
    return best.index if best and best.index in videos else videos[0]


def _stream_info(stream: Any) -> StreamInfo:
    context = getattr(stream, "codec_context", None)
    codec = (context.codec.canonical_name if context else getattr(stream, "name", None)) or "none"
    detail = ""
    if stream.type == "audio" and context:
        detail = f"{context.layout.name}, {context.sample_rate} Hz"
    elif stream.type == "video" and context:
        detail = f"{context.width}×{context.height}, {context.pix_fmt}"
    disposition = tuple(name for name in _DISPOSITIONS if stream.disposition & Disposition[name])
    return StreamInfo(stream.index, stream.type, codec, detail, dict(stream.metadata), disposition)


def _is_chapter_track(stream: Any) -> bool:
    """Return whether a stream is MP4's track of chapter titles, a copy of its chapters."""
    return stream.type == "data" and stream.discard == Discard.all


def _first_frame(container: InputContainer, stream: Any, path: Path) -> av.VideoFrame:
    """Return the first frame that can be decoded; raises InputError without one."""
    has_packets = False
    for packet in read_packets(container, stream):
        has_packets |= packet.size > 0
        for frame in decode_packet(stream, packet) or ():
            return frame
    if has_packets:
        raise InputError(f"{path}: none of its pictures can be decoded; is the file complete?")
    raise InputError(f"{path} has a video stream but no picture in it; is the file complete?")


def _color_tags(context: Any, frame: av.VideoFrame) -> dict[str, Any]:
    """Return FilmInfo's fields about the coding of colour."""
    pixels = frame.format
    is_gray = pixels.name.startswith(("gray", "ya", "mono"))
    is_full = pixels.name.startswith("yuvj") or context.color_range == JPEG_RANGE
    if is_gray and context.color_range != MPEG_RANGE:
        is_full = True  # FFmpeg treats untagged gray as full range
    is_rgb = pixels.is_rgb or pixels.has_palette
    if is_rgb:
        is_full = False  # `extract_luma` computes luma, in the range that players expect
    depth = 8 if pixels.has_palette else max(8, pixels.components[0].bits)
    is_tagged = is_known_matrix(context.colorspace)
    matrix = context.colorspace if is_tagged else default_matrix(frame.width, frame.height)
    return {
        "coding": Coding(matrix, is_full, depth),
        "is_matrix_tagged": is_tagged,
        "primaries": context.color_primaries or UNSPECIFIED,
        "transfer": context.color_trc or UNSPECIFIED,
    }


def _frame_rate(stream: Any, has_times: bool = True) -> Fraction:
    """Return the mean frame rate, in frames per second."""
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if not has_times:  # those are the demuxer's guesses; the codec's header may hold the rate
        rates.insert(0, stream.codec_context.framerate)
    # the mean rate of a raw DV file is the tick rate of its clock: hence _MAX_RATE
    return next((Fraction(r) for r in rates if r and r <= _MAX_RATE), Fraction(25))


def _duration(container: InputContainer, stream: Any) -> Fraction | None:
    """Return the duration in seconds, None if it is unknown."""
    if stream.duration:
        return stream.duration * Fraction(stream.time_base)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _origin(container: InputContainer, stream: Any, frame: av.VideoFrame) -> Fraction:
    """Return FilmInfo.origin: 0, or the start of the first stream if frames begin before zero."""
    if (frame.pts or 0) >= 0:
        return Fraction(0)
    streams: list[Any] = list(container.streams)
    starts = [s.start_time * Fraction(s.time_base) for s in streams if s.start_time]
    return min([(frame.pts or 0) * Fraction(stream.time_base), *starts])


def _end_pts(stream: Any) -> int | None:
    """Return the end of the last frame in ticks, None if the container does not state it."""
    return (stream.start_time or 0) + stream.duration if stream.duration else None


def _num_frames(container: InputContainer, stream: Any) -> int | None:
    """Return FilmInfo.num_frames_estimate."""
    if stream.frames:
        return int(stream.frames)
    duration = _duration(container, stream)
    return max(1, round(duration * _frame_rate(stream))) if duration else None


def _chapters(container: InputContainer) -> tuple[Chapter, ...]:
    chapters = []
    for item in container.chapters():
        base = Fraction(item["time_base"] or Fraction(1, 1000))
        chapters.append(Chapter(item["start"] * base, item["end"] * base, dict(item["metadata"])))
    return tuple(chapters)
