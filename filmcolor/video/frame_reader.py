"""Reads single frames of a film, cheaply where they are asked for in order."""

from bisect import bisect_right
from collections.abc import Iterator

from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex

_NEAR = 16  # frames ahead that are decoded, however many keyframes they are: opening costs more


class FrameReader:
    """Decodes on from the last frame that was asked for, unless a keyframe is nearer to the next.

    It holds that frame.
    """

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex | None = None,
        *,
        num_threads: int = 1,
        with_chroma: bool = False,
    ) -> None:
        """Take a film; `index`: its own, if it has been read. The others are `read_luma`'s."""
        self._info, self._index = info, index or FrameIndex.read(info)
        self._num_threads, self._with_chroma = num_threads, with_chroma
        self._frames: Iterator[LumaFrame] = iter(())
        self._latest: LumaFrame | None = None

    def read(self, number: int) -> LumaFrame | None:
        """Return the frame with a number, None where it does not exist or cannot be decoded.

        Raises the errors of `read_luma`.
        """
        if not self._is_ahead(number):
            self._frames = read_luma(
                self._info, number, None, self._index, self._num_threads, self._with_chroma
            )
            self._latest = next(self._frames, None)
        while self._latest is not None and self._latest.number < number:
            self._latest = next(self._frames, None)
        is_found = self._latest is not None and self._latest.number == number
        return self._latest if is_found else None

    def _is_ahead(self, number: int) -> bool:
        """Return whether a frame is the latest or comes after it, and no keyframe is nearer."""
        if self._latest is None or number < self._latest.number:
            return False
        latest = self._latest.number
        keyframes = self._index.keyframes if self._index.is_exact else []
        has_keyframe = bisect_right(keyframes, number) > bisect_right(keyframes, latest)
        return number - latest <= _NEAR or not has_keyframe
