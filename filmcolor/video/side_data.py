"""Data beside the pictures of a film: captions, HDR, stereo 3D and more, as decoders give them.

PyAV reads a frame's side data but attaches none to a frame. A carrier does: a decoded frame scaled
to a few pixels keeps its side data, and so does a carrier that is scaled up to a frame to encode,
whose planes are then filled. That costs 0.2 ms at 1080p, for frames with such data only.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import av
import av.filter
from av.sidedata.sidedata import SideDataContainer, Type

from filmcolor.types.film import FilmInfo
from filmcolor.video.demux import decode_packet, open_film, read_packets

CAPTIONS, STEREO_3D = "A53_CC", "STEREO3D"
MASTERING_DISPLAY, LIGHT_LEVEL = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
DISPLAY_MATRIX, DOLBY_VISION, TIMECODES = "DISPLAYMATRIX", "DOVI_METADATA", "S12M_TIMECODE"
# AVFrameSideDataType that PyAV has no name for; with one of these it reads none of a frame
_UNNAMED = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}
STORED_KINDS = frozenset((MASTERING_DISPLAY, LIGHT_LEVEL, STEREO_3D))  # in FilmInfo.side_data
_CARRIED_NAMES = frozenset((CAPTIONS, STEREO_3D))  # what encoders take from frames
_CARRIED = frozenset(Type[name] for name in _CARRIED_NAMES)
# what a film loses without them; kinds that are not here are about its coding, or kept elsewhere
_DESCRIPTIONS = {
    CAPTIONS: "closed captions in the picture (CEA-608/708)",
    STEREO_3D: "its stereo 3D layout",
    MASTERING_DISPLAY: "HDR10's mastering display",
    LIGHT_LEVEL: "HDR10's light levels",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata, which describe the original's grade",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata, which describe the original's grade",
    DOLBY_VISION: "Dolby Vision metadata, which describe the original's grade",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata, which describe the original's grade",
    "AMBIENT_VIEWING_ENVIRONMENT": "its ambient viewing environment",
    "SPHERICAL": "its spherical projection (360° video)",
    "ICC_PROFILE": "its ICC profile",
    "AFD": "its active format description (AFD)",
    TIMECODES: "timecodes in the picture (SMPTE ST 12)",
    "LCEVC": "its LCEVC enhancement layer",
    "VIEW_ID": "the views of its other layers",
    "3D_REFERENCE_DISPLAYS": "its 3D reference displays",
    "FILM_GRAIN_PARAMS": "its film grain parameters",
    "EXIF": "Exif data of its pictures",
}
_CAPTIONED_CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video")
_IDENTIFIERS = (b"GA94\x03", b"\0\0\1\xb2CC\x01\xf8")
_MAX_SEARCHED_PACKETS, _MAX_SEARCHED_BYTES = 300, 1 << 23
_CARRIER_SIZE = 16  # pixels


def read_side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """Return the side data of a frame by FFmpeg's name of its kind.

    The data of kinds that PyAV does not know are left empty.
    """
    unnamed: dict[str, bytes] = {}
    while True:
        try:
            return {item.type.name: bytes(item) for item in _items(frame)} | unnamed
        except ValueError as error:
            number = re.match(r"\d+", str(error))
            if number is None:
                raise
            unnamed[_UNNAMED.get(int(number[0]), f"kind {number[0]}")] = b""
            frame = _without_kind(frame, int(number[0]))


class CaptionSearch:
    """Searches the first packets of a picture for captions, a few hundred at most.

    Captions are told by their identifiers: of ATSC A/53, part 4, and in MPEG-2 that of DVDs.
    """

    def __init__(self, codec: str) -> None:
        self._is_over = codec not in _CAPTIONED_CODECS
        self._is_found = False
        self._num_packets = self._num_bytes = 0

    def add(self, packet: av.Packet) -> None:
        """Search the picture's next packet."""
        if self._is_over:
            return
        data = bytes(packet)
        self._is_found = any(identifier in data for identifier in _IDENTIFIERS)
        self._num_packets += 1
        self._num_bytes += len(data)
        self._is_over = (
            self._is_found
            or self._num_packets >= _MAX_SEARCHED_PACKETS
            or self._num_bytes >= _MAX_SEARCHED_BYTES
        )

    def finish(self, packets: Iterable[av.Packet]) -> bool:
        """Search the packets that follow; return whether there are captions."""
        for packet in () if self._is_over else packets:
            self.add(packet)
            if self._is_over:
                break
        return self._is_found


def describe_kind(kind: str) -> str:
    """Return a kind of side data in words; "" if nothing is lost without it."""
    return _DESCRIPTIONS.get(kind, "")


def read_first_carrier(info: FilmInfo) -> av.VideoFrame | None:
    """Return the carrier of the first frame near a film's beginning that has one, or None."""
    if not _CARRIED_NAMES & info.side_data.keys():
        return None
    with open_film(info.path) as film:
        stream = film.streams[info.video_index]
        for packet in islice(read_packets(film, stream), 2 * _MAX_SEARCHED_PACKETS):
            for frame in decode_packet(stream, packet) or ():
                if carrier := make_carrier(frame):
                    return carrier
    return None


def make_carrier(frame: av.VideoFrame) -> av.VideoFrame | None:
    """Return a tiny frame with a frame's side data; None if encoders take none of it."""
    try:
        if not any(item.type in _CARRIED for item in _items(frame)):
            return None
    except ValueError:  # photographs' data, of formats that have none of the carried kinds
        return None
    return frame.reformat(_CARRIER_SIZE, _CARRIER_SIZE, "gray", interpolation="POINT")


def _items(frame: av.VideoFrame) -> Any:
    """Return the side data of a frame.

    `frame.side_data` would make frame and side data refer to each other. Such frames stay in memory
    until garbage is collected, which is seldom: a film of hours would not fit.
    """
    make: Any = SideDataContainer  # typed without its argument
    return make(frame)


def has_captions(carrier: av.VideoFrame | None) -> bool:
    """Return whether a carrier has captions."""
    return carrier is not None and CAPTIONS in read_side_data(carrier)


class FrameFactory:
    """Makes frames of one size and format to be filled, with the side data of carriers."""

    def __init__(self, width: int, height: int, pix_fmt: str) -> None:
        self._width, self._height, self._pix_fmt = width, height, pix_fmt
        self._graph: Any = None

    def make(self, carrier: av.VideoFrame | None) -> av.VideoFrame:
        """Return a frame with the side data of a carrier; it is not marked as interlaced."""
        if carrier is None:
            return av.VideoFrame(self._width, self._height, self._pix_fmt)
        if carrier.interlaced_frame:
            carrier = self._as_progressive(carrier)
        frame = carrier.reformat(self._width, self._height, self._pix_fmt, interpolation="POINT")
        frame.pict_type = 0  # encoders would repeat the source's
        return frame

    def _as_progressive(self, carrier: av.VideoFrame) -> av.VideoFrame:
        if self._graph is None:
            self._graph = _filter_graph(carrier, "setfield", "prog")
        self._graph.push(carrier)
        progressive: av.VideoFrame = self._graph.pull()
        return progressive


def _without_kind(frame: av.VideoFrame, number: int) -> av.VideoFrame:
    """Return a frame without its side data of one AVFrameSideDataType."""
    graph = _filter_graph(frame, "sidedata", f"mode=delete:type={number}")
    graph.push(frame)
    without: av.VideoFrame = graph.pull()
    return without


def _filter_graph(frame: av.VideoFrame, name: str, options: str) -> Any:
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or 1,
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph
