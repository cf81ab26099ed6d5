"""Compares the luma of a finished film with that of its source, frame by frame."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from filmcolor.errors import VerifyError
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.side_data_comparison import compare_frame_data
from filmcolor.runtime.threads import decoder_thread_choices
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.types.yuv import convert_luma
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class LumaDifference:
    """The difference between an output's luma and its source's, over all frames."""

    num_frames: int
    num_different: int
    psnr: float  # dB, of code values at the lower of the two depths; infinite if none differs


def compare_luma(
    source: FilmInfo, output: FilmInfo, progress: Progress | None = None
) -> LumaDifference:
    """Decode both films and return the difference of their luma.

    Frames are compared that are shown at the same time. As for `verify`, the output may lack those
    that cannot be decoded. `progress(done, total)` is called after every frame. Raises VerifyError
    when one film has a frame that the other should have, or other captions or alpha.
    """
    index = FrameIndex.read(source)
    results: list[LumaDifference] = []
    errors: list[VerifyError] = []
    # around damage, what a decoder makes of a film depends on its threads
    for num_threads in decoder_thread_choices(source.bytes_per_frame):
        comparison = _Comparison(source, output, index, progress)
        try:
            results.append(comparison.run(num_threads))
        except VerifyError as error:
            errors.append(error)
            continue
        if not comparison.has_damage or math.isinf(results[-1].psnr):
            break
    if not results:
        raise errors[0]
    return max(results, key=lambda result: result.psnr)


class _Comparison:
    """One comparison of two films."""

    def __init__(
        self, source: FilmInfo, output: FilmInfo, index: FrameIndex, progress: Progress | None
    ) -> None:
        self._source, self._output, self._index, self._progress = source, output, index, progress
        self._is_numbered = output.container == IMAGE_SEQUENCE
        self._first: int | None = None  # of a sequence: the source's number of its first image
        if self._is_numbered:  # R'G'B' does not say by which matrix it was made
            coding = replace(output.coding, matrix=source.coding.matrix)
            self._output = replace(output, coding=coding)
        self.has_damage = False
        # exact, unless the container's clock is coarser than the source's
        is_exact = (source.time_base / output.time_base).denominator == 1
        self._tolerance = 0 if is_exact else output.time_base / 2

    def run(self, num_threads: int) -> LumaDifference:
        """Return the difference, decoding the source with a number of threads."""
        # of two ranges in the source's: what is rounded to the other one comes back
        depth = min(self._source.coding.bit_depth, self._output.coding.bit_depth)
        coding = replace(self._source.coding, bit_depth=depth)
        num_different, total_error, num_samples, num_frames = 0, 0.0, 0, 0
        for num_frames, (original, copy) in enumerate(self._pairs(num_threads), 1):
            compare_frame_data(original, copy, self._source, self._output)
            height, width = original.luma.shape  # an odd size may have been padded
            planes = [
                convert_luma(frame.luma[:height, :width], film.coding, coding)
                for frame, film in ((original, self._source), (copy, self._output))
            ]
            squares = (planes[0].astype(np.int64) - planes[1]) ** 2
            error = float(squares.sum())
            num_different += error > 0
            total_error, num_samples = total_error + error, num_samples + squares.size
            if self._progress:
                self._progress(num_frames, self._index.num_frames)
        psnr = math.inf
        if total_error:
            psnr = 10.0 * math.log10(((1 << depth) - 1) ** 2 * num_samples / total_error)
        return LumaDifference(num_frames, num_different, psnr)

    def _pairs(self, num_threads: int) -> Iterator[tuple[LumaFrame, LumaFrame]]:
        """Yield the frames of both films that are shown at the same time."""
        copies = read_luma(self._output)
        expected = 0
        for original in read_luma(self._source, index=self._index, num_threads=num_threads):
            num_missing = original.number - expected
            self.has_damage |= num_missing > 0 or original.fault != ""
            copy = self._next_copy(copies, original, num_missing)
            yield original, copy
            expected = original.number + 1
        num_missing = self._index.num_frames - expected
        self.has_damage |= num_missing > 0
        num_left = sum(1 for _ in copies)
        if num_left > num_missing:
            raise VerifyError(
                f"{self._source.path} ends after {expected} frames, {self._output.path} has more"
            )

    def _next_copy(
        self, copies: Iterator[LumaFrame], original: LumaFrame, num_missing: int
    ) -> LumaFrame:
        """Return the output's frame at an original's time.

        `num_missing`: frames before it that cannot be decoded; the output may have them.
        """
        time = original.pts * self._source.time_base - self._source.origin
        for _ in range(num_missing + 1):
            copy = next(copies, None)
            if copy is None:
                raise VerifyError(
                    f"{self._output.path} ends before {float(time):.6f} s, where "
                    f"{self._source.path} has frame {original.number}"
                )
            if self._is_same_frame(copy, original, time):
                return copy
        raise VerifyError(
            f"{self._output.path} has no frame at {float(time):.6f} s, where "
            f"{self._source.path} has frame {original.number}"
        )

    def _is_same_frame(self, copy: LumaFrame, original: LumaFrame, time: Fraction) -> bool:
        """Return whether an output's frame is that of an original, which is shown at `time`."""
        if not self._is_numbered:
            return abs(copy.pts * self._output.time_base - time) <= self._tolerance
        if self._first is None:
            self._first = original.number - copy.number
        return copy.number + self._first == original.number
