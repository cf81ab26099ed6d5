"""Compares captions, HDR metadata, stereo layout and alpha of an output with its film's."""

import numpy as np

from filmcolor.errors import VerifyError
from filmcolor.output.hdr import is_same_display
from filmcolor.output.stereo import stereo_layout
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.video.side_data import (
    CAPTIONS,
    LIGHT_LEVEL,
    MASTERING_DISPLAY,
    STEREO_3D,
    describe_kind,
    read_side_data,
)

_COMPARED = (MASTERING_DISPLAY, LIGHT_LEVEL, STEREO_3D)
# what x264 and x265 write, which name themselves in unregistered data
_WRITTEN = (MASTERING_DISPLAY, LIGHT_LEVEL, CAPTIONS)
_ENCODER_NAME = "SEI_UNREGISTERED"


def kept_kinds(source: FilmInfo, result: FilmInfo) -> frozenset[str]:
    """Return the kinds of a film's side data that another film has with the same meaning."""
    return frozenset(
        kind
        for kind, data in source.side_data.items()
        if kind in result.side_data and _is_same(kind, data, result.side_data[kind])
    )


def compare_side_data(source: FilmInfo, result: FilmInfo) -> None:
    """Raise VerifyError where an output's first frame has other side data than the film's.

    Only what the output's encoder can write is asked of it; the notes of a plan name the rest.
    """
    kept = kept_kinds(source, result)
    for kind in (*_COMPARED, CAPTIONS):
        is_written = kind in _WRITTEN and _ENCODER_NAME in result.side_data
        is_compared = kind in result.side_data and kind in _COMPARED
        if kind in source.side_data and kind not in kept and (is_written or is_compared):
            raise VerifyError(f"{result.path} has lost {describe_kind(kind)} of {source.path}")


def compare_frame_data(
    original: LumaFrame, copy: LumaFrame, source: FilmInfo, result: FilmInfo
) -> None:
    """Raise VerifyError where an output's frame has other captions or alpha than the film's.

    Outputs whose encoder writes no captions, or whose pixel format has no alpha, may lack them.
    """
    captions, copied = (_captions(frame) for frame in (original, copy))
    has_captions = copied is not None or _ENCODER_NAME in result.side_data
    if has_captions and captions != copied:
        raise VerifyError(f"frame {original.number} of {result.path} has not the film's captions")
    if original.alpha is None or copy.alpha is None:
        return
    height, width = original.alpha.shape  # an odd size may have been padded
    peaks = [(1 << film.coding.bit_depth) - 1 for film in (source, result)]
    expected = np.rint(original.alpha * (peaks[1] / peaks[0]))
    if not np.array_equal(expected, copy.alpha[:height, :width]):
        raise VerifyError(f"frame {original.number} of {result.path} has not the film's alpha")


def _captions(frame: LumaFrame) -> bytes | None:
    return None if frame.side_data is None else read_side_data(frame.side_data).get(CAPTIONS)


def _is_same(kind: str, one: str, other: str) -> bool:
    if kind == MASTERING_DISPLAY:
        return is_same_display(one, other)
    if kind == STEREO_3D:
        return stereo_layout(one) == stereo_layout(other)
    return kind != LIGHT_LEVEL or one == other
