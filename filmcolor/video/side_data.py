"""Data beside the pictures of a film: captions, HDR, stereo 3D and more, as decoders give them.

PyAV reads a frame's side data but attaches none to a frame. A carrier does: a decoded frame scaled
to a few pixels keeps its side data, and so does a carrier that is scaled up to a frame to encode,
whose planes are then filled. That costs 0.2 ms at 1080p, for frames with such data only.
"""

import re
from typing import Any

import av
import av.filter
from av.sidedata.sidedata import Type

CAPTIONS, STEREO_3D = "A53_CC", "STEREO3D"
MASTERING_DISPLAY, LIGHT_LEVEL = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
DISPLAY_MATRIX = "DISPLAYMATRIX"
# AVFrameSideDataType that PyAV has no name for; with one of these it reads none of a frame
_UNNAMED = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}
_CARRIED = frozenset((Type.A53_CC, Type.STEREO3D))  # what encoders take from frames
_CARRIER_SIZE = 16  # pixels


def read_side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """Return the side data of a frame by FFmpeg's name of its kind.

    The data of kinds that PyAV does not know are left empty.
    """
    unnamed: dict[str, bytes] = {}
    while True:
        try:
            items: Any = frame.side_data
            return {item.type.name: bytes(item) for item in items} | unnamed
        except ValueError as error:
            number = re.match(r"\d+", str(error))
            if number is None:
                raise
            unnamed[_UNNAMED.get(int(number[0]), f"kind {number[0]}")] = b""
            frame = _without_kind(frame, int(number[0]))


def make_carrier(frame: av.VideoFrame) -> av.VideoFrame | None:
    """Return a tiny frame with a frame's side data; None if encoders take none of it."""
    try:
        items: Any = frame.side_data
        if not any(item.type in _CARRIED for item in items):
            return None
    except ValueError:  # photographs' data, of formats that have none of the carried kinds
        return None
    return frame.reformat(_CARRIER_SIZE, _CARRIER_SIZE, "gray", interpolation="POINT")


def new_frame(
    width: int, height: int, pix_fmt: str, carrier: av.VideoFrame | None = None
) -> av.VideoFrame:
    """Return a frame to be filled, with the side data of a carrier."""
    if carrier is None:
        return av.VideoFrame(width, height, pix_fmt)
    frame = carrier.reformat(width, height, pix_fmt, interpolation="POINT")
    frame.pict_type = 0  # encoders would repeat the source's types
    return frame


def _without_kind(frame: av.VideoFrame, number: int) -> av.VideoFrame:
    """Return a frame without its side data of one AVFrameSideDataType."""
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or 1,
    )
    remove = graph.add("sidedata", f"mode=delete:type={number}")
    graph.link_nodes(source, remove, graph.add("buffersink")).configure()
    graph.push(frame)
    without: av.VideoFrame = graph.pull()
    return without
