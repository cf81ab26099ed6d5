"""Classifies shots by the chroma they already have: monochrome, tinted or in colour.

In a tinted or toned picture luma determines the colour: little chroma remains after subtracting the
mean chroma of all cells of the same luma (within 4 codes). In a picture in true colours, objects of
the same luma have hues of their own. That remainder is called *stray* chroma. It counts only as far
as it turns the hue, because tints fade unevenly. On real films in sepia, blue, amber, green and two
tones, at crf 18 and 28, up to 0.093 of the chroma is stray; in true colours mostly 0.2 to 0.8. The
threshold is 0.1.

Chroma below 3 codes is a cast or noise (scans of monochrome film have up to 3.2). Stray chroma is
noise if chroma times stray is below 6: a cast with blotches of noise has up to 5.9, the dullest
true colours 5 to 8. The most colourful 2 % of cells are left out, so that a broadcaster's logo does
not make a film count as coloured.

Blocks of 8 frames are classified together, by the mean of the middle half of each cell's values:
that averages noise, and a flash or a glitch does not count. A frame's class is a vote over the 12
blocks before and 2 after its own, within its shot. (Blocks after cost memory: up to 24 more frames
wait.) 30 % colour votes suffice: colour shots can look monochrome for a moment, monochrome shots
never look colourful. Ambiguous shots are colourised: a grey shot left grey is the worst error, true
colours repainted the next.

Every frame holds its chroma until the vote, because a dark frame of a shot in colour keeps its
chroma too. Planes of one value, which monochrome films have, are held as that value.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from filmcolor.types.frames import COLORED, MONOCHROME, TINTED, FloatPlane, Plane, ProxyFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.pixel_formats import copy_plane
from filmcolor.video.proxy import halve

BLOCK = 8  # frames that are classified together; counted in the film's frame numbers
_BLOCKS_BEFORE, _BLOCKS_AFTER = 12, 2  # blocks around a frame's own that vote
# frames that a frame's class depends on
FRAMES_BEFORE = (_BLOCKS_BEFORE + 1) * BLOCK - 1
FRAMES_AFTER = (_BLOCKS_AFTER + 1) * BLOCK - 1

_SHORT_SIDE = 32  # cells of a chroma thumbnail
_ROWS_PER_CELL = 6  # rows of the plane that are sampled for a cell: more do not help
_COUNTED_CELLS = 0.98  # share of the cells; the rest, the most colourful, may be a logo
_LUMA_STEP = 4  # codes: cells within a step have the same luma
# root mean squares in 8-bit codes; the module's docstring has the measurements behind them
_MIN_CHROMA = 3.0  # less is a cast or noise
_MIN_STRAY_SHARE = 0.1  # of stray chroma in all chroma; less is an uneven tint
_MIN_PRODUCT = 6.0  # of chroma and stray chroma; less is noise, possibly on a cast
_MIN_COLORED_VOTES = 0.3  # share of frames; less is a glitch
_HUE_CHROMA = 2.0  # mean chroma of a luma, in codes, at which its hue is half certain


def add_chroma_thumbnails(frames: Iterable[ProxyFrame], coding: Coding) -> Iterator[ProxyFrame]:
    """Yield frames with chroma thumbnails, and with chroma copied from the decoder's frames."""
    for frame in frames:
        chroma = frame.source.chroma
        assert chroma is not None
        cb, cr = (_copy_chroma(plane) for plane in chroma)
        thumbnail = chroma_thumbnail(frame.guide, (cb, cr), coding)
        source = replace(frame.source, chroma=(cb, cr))
        yield replace(frame, source=source, chroma_thumbnail=thumbnail)


def chroma_thumbnail(guide: Plane, chroma: tuple[Plane, Plane], coding: Coding) -> FloatPlane:
    """Return luma, Cb and Cr (3, h, w) of a picture with a short side of 32 cells.

    In 8-bit codes, chroma as distance from neutral. `guide`: 8-bit luma of any size; `chroma`: code
    values.
    """
    scale = min(1.0, _SHORT_SIDE / min(guide.shape))
    size = max(1, round(guide.shape[1] * scale)), max(1, round(guide.shape[0] * scale))
    thumbnail = np.empty((3, size[1], size[0]), np.float32)
    thumbnail[0] = _shrink(guide, size)
    for plane, codes in zip(thumbnail[1:], chroma, strict=True):
        plane[:] = _shrink(codes, size)
        plane -= coding.chroma_offset
        plane *= 256.0 / (1 << coding.bit_depth)
    return thumbnail


def classify(thumbnail: FloatPlane) -> str:
    """Return the class of a chroma thumbnail (3, h, w): MONOCHROME, TINTED or COLORED."""
    chroma, stray = measure_chroma(thumbnail)
    if chroma < _MIN_CHROMA:
        return MONOCHROME
    if stray < _MIN_STRAY_SHARE * chroma:
        return TINTED
    return COLORED if stray * chroma > _MIN_PRODUCT else MONOCHROME


def measure_chroma(thumbnail: FloatPlane) -> tuple[float, float]:
    """Return the rms chroma of a chroma thumbnail (3, h, w), and its rms stray chroma.

    Stray chroma is what the luma does not explain: the distance to the mean chroma of the cells of
    the same luma, without the part along that mean's hue, for a tint may be paler in one area than
    in another. The most colourful cells are left out.
    """
    luma, cb, cr = thumbnail.reshape(3, -1)
    squares = cb**2 + cr**2
    is_counted = squares <= np.quantile(squares, _COUNTED_CELLS)
    luma, cb, cr = luma[is_counted], cb[is_counted], cr[is_counted]
    steps = luma.astype(np.int64) // _LUMA_STEP
    nums = np.bincount(steps)
    means = [np.bincount(steps, plane) / np.maximum(nums, 1) for plane in (cb, cr)]
    mean_cb, mean_cr = (mean[steps] for mean in means)
    mean_squares = mean_cb**2 + mean_cr**2
    stray_cb, stray_cr = cb - mean_cb, cr - mean_cr
    along_hue = (stray_cb * mean_cb + stray_cr * mean_cr) ** 2 / np.maximum(mean_squares, 1e-6)
    certainty = np.sqrt(mean_squares)  # of the mean's hue
    certainty /= certainty + _HUE_CHROMA
    stray = (stray_cb**2 + stray_cr**2 - certainty * along_hue).sum()
    freedom = max(1, luma.size - np.count_nonzero(nums))
    return float(squares[is_counted].mean() ** 0.5), float((max(stray, 0.0) / freedom) ** 0.5)


def mark_chroma_classes(
    frames: Iterable[ProxyFrame], kept_classes: Collection[str]
) -> Iterator[ProxyFrame]:
    """Yield frames with their `chroma_class`; only those of `kept_classes` keep their chroma.

    A class depends on FRAMES_BEFORE frames before and FRAMES_AFTER after a frame, within its shot,
    and on nothing else. Chroma thumbnails are removed.
    """
    shot = _ShotClassifier(kept_classes)
    for frame in frames:
        if frame.is_cut:
            yield from shot.finish()
            shot = _ShotClassifier(kept_classes)
        yield from shot.add(frame)
    yield from shot.finish()


@dataclass(slots=True)
class _Block:
    number: int
    frames: list[ProxyFrame] = field(default_factory=list)  # empty once they have been yielded
    num_frames: int = 0
    chroma_class: str = ""  # set by `close`

    def close(self) -> None:
        """Classify the block, once it is complete."""
        thumbnails = [f.chroma_thumbnail for f in self.frames if f.chroma_thumbnail is not None]
        self.num_frames, quarter = len(thumbnails), len(thumbnails) // 4
        # the mean of the middle half: neither a flash nor a damaged frame counts
        ordered = np.sort(np.stack(thumbnails), axis=0)
        middle = ordered[quarter : len(thumbnails) - quarter]
        self.chroma_class = classify(middle.mean(axis=0))


class _ShotClassifier:
    """Classifies the frames of one shot, holding the blocks that are undecided or still vote."""

    def __init__(self, kept_classes: Collection[str]) -> None:
        self._kept_classes = kept_classes
        self._blocks: deque[_Block] = deque()

    def add(self, frame: ProxyFrame) -> Iterator[ProxyFrame]:
        """Add the shot's next frame; yield the frames that are now decided."""
        number = frame.source.number // BLOCK
        if not self._blocks or self._blocks[-1].number != number:
            if self._blocks:
                self._blocks[-1].close()
            yield from self._decide(number - _BLOCKS_AFTER)
            self._blocks.append(_Block(number))
        self._blocks[-1].frames.append(frame)

    def finish(self) -> Iterator[ProxyFrame]:
        """Yield the remaining frames, at the end of the shot."""
        if self._blocks:
            self._blocks[-1].close()
            yield from self._decide(self._blocks[-1].number + 1)

    def _decide(self, stop: int) -> Iterator[ProxyFrame]:
        """Yield the frames of blocks before the number `stop`, and drop blocks without a vote."""
        for block in list(self._blocks):
            if block.number >= stop or not block.frames:
                continue
            chroma_class = self._vote(block.number)
            for frame in block.frames:
                source = frame.source
                chroma = source.chroma if chroma_class in self._kept_classes else None
                source = replace(source, chroma=chroma, chroma_class=chroma_class)
                yield replace(frame, source=source, chroma_thumbnail=None)
            block.frames = []
        while self._blocks and self._blocks[0].number < stop - _BLOCKS_BEFORE:
            self._blocks.popleft()

    def _vote(self, number: int) -> str:
        """Return the class that the blocks around a block vote for."""
        votes: Counter[str] = Counter()
        for block in self._blocks:
            if number - _BLOCKS_BEFORE <= block.number <= number + _BLOCKS_AFTER:
                votes[block.chroma_class] += block.num_frames
        if votes[COLORED] > _MIN_COLORED_VOTES * sum(votes.values()):
            return COLORED
        return TINTED if votes[TINTED] > votes[MONOCHROME] else MONOCHROME


def _shrink(plane: Plane, size: tuple[int, int]) -> Plane:
    """Return a plane at `size` (width, height), from a sample of its rows."""
    if not any(plane.strides):  # a broadcast value
        return np.broadcast_to(plane[0, 0], size[::-1])
    plane = plane[:: max(1, plane.shape[0] // (_ROWS_PER_CELL * size[1]))]
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        plane = halve(plane)
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)


def _copy_chroma(plane: Plane) -> Plane:
    """Return a copy that does not keep the decoder's frame alive; one value takes no memory."""
    low, high, _, _ = cv2.minMaxLoc(plane)
    if low == high:
        return np.broadcast_to(plane[0, 0].copy(), plane.shape)
    return copy_plane(plane)
