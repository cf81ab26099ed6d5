"""Shot sheets: one PNG with the first frame of every shot."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from filmcolor.images.sheet import add_caption, arrange_grid, check_sheet, save_sheet
from filmcolor.shots.detector import CUT, DISSOLVE, FADE
from filmcolor.shots.listing import START, Shot, iter_shots
from filmcolor.timecodes import format_timecode
from filmcolor.types.film import WHOLE, FilmInfo, TimeRange
from filmcolor.types.frames import LumaFrame, ProxyFrame
from filmcolor.video.probe import probe
from filmcolor.video.proxy import downscale
from filmcolor.video.source_options import AS_MARKED, SourceOptions

# by transition: frames from a shot's start to one that shows the shot alone
_DELAY = {START: 0, CUT: 0, DISSOLVE: 10, FADE: 10}
_WIDTH = 200  # pixels of a picture
_MAX_PICTURES = 240  # more would be illegible
_MAX_COLUMNS = 12


def shot_sheet(
    film: str | Path,
    output: str | Path,
    *,
    time_range: TimeRange = WHOLE,
    source: SourceOptions = AS_MARKED,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Shot]:
    """Write one PNG with the first frame of each shot, and return the shots.

    After a dissolve or a fade, a frame shortly after it is shown. Of more than 240 shots, the sheet
    shows every second, or every fourth, and so on. Raises a FilmcolorError when the film cannot be
    read or the sheet cannot be written.
    """
    info, target = source.apply(probe(film)), Path(output)
    check_sheet(target, info.path, force)
    gallery = _Gallery(info)
    shots = list(iter_shots(info, time_range, gallery, progress))
    save_sheet(gallery.draw(shots), target)
    return shots


class _Gallery:
    """Collects one picture of each shot, at most as many as a sheet can show."""

    def __init__(self, info: FilmInfo) -> None:
        self._info = info
        self._step = 1  # every how many shots one is kept
        self._pictures: dict[int, Image.Image] = {}  # by the shots' numbers

    def add(self, number: int, transition: str, position: int, frame: ProxyFrame) -> None:
        """Receive a frame at a position of a shot; the last one that is kept is shown."""
        if position > _DELAY[transition] or (number - 1) % self._step:
            return
        self._pictures[number] = self._picture(frame.source)
        if len(self._pictures) > _MAX_PICTURES:
            self._step *= 2
            kept = self._pictures.items()
            self._pictures = {n: p for n, p in kept if (n - 1) % self._step == 0}

    def _picture(self, frame: LumaFrame) -> Image.Image:
        width, height = self._info.display_size
        size = (_WIDTH, max(1, round(_WIDTH * height / width)))
        grey = downscale(frame.luma, size, self._info.coding)
        return Image.fromarray(self._info.orientation.upright(grey))

    def draw(self, shots: list[Shot]) -> Image.Image:
        """Return the sheet: the pictures by rows, with number, time and transition."""
        cells = [
            add_caption(self._pictures[shot.number], _caption(shot), min_width=_WIDTH)
            for shot in shots
            if shot.number in self._pictures
        ]
        title = f"{self._info.path.name}: {len(shots)} shots"
        if self._step > 1:
            title += f", one in {self._step} shown"
        num_columns = min(_MAX_COLUMNS, max(1, round((1.5 * len(cells)) ** 0.5)))
        return arrange_grid(cells, num_columns, title=title)


def _caption(shot: Shot) -> str:
    caption = f"{shot.number}  {format_timecode(float(shot.start_seconds))}"
    return f"{caption} {shot.transition}" if shot.transition in (DISSOLVE, FADE) else caption
