"""Decodes luma or colour frames of a film, numbered and timed from the film's first frame.

A frame is the same, bit for bit, wherever reading begins. Parts are reached by seeking to a
keyframe, and the packets' times tell which frame has been decoded (see `FrameIndex`). If they
cannot, a film is decoded from its beginning.

Decoders with several threads report damage late or not at all, and drop intact frames around it.
So from the first missing frame on, one thread decodes. Around damage, decoders may yield a frame
after those that follow it. If packets identify the frames, it is put in its place: the frames that
follow wait for it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import av.error

from filmcolor.errors import InputError, RangeError
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import DAMAGED, RETIMED, LumaFrame, RgbFrame
from filmcolor.video.bitstreams import make_frame_counter
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.frame_index import PES_FORMATS, FrameIndex
from filmcolor.video.interlacing import deinterlace, is_interlaced
from filmcolor.video.pixel_formats import (
    copy_plane,
    extract_alpha,
    extract_chroma,
    extract_luma,
    extract_rgb,
)
from filmcolor.video.side_data import make_carrier

_MAX_CLOCK_ERROR = 1  # seconds that times may go back; more is a clock that was reset
_SEEK_BACK_SECONDS = (0, 2, 10, 60)  # how far before a frame to look for its keyframe, in turn
# after damage keyframes may be damaged too: start early enough to decode what a full pass gives
_SEEK_BACK_SECONDS_DAMAGED = (10, 60)
_MAX_LATE = 16  # frames that may come before a late one: H.264 and H.265 reorder no more


def resolve(info: FilmInfo, time_range: TimeRange, index: FrameIndex | None = None) -> Part:
    """Return the part of a film that a time range selects.

    `index`: the film's, if it has been read already.
    Raises RangeError when the range holds no frame of the film.
    """
    if time_range.is_whole:
        return Part(origin=info.origin)
    index = index or FrameIndex.read(info)
    is_usable = index.is_exact or index.has_guessed_times
    pts = index.pts if is_usable else _decoded_pts(info, index)
    if not pts:
        raise RangeError(f"{info.path} has no frames to choose a range from")
    first, stop = time_range.first or 0, len(pts) if time_range.stop is None else time_range.stop
    start = Fraction(pts[0])
    if time_range.start_seconds is not None:
        first = bisect_left(pts, start + time_range.start_seconds / info.time_base)
    if time_range.end_seconds is not None:
        stop = bisect_left(pts, start + time_range.end_seconds / info.time_base)
    stop = min(stop, len(pts))
    if not 0 <= first < stop:
        seconds = float((pts[-1] - pts[0]) * info.time_base)
        raise RangeError(
            f"the range asked for holds no frame of {info.path}, "
            f"which has frames 0 to {len(pts) - 1} over {seconds:.3f} s"
        )
    end = pts[stop] * info.time_base if stop < len(pts) else None
    return Part(first, stop, pts[first] * info.time_base, end)


def read_luma(
    info: FilmInfo,
    first: int = 0,
    stop: int | None = None,
    index: FrameIndex | None = None,
    num_threads: int = 0,
    with_chroma: bool = False,
) -> Iterator[LumaFrame]:
    """Yield the luma of frames first to stop (half-open), of the whole film by default.

    `index`: the film's, if it has been read already; saves reading all packets for each part.
    `num_threads`: of the decoder, 0 for its own choice. `with_chroma`: add the chroma of films that
    have any; its planes are views that keep the decoder's frame alive.
    Raises InputError when the frame size or pixel format changes on the way.
    """
    if not info.is_deinterlaced:
        yield from _read_luma(info, first, stop, index, num_threads, with_chroma)
        return
    context_stop = None if stop is None else stop + 1
    interlaced = _read_luma(info, max(0, first - 1), context_stop, index, num_threads, with_chroma)
    for frame in deinterlace(interlaced, info):
        if frame.number >= first and (stop is None or frame.number < stop):
            yield frame


def _read_luma(
    info: FilmInfo,
    first: int,
    stop: int | None,
    index: FrameIndex | None,
    num_threads: int,
    with_chroma: bool,
) -> Iterator[LumaFrame]:
    """Yield frames as `read_luma` does, without deinterlacing."""
    index = index or FrameIndex.read(info)
    for number, frame, pts, fault in _timed_frames(info, first, stop, index, num_threads):
        yield LumaFrame(
            number=number,
            luma=copy_plane(extract_luma(frame, info.coding, info.is_linear)),
            pts=pts,
            duration=_duration(frame, info, index),
            fault=fault,
            is_interlaced=is_interlaced(frame, info),
            chroma=extract_chroma(frame, info.coding, info.is_linear)
            if with_chroma and info.has_chroma
            else None,
            alpha=copy_plane(extract_alpha(frame)) if info.has_alpha else None,
            side_data=make_carrier(frame),
        )


def _duration(frame: av.VideoFrame, info: FilmInfo, index: FrameIndex) -> int:
    """Return a frame's duration in ticks, 0 if unknown."""
    duration, step = frame.duration or 0, round(info.ticks_per_frame)
    if not info.has_times:
        return step
    if index.has_field_packets or (info.codec == "h264" and info.is_interlaced):
        return max(duration, step)  # FFmpeg's may be that of a field
    return duration


def read_rgb(
    info: FilmInfo, first: int = 0, stop: int | None = None, index: FrameIndex | None = None
) -> Iterator[RgbFrame]:
    """Yield frames first to stop (half-open) of a colour film as 8-bit R'G'B'.

    They are the frames of `read_luma`, with the same numbers, times and errors. They are as coded:
    FilmInfo holds their rotation and pixel aspect ratio. A film without chroma has R' = G' = B'.
    """
    index = index or FrameIndex.read(info)
    for number, frame, pts, _ in _timed_frames(info, first, stop, index):
        luma = extract_luma(frame, info.coding, info.is_linear)
        rgb = extract_rgb(frame, info.coding, info.is_linear)
        yield RgbFrame(number, rgb, luma, pts)


def _decoded_pts(info: FilmInfo, index: FrameIndex) -> list[int]:
    """Return the times of all frames, by decoding the film."""
    pts: list[int] = []
    for number, _, time, _ in _timed_frames(info, 0, None, index):
        pts += [time] * (number + 1 - len(pts))  # undecodable frames too, so that numbers agree
    return pts


def _timed_frames(
    info: FilmInfo, first: int, stop: int | None, index: FrameIndex, num_threads: int = 0
) -> Iterator[tuple[int, Any, int, str]]:
    """Yield (number, frame, pts, fault) from first to stop: pts increase, formats are the same."""
    last_pts: int | None = None
    step = max(1, round(info.ticks_per_frame))
    start = first if index.is_exact else 0  # earlier frames decide the times of later ones
    for number, frame in _numbered_frames(info, index, start, num_threads):
        if stop is not None and number >= stop:
            return
        _check_format(info, number, frame)
        pts = frame.pts
        if index.has_guessed_times and number < len(index.pts):
            pts = index.pts[number]  # the demuxer's guesses for B-frames are not in display order
        fault = DAMAGED if frame.is_corrupt else ""
        if pts is None:
            pts = 0 if last_pts is None else last_pts + (frame.duration or step)
            fault = fault if info.container in PES_FORMATS else RETIMED
        if last_pts is not None and pts <= last_pts:
            if (last_pts - pts) * info.time_base > _MAX_CLOCK_ERROR:
                raise InputError(
                    f"{info.path}: the clock of its picture is set back at frame {number}; "
                    "split the film there, or remux it to give it timestamps in order"
                )
            pts, fault = last_pts + 1, RETIMED
        last_pts = pts
        if number >= first:
            yield number, frame, pts, fault


def _check_format(info: FilmInfo, number: int, frame: av.VideoFrame) -> None:
    """Raise InputError when a frame's size or pixel format differs from the film's."""
    name = frame.format.name
    if (frame.width, frame.height, name) != (info.width, info.height, info.pix_fmt):
        raise InputError(
            f"{info.path}: frame {number} is {frame.width}×{frame.height} {name}, "
            f"the film began as {info.width}×{info.height} {info.pix_fmt}; "
            "split it there and run the parts"
        )


def _numbered_frames(
    info: FilmInfo, index: FrameIndex, first: int, num_threads: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) from `first` on, without undecodable frames.

    From the first missing frame on, one thread decodes.
    """
    last = first - 1
    for number, frame in _decode_from(info, index, first, num_threads):
        if number > last + 1 and num_threads != 1:
            break
        yield number, frame
        last = number
    else:
        if num_threads == 1 or last + 1 >= len(index.pts):
            return
    yield from _decode_from(info, index, last + 1, 1, _SEEK_BACK_SECONDS_DAMAGED)


def _decode_from(
    info: FilmInfo,
    index: FrameIndex,
    first: int,
    num_threads: int,
    seek_back_seconds: Sequence[int] = _SEEK_BACK_SECONDS,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) from `first`: after a seek where possible, else from the beginning."""
    if not index.is_exact:
        yield from _count_frames(info, index, first, num_threads)
        return
    for back in seek_back_seconds if first < len(index.pts) else ():
        target = index.pts[first] - round(back / info.time_base)
        if target <= index.pts[0]:
            break
        frames = _identify_frames(info, index, num_threads, target)
        numbered = begin = next(frames, None)
        while numbered is not None and numbered[0] < first:
            numbered = next(frames, None)
        if begin is None or numbered is None:
            continue
        is_missing = begin[0] < first and back >= _SEEK_BACK_SECONDS_DAMAGED[0]
        if numbered[0] == first or is_missing:  # otherwise the seek went too far
            yield from _put_in_order(chain([numbered], frames), first)
            return
    yield from _put_in_order(_identify_frames(info, index, num_threads), first)


def _identify_frames(
    info: FilmInfo, index: FrameIndex, num_threads: int, target: int | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) by the frames' times, in the decoder's order."""
    for frame in _decode(info, index, num_threads, target):
        if frame is not None and (number := index.number_of(frame.pts)) is not None:
            yield number, frame


def _put_in_order(
    frames: Iterable[tuple[int, av.VideoFrame]], first: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield frames from number `first` on in order, without those that come too late."""
    expected = first
    waiting: dict[int, av.VideoFrame] = {}
    for number, frame in frames:
        if number < expected:
            continue
        waiting[number] = frame
        if len(waiting) > _MAX_LATE:  # those before could not be decoded
            expected = min(waiting)
        while expected in waiting:
            yield expected, waiting.pop(expected)
            expected += 1
    yield from sorted(waiting.items())


def _count_frames(
    info: FilmInfo, index: FrameIndex, first: int, num_threads: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) from `first`, where times do not identify the frames."""
    for number, frame in enumerate(_decode(info, index, num_threads)):
        if frame is not None and number >= first:
            yield number, frame


def _decode(
    info: FilmInfo, index: FrameIndex, num_threads: int, target: int | None = None
) -> Iterator[av.VideoFrame | None]:
    """Decode from the beginning, or from the keyframe before the pts `target`.

    Yields None for each frame whose packet cannot be decoded.
    """
    with open_film(info.path) as container:
        stream: Any = container.streams[info.video_index]
        # with a thread per packet, FFmpeg marks intact frames of two packets as damaged
        stream.thread_type = "SLICE" if index.has_field_packets else "AUTO"
        stream.codec_context.thread_count = num_threads
        count_frames = make_frame_counter(stream)
        if target is not None:
            try:
                container.seek(target, stream=stream)
            except av.error.FFmpegError:  # the file's index is damaged
                return
        for packet in read_packets(container, stream):
            if packet.size == 0 and packet.dts is not None:
                continue  # a frame without data; decoders refuse it
            num_frames = 1 if count_frames is None or packet.size == 0 else count_frames(packet)
            frames = decode_packet(stream, packet)
            yield from [None] * num_frames if frames is None else frames
