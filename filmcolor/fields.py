"""Interlaced frames: which field comes first, how frames are marked, and bwdif on their luma.

PyAV tells of a frame only whether it is two fields, and lets no one say so: filters do both.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.filter
import cv2
import numpy as np

from filmcolor.frames import BOTTOM_FIRST, TOP_FIRST, FilmInfo, LumaFrame, Plane

_WEAVES = frozenset({TOP_FIRST, BOTTOM_FIRST, 4, 5})  # AVFieldOrder: all that are two fields
_BLEND = np.array([0.25, 0.5, 0.25])  # a field's row and those of the other on either side
# decoders that mark each frame which is two fields; of others the container's word is taken
_MARKING = frozenset(
    ("h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "ffv1", "prores", "dvvideo")
)


def field_order_of(told: int, frame: av.VideoFrame) -> int:
    """Return a film's AVFieldOrder: as `told` by its header, unless its first frame differs."""
    if not frame.interlaced_frame:
        return told
    shown = BOTTOM_FIRST if _is_bottom_first(frame) else TOP_FIRST
    return told if told in _WEAVES and is_bottom_first(told) == is_bottom_first(shown) else shown


def is_two_fields(field_order: int) -> bool:
    """Tell whether an AVFieldOrder is of interlaced frames."""
    return field_order in _WEAVES


def is_bottom_first(field_order: int) -> bool:
    """Tell whether an AVFieldOrder shows the bottom field first."""
    return field_order in (BOTTOM_FIRST, 4)


def is_interlaced(frame: av.VideoFrame, info: FilmInfo) -> bool:
    """Tell whether a decoded frame of a film is two fields."""
    return frame.interlaced_frame or (info.is_interlaced and info.codec not in _MARKING)


class Marker:
    """Marks frames as two fields, for encoders that write it into each of them."""

    def __init__(self, field_order: int) -> None:
        self._mode = "bff" if is_bottom_first(field_order) else "tff"
        self._graph: Any = None

    def marked(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame, marked; all of one size and format."""
        if self._graph is None:
            self._graph = _graph(frame, "setfield", self._mode)
        self._graph.push(frame)
        return self._graph.pull()


def deinterlaced(frames: Iterable[LumaFrame], info: FilmInfo) -> Iterator[LumaFrame]:
    """Yield the frames, each with the luma that bwdif makes of it: one frame for a frame.

    It looks at one frame before and one after; the first and the last stand in for those that
    are not there. In a film that is marked as interlaced, frames that are not stay as they are.
    """
    graph: Any = None
    waiting: deque[LumaFrame] = deque()
    for frame in frames:
        waiting.append(frame)
        picture = _gray(frame.luma, frame.number)
        if graph is None:
            parity = "bff" if is_bottom_first(info.field_order) else "tff"
            graph = _graph(picture, "bwdif", f"mode=send_frame:parity={parity}:deint=all")
        graph.push(picture)
        if len(waiting) > 1:
            yield _filtered(waiting.popleft(), graph, info)
    if waiting:
        graph.push(_gray(waiting[0].luma, waiting[0].number + 1))
        yield _filtered(waiting.popleft(), graph, info)


def _filtered(frame: LumaFrame, graph: Any, info: FilmInfo) -> LumaFrame:
    picture = graph.pull()
    if info.is_interlaced and not frame.is_interlaced:
        return frame
    luma = _values(picture, frame.luma.dtype).copy()  # the filter's memory goes with its frame
    if info.coding.bit_depth > 8:  # the filter works in 16 bits, and may overshoot fewer
        luma = luma.clip(max=(1 << info.coding.bit_depth) - 1)
    chroma = frame.chroma and (_blended(frame.chroma[0]), _blended(frame.chroma[1]))
    return replace(frame, luma=luma, is_interlaced=False, chroma=chroma)


def _blended(plane: Plane) -> Plane:
    """Return a plane of chroma that is to be kept, its fields' rows averaged."""
    return cv2.sepFilter2D(plane, -1, np.ones(1), _BLEND, borderType=cv2.BORDER_REPLICATE)


def _is_bottom_first(frame: av.VideoFrame) -> bool:
    """Ask separatefields, whose first field is a view of the frame: from its second row on?"""
    graph = _graph(frame, "separatefields")
    graph.push(frame)
    graph.push(None)
    whole, first = frame.planes[0], graph.pull().planes[0]
    return bool(first.buffer_ptr == whole.buffer_ptr + whole.line_size)


def _gray(luma: Plane, pts: int) -> av.VideoFrame:
    """Return a plane as a frame; more than 8 bits as 16, the values as they are."""
    height, width = luma.shape
    frame = av.VideoFrame(width, height, "gray" if luma.dtype == np.uint8 else "gray16le")
    _values(frame, luma.dtype)[:] = luma
    frame.pts, frame.time_base = pts, Fraction(1)
    return frame


def _values(frame: av.VideoFrame, dtype: Any) -> Plane:
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows.view(dtype)[:, : plane.width]


def _graph(frame: av.VideoFrame, name: str, options: str | None = None) -> Any:
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or Fraction(1),
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph
