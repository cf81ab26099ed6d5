"""Reads the pictures that a person gives a film, and finds their frames.

Everything about them that can be refused is refused here, before the first frame.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from filmcolor.errors import InputError
from filmcolor.guidance.exemplars import Exemplar
from filmcolor.guidance.reference_frames import find_frames, is_alike
from filmcolor.guidance.reference_sources import list_pictures
from filmcolor.guidance.references import Picture, Pictures, Reference, read_picture
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Gray
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import downscale, halve, proxy_size

_NUM_KEPT = 32  # pictures that are kept besides those in use, and guides of frames

GuideOf = Callable[[int], Gray | None]  # returns a frame's `guide` by its number, None: unknown


def read_pictures(
    sources: Sequence[str],
    info: FilmInfo,
    index: FrameIndex,
    size: int,
    hints: Sequence[str] = (),
) -> Pictures:
    """Return the references and lookalikes that pictures hold.

    A source is a picture, `PICTURE@TIMECODE`, or a folder of pictures. The frame of a picture is
    given by the time, else by its name (`frame-001234.png`, `00-01-23.456.png`), else it is
    searched by its luma in one pass over the film; a picture without one is a lookalike. Pictures
    are upright, of any size; those of frames have the aspect of the film as shown or of its frames
    as coded. Transparent pixels give no colour. `hints`: sources of strokes on transparency, which
    are propagated to edges, and lie over a reference of the same frame. `size`: short side that the
    network sees, pixels.

    A folder's grey pictures (`*.grey.png`) and unpainted exports are left out. Raises an InputError
    that names the picture when one does not fit the film.
    """
    return PictureReader(info, index, size).read(sources, hints)


class PictureReader:
    """Reads the pictures of one film again and again; what has not changed is read once."""

    def __init__(
        self, info: FilmInfo, index: FrameIndex, size: int, guide_of: GuideOf | None = None
    ) -> None:
        """Take a film and the short side that the network sees, pixels.

        `guide_of`: returns the `guide` of a frame, where it need not be decoded.
        """
        self._info, self._index, self._size = info, index, size
        self._guide_of = guide_of
        self._kept: OrderedDict[tuple[object, ...], Picture] = OrderedDict()
        self._guides: OrderedDict[int, Gray] = OrderedDict()

    def read(self, sources: Sequence[str], hints: Sequence[str] = ()) -> Pictures:
        """Return the references and lookalikes of sources; see `read_pictures`."""
        pictures = [
            self.read_one(path, seconds, is_hint)
            for group, is_hint in ((sources, False), (hints, True))
            for source in group
            for path, seconds in list_pictures(source)
        ]
        while len(self._kept) > len(pictures) + _NUM_KEPT:
            self._kept.popitem(last=False)
        sought = [(p, p.detail) for p in pictures if p.is_sought and p.detail is not None]
        numbers = find_frames([detail for _, detail in sought], self._info, self._index)
        for (picture, _), number in zip(sought, numbers, strict=True):
            picture.number, picture.is_sought = number, False
        return self._merge(pictures)

    def read_one(
        self, path: Path, seconds: Fraction | None = None, is_hint: bool = False
    ) -> Picture:
        """Return a picture, its frame only where its name or a time gives it."""
        with_film = is_hint, self._info, self._index, self._size
        try:
            state = path.stat()
        except OSError:
            return read_picture(path, seconds, *with_film)  # it says what is wrong
        # a file that was replaced has another inode, however quickly it was written
        key = path, seconds, is_hint, state.st_size, state.st_mtime_ns, state.st_ino
        if key not in self._kept:
            self._kept[key] = read_picture(path, seconds, *with_film)
        self._kept.move_to_end(key)
        return self._kept[key]

    def number_of(self, path: Path) -> int | None:
        """Return the frame of a picture that was read last; None if it has none, or is unknown."""
        kept = (picture for key, picture in reversed(self._kept.items()) if key[0] == path)
        picture = next(kept, None)
        return None if picture is None else picture.number

    def check(self, picture: Picture) -> Reference:
        """Return the reference of a picture that matches its frame, with its strokes propagated.

        Raises an InputError that names the picture when it does not look like its frame.
        """
        assert picture.number is not None
        if picture.reference is None:
            picture.reference = self._make_reference(picture, picture.number)
        return picture.reference

    def _merge(self, pictures: Sequence[Picture]) -> Pictures:
        paths: dict[tuple[int, bool], Path] = {}
        references: dict[int, Reference] = {}
        lookalikes: list[Exemplar] = []
        for picture in pictures:  # hints come last
            number = picture.number
            if number is None:
                lookalikes += picture.lookalikes
                continue
            if (number, picture.is_hint) in paths:
                other = paths[number, picture.is_hint]
                raise InputError(
                    f"{other} and {picture.path} are both of frame {number}; leave one out"
                )
            paths[number, picture.is_hint] = picture.path
            given, below = self.check(picture), references.get(number)
            references[number] = given if below is None else _over(given, below)
        ordered = sorted(references.values(), key=lambda reference: reference.number)
        return Pictures(tuple(ordered), tuple(lookalikes))

    def _make_reference(self, picture: Picture, number: int) -> Reference:
        guide = None if picture.detail is not None else self._known_guide(number)
        if guide is None:
            guide = self._decode(picture, number)
        if not picture.is_hint:
            return Reference(number, picture.ab, picture.coverage)
        from filmcolor.guidance.scribbles import propagate

        return Reference(number, *propagate(picture.ab, picture.coverage, guide))

    def _known_guide(self, number: int) -> Gray | None:
        """Return the guide of a frame, if it is there already."""
        if number in self._guides:
            self._guides.move_to_end(number)
            return self._guides[number]
        return self._guide_of(number) if self._guide_of else None

    def _decode(self, picture: Picture, number: int) -> Gray:
        """Return the guide of a picture's frame, read from the film, once they look alike."""
        info = self._info
        frame = next(read_luma(info, number, number + 1, self._index), None)
        if frame is None:
            raise InputError(
                f"{picture.path}: frame {number} of {info.path} does not exist or cannot be "
                "decoded; give a picture of another"
            )
        if picture.detail is not None and not is_alike(picture.detail, frame, info):
            raise InputError(
                f"{picture.path} does not look like frame {number} of {info.path}; is it of this "
                "film? without a number in its name its frame is searched for"
            )
        size = proxy_size(*info.display_size, self._size)
        self._guides[number] = halve(downscale(frame.luma, size, info.coding))
        if len(self._guides) > _NUM_KEPT:
            self._guides.popitem(last=False)
        return self._guides[number]


def _over(strokes: Reference, below: Reference) -> Reference:
    """Return a reference with strokes of the same frame over it."""
    rest = below.coverage * (1.0 - strokes.coverage)
    coverage = strokes.coverage + rest
    total = strokes.ab * strokes.coverage[..., None] + below.ab * rest[..., None]
    ab = (total / np.maximum(coverage, 1e-6)[..., None]).astype(np.float32)
    return Reference(below.number, ab, coverage)
