"""One PNG with the first frame of every shot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from filmcolor.images.sheet import GAP, TEXT_HEIGHT, check_sheet, save_sheet, write_text
from filmcolor.shots.detector import CUT, DISSOLVE, FADE
from filmcolor.shots.listing import START, Shot, iter_shots
from filmcolor.timecodes import format_timecode
from filmcolor.types.film import WHOLE, FilmInfo, TimeRange
from filmcolor.types.frames import LumaFrame, ProxyFrame
from filmcolor.video.probe import probe
from filmcolor.video.proxy import downscale

_DELAY = {START: 0, CUT: 0, DISSOLVE: 10, FADE: 10}  # frames until a shot shows itself
_WIDTH = 200  # pixels of a picture on a sheet
_MAX_PICTURES = 240  # on a sheet: more could not be read
_MAX_COLUMNS = 12


def shot_sheet(
    film: str | Path,
    output: str | Path,
    *,
    time_range: TimeRange = WHOLE,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Shot]:
    """Write one PNG with the first frame of each shot, and return the shots.

    After a dissolve or a fade a frame shortly after is shown. Of more than 240 shots, every second
    is shown, or every fourth, and so on. Raises a FilmcolorError when the film cannot be read or
    the sheet cannot be written.
    """
    info, target = probe(film), Path(output)
    check_sheet(target, info.path, force)
    gallery = _Gallery(info)
    shots = list(iter_shots(info, time_range, gallery, progress))
    save_sheet(gallery.draw(shots), target)
    return shots


class _Gallery:
    """One picture of each shot, never more than a sheet can show."""

    def __init__(self, info: FilmInfo) -> None:
        self.info = info
        self.every = 1
        self.pictures: dict[int, Image.Image] = {}  # by the shots' numbers

    def add(self, number: int, transition: str, position: int, frame: ProxyFrame) -> None:
        """Take a frame at a position of a shot; the last one kept is shown."""
        if position > _DELAY[transition] or (number - 1) % self.every:
            return
        self.pictures[number] = self._picture(frame.source)
        if len(self.pictures) > _MAX_PICTURES:
            self.every *= 2
            kept = self.pictures.items()
            self.pictures = {n: p for n, p in kept if (n - 1) % self.every == 0}

    def _picture(self, frame: LumaFrame) -> Image.Image:
        width, height = self.info.display_size
        size = (_WIDTH, max(1, round(_WIDTH * height / width)))
        grey = downscale(frame.luma, size, self.info.coding)
        return Image.fromarray(np.rot90(grey, self.info.quarter_turns))

    def draw(self, shots: list[Shot]) -> Image.Image:
        """Return the sheet: a title, and the pictures by rows with number, time and transition."""
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
            caption = f"{shot.number}  {format_timecode(float(shot.start_seconds))}"
            if shot.transition in (DISSOLVE, FADE):
                caption += f" {shot.transition}"
            write_text(sheet, (left, top + height + 2), caption, cell[0] - GAP)
        return sheet
