"""Finished frames without their colour, to show beside the coloured ones."""

from dataclasses import replace

import numpy as np

from filmcolor.types.frames import ColorFrame
from filmcolor.types.yuv import Coding


def remove_color(frame: ColorFrame, coding: Coding) -> ColorFrame:
    """Return a frame with neutral chroma planes."""
    neutral = np.full_like(frame.cb, coding.chroma_offset)
    return replace(frame, cb=neutral, cr=neutral)
