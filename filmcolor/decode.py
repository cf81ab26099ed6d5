"""Film and range to luma frames, numbered from the film's first frame."""

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

from filmcolor.color import Coding, luma_from_rgb
from filmcolor.errors import InputError, RangeError
from filmcolor.frames import FilmInfo, LumaFrame, Part, Plane, Span
from filmcolor.probing import open_film

# bytes from one Y' to the next, and where the first one is
_PACKED = {"yuyv422": (2, 0), "yvyu422": (2, 0), "uyvy422": (2, 1), "ya8": (2, 0)}
_SEEK_BACK_SECONDS = (0, 2, 10, 60)  # how far before a frame to look for its keyframe


class FrameIndex:
    """The display times of a film's frames, read from its packets without decoding.

    `pts` is sorted, in FilmInfo.time_base units. `is_exact` is False where packets do
    not tell the frames (no pts, or two packets of one pts): such films are decoded from
    their beginning when a part of them is asked for.
    """

    def __init__(self, info: FilmInfo) -> None:
        pts: list[int] = []
        is_exact = not is_without_times(info)
        with open_film(info.path) as container:
            for packet in container.demux(container.streams[info.video_index]):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    is_exact = False
                else:
                    pts.append(packet.pts)
        self.pts = sorted(pts)
        self.is_exact = is_exact and len(set(pts)) == len(pts)

    def number_of(self, pts: int) -> int | None:
        """Return the number of the frame shown at `pts`, None when there is none."""
        number = bisect_left(self.pts, pts)
        is_there = number < len(self.pts) and self.pts[number] == pts
        return number if is_there else None

    @property
    def is_vfr(self) -> bool:
        """True when frames do not follow each other at one rate, within a tick."""
        steps = {b - a for a, b in zip(self.pts, self.pts[1:])}
        return bool(steps) and max(steps) - min(steps) > 1


def is_without_times(info: FilmInfo) -> bool:
    """Tell whether the container has no display times: AVI's are guessed from its order."""
    return info.container == "avi"


def resolve(info: FilmInfo, span: Span) -> Part:
    """Return the part of a film that a span means.

    Raises RangeError when the span holds no frame of the film.
    """
    if span.is_whole:
        return Part()
    index = FrameIndex(info)
    is_usable = index.is_exact or is_without_times(info)
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
    info: FilmInfo, first: int = 0, stop: int | None = None, index: FrameIndex | None = None
) -> Iterator[LumaFrame]:
    """Yield the luma of frames first to stop (half-open), whole film by default.

    A frame is the same, to the bit, wherever reading began. `index`: the film's, where
    it is at hand, so that many parts are read without reading all packets for each.
    Raises InputError when the picture changes its size or format on the way.
    """
    if index is None and (first > 0 or is_without_times(info)):
        index = FrameIndex(info)
    last_pts: int | None = None
    for number, frame in _numbered(info, index, first):
        if stop is not None and number >= stop:
            return
        if number < first:
            continue
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
        if index is not None and is_without_times(info) and number < len(index.pts):
            pts = index.pts[number]  # what is guessed for B-frames is not in display order
        if pts is None or (last_pts is not None and pts <= last_pts):
            raise InputError(
                f"{info.path}: frame {number} has no display time after frame {number - 1}'s; "
                "remux the film to give it timestamps in order"
            )
        last_pts = pts
        yield LumaFrame(number, luma_of(frame, info.coding), pts, frame.duration or 0)


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
    is_msb_aligned = name.startswith(("p0", "p2", "p4")) or "msb" in name
    if any(c.plane == 0 for c in pixels.components[1:]):  # a rare packing: have it unpacked
        frame = frame.reformat(format=f"yuv444p{coding.bit_depth}le".replace("p8le", "p"))
        pixels = frame.format
    if coding.bit_depth == 8:
        return _rows(frame, 1)
    luma = _rows(frame, 2).view(">u2" if pixels.is_big_endian else "<u2")
    if is_msb_aligned:
        return luma >> (16 - coding.bit_depth)
    return luma.astype(np.uint16, copy=False)


def _rows(frame: av.VideoFrame, num_bytes: int) -> Plane:
    """Return the bytes of plane 0 (H, W * num_bytes), sharing the decoder's memory."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width * num_bytes]


def _luma_of_rgb(frame: av.VideoFrame, coding: Coding) -> Plane:
    depth = coding.bit_depth
    name = "rgb24" if depth == 8 else "rgb48le"
    rgb = frame.reformat(format=name).to_ndarray().astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    peak = 255.0 if depth == 8 else 65535.0
    coded = luma * (coding.luma_scale / peak) + coding.luma_offset
    return np.rint(coded).astype(np.uint8 if depth == 8 else np.uint16)


def _decoded_pts(info: FilmInfo) -> list[int]:
    return [frame.pts or 0 for frame in _decoded(info)]


def _numbered(
    info: FilmInfo, index: FrameIndex | None, first: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) from `first` or a little before it, without a gap."""
    expected = first
    if index is not None and index.is_exact and first < len(index.pts):
        for back in _SEEK_BACK_SECONDS:
            target = index.pts[first] - round(back / info.time_base)
            if target <= index.pts[0]:
                break
            for frame in _decoded(info, target):
                number = index.number_of(frame.pts)
                if number is None or number > expected:
                    break  # sought too far, or the packets lied: try further back
                if number == expected:
                    yield number, frame
                    expected += 1
            else:
                return
    for number, frame in enumerate(_decoded(info)):
        if number >= expected:
            yield number, frame


def _decoded(info: FilmInfo, target: int | None = None) -> Iterator[Any]:
    """Decode from the beginning, or from the keyframe before the pts `target`."""
    with open_film(info.path) as container:
        stream = container.streams[info.video_index]
        stream.thread_type = "AUTO"
        if target is not None:
            container.seek(target, stream=stream)
        try:
            yield from container.decode(stream)
        except av.error.FFmpegError as error:
            raise InputError(f"{info.path} cannot be decoded further: {error.strerror}") from error
