"""Film and range to luma or colour frames, numbered from the film's first frame."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error

from filmcolor.errors import InputError, RangeError
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import DAMAGED, RETIMED, LumaFrame, RgbFrame
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.frame_index import FrameIndex, needs_index_times
from filmcolor.video.interlacing import deinterlaced, is_interlaced
from filmcolor.video.pixel_formats import chroma_of, copied, luma_of, rgb_of

_MAX_SLIP = 1  # seconds that times may go back: more is another clock
_SEEK_BACK_SECONDS = (0, 2, 10, 60)  # how far before a frame to look for its keyframe
# and after damage: what is decoded next is as if all had been decoded, keyframes may be damaged too
_SEEK_FAR_BACK_SECONDS = (10, 60)


def resolve(info: FilmInfo, time_range: TimeRange, index: FrameIndex | None = None) -> Part:
    """Return the part of a film that a span means; `index`: the film's, where it is at hand.

    Raises RangeError when the span holds no frame of the film.
    """
    if time_range.is_whole:
        return Part(origin=info.origin)
    index = index or FrameIndex(info)
    is_usable = index.is_exact or index.has_guessed_times
    pts = index.pts if is_usable else _decoded_pts(info)
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
    has_chroma: bool = False,
) -> Iterator[LumaFrame]:
    """Yield the luma of frames first to stop (half-open), whole film by default.

    A frame is the same, to the bit, wherever reading began. `index`: the film's, where
    it is at hand, so that many parts are read without reading all packets for each.
    `num_threads`: the decoder's, 0 for its own choice. `has_chroma`: give each frame its
    chroma too, where the film has any; as long as it has it, the decoder's frame is held.
    Raises InputError when the picture changes its size or format on the way.
    """
    if not info.is_deinterlaced:
        yield from _lumas(info, first, stop, index, num_threads, has_chroma)
        return
    beyond = None if stop is None else stop + 1
    woven = _lumas(info, max(0, first - 1), beyond, index, num_threads, has_chroma)
    for frame in deinterlaced(woven, info):
        if frame.number >= first and (stop is None or frame.number < stop):
            yield frame


def _lumas(
    info: FilmInfo,
    first: int,
    stop: int | None,
    index: FrameIndex | None,
    num_threads: int,
    has_chroma: bool,
) -> Iterator[LumaFrame]:
    for number, frame, pts, fault in _timed(info, first, stop, index, num_threads):
        luma = copied(luma_of(frame, info.coding))
        chroma = chroma_of(frame, info.coding) if has_chroma and info.has_chroma else None
        has_interlaced_chroma = is_interlaced(frame, info)
        yield LumaFrame(
            number, luma, pts, frame.duration or 0, fault, has_interlaced_chroma, chroma
        )


def read_rgb(
    info: FilmInfo, first: int = 0, stop: int | None = None, index: FrameIndex | None = None
) -> Iterator[RgbFrame]:
    """Yield frames first to stop (half-open) of a film in colour as 8-bit R'G'B'.

    The same frames as `read_luma`'s, with the same numbers, times and errors. They are as
    coded: FilmInfo tells how to turn them and the shape of their pixels. A film without
    chroma has R' = G' = B' = Y'.
    """
    for number, frame, pts, _ in _timed(info, first, stop, index):
        luma = luma_of(frame, info.coding)
        yield RgbFrame(number, rgb_of(frame, info.coding), luma, pts)


def _decoded_pts(info: FilmInfo) -> list[int]:
    return [frame.pts or 0 for frame in _decoded(info) if frame is not None]


def _timed(
    info: FilmInfo, first: int, stop: int | None, index: FrameIndex | None, num_threads: int = 0
) -> Iterator[tuple[int, Any, int, str]]:
    """Yield (number, frame, pts, fault) from first to stop, times in order and formats alike."""
    if index is None and (first > 0 or needs_index_times(info)):
        index = FrameIndex(info)
    last_pts: int | None = None
    step = max(1, round(info.ticks_per_frame))
    for number, frame in _numbered(info, index, first, num_threads):
        if stop is not None and number >= stop:
            return
        if (frame.width, frame.height, frame.format.name) != (
            info.width,
            info.height,
            info.pix_fmt,
        ):
            raise InputError(
                f"{info.path}: frame {number} is {frame.width}×{frame.height} "
                f"{frame.format.name}, the film began as {info.width}×{info.height} "
                f"{info.pix_fmt}; split it there and run the parts"
            )
        pts = frame.pts
        if index is not None and index.has_guessed_times and number < len(index.pts):
            pts = index.pts[number]  # what is guessed for B-frames is not in display order
        fault = DAMAGED if frame.is_corrupt else ""
        if pts is None:
            pts = 0 if last_pts is None else last_pts + (frame.duration or step)
            fault = RETIMED if index is None or index.pts else fault  # else no frame has a time
        if last_pts is not None and pts <= last_pts:
            if (last_pts - pts) * info.time_base > _MAX_SLIP:
                raise InputError(
                    f"{info.path}: the clock of its picture is set back at frame {number}; "
                    "split the film there, or remux it to give it timestamps in order"
                )
            pts, fault = last_pts + 1, RETIMED
        last_pts = pts
        if number >= first:  # those before may have set its time
            yield number, frame, pts, fault


def _numbered(
    info: FilmInfo, index: FrameIndex | None, first: int, num_threads: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) from `first` or a little before it, without what is damaged.

    Decoders with several threads tell of damage late or not at all, and drop good pictures
    with it: from the first that is missing on there is one thread.
    """
    last = first - 1
    for number, frame in _numbered_by(info, index, first, num_threads):
        if number > last + 1 and num_threads != 1:
            break
        yield number, frame
        last = number
    else:
        if num_threads == 1 or index is None or last + 1 >= len(index.pts):
            return
    yield from _numbered_by(info, index, last + 1, 1, _SEEK_FAR_BACK_SECONDS)


def _numbered_by(
    info: FilmInfo,
    index: FrameIndex | None,
    first: int,
    num_threads: int,
    seek_back_seconds: Sequence[int] = _SEEK_BACK_SECONDS,
) -> Iterator[tuple[int, av.VideoFrame]]:
    expected, has_begun = first, False
    has_numbers = index is not None and index.is_exact
    if index is not None and has_numbers and first < len(index.pts):
        for back in seek_back_seconds:
            target = index.pts[first] - round(back / info.time_base)
            if target <= index.pts[0]:
                break
            for frame in _decoded(info, num_threads, target):
                if frame is None:
                    continue
                number = index.number_of(frame.pts)
                if number is None or (number > expected and not has_begun):
                    break  # sought too far, or the packets lied: try further back
                if number >= expected:
                    has_begun = True  # what is missing from here on could not be decoded
                    yield number, frame
                    expected = number + 1
            else:
                if has_begun:  # else what is there was skipped by seeking
                    return
    begun = expected  # what is before has been yielded, or was not asked for
    expected = 0
    for frame in _decoded(info, num_threads):
        if index is not None and has_numbers and frame is not None:
            number = index.number_of(frame.pts)
            if number is not None and number < expected:
                continue  # it comes after its time: its place is told as missing
            # those between could not be decoded
            expected = expected if number is None else number
        if frame is not None and expected >= begun:
            yield expected, frame
        if frame is not None or not has_numbers:
            expected += 1


def _decoded(info: FilmInfo, num_threads: int = 0, target: int | None = None) -> Iterator[Any]:
    """Decode from the beginning, or from the keyframe before the pts `target`.

    Yields None in place of what cannot be decoded.
    """
    with open_film(info.path) as container:
        stream = container.streams[info.video_index]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = num_threads
        if target is not None:
            try:
                container.seek(target, stream=stream)
            except av.error.FFmpegError:  # in a damaged index
                return
        for packet in read_packets(container, stream):
            frames = decode_packet(stream, packet)
            yield from [None] if frames is None else frames
