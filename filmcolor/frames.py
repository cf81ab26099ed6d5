"""The few frozen types which cross module borders."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmcolor.color import Coding

Plane = NDArray[Any]  # uint8 or uint16 (H, W), code values
FloatPlane = NDArray[np.float32]
Gray = NDArray[np.uint8]  # (h, w), luma from black 0 to white 255, whatever the film's coding
Picture = NDArray[np.uint8]  # (H, W, 3), R'G'B'


PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST = 1, 2, 3  # AVFieldOrder; 0 is unknown

DAMAGED = "damaged"  # a picture of which the decoder had to guess a part
RETIMED = "retimed"  # a picture without a time of its own

# what the chroma that a film came with makes of a shot
GREY = "grey"  # none, noise or a cast
TINTED = "tinted"  # what luma alone explains: sepia, a tint, a tone
COLORED = "in colour"  # hues of its own


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a film, as its container describes it."""

    index: int
    kind: str  # "video", "audio", "subtitle", "data", "attachment"
    codec: str
    detail: str  # what a person wants to know: "stereo, 48000 Hz"
    metadata: Mapping[str, str]
    disposition: tuple[str, ...]

    @property
    def language(self) -> str | None:
        """ISO 639 code, where tagged."""
        return self.metadata.get("language")

    @property
    def is_picture(self) -> bool:
        """True for cover art: a still, not the film."""
        return "attached_pic" in self.disposition

    @property
    def is_timecode(self) -> bool:
        """True for QuickTime's track of timecodes, which the picture's tag has too."""
        return self.kind == "data" and "timecode" in self.metadata

    @property
    def name(self) -> str:
        """How messages call it: "stream 2 (subtitle, subrip, fre)"."""
        words = [w for w in (self.kind, self.codec, self.language) if w]
        return f"stream {self.index} ({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter in seconds from the container's zero."""

    start: Fraction
    end: Fraction
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """Everything known of a film before it is decoded as a whole."""

    path: Path
    container: str  # FFmpeg's name: "mov,mp4,m4a,3gp,3g2,mj2"
    video_index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    coding: Coding  # of the luma that `decode` yields
    is_matrix_tagged: bool
    primaries: int  # ITU-T H.273
    transfer: int  # ITU-T H.273
    sar: Fraction
    rotation: int  # degrees as FFmpeg's display matrix has them
    is_interlaced: bool
    time_base: Fraction
    frame_rate: Fraction
    start_pts: int  # of the first frame, in time_base units
    end_pts: int | None  # when the picture ends, where the container says it
    num_frames_told: int | None  # what the container or the duration says: may be wrong
    duration_seconds: Fraction | None
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    field_order: int = 0  # AVFieldOrder
    is_deinterlaced: bool = False  # as it is decoded: each frame is then one picture
    origin: Fraction = Fraction(0)  # seconds, below 0 where the film begins before its clock does
    has_times: bool = True  # frames have them: bare streams do not
    num_bytes: int = 0  # of the file

    @property
    def bytes_per_frame(self) -> float:
        """Of all that the file holds, 0 where it is not known of how many frames."""
        return self.num_bytes / self.num_frames_told if self.num_frames_told else 0.0

    @property
    def timecode(self) -> str | None:
        """Of the first frame, where the film or its picture is tagged with one."""
        pictures = (s.metadata for s in self.streams if s.index == self.video_index)
        for tags in (self.metadata, *pictures):
            for name, value in tags.items():
                if name.lower() == "timecode":
                    return value
        return None

    @property
    def shown_order(self) -> int:
        """AVFieldOrder of the frames that are coloured."""
        return PROGRESSIVE if self.is_deinterlaced else self.field_order

    @property
    def display_size(self) -> tuple[float, float]:
        """(width, height) in square pixels, not yet rotated."""
        return self.width * float(self.sar), float(self.height)

    @property
    def has_chroma(self) -> bool:
        """False where the pixel format holds luma alone."""
        return not self.pix_fmt.startswith(("gray", "ya", "mono"))

    @property
    def video_number(self) -> int:
        """Which of the film's video streams is the picture, counted without cover art."""
        videos = [s.index for s in self.streams if s.kind == "video" and not s.is_picture]
        return videos.index(self.video_index)

    @property
    def start_seconds(self) -> Fraction:
        """When the first frame is shown, from the container's zero."""
        return self.start_pts * self.time_base


@dataclass(frozen=True, slots=True)
class Span:
    """What part of a film is asked for: half-open, in seconds or in frame numbers.

    Seconds count from the film's first frame. None leaves that side open.
    """

    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    first: int | None = None
    stop: int | None = None

    @property
    def is_whole(self) -> bool:
        """True when nothing is cut away."""
        return self == WHOLE


WHOLE = Span()


@dataclass(frozen=True, slots=True)
class Part:
    """A span found in its film: half-open, as frame numbers and as seconds.

    Seconds count from the container's zero. The output's clock starts at `start` when a
    part is cut out; the whole keeps the film's own, which starts at `origin`.
    """

    first: int = 0
    stop: int | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    origin: Fraction = Fraction(0)

    @property
    def offset(self) -> Fraction:
        """Seconds to take off every timestamp."""
        return self.origin if self.start is None else self.start

    def holds(self, seconds: Fraction) -> bool:
        """Tell whether something shown at `seconds` belongs to the part."""
        return (self.start is None or seconds >= self.start) and (
            self.end is None or seconds < self.end
        )


@dataclass(frozen=True, slots=True, eq=False)
class LumaFrame:
    """One frame's luma as coded: range, matrix and depth are in FilmInfo.coding."""

    number: int  # from 0, in order of display
    luma: Plane  # (H, W)
    pts: int  # FilmInfo.time_base units
    duration: int  # the same units; 0 when unknown
    fault: str = ""  # "", DAMAGED or RETIMED
    is_interlaced: bool = False  # its rows are those of two moments, in turn
    chroma: tuple[Plane, Plane] | None = None  # (Cb, Cr) as coded; only where it may be kept
    kind: str = ""  # GREY, TINTED or COLORED; "" where it is not asked

    def __post_init__(self) -> None:
        if self.luma.ndim != 2 or self.luma.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"luma must be uint8 or uint16 (H, W), not {self.luma.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class RgbFrame:
    """One frame of a film in colour, as coded: not turned, its pixels not made square."""

    number: int  # from 0, in order of display
    rgb: Picture  # (H, W, 3), R'G'B'
    luma: Plane  # (H, W), as coded: R'G'B' does not tell it where colours left the gamut
    pts: int  # FilmInfo.time_base units

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be uint8 (H, W, 3), not {self.rgb.dtype} {self.rgb.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class SmallFrame:
    """A frame with the small pictures that all stages but the last look at."""

    frame: LumaFrame
    small: Gray  # (h, w), h and w multiples of 8: what the network sees
    guide: Gray  # (h/2, w/2), the size of ab: what shots and motion are found in
    is_cut: bool = False  # True on the first frame of a shot
    hues: FloatPlane | None = None  # (3, h, w), what `tints` looks at


@dataclass(frozen=True, slots=True, eq=False)
class AbFrame:
    """A frame with its colour at low resolution."""

    frame: LumaFrame
    guide: Gray  # (h, w)
    is_cut: bool
    ab: FloatPlane  # (h, w, 2), CIELAB

    def __post_init__(self) -> None:
        if self.ab.ndim != 3 or self.ab.shape[2] != 2:
            raise ValueError(f"ab must be (h, w, 2), not {self.ab.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class ColorFrame:
    """A finished frame: the source's luma, and chroma planes made for it, or the source's own."""

    number: int
    luma: Plane  # (H, W)
    cb: Plane  # (H / sub_y, W / sub_x), rounded up
    cr: Plane
    pts: int
    duration: int
    fault: str = ""
    is_interlaced: bool = False
    kind: str = ""

    @classmethod
    def of(cls, film: LumaFrame, luma: Plane, cb: Plane, cr: Plane) -> "ColorFrame":
        """Return a film's frame with finished planes."""
        return cls(
            film.number,
            luma,
            cb,
            cr,
            film.pts,
            film.duration,
            film.fault,
            film.is_interlaced,
            film.kind,
        )
