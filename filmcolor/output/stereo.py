"""Stereo 3D: how the views of both eyes lie in a picture, as Matroska names it."""

import struct

from filmcolor.types.film import FilmInfo
from filmcolor.video.side_data import STEREO_3D

_LAYOUT_STRUCT = struct.Struct("=ii")  # the beginning of AVStereo3D: type, flags
_INVERTED = 1  # AV_STEREO3D_FLAG_INVERT: the right eye's view comes first
# AVStereo3DType → StereoMode (RFC 9559, 5.1.4.1.28.3) of left first, and of right first
_MODES = {
    1: ("left_right", "right_left"),
    2: ("top_bottom", "bottom_top"),
    3: ("block_lr", "block_rl"),
    4: ("checkerboard_lr", "checkerboard_rl"),
    6: ("row_interleaved_lr", "row_interleaved_rl"),
    7: ("col_interleaved_lr", "col_interleaved_rl"),
}


def stereo_layout(side_data: str) -> tuple[int, int] | None:
    """Return the type and the flags of FFmpeg's struct in FilmInfo.side_data; None if it is cut."""
    data = bytes.fromhex(side_data)
    return _LAYOUT_STRUCT.unpack_from(data) if len(data) >= _LAYOUT_STRUCT.size else None


def stereo_mode(info: FilmInfo) -> str | None:
    """Return the value of Matroska's tag for a film; None if it is not in stereo."""
    for stream in info.streams:
        if stream.index == info.video_index and "stereo_mode" in stream.metadata:
            return stream.metadata["stereo_mode"]
    kind, flags = stereo_layout(info.side_data.get(STEREO_3D, "")) or (0, 0)
    return _MODES[kind][flags & _INVERTED] if kind in _MODES else None
