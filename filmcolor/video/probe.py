"""Reads a film's properties from its headers and its first frame."""

import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition

from filmcolor.errors import InputError
from filmcolor.types.film import Chapter, FilmInfo, StreamInfo
from filmcolor.types.orientation import AS_CODED, Orientation
from filmcolor.video.color_tags import describe_pixels, read_color_tags
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.encryption import check_is_clear
from filmcolor.video.frame_rate import read_frame_rate, stores_times
from filmcolor.video.image_sequence import ImageSequence
from filmcolor.video.interlacing import detect_field_order, is_interlaced_order, marks_frames
from filmcolor.video.pixel_layout import is_known
from filmcolor.video.side_data import (
    CAPTIONS,
    DISPLAY_MATRIX,
    STORED_KINDS,
    CaptionSearch,
    read_side_data,
)

_DISPOSITIONS = tuple(flag.name for flag in Disposition if flag.name)


def probe(path: str | os.PathLike[str], video: int | None = None) -> FilmInfo:
    """Return the properties of a film; its first frame is decoded to verify them.

    `video`: the position of the film among the file's video streams, counted from 0 without cover
    art; FFmpeg's choice by default.
    Raises InputError when the file is encrypted, or has no video stream that can be decoded.
    """
    path = Path(path)
    with open_film(path) as container:
        check_is_clear(path, {stream.id for stream in container.streams})
        return describe_film(container, path, video)


def describe_film(container: InputContainer, path: Path, video: int | None = None) -> FilmInfo:
    """Return the properties of an open film, as `probe` does; `path` is its name."""
    streams = tuple(stream_info(s) for s in container.streams if not _is_chapter_track(s))
    videos = [s.index for s in streams if s.type == "video" and not s.is_picture]
    if not videos:
        raise InputError(f"{path} has no video stream; is it an audio file or a picture?")
    stream: Any = container.streams[_choose_video(container, videos, video)]
    if not hasattr(stream.codec_context, "decode"):
        raise InputError(f"{path}: no decoder for its video in this build of PyAV")
    codec = stream.codec_context.codec.canonical_name
    search = CaptionSearch(codec)
    frames = _frames(container, stream, path, search)
    frame = next(frames)
    if not is_known(frame.format):
        raise InputError(
            f"{path}: its pixels, {frame.format.name}, are a camera's raw data; develop them "
            "to DPX, TIFF or EXR first"
        )
    if codec == "hevc" and frame.interlaced_frame:  # FFmpeg marks fields alone
        raise InputError(
            f"{path}: its H.265 pictures are single fields; weave them into frames first, "
            f"for example: ffmpeg -i {path.name} -vf weave -c:v ffv1 {path.stem}.frames.mkv"
        )
    side_data = read_side_data(frame)
    is_sequence = isinstance(container, ImageSequence)
    tags = read_color_tags(stream.codec_context, frame, is_sequence)
    header_order = stream.codec_context.field_order
    first_frames = chain([frame], frames if marks_frames(codec) else ())
    field_order = detect_field_order(header_order, first_frames, codec)
    has_times = stores_times(container.format.name, frame, codec)
    frame_rate, rate_notes = read_frame_rate(stream, container.format.name, codec)
    if search.finish(read_packets(container, stream)):
        side_data.setdefault(CAPTIONS, b"")
    return FilmInfo(
        path=path,
        container=container.format.name,
        video_index=stream.index,
        codec=codec,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        **tags,
        sar=Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
        orientation=_orientation(side_data),
        is_interlaced=is_interlaced_order(field_order),
        time_base=Fraction(stream.time_base),
        frame_rate=frame_rate,
        start_pts=(has_times and frame.pts) or 0,
        end_pts=_end_pts(stream),
        num_frames_estimate=_num_frames(container, stream, frame_rate) if has_times else None,
        # FFmpeg guesses that of elementary streams, by their size
        duration_seconds=_duration(container, stream) if has_times else None,
        streams=streams,
        chapters=read_chapters(container),
        metadata=dict(container.metadata),
        field_order=field_order,
        origin=_origin(container, stream, frame),
        has_times=has_times,
        num_bytes=max(0, container.size),
        side_data={k: data.hex() if k in STORED_KINDS else "" for k, data in side_data.items()},
        stem=container.files.stem if isinstance(container, ImageSequence) else None,
        notes=(
            *rate_notes,
            *describe_pixels(frame.format.name, tags["is_linear"]),
            *(container.notes if isinstance(container, ImageSequence) else ()),
        ),
    )


def _choose_video(container: InputContainer, videos: list[int], video: int | None) -> int:
    """Return the index of the stream to colour, among those of `videos`."""
    if video is not None and video < len(videos):
        return videos[video]
    best = container.streams.best("video")
    return best.index if best and best.index in videos else videos[0]


def stream_info(stream: Any) -> StreamInfo:
    """Return the properties of a stream of an open film."""
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


def _frames(
    container: InputContainer, stream: Any, path: Path, search: CaptionSearch
) -> Iterator[av.VideoFrame]:
    """Yield the frames that can be decoded, at least one; raises InputError without one.

    `search` sees the packets that are read.
    """
    has_packets = has_frames = False
    for packet in read_packets(container, stream):
        search.add(packet)
        has_packets |= packet.size > 0
        for frame in decode_packet(stream, packet) or ():
            has_frames = True
            yield frame
    if has_frames:
        return
    if has_packets:
        raise InputError(f"{path}: none of its pictures can be decoded; is the file complete?")
    raise InputError(f"{path} has a video stream but no picture in it; is the file complete?")


def _orientation(side_data: Mapping[str, bytes]) -> Orientation:
    """Return how the container or the coded stream wants a frame shown."""
    matrix = side_data.get(DISPLAY_MATRIX)
    return AS_CODED if matrix is None else Orientation.from_bytes(matrix)


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


def _num_frames(container: InputContainer, stream: Any, rate: Fraction) -> int | None:
    """Return FilmInfo.num_frames_estimate."""
    if stream.frames:
        return int(stream.frames)
    duration = _duration(container, stream)
    return max(1, round(duration * rate)) if duration else None


def read_chapters(container: InputContainer) -> tuple[Chapter, ...]:
    """Return the chapters of an open film, as FFmpeg reads them."""
    chapters = []
    for item in container.chapters():
        base = Fraction(item["time_base"] or Fraction(1, 1000))
        chapters.append(Chapter(item["start"] * base, item["end"] * base, dict(item["metadata"])))
    return tuple(chapters)
