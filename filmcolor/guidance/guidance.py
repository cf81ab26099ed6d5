"""Everything that a person says about a film's colours, resolved to frames before a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filmcolor.guidance.grading import Grade, Palette
from filmcolor.guidance.palette_file import read_palette
from filmcolor.guidance.references import Reference, read_references
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """The grade of every frame, and the frames with given colours."""

    palette: Palette
    references: tuple[Reference, ...] = ()


def read_guidance(
    info: FilmInfo,
    index: FrameIndex | None,
    grade: Grade,
    *,
    palette: str = "",
    references: Sequence[str] = (),
    hints: Sequence[str] = (),
    size: int,
) -> Guidance:
    """Return the guidance for a film.

    `grade`: of frames that the palette file does not name. `palette`: a TOML file;
    `references`, `hints`: sources of pictures, see `references.read_references`. `size`: short
    side that the network sees, pixels. `index`: the film's, if it has been read.
    Raises a FilmcolorError that names the file when one does not fit the film.
    """
    grades = Palette(grade)
    if not (palette or references or hints):
        return Guidance(grades)
    index = index or FrameIndex.read(info)
    if palette:
        grades = read_palette(Path(palette), grade, info, index)
    return Guidance(grades, tuple(read_references(references, info, index, size, hints)))
