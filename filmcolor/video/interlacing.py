"""Interlaced frames: field order, marks on frames for the encoder, and bwdif on their luma.

PyAV only reports whether a frame is interlaced and cannot set it; FFmpeg filters read and set the
field order. In the output of separatefields the first field is a view of the frame, starting at row
0 or 1; setfield marks frames for the encoder. The header's order is `codec_context.field_order`; if
the first frame contradicts it, the frame is believed.

Marks are kept frame by frame, because telecined films mix interlaced and progressive frames. But
encoders that code fields (x264, ProRes) mark all frames and take an unmarked one for bottom first.
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

from filmcolor.types.film import BOTTOM_FIRST, TOP_FIRST, FilmInfo
from filmcolor.types.frames import LumaFrame, Plane

# AVFieldOrder: coded top first and shown bottom first, and the reverse
_CODED_TOP_SHOWN_BOTTOM, _CODED_BOTTOM_SHOWN_TOP = 4, 5
_INTERLACED = frozenset({TOP_FIRST, BOTTOM_FIRST, _CODED_TOP_SHOWN_BOTTOM, _CODED_BOTTOM_SHOWN_TOP})
_BLEND = np.array([0.25, 0.5, 0.25])  # a field's row and the other field's rows beside it
# codecs whose decoders mark each interlaced frame; for others the container is believed
_MARKING_CODECS = frozenset(
    ("h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "ffv1", "prores", "dvvideo")
)


def detect_field_order(header_order: int, first_frame: av.VideoFrame) -> int:
    """Return a film's AVFieldOrder: the header's, unless the first frame contradicts it."""
    if not first_frame.interlaced_frame:
        return header_order
    order = BOTTOM_FIRST if _is_bottom_first_frame(first_frame) else TOP_FIRST
    agrees = is_bottom_first(header_order) == is_bottom_first(order)
    return header_order if header_order in _INTERLACED and agrees else order


def is_interlaced_order(field_order: int) -> bool:
    """Return whether an AVFieldOrder is that of interlaced frames."""
    return field_order in _INTERLACED


def is_bottom_first(field_order: int) -> bool:
    """Return whether an AVFieldOrder shows the bottom field first."""
    return field_order in (BOTTOM_FIRST, _CODED_TOP_SHOWN_BOTTOM)


def is_interlaced(frame: av.VideoFrame, info: FilmInfo) -> bool:
    """Return whether a decoded frame of a film is interlaced."""
    return frame.interlaced_frame or (info.is_interlaced and info.codec not in _MARKING_CODECS)


class FieldOrderMarker:
    """Marks frames as interlaced, for encoders that write the field order into each frame."""

    def __init__(self, field_order: int) -> None:
        self._mode = _parity(field_order)
        self._graph: Any = None

    def mark(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame with its mark; all frames must have one size and format."""
        if self._graph is None:
            self._graph = _filter_graph(frame, "setfield", self._mode)
        self._graph.push(frame)
        return self._graph.pull()


def deinterlace(frames: Iterable[LumaFrame], info: FilmInfo) -> Iterator[LumaFrame]:
    """Yield each frame with its luma deinterlaced by bwdif, frame for frame.

    Only luma is filtered: a run takes nothing else from the film. bwdif uses one frame before and
    one after, so parts with that context equal the whole; at the film's ends the frame itself
    stands in for its missing neighbour. In a film that is marked as interlaced, progressive frames
    stay as they are.
    """
    graph: Any = None
    waiting: deque[LumaFrame] = deque()
    for frame in frames:
        waiting.append(frame)
        picture = _gray_picture(frame.luma, frame.number)
        if graph is None:
            parity = _parity(info.field_order)
            graph = _filter_graph(picture, "bwdif", f"mode=send_frame:parity={parity}:deint=all")
        graph.push(picture)
        if len(waiting) > 1:
            yield _pull_deinterlaced(waiting.popleft(), graph, info)
    if waiting:
        graph.push(_gray_picture(waiting[0].luma, waiting[0].number + 1))
        yield _pull_deinterlaced(waiting.popleft(), graph, info)


def _pull_deinterlaced(frame: LumaFrame, graph: Any, info: FilmInfo) -> LumaFrame:
    """Return a frame with the luma that the filter has finished for it."""
    picture = graph.pull()
    if info.is_interlaced and not frame.is_interlaced:
        return frame
    luma = _luma_view(picture, frame.luma.dtype).copy()  # the filter reuses its memory
    if info.coding.bit_depth > 8:  # the filter works in 16 bits and may exceed fewer
        luma = luma.clip(max=(1 << info.coding.bit_depth) - 1)
    chroma = frame.chroma and (_blend_fields(frame.chroma[0]), _blend_fields(frame.chroma[1]))
    return replace(frame, luma=luma, is_interlaced=False, chroma=chroma)


def _blend_fields(plane: Plane) -> Plane:
    """Return a chroma plane with the rows of both fields averaged."""
    return cv2.sepFilter2D(plane, -1, np.ones(1), _BLEND, borderType=cv2.BORDER_REPLICATE)


def _parity(field_order: int) -> str:
    return "bff" if is_bottom_first(field_order) else "tff"


def _is_bottom_first_frame(frame: av.VideoFrame) -> bool:
    """Return whether an interlaced frame shows its bottom field first.

    The first field from separatefields is a view of the frame: it then starts at the second row.
    """
    graph = _filter_graph(frame, "separatefields")
    graph.push(frame)
    graph.push(None)
    whole, first = frame.planes[0], graph.pull().planes[0]
    return bool(first.buffer_ptr == whole.buffer_ptr + whole.line_size)


def _gray_picture(luma: Plane, pts: int) -> av.VideoFrame:
    """Return a plane as a frame; more than 8 bits become gray16, with unchanged values.

    As gray10 or gray12, bwdif would treat gray as GBR.
    """
    height, width = luma.shape
    frame = av.VideoFrame(width, height, "gray" if luma.dtype == np.uint8 else "gray16le")
    _luma_view(frame, luma.dtype)[:] = luma
    frame.pts, frame.time_base = pts, Fraction(1)
    return frame


def _luma_view(frame: av.VideoFrame, dtype: Any) -> Plane:
    """Return the first plane (H, W) of a frame, sharing its memory."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows.view(dtype)[:, : plane.width]


def _filter_graph(frame: av.VideoFrame, name: str, options: str | None = None) -> Any:
    """Return a graph of one FFmpeg filter for frames like `frame`."""
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or Fraction(1),
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph
