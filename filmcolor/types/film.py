"""Frozen types that describe a film: streams, chapters, timing, and parts of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from filmcolor.timecodes import Seconds, exact_seconds
from filmcolor.types.orientation import Orientation
from filmcolor.types.yuv import Coding

# what FFmpeg's names of pixel formats with alpha begin with
_ALPHA_FORMATS = ("yuva", "ya", "rgba", "bgra", "argb", "abgr", "gbrap", "ayuv", "vuya", "uyva")
# ISO/IEC 23008-12, annex B, and the AV1 Image File Format: stills; "hevc" and "avis" are films
_STILL_BRANDS = frozenset({"avif", "heic", "heim", "heis", "heix", "mif1"})
UNKNOWN_ORDER, PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST = 0, 1, 2, 3  # AVFieldOrder


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a film, as its container describes it."""

    index: int
    type: str  # "video", "audio", "subtitle", "data", "attachment"
    codec: str
    detail: str  # for people: "stereo, 48000 Hz"
    metadata: Mapping[str, str]
    disposition: tuple[str, ...]

    @property
    def language(self) -> str | None:
        """ISO 639 code, None if not tagged."""
        return self.metadata.get("language")

    @property
    def is_picture(self) -> bool:
        """True for cover art: a still, not the film."""
        return "attached_pic" in self.disposition

    @property
    def is_timecode(self) -> bool:
        """True for QuickTime's timecode track, which repeats a tag of the video stream."""
        return self.type == "data" and "timecode" in self.metadata

    @property
    def name(self) -> str:
        """The stream's name in messages: "stream 2 (subtitle, subrip, fre)"."""
        words = [w for w in (self.type, self.codec, self.language) if w]
        return f"stream {self.index} ({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter, in seconds from the container's zero."""

    start: Fraction
    end: Fraction
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """The properties of a film that are known before it is decoded as a whole."""

    path: Path
    container: str  # FFmpeg's name: "mov,mp4,m4a,3gp,3g2,mj2"
    video_index: int  # of the stream that is coloured
    codec: str
    width: int
    height: int
    pix_fmt: str
    coding: Coding  # of the luma that `read_luma` yields
    is_matrix_tagged: bool
    primaries: int  # ITU-T H.273
    transfer: int  # ITU-T H.273
    sar: Fraction
    orientation: Orientation
    is_interlaced: bool
    time_base: Fraction
    frame_rate: Fraction
    start_pts: int  # of the first frame, in time_base units
    end_pts: int | None  # end of the last frame, if the container states it
    num_frames_estimate: int | None  # from the header or the duration; may be wrong
    duration_seconds: Fraction | None
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    field_order: int = 0  # UNKNOWN_ORDER, PROGRESSIVE, TOP_FIRST or BOTTOM_FIRST: as shown
    is_deinterlaced: bool = False  # while decoding, so that each frame is one picture
    # Seconds; below 0 if the film begins before its clock's zero. All output times are moved by it,
    # so that the film begins at 0: Matroska would write its first cluster at zero, and MP4 an edit
    # list that hides frames.
    origin: Fraction = Fraction(0)
    has_times: bool = True  # frames have timestamps; elementary streams have none
    num_bytes: int = 0  # of the file
    # of the first frame, by FFmpeg's name of the kind: its struct in hexadecimal where it is used
    side_data: Mapping[str, str] = field(default_factory=dict)
    stem: Path | None = None  # of outputs' names, where it is not the path's: an image sequence
    is_linear: bool = False  # its floating-point values are linear light
    is_order_chosen: bool = False  # `field_order` was chosen, and holds for every frame
    notes: tuple[str, ...] = ()  # lines for people about the source

    @property
    def bytes_per_frame(self) -> float:
        """The file's size per frame, 0 if the number of frames is unknown."""
        return self.num_bytes / self.num_frames_estimate if self.num_frames_estimate else 0.0

    @property
    def is_still(self) -> bool:
        """True for one picture, in a format of pictures."""
        brand = self.metadata.get("major_brand", "").strip()
        is_image = self.container.endswith("_pipe") or self.container == "image2"
        return (is_image and self.stem is None) or brand in _STILL_BRANDS

    def beside(self, suffix: str) -> Path:
        """Return the path beside the film that has its name and a suffix, ".color.mp4" say."""
        stem = self.stem or self.path.with_suffix("")
        return stem.with_name(stem.name + suffix)

    @property
    def timecode(self) -> str | None:
        """The timecode of the first frame, if the film or its video stream is tagged with one."""
        video_tags = (s.metadata for s in self.streams if s.index == self.video_index)
        for tags in (self.metadata, *video_tags):
            for name, value in tags.items():
                if name.lower() == "timecode":
                    return value
        return None

    @property
    def output_field_order(self) -> int:
        """The field order of the coloured frames, like `field_order`."""
        return PROGRESSIVE if self.is_deinterlaced else self.field_order

    @property
    def display_size(self) -> tuple[float, float]:
        """(width, height) in square pixels, before rotation."""
        return self.width * float(self.sar), float(self.height)

    @property
    def has_chroma(self) -> bool:
        """False if the pixel format holds luma only."""
        return not self.pix_fmt.startswith(("gray", "ya", "mono"))

    @property
    def has_alpha(self) -> bool:
        """True if the pixel format holds alpha."""
        return self.pix_fmt.startswith(_ALPHA_FORMATS)

    @property
    def video_number(self) -> int:
        """The position of the film among the file's video streams, without cover art, from 0."""
        videos = [s.index for s in self.streams if s.type == "video" and not s.is_picture]
        return videos.index(self.video_index)

    @property
    def rotation(self) -> float:
        """Counter-clockwise degrees by which a frame is turned when it is shown."""
        return self.orientation.rotation

    @property
    def quarter_turns(self) -> int:
        """Counter-clockwise turns by 90 degrees, 0 to 3, that set a frame upright."""
        return self.orientation.quarter_turns

    @property
    def ticks_per_frame(self) -> Fraction:
        """The mean duration of a frame, in time_base units."""
        return 1 / (self.frame_rate * self.time_base)

    def seconds(self, pts: int) -> Fraction:
        """Return the seconds from the film's first frame to `pts`."""
        return (pts - self.start_pts) * self.time_base

    @property
    def start_seconds(self) -> Fraction:
        """The time of the first frame, from the container's zero."""
        return self.start_pts * self.time_base


@dataclass(frozen=True, slots=True, init=False)
class TimeRange:
    """A requested part of a film: half-open, in seconds or in frame numbers.

    Seconds count from the film's first frame; they are given as int, float, Fraction or timecode
    ("00:01:10.5" or "70.5") and stored as Fraction. None leaves that side open. Raises
    SettingsError for seconds that are no time.
    """

    start_seconds: Fraction | None
    end_seconds: Fraction | None
    first: int | None
    stop: int | None

    # by hand, so that seconds are accepted in several types but have one when they are read
    def __init__(
        self,
        start_seconds: Seconds | None = None,
        end_seconds: Seconds | None = None,
        first: int | None = None,
        stop: int | None = None,
    ) -> None:
        start, end = (None if s is None else exact_seconds(s) for s in (start_seconds, end_seconds))
        values = {"start_seconds": start, "end_seconds": end, "first": first, "stop": stop}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def is_whole(self) -> bool:
        """True if no frame is left out."""
        return self == WHOLE


WHOLE = TimeRange()


@dataclass(frozen=True, slots=True)
class Part:
    """A time range resolved in its film: half-open, as frame numbers and as seconds.

    Seconds count from the container's zero. The output's clock starts at `start` when a
    part is cut out; the whole film keeps its own clock, which starts at `origin`.
    """

    first: int = 0
    stop: int | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    origin: Fraction = Fraction(0)

    @property
    def offset(self) -> Fraction:
        """Seconds to subtract from every timestamp."""
        return self.origin if self.start is None else self.start

    def contains(self, seconds: Fraction) -> bool:
        """Return whether a time belongs to the part."""
        return (self.start is None or seconds >= self.start) and (
            self.end is None or seconds < self.end
        )
