"""HDR10's static metadata for encoders: the mastering display, and the content's light levels.

Sources: SMPTE ST 2086; ITU-T H.265, D.3.28 and D.3.35; CTA-861.3 for light levels. Encoders write
them into the coded stream, where players look first; PyAV sets none in a container.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from filmcolor.video.side_data import LIGHT_LEVEL, MASTERING_DISPLAY

Point = tuple[Fraction, Fraction]

# AVMasteringDisplayMetadata: (x, y) of red, green, blue and white, then the least and the greatest
# luminance, all as rationals; has_primaries and has_luminance
_MASTERING_STRUCT = struct.Struct("=20i2i")
_LIGHT_STRUCT = struct.Struct("=2I")  # AVContentLightMetadata: MaxCLL, MaxFALL
_COORDINATE = Fraction(1, 50_000)  # H.265, D.3.28
_LUMINANCE = Fraction(1, 10_000)  # cd/m²
# the encoder's option, and the names of display and light levels in it
_OPTIONS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display on which a film was graded: CIE 1931 xy, and cd/m²."""

    red: Point
    green: Point
    blue: Point
    white: Point
    min_luminance: Fraction
    max_luminance: Fraction

    @classmethod
    def from_bytes(cls, data: bytes) -> "MasteringDisplay | None":
        """Return the display of FFmpeg's struct; None if it names only a part of it."""
        if len(data) < _MASTERING_STRUCT.size:
            return None
        *numbers, has_primaries, has_luminance = _MASTERING_STRUCT.unpack_from(data)
        if not has_primaries or not has_luminance or 0 in numbers[1::2]:
            return None
        values = [Fraction(*numbers[n : n + 2]) for n in range(0, len(numbers), 2)]
        red, green, blue, white = ((values[n], values[n + 1]) for n in range(0, 8, 2))
        return cls(red, green, blue, white, *values[8:])

    @property
    def values(self) -> tuple[Fraction, ...]:
        """All ten numbers: coordinates, then luminances."""
        points = (self.red, self.green, self.blue, self.white)
        return (*(v for p in points for v in p), self.min_luminance, self.max_luminance)


def hdr_options(codec: str, side_data: Mapping[str, str]) -> dict[str, str]:
    """Return the option by which an encoder stores a film's HDR metadata; {} if it stores none.

    `side_data`: FilmInfo.side_data.
    """
    if codec not in _OPTIONS:
        return {}
    option, display_name, light_name = _OPTIONS[codec]
    params = []
    display = MasteringDisplay.from_bytes(bytes.fromhex(side_data.get(MASTERING_DISPLAY, "")))
    if display is not None:
        is_float = codec == "libsvtav1"
        params.append(f"{display_name}={_format_display(display, is_float)}")
    light = bytes.fromhex(side_data.get(LIGHT_LEVEL, ""))
    if len(light) >= _LIGHT_STRUCT.size:
        max_cll, max_fall = _LIGHT_STRUCT.unpack_from(light)
        params.append(f"{light_name}={max_cll},{max_fall}")
    return {option: ":".join(params)} if params else {}


def is_same_display(a: str, b: str) -> bool:
    """Return whether two mastering displays of FilmInfo.side_data differ by a coded step at most.

    AV1's steps are 1/65536 for coordinates, 1/16384 cd/m² for the least luminance and 1/256 for the
    greatest.
    """
    one, other = (MasteringDisplay.from_bytes(bytes.fromhex(text)) for text in (a, b))
    if one is None or other is None:
        return one is other
    steps = [_COORDINATE] * 8 + [_LUMINANCE, Fraction(1, 256)]
    return all(abs(x - y) <= step for x, y, step in zip(one.values, other.values, steps))


def _format_display(display: MasteringDisplay, is_float: bool) -> str:
    """Return an encoder's text for a display: as decimal numbers, or in coded steps."""

    def text(value: Fraction, step: Fraction) -> str:
        return f"{float(value):.6f}" if is_float else str(round(value / step))

    names = {"G": display.green, "B": display.blue, "R": display.red, "WP": display.white}
    points = "".join(
        f"{name}({text(x, _COORDINATE)},{text(y, _COORDINATE)})" for name, (x, y) in names.items()
    )
    luminances = (text(v, _LUMINANCE) for v in (display.max_luminance, display.min_luminance))
    return f"{points}L({','.join(luminances)})"
