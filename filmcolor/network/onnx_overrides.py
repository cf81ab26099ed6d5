"""What a model's owner states about it: in a TOML file beside it, or in the ONNX file's metadata.

    # old-model.toml, for old-model.onnx
    kind = "deoldify"
    range = "0..1"
    size = 384

In the metadata the keys are `filmcolor.kind`, `filmcolor.range` and so on. The TOML file wins.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import WeightsError
from filmcolor.network.onnx_file import ModelFile
from filmcolor.network.onnx_session import PRECISIONS

ZHANG, DDCOLOR, DEOLDIFY, FILMCOLOR = "zhang", "ddcolor", "deoldify", "filmcolor"
KINDS = ZHANG, DDCOLOR, DEOLDIFY, FILMCOLOR
_PREFIX = "filmcolor."
_MULTIPLE = 32  # of free sides, pixels: DDColor and DeOldify halve pictures five times
_SIDES = 32, 4096  # least and greatest, pixels


@dataclass(frozen=True, slots=True)
class Range:
    """The values of black and white."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    def normalize(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values of this range as 0..1."""
        normalized: NDArray[np.float32] = (values.astype(np.float32) - np.float32(self.low)) / (
            np.float32(self.high - self.low)
        )
        return normalized


@dataclass(frozen=True, slots=True)
class Size:
    """The size at which a model takes pictures: one size for all, or their shape is kept."""

    fixed: tuple[int, int] | None = None  # (width, height)
    short_side: int = 0  # pixels, without `fixed`

    def __str__(self) -> str:
        return "×".join(map(str, self.fixed)) if self.fixed else f"short side {self.short_side}"

    def apply(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) for a picture; free sides are multiples of 32."""
        if self.fixed:
            return self.fixed
        scale = self.short_side / min(width, height)
        sides = (max(1, round(side * scale / _MULTIPLE)) * _MULTIPLE for side in (width, height))
        return next(sides), next(sides)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is stated; None where nothing is."""

    kind: str | None = None
    range: Range | None = None
    size: Size | None = None
    precision: str | None = None


def read_overrides(file: ModelFile) -> Overrides:
    """Return what is stated about a model.

    Raises WeightsError for a key or a value without a meaning, and for broken TOML.
    """
    stated = {
        key.removeprefix(_PREFIX): (value, f"the metadata of {file.path}")
        for key, value in file.metadata.items()
        if key.startswith(_PREFIX)
    }
    if stated.get("kind", ("",))[0] == FILMCOLOR:  # its exporter has more keys, of its own
        stated = {"kind": stated["kind"]}
    sidecar = file.path.with_suffix(".toml")
    if sidecar.is_file():
        stated |= {key: (value, str(sidecar)) for key, value in _read_toml(sidecar).items()}
    parsers = {"kind": _kind, "range": _range, "size": _size, "precision": _precision}
    fields: dict[str, Any] = {}
    for key, (value, place) in stated.items():
        if key not in parsers:
            raise WeightsError(f"{place} states {key!r}; the keys are {', '.join(parsers)}")
        try:
            fields[key] = parsers[key](str(value))
        except ValueError as error:
            raise WeightsError(f"{place}: {key} {value!r} must be {error}") from error
    return Overrides(**fields)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise WeightsError(f"{path} is no TOML: {' '.join(str(error).split())}") from error


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(", ".join(KINDS))
    return text


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        raise ValueError(" or ".join(PRECISIONS))
    return text


def _range(text: str) -> Range:
    number = r"(-?\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"{number}\.\.{number}", text)
    if match is None or not float(match[1]) < float(match[2]):
        raise ValueError('the values of black and white, "0..255" say')
    return Range(float(match[1]), float(match[2]))


def _size(text: str) -> Size:
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)
    sides = [int(side) for side in match.groups() if side] if match else []
    if not sides or not all(_SIDES[0] <= side <= _SIDES[1] for side in sides):
        raise ValueError(
            f'a short side of {_SIDES[0]} to {_SIDES[1]} pixels, or width and height: "512x384"'
        )
    return Size(fixed=(sides[0], sides[1])) if len(sides) == 2 else Size(short_side=sides[0])
