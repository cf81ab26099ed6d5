"""Which shots of a film are grey, tinted or in colour already: by the chroma that they came with.

In a tinted or toned picture luma says what colour there is: what is kept_classes of chroma beside the
mean of all places of one luma is little. In a picture in true colours things of one luma have
chroma_thumbnail of their own. Blocks of frames, averaged so that noise is not taken for chroma_thumbnail, are found to
be one or the other; those around a frame, inside its shot, have a vote in what becomes of it.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from filmcolor.types.frames import COLORED, MONOCHROME, TINTED, FloatPlane, Plane, ProxyFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.pixel_formats import copied
from filmcolor.video.proxy import halved

BLOCK = 8  # frames which are looked at as one; counted in the film's frame numbers
_BEFORE, _AFTER = 12, 2  # blocks around a frame's own that have a vote; those after cost memory
PAST, FUTURE = (
    (_BEFORE + 1) * BLOCK - 1,
    (_AFTER + 1) * BLOCK - 1,
)  # frames that a chroma_class depends on

_SHORT_SIDE = 32  # cells of the pictures in which chroma_thumbnail are looked for
_NUM_ROWS = 6  # of a cell that are looked at: more would cost, and tell no more
_MOST_CELLS = 0.98  # the rest, the most colourful, may be a mark in a corner
_LUMA_STEP = 4  # codes: what is as alike is of one luma
# in codes of 8 bits, root mean squares; CONTRIBUTING.md tells on what they were chosen
_MIN_CHROMA = 3.0  # less is a cast or noise
_MIN_STRAY_SHARE = 0.1  # of chroma, beside what luma explains: less is a tint, not quite even
_MIN_PRODUCT = 6.0  # of chroma and stray: less is noise, on a cast perhaps
_MIN_COLORED = 0.3  # of the frames that vote: a glitch is no colour
_SURE = 2.0  # chroma of a luma's mean, at which it has a hue that colours may stray from


def add_chroma_thumbnails(frames: Iterable[ProxyFrame], coding: Coding) -> Iterator[ProxyFrame]:
    """Yield frames with what `mark_chroma_classes` looks at; chroma is their own from here on."""
    for frame in frames:
        chroma = frame.source.chroma
        assert chroma is not None
        cb, cr = (_owned(plane) for plane in chroma)
        thumbnail = chroma_thumbnail(frame.guide, (cb, cr), coding)
        source = replace(frame.source, chroma=(cb, cr))
        yield replace(frame, source=source, chroma_thumbnail=thumbnail)


def chroma_thumbnail(guide: Plane, chroma: tuple[Plane, Plane], coding: Coding) -> FloatPlane:
    """Return luma, Cb and Cr (3, h, w) of a very small picture, in codes of 8 bits from neutral.

    `guide`: luma of 8 bits, of any size; `chroma`: code values.
    """
    share = min(1.0, _SHORT_SIDE / min(guide.shape))
    size = max(1, round(guide.shape[1] * share)), max(1, round(guide.shape[0] * share))
    chroma_thumbnail = np.empty((3, size[1], size[0]), np.float32)
    chroma_thumbnail[0] = _reduced(guide, size)
    for plane, codes in zip(chroma_thumbnail[1:], chroma, strict=True):
        plane[:] = _reduced(codes, size)
        plane -= coding.chroma_offset
        plane *= 256.0 / (1 << coding.bit_depth)
    return chroma_thumbnail


def classify(chroma_thumbnail: FloatPlane) -> str:
    """Tell what a very small picture is, of luma, Cb and Cr (3, h, w)."""
    chroma, stray = measured(chroma_thumbnail)
    if chroma < _MIN_CHROMA:
        return MONOCHROME
    if stray < _MIN_STRAY_SHARE * chroma:
        return TINTED
    return COLORED if stray * chroma > _MIN_PRODUCT else MONOCHROME


def measured(chroma_thumbnail: FloatPlane) -> tuple[float, float]:
    """Return the chroma of a picture and the part of it that its luma does not explain.

    Of the latter only what turns the hue: a tint may be paler in one place than in another.
    The most colourful cells are kept_classes out.
    """
    luma, cb, cr = chroma_thumbnail.reshape(3, -1)
    squares = cb**2 + cr**2
    is_kept = squares <= np.quantile(squares, _MOST_CELLS)
    luma, cb, cr = luma[is_kept], cb[is_kept], cr[is_kept]
    steps = luma.astype(np.int64) // _LUMA_STEP
    nums = np.bincount(steps)
    means = [np.bincount(steps, plane) / np.maximum(nums, 1) for plane in (cb, cr)]
    mean_cb, mean_cr = (mean[steps] for mean in means)
    squared = mean_cb**2 + mean_cr**2
    stray_cb, stray_cr = cb - mean_cb, cr - mean_cr
    along = (stray_cb * mean_cb + stray_cr * mean_cr) ** 2 / np.maximum(squared, 1e-6)
    sure = np.sqrt(squared)
    sure /= sure + _SURE
    stray = (stray_cb**2 + stray_cr**2 - sure * along).sum()
    freedom = max(1, luma.size - np.count_nonzero(nums))
    return float(squares[is_kept].mean() ** 0.5), float((max(stray, 0.0) / freedom) ** 0.5)


def mark_chroma_classes(
    frames: Iterable[ProxyFrame], kept_classes: Collection[str]
) -> Iterator[ProxyFrame]:
    """Yield frames with their `chroma_class`; only those of the chroma_classes in `kept_classes` keep their chroma.

    A chroma_class depends on PAST frames before and FUTURE after a frame, of its shot, on nothing else.
    """
    shot = _Shot()
    for frame in frames:
        if frame.is_cut:
            yield from shot.finish(kept_classes)
            shot = _Shot()
        yield from shot.add(frame, kept_classes)
    yield from shot.finish(kept_classes)


@dataclass(slots=True)
class _Block:
    number: int
    frames: list[ProxyFrame] = field(default_factory=list)
    num_frames: int = 0
    chroma_class: str = ""

    def close(self) -> None:
        """Find out what the block is, now that it is whole."""
        chroma_thumbnail = [
            frame.chroma_thumbnail for frame in self.frames if frame.chroma_thumbnail is not None
        ]
        self.num_frames, quarter = len(chroma_thumbnail), len(chroma_thumbnail) // 4
        # the mean of the middle half: neither a flash nor a damaged picture has a say
        middle = np.sort(np.stack(chroma_thumbnail), axis=0)[
            quarter : len(chroma_thumbnail) - quarter
        ]
        self.chroma_class = classify(middle.mean(axis=0))


class _Shot:
    """The blocks of a shot which are not done yet, or have a vote still."""

    def __init__(self) -> None:
        self._blocks: deque[_Block] = deque()

    def add(self, frame: ProxyFrame, kept_classes: Collection[str]) -> Iterator[ProxyFrame]:
        """Take in the next frame; yield those whose chroma_class is now known."""
        number = frame.source.number // BLOCK
        if not self._blocks or self._blocks[-1].number != number:
            if self._blocks:
                self._blocks[-1].close()
            yield from self._told(number - _AFTER, kept_classes)
            self._blocks.append(_Block(number))
        self._blocks[-1].frames.append(frame)

    def finish(self, kept_classes: Collection[str]) -> Iterator[ProxyFrame]:
        """Yield the rest, when the shot is over."""
        if self._blocks:
            self._blocks[-1].close()
            yield from self._told(self._blocks[-1].number + 1, kept_classes)

    def _told(self, stop: int, kept_classes: Collection[str]) -> Iterator[ProxyFrame]:
        """Yield the frames of blocks before the number `stop`."""
        for block in list(self._blocks):
            if block.number >= stop or not block.frames:
                continue
            chroma_class = self._vote(block.number)
            for frame in block.frames:
                film = frame.source
                chroma = film.chroma if chroma_class in kept_classes else None
                yield replace(
                    frame,
                    source=replace(film, chroma=chroma, chroma_class=chroma_class),
                    chroma_thumbnail=None,
                )
            block.frames = []
        while self._blocks and self._blocks[0].number < stop - _BEFORE:
            self._blocks.popleft()

    def _vote(self, number: int) -> str:
        votes: Counter[str] = Counter()
        for block in self._blocks:
            if number - _BEFORE <= block.number <= number + _AFTER:
                votes[block.chroma_class] += block.num_frames
        if votes[COLORED] > _MIN_COLORED * sum(votes.values()):
            return COLORED
        return TINTED if votes[TINTED] > votes[MONOCHROME] else MONOCHROME


def _reduced(plane: Plane, size: tuple[int, int]) -> Plane:
    if not any(plane.strides):  # of one value
        return np.broadcast_to(plane[0, 0], size[::-1])
    plane = plane[:: max(1, plane.shape[0] // (_NUM_ROWS * size[1]))]
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        plane = halved(plane)
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)


def _owned(plane: Plane) -> Plane:
    """Return a plane that does not hold the decoder's frame; one of one value takes no memory."""
    low, high, _, _ = cv2.minMaxLoc(plane)
    if low == high:
        return np.broadcast_to(plane[0, 0].copy(), plane.shape)
    return copied(plane)
