"""Interlaced frames: field order, marks on frames for the encoder, and bwdif on their luma.

PyAV only reports whether a frame is interlaced and cannot set it; FFmpeg filters read and set the
field order. In the output of separatefields the first field is a view of the frame, starting at row
0 or 1; setfield marks frames for the encoder. The header's order is `codec_context.field_order`; if
a frame contradicts it, the frame is believed.

An order is always the one in which fields are shown. FFmpeg also distinguishes the order in which
they are stored: its AV_FIELD_TB and AV_FIELD_BT come from the values 9 and 14 of QuickTime's 'fiel'
atom and of Matroska's FieldOrder (RFC 9559, 5.1.4.1.28.2), which are interleaved fields with the
top, or the bottom one shown first. The names of FFmpeg's constants say the reverse.

Marks are kept frame by frame, because telecined films mix interlaced and progressive frames. But
encoders that code fields (x264, ProRes) mark all frames and take an unmarked one for bottom first.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

import av
import av.filter
import cv2
import numpy as np

from filmcolor.types.film import BOTTOM_FIRST, TOP_FIRST, FilmInfo
from filmcolor.types.frames import LumaFrame, Plane

_SHOWN_ORDERS = {4: TOP_FIRST, 5: BOTTOM_FIRST}  # of AVFieldOrder's TB and BT
_MAX_FRAMES = 12  # searched for an interlaced one: two cycles of 3:2 telecine, and a lead-in
_MAX_HEIGHT = 1152  # rows; interlaced pictures are no larger
_BLEND = np.array([0.25, 0.5, 0.25])  # a field's row and the other field's rows beside it
# codecs whose decoders mark each interlaced frame; for others the container is believed
_MARKING_CODECS = frozenset(
    ("h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "ffv1", "prores", "dvvideo")
)
# PNG's interlacing is an order of pixels, not of fields; FFmpeg marks its frames all the same
_FALSELY_MARKED_CODECS = frozenset(("png", "apng"))


def detect_field_order(
    header_order: int, first_frames: Iterable[av.VideoFrame], codec: str = ""
) -> int:
    """Return the order in which a film's fields are shown.

    `header_order`: AVFieldOrder of the container or the codec. `first_frames`: of the film; the
    first interlaced one overrules the header.
    """
    if codec in _FALSELY_MARKED_CODECS:
        first_frames = ()
    for frame in islice(first_frames, _MAX_FRAMES):
        if frame.interlaced_frame:
            return BOTTOM_FIRST if _is_bottom_first_frame(frame) else TOP_FIRST
        if frame.height > _MAX_HEIGHT:
            break
    return _SHOWN_ORDERS.get(header_order, header_order)


def is_interlaced_order(field_order: int) -> bool:
    """Return whether a field order is that of interlaced frames."""
    return field_order in (TOP_FIRST, BOTTOM_FIRST)


def marks_frames(codec: str) -> bool:
    """Return whether a codec marks each of its frames as interlaced or not."""
    return codec in _MARKING_CODECS


def is_interlaced(frame: av.VideoFrame, info: FilmInfo) -> bool:
    """Return whether a decoded frame of a film is interlaced."""
    if info.is_order_chosen:
        return info.is_interlaced
    is_marked = frame.interlaced_frame and info.codec not in _FALSELY_MARKED_CODECS
    return is_marked or (info.is_interlaced and info.codec not in _MARKING_CODECS)


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
    return "bff" if field_order == BOTTOM_FIRST else "tff"


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
