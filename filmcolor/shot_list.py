"""A film's shots as a list, and as one picture of their first frames."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from filmcolor.decode import read_luma, resolve
from filmcolor.frames import WHOLE, FilmInfo, LumaFrame, SmallFrame, Span
from filmcolor.probing import probe
from filmcolor.sheets import GAP, TEXT_HEIGHT, check_sheet, save_sheet, write_text
from filmcolor.shots import CUT, DISSOLVE, FADE, LOOK, find_transitions
from filmcolor.small import DEFAULT_SIZE, add_small, shrink
from filmcolor.timecodes import timecode

START = "start"
_LATER = {START: 0, CUT: 0, DISSOLVE: 10, FADE: 10}  # frames until a shot shows itself
_WIDTH = 200  # pixels of a picture on a sheet
_MAX_PICTURES = 240  # on a sheet: more could not be read
_MAX_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot: frames and seconds half-open, seconds from the film's first frame.

    `kind` is how it begins: "start" (where reading began), "cut", "dissolve" or "fade". Of a
    dissolve, the shot begins in its middle; of a fade, where a picture comes again.
    """

    number: int  # from 1
    first: int  # frames, from 0
    stop: int
    start_seconds: Fraction
    end_seconds: Fraction
    kind: str


def find_shots(
    film: str | Path,
    *,
    span: Span = WHOLE,
    sheet: str | Path | None = None,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Shot]:
    """Return the shots of a film or of a span of it, in one pass over its luma.

    They are the shots of a run. `sheet`: a PNG to write, with the first frame of each shot
    (of those that come by a dissolve or a fade, one shortly after); of more than 240 shots,
    every second is shown, or every fourth, and so on. Raises a FilmcolorError when the film
    cannot be read or the sheet not be written.
    """
    info = probe(film)
    target = None if sheet is None else Path(sheet)
    if target:
        check_sheet(target, info.path, force)
    gallery = _Gallery(info) if target else None
    shots = list(each_shot(info, span, gallery, progress))
    if gallery and target:
        save_sheet(gallery.drawn(shots), target)
    return shots


class Watcher(Protocol):
    """Who sees the frames of a film's shots as they pass."""

    def add(self, number: int, kind: str, position: int, frame: SmallFrame, /) -> None:
        """Look at the frame at a position, from 0, of the shot of a number and kind."""


def each_shot(
    info: FilmInfo,
    span: Span = WHOLE,
    watcher: Watcher | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Shot]:
    """Yield each shot of a film, or of a span of it, as soon as it has ended.

    `watcher` is shown each frame; a shot is yielded before the next one's first.
    """
    part = resolve(info, span)
    total = info.num_frames_told if part.stop is None else part.stop - part.first
    lumas = read_luma(
        info, max(0, part.first - LOOK), None if part.stop is None else part.stop + LOOK
    )
    number, kind, first, last = 0, START, None, None
    for small, begins in find_transitions(add_small(lumas, info, DEFAULT_SIZE)):
        frame = small.frame
        if frame.number < part.first:
            continue
        if part.stop is not None and frame.number >= part.stop:
            break
        if first is None or last is None:
            number, first = 1, frame
        elif begins:
            yield _shot(info, number, kind, first, last, frame.pts)
            number, kind, first = number + 1, begins, frame
        last = frame
        if watcher:
            watcher.add(number, kind, frame.number - first.number, small)
        if progress:
            progress(frame.number - part.first + 1, total)
    if first is not None and last is not None:
        length = last.duration or round(1 / (info.frame_rate * info.time_base))
        yield _shot(info, number, kind, first, last, last.pts + length)


def _shot(
    info: FilmInfo, number: int, kind: str, first: LumaFrame, last: LumaFrame, end_pts: int
) -> Shot:
    start, end = ((pts - info.start_pts) * info.time_base for pts in (first.pts, end_pts))
    return Shot(number, first.number, last.number + 1, start, end, kind)


class _Gallery:
    """One picture of each shot while they pass, never more than a sheet can show."""

    def __init__(self, info: FilmInfo) -> None:
        self.info = info
        self.every = 1
        self.pictures: dict[int, Image.Image] = {}  # by the shots' numbers

    def add(self, number: int, kind: str, position: int, frame: SmallFrame) -> None:
        """Look at the frame at a position of a shot; the last that is kept is shown."""
        if position > _LATER[kind] or (number - 1) % self.every:
            return
        self.pictures[number] = self._picture(frame.frame)
        if len(self.pictures) > _MAX_PICTURES:
            self.every *= 2
            kept = self.pictures.items()
            self.pictures = {n: p for n, p in kept if (n - 1) % self.every == 0}

    def _picture(self, frame: LumaFrame) -> Image.Image:
        width, height = self.info.display_size
        size = (_WIDTH, max(1, round(_WIDTH * height / width)))
        grey = shrink(frame.luma, size, self.info.coding)
        return Image.fromarray(np.rot90(grey, round(self.info.rotation / 90) % 4))

    def drawn(self, shots: list[Shot]) -> Image.Image:
        """Return the sheet: a title, and the pictures by rows with number, time and kind."""
        shown = [shot for shot in shots if shot.number in self.pictures]
        width, height = self.pictures[1].size
        columns = min(_MAX_COLUMNS, max(1, round((1.5 * len(shown)) ** 0.5)))
        rows = -(-len(shown) // columns)
        cell = max(width, _WIDTH) + GAP, height + TEXT_HEIGHT + GAP
        sheet = Image.new(
            "RGB", (columns * cell[0] + GAP, rows * cell[1] + TEXT_HEIGHT + GAP), "white"
        )
        title = f"{self.info.path.name}: {len(shots)} shots"
        if self.every > 1:
            title += f", one in {self.every} shown"
        write_text(sheet, (GAP, GAP // 2), title, sheet.width - 2 * GAP)
        for place, shot in enumerate(shown):
            row, column = divmod(place, columns)
            left, top = GAP + column * cell[0], TEXT_HEIGHT + GAP + row * cell[1]
            sheet.paste(self.pictures[shot.number].convert("RGB"), (left, top))
            caption = f"{shot.number}  {timecode(float(shot.start_seconds))}"
            if shot.kind in (DISSOLVE, FADE):
                caption += f" {shot.kind}"
            write_text(sheet, (left, top + height + 2), caption, cell[0] - GAP)
        return sheet
