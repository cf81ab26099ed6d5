"""Reads single frames of a film, cheaply where they are asked for in order."""

from bisect import bisect_right
from collections.abc import Iterator

from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex


class FrameReader:
    """Decodes from where the last frame was, unless a keyframe is nearer."""

    def __init__(self, info: FilmInfo, index: FrameIndex | None = None) -> None:
        """Take a film; `index`: its own, if it has been read."""
        self._info, self._index = info, index or FrameIndex.read(info)
        self._frames: Iterator[LumaFrame] = iter(())
        self._next = -1  # the number that comes next, -1 where nothing is open

    def read(self, number: int) -> LumaFrame | None:
        """Return the frame with a number, None where it does not exist or cannot be decoded."""
        if not self._is_ahead(number):
            self._frames, self._next = read_luma(self._info, number, None, self._index, 1), number
        for frame in self._frames:
            self._next = frame.number + 1
            if frame.number >= number:
                return frame if frame.number == number else None
        self._next = -1
        return None

    def _is_ahead(self, number: int) -> bool:
        """Return whether a frame comes, and no keyframe before it."""
        keyframes = self._index.keyframes if self._index.is_exact else []
        has_keyframe = bisect_right(keyframes, number) > bisect_right(keyframes, self._next)
        return 0 <= self._next <= number and not has_keyframe
