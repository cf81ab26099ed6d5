"""Contact sheets of an evaluation."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from filmcolor.errors import SettingsError
from filmcolor.images.sheet import arrange_rows, choose_evenly, save_sheet
from filmcolor.metrics.comparison import Rendition
from filmcolor.train.evaluation.table import GREY, TRUTH, RowKey
from filmcolor.types.orientation import AS_CODED, Orientation

_THUMBNAIL_SIDE = 192  # pixels, the longer side


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """A contact sheet: its path, and the number of pictures, spread over the data."""

    path: Path
    num_pictures: int = 8
    force: bool = False

    def __post_init__(self) -> None:
        if self.num_pictures < 1:
            raise SettingsError(f"a sheet of {self.num_pictures} pictures: ask for 1 or more")


class SheetBuilder:
    """Collects some pictures, spread over the data, as columns of a sheet.

    Without options nothing is collected or written.
    """

    def __init__(self, options: SheetOptions | None, total: int) -> None:
        """Choose pictures; `total`: of the data's pictures."""
        self._options = options
        self._due = choose_evenly(total, options.num_pictures) if options else []
        self._captions: list[str] = []
        self._thumbnails: dict[RowKey, list[Image.Image]] = {}
        self._latest: tuple[str, Mapping[RowKey, Rendition], Orientation] | None = None

    def offer(
        self,
        index: int,
        caption: str,
        renditions: Mapping[RowKey, Rendition],
        orientation: Orientation = AS_CODED,
    ) -> None:
        """Add picture `index` if it was chosen, or replaces a chosen one that was left out.

        `orientation`: in which it is shown upright.
        """
        self._latest = caption, renditions, orientation
        if bisect_right(self._due, index) > len(self._captions):
            self._add(*self._latest)

    def _add(
        self, caption: str, renditions: Mapping[RowKey, Rendition], orientation: Orientation
    ) -> None:
        self._captions.append(caption)
        for key, rendition in renditions.items():
            thumbnail = Image.fromarray(orientation.upright(rendition.rgb))
            thumbnail.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
            self._thumbnails.setdefault(key, []).append(thumbnail)

    def save(self) -> None:
        """Write the sheet: rows of grey, of each network and of the truth."""
        if self._options is None or self._latest is None:
            return
        if not self._captions:  # every chosen picture was left out
            self._add(*self._latest)
        grey, *_, truth = self._thumbnails
        rows = [(str(key), row) for key, row in self._thumbnails.items() if key.is_network]
        rows = [(GREY, self._thumbnails[grey]), *rows, (TRUTH, self._thumbnails[truth])]
        save_sheet(arrange_rows(rows, self._captions), self._options.path)
