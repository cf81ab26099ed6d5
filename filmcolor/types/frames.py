"""Frozen frame types: what each stage of the pipeline yields to the next.

`LumaFrame` (decoded) → `ProxyFrame` (low-res) → `TrackedFrame` (motion) → `PredictedFrame` (ab of
anchors, then what guides them) → `AbFrame` (steadied ab) → `ColorFrame` (chroma).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]  # uint8 or uint16 (H, W), code values
FloatPlane = NDArray[np.float32]
Gray = NDArray[np.uint8]  # (h, w), luma, black 0 to white 255 whatever the film's coding
Picture = NDArray[np.uint8]  # (H, W, 3), R'G'B'
Flow = NDArray[np.float32]  # (H, W, 2), pixels to the right and down
TrackedFlow = NDArray[np.float32]  # (H, W, 4): a flow, its uncertainty, and 0

# faults of a frame
DAMAGED = "damaged"  # the decoder concealed a part of it
RETIMED = "retimed"  # it had no usable timestamp of its own

# classes of the chroma that a shot already has
MONOCHROME = "grey"  # none, noise or a colour cast
TINTED = "tinted"  # explained by luma alone: sepia, a tint, a tone
COLORED = "in colour"  # several hues


@dataclass(frozen=True, slots=True, eq=False)
class LumaFrame:
    """A decoded frame's luma as coded: range, matrix and depth are in FilmInfo.coding."""

    number: int  # from 0, in display order
    luma: Plane  # (H, W)
    pts: int  # FilmInfo.time_base units
    duration: int  # FilmInfo.time_base units; 0 when unknown
    fault: str = ""  # "", DAMAGED or RETIMED
    is_interlaced: bool = False
    chroma: tuple[Plane, Plane] | None = None  # (Cb, Cr) as coded; only where it may be kept
    chroma_class: str = ""  # MONOCHROME, TINTED or COLORED; "" where it is not classified
    alpha: Plane | None = None  # (H, W) as coded, 0 to 2**bit_depth - 1; None without alpha
    side_data: Any = None  # a tiny av.VideoFrame with captions and the like for the encoder

    def __post_init__(self) -> None:
        if self.luma.ndim != 2 or self.luma.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"luma must be uint8 or uint16 (H, W), not {self.luma.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class RgbFrame:
    """A decoded frame in colour, as coded: not rotated, pixels not made square."""

    number: int  # from 0, in display order
    rgb: Picture  # (H, W, 3), R'G'B'
    luma: Plane  # (H, W), as coded: R'G'B' loses it where colours leave the gamut
    pts: int  # FilmInfo.time_base units

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be uint8 (H, W, 3), not {self.rgb.dtype} {self.rgb.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class ProxyFrame:
    """A frame with low-res copies of its luma, which all stages but the last work on."""

    source: LumaFrame
    luma: Gray  # (h, w), h and w multiples of 8: the network's input
    guide: Gray  # (h/2, w/2), the size of ab: shots and motion are found in it
    is_cut: bool = False  # True on the first frame of a shot
    chroma_thumbnail: FloatPlane | None = None  # (3, h, w): what classifies the source's chroma
    is_mixture: bool = False  # True where a dissolve still shows the previous shot


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A proxy frame with its motion since the previous frame of its shot."""

    source: LumaFrame
    luma: Gray  # (h, w), the network's input
    is_cut: bool
    guide: Gray  # (h/2, w/2)
    coarse: Gray  # (h/4, w/4), what motion is estimated in
    is_anchor: bool  # True where ab is predicted, or given
    backward: TrackedFlow | None  # (h/4, w/4, 4), to the previous frame; None after a cut
    forward: TrackedFlow | None  # (h/4, w/4, 4), from the previous frame to this one
    is_mixture: bool = False  # True where a dissolve still shows the previous shot
    is_given: bool = False  # True for an anchor whose ab a guide gives, not the network


@dataclass(frozen=True, slots=True, eq=False)
class PredictedFrame:
    """A tracked frame with the ab of its anchor, and how reliable that is.

    The ab is the network's at first; each guide (a model, a coloured film, references) replaces it
    as far as it has colours.
    """

    tracked: TrackedFrame
    ab: FloatPlane | None = None  # (h/2, w/2, 2), CIELAB; None between anchors
    features: FloatPlane | None = None  # (h/8, w/8, C), anchors only, where guides need them
    confidence: FloatPlane | None = None  # (h/2, w/2), weight of its ab; None is 1 everywhere
    pinned: FloatPlane | None = None  # (h/2, w/2), 0..1: share of ab that smoothing must keep


@dataclass(frozen=True, slots=True, eq=False)
class AbFrame:
    """A frame with its final low-res colour."""

    source: LumaFrame
    guide: Gray  # (h, w)
    is_cut: bool
    ab: FloatPlane  # (h, w, 2), CIELAB

    def __post_init__(self) -> None:
        if self.ab.ndim != 3 or self.ab.shape[2] != 2:
            raise ValueError(f"ab must be (h, w, 2), not {self.ab.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class ColorFrame:
    """A finished frame: the source's luma with new chroma planes, or with its own."""

    number: int  # from 0, in display order
    luma: Plane  # (H, W), code values
    cb: Plane  # (H / sub_y, W / sub_x), rounded up
    cr: Plane
    pts: int  # FilmInfo.time_base units
    duration: int  # FilmInfo.time_base units; 0 when unknown
    fault: str = ""  # "", DAMAGED or RETIMED
    is_interlaced: bool = False
    chroma_class: str = ""  # MONOCHROME, TINTED or COLORED; "" where it is not classified
    alpha: Plane | None = None  # (H, W), the source's, in its bit depth
    side_data: Any = None  # that of the LumaFrame

    @classmethod
    def from_source(cls, source: LumaFrame, luma: Plane, cb: Plane, cr: Plane) -> "ColorFrame":
        """Return a source frame with finished planes."""
        return cls(
            source.number,
            luma,
            cb,
            cr,
            source.pts,
            source.duration,
            source.fault,
            source.is_interlaced,
            source.chroma_class,
            source.alpha,
            source.side_data,
        )
