"""A frame whose colours a person gave, as the colour stages see it."""

from dataclasses import dataclass

from filmcolor.frames import FloatPlane


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A frame whose colours a person gave."""

    number: int  # the frame's number in the film
    ab: FloatPlane  # (h/2, w/2, 2) CIELAB, at the size of the frames' `guide`
    coverage: FloatPlane  # (h/2, w/2) 0..1: how much of each sample a colour was given for
