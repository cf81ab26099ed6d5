"""Film and range to luma or colour frames, numbered from the film's first frame."""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import cv2
import numpy as np

from filmcolor.color import Channels, Coding, luma_from_rgb, rgb_from_ycc
from filmcolor.errors import InputError, RangeError
from filmcolor.fields import deinterlaced, is_interlaced
from filmcolor.frames import (
    DAMAGED,
    RETIMED,
    FilmInfo,
    LumaFrame,
    Part,
    Picture,
    Plane,
    RgbFrame,
    Span,
)
from filmcolor.probing import frames_of, open_film, packets_of

# bytes from one Y' to the next, and where the first one is
_PACKED = {"yuyv422": (2, 0), "yvyu422": (2, 0), "uyvy422": (2, 1), "ya8": (2, 0)}
# (columns, rows) that share a chroma sample, and how FFmpeg calls the planar format
_PLANAR = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
_MAX_SLIP = 1  # seconds that times may go back: more is another clock
_LARGE = 1 << 22  # bytes: of planes that get pages of their own
_SEEK_BACK_SECONDS = (0, 2, 10, 60)  # how far before a frame to look for its keyframe
# and after damage: what is decoded next is as if all had been decoded, keyframes may be damaged too
_SEEK_FAR_BACK_SECONDS = (10, 60)


class FrameIndex:
    """The display times of a film's frames, read from its packets without decoding.

    `pts` is sorted, in FilmInfo.time_base units; `keyframes` are numbers of frames. `is_exact`
    is False where packets do not tell the frames (no pts, two packets of one pts, or a clock
    that goes back): such films are decoded from their beginning when a part of them is asked
    for. `is_guessed` tells that frames have these times by their number: their own are missing,
    or in the order of the packets. `num_packets` are there where the header promises
    `num_promised`, 0 where it promises nothing; `num_hidden` of them are not to be shown.
    """

    def __init__(self, info: FilmInfo) -> None:
        pts: list[int] = []
        keys: list[int] = []
        self.is_guessed = info.container == "avi" or not info.has_times
        is_exact, is_reordered = True, False
        self.num_packets = self.num_hidden = 0
        last_dts: int | None = None
        with open_film(info.path) as container:
            stream = container.streams[info.video_index]
            # other containers' figures are guesses, or count what was never there
            self.num_promised = stream.frames if "mov" in container.format.name else 0
            for packet in packets_of(container, stream):
                self.num_packets += packet.size > 0
                self.num_hidden += packet.size > 0 and packet.is_discard
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.dts is not None:
                    is_exact &= last_dts is None or packet.dts >= last_dts
                    last_dts = packet.dts
                if packet.pts is None:
                    is_exact = False
                else:
                    is_reordered |= packet.pts != packet.dts
                    pts.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
            has_b_frames = stream.codec_context.has_b_frames
        self.is_guessed |= info.container == "mxf" and has_b_frames and not is_reordered
        if not info.has_times:
            step = 1 / (info.frame_rate * info.time_base)
            pts = [round(number * step) for number in range(self.num_packets)]
        self.pts = sorted(pts)
        self.keyframes = [bisect_left(self.pts, time) for time in sorted(keys)]
        self.is_exact = is_exact and not self.is_guessed and len(set(pts)) == len(pts)

    def number_of(self, pts: int | None) -> int | None:
        """Return the number of the frame shown at `pts`, None when there is none."""
        if pts is None:
            return None
        number = bisect_left(self.pts, pts)
        is_there = number < len(self.pts) and self.pts[number] == pts
        return number if is_there else None

    @property
    def is_vfr(self) -> bool:
        """True when frames do not follow each other at one rate, within a tick."""
        steps = {b - a for a, b in zip(self.pts, self.pts[1:])}
        return bool(steps) and max(steps) - min(steps) > 1


def _may_be_guessed(info: FilmInfo) -> bool:
    """Tell whether frames may need the index's times: AVI and some MXF have none for display."""
    return info.container in ("avi", "mxf") or not info.has_times


def resolve(info: FilmInfo, span: Span, index: FrameIndex | None = None) -> Part:
    """Return the part of a film that a span means; `index`: the film's, where it is at hand.

    Raises RangeError when the span holds no frame of the film.
    """
    if span.is_whole:
        return Part(origin=info.origin)
    index = index or FrameIndex(info)
    is_usable = index.is_exact or index.is_guessed
    pts = index.pts if is_usable else _decoded_pts(info)
    if not pts:
        raise RangeError(f"{info.path} has no frames to choose a range from")
    first, stop = span.first or 0, len(pts) if span.stop is None else span.stop
    start = Fraction(pts[0])
    if span.start_seconds is not None:
        first = bisect_left(pts, start + span.start_seconds / info.time_base)
    if span.end_seconds is not None:
        stop = bisect_left(pts, start + span.end_seconds / info.time_base)
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
        is_woven = is_interlaced(frame, info)
        yield LumaFrame(number, luma, pts, frame.duration or 0, fault, is_woven, chroma)


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


def luma_of(frame: av.VideoFrame, coding: Coding) -> Plane:
    """Return the Y' plane (H, W) of a decoded frame, without a copy where that can be.

    RGB and palette pictures have no luma of their own; theirs is computed.
    """
    name, pixels = frame.format.name, frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        return _luma_of_rgb(frame, coding)
    if name in _PACKED:
        stride, first = _PACKED[name]
        return _rows(frame, stride)[:, first::stride]
    if any(c.plane == 0 for c in pixels.components[1:]):  # a rare packing: have it unpacked
        frame = frame.reformat(format=f"yuv444p{coding.bit_depth}le".replace("p8le", "p"))
    return _code_values(frame, 0, coding)


def rgb_of(frame: av.VideoFrame, coding: Coding) -> Picture:
    """Return R'G'B' uint8 (H, W, 3) of a decoded frame, by its matrix, range and depth.

    Chroma goes up to the luma's size linearly, its samples taken as centred between the
    luma's.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        rgb = _stored_rgb(frame, coding.bit_depth)
        return rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257.0).astype(np.uint8)
    luma = (luma_of(frame, coding).astype(np.float32) - coding.luma_offset) / coding.luma_scale
    channels: Channels = luma, luma, luma
    if len(pixels.components) >= 3:
        size = luma.shape[1], luma.shape[0]
        cb, cr = (
            (cv2.resize(p.astype(np.float32), size) - coding.chroma_offset) / coding.chroma_scale
            for p in chroma_of(frame, coding)
        )
        channels = rgb_from_ycc(luma, cb, cr, coding)
    return np.rint(np.dstack(channels).clip(0.0, 1.0) * 255.0).astype(np.uint8)


def copied(luma: Plane) -> Plane:
    """Return a plane of its own: the decoder's frame would hold its chroma too, while it waits.

    Large ones get pages of their own. The allocator keeps a heap for each thread; where planes
    are made in one and let go in another, such heaps fragment, and memory grows with the film.
    """
    if luma.nbytes < _LARGE:
        return luma.copy()
    pages = np.frombuffer(mmap.mmap(-1, luma.nbytes), luma.dtype)
    copy = pages.reshape(luma.shape)
    copy[...] = luma
    return copy


def chroma_of(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    """Return the (Cb, Cr) planes of a decoded frame, of the size they are coded in.

    Without a copy where that can be. Those of RGB and palette pictures are computed.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette:
        return _chroma_of_rgb(frame, coding)
    if [c.plane for c in pixels.components[:3]] != [0, 1, 2]:  # packed, or Cb and Cr in turn
        shared = 64 // pixels.chroma_width(64), 64 // pixels.chroma_height(64)
        name = f"{_PLANAR.get(shared, 'yuv444p')}{coding.bit_depth}le".replace("p8le", "p")
        frame = frame.reformat(format=name)
    return _code_values(frame, 1, coding), _code_values(frame, 2, coding)


def _code_values(frame: av.VideoFrame, number: int, coding: Coding) -> Plane:
    """Return a plane that holds one component, without a copy where that can be."""
    pixels = frame.format
    if coding.bit_depth == 8:
        return _rows(frame, 1, number)
    values = _rows(frame, 2, number).view(">u2" if pixels.is_big_endian else "<u2")
    if pixels.name.startswith(("p0", "p2", "p4")) or "msb" in pixels.name:
        return values >> (16 - coding.bit_depth)
    return values.astype(np.uint16, copy=False)


def _rows(frame: av.VideoFrame, num_bytes: int, number: int = 0) -> Plane:
    """Return the bytes of a plane (H, W * num_bytes), sharing the decoder's memory."""
    plane: Any = frame.planes[number]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width * num_bytes]


def _luma_of_rgb(frame: av.VideoFrame, coding: Coding) -> Plane:
    depth = coding.bit_depth
    rgb = _stored_rgb(frame, depth).astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    peak = 255.0 if depth == 8 else 65535.0
    coded = luma * (coding.luma_scale / peak) + coding.luma_offset
    return np.rint(coded).astype(np.uint8 if depth == 8 else np.uint16)


def _chroma_of_rgb(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    depth = coding.bit_depth
    rgb = _stored_rgb(frame, depth).astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    scale = coding.chroma_scale / (255.0 if depth == 8 else 65535.0)
    cb, cr = (
        np.rint((rgb[..., place] - luma) * (0.5 * scale / (1.0 - k)) + coding.chroma_offset)
        for place, k in ((2, kb), (0, kr))
    )
    dtype = np.uint8 if depth == 8 else np.uint16
    return cb.astype(dtype), cr.astype(dtype)


def _stored_rgb(frame: av.VideoFrame, depth: int) -> Plane:
    """Return R'G'B' (H, W, 3) of an RGB frame: uint8 at a depth of 8, else uint16 in 0..65535."""
    return frame.reformat(format="rgb24" if depth == 8 else "rgb48le").to_ndarray()


def _decoded_pts(info: FilmInfo) -> list[int]:
    return [frame.pts or 0 for frame in _decoded(info) if frame is not None]


def _timed(
    info: FilmInfo, first: int, stop: int | None, index: FrameIndex | None, num_threads: int = 0
) -> Iterator[tuple[int, Any, int, str]]:
    """Yield (number, frame, pts, fault) from first to stop, times in order and formats alike."""
    if index is None and (first > 0 or _may_be_guessed(info)):
        index = FrameIndex(info)
    last_pts: int | None = None
    step = max(1, round(1 / (info.frame_rate * info.time_base)))
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
        if index is not None and index.is_guessed and number < len(index.pts):
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
        for packet in packets_of(container, stream):
            frames = frames_of(stream, packet)
            yield from [None] if frames is None else frames
