"""What a person says of a film's colours, found in the film before a run."""

from dataclasses import dataclass

from filmcolor.palette import Palette
from filmcolor.references import Reference


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """The grade of each frame, and the frames whose colours were given."""

    palette: Palette
    references: tuple[Reference, ...] = ()
