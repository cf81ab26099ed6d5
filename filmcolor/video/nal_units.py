"""Counts the frames of H.264 and H.265, from their NAL units."""

from collections.abc import Iterator
from dataclasses import dataclass

import av

from filmcolor.video.bit_reader import BitReader

_START_CODE = b"\0\0\1"
_MAX_HEADER = 512  # bytes of a NAL unit that are read: enough for parameter sets with scaling lists


def _nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """Yield the beginning of each NAL unit of a packet, without emulation prevention.

    `length_size`: bytes of the length before each unit, 0 for start codes: ITU-T H.264, annex B,
    or ISO/IEC 14496-15, 5.3.
    """
    has_start_codes = data[:4] == b"\0" + _START_CODE  # some files of lengths have them too
    if not length_size or has_start_codes:
        start = data.find(_START_CODE) + 3
        while start >= 3:
            yield _unescape(data[start : start + _MAX_HEADER])  # may overlap the next
            start = data.find(_START_CODE, start) + 3
        return
    start = length_size
    while start < len(data):
        end = start + int.from_bytes(data[start - length_size : start], "big")
        yield _unescape(data[start : min(end, start + _MAX_HEADER)])
        start = end + length_size


def _unescape(unit: bytes) -> bytes:
    return unit.replace(b"\0\0\3", b"\0\0")


class H264Counter:
    """Counts frames of ITU-T H.264: frames, and pairs of fields as FFmpeg's decoder joins them."""

    def __init__(self, extradata: bytes) -> None:
        is_avcc = extradata[:1] == b"\1" and len(extradata) > 6  # ISO/IEC 14496-15, 5.3.3.1
        self._length_size = (extradata[4] & 3) + 1 if is_avcc else 0
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, int] = {}  # their SPS
        self._has_fields = False
        self._first_field: tuple[int, int] | None = None  # whose second may follow
        for unit in _avcc_units(extradata) if is_avcc else _nal_units(extradata, 0):
            self._read_parameters(unit)

    @property
    def may_have_fields(self) -> bool:
        """False if all pictures are frames and stay so, because avcC holds the parameter sets."""
        return self._has_fields or not self._length_size or not self._sps

    def count(self, packet: av.Packet) -> int:
        if not self._has_fields and not packet.is_keyframe:
            return 1  # parameter sets come with keyframes
        num_frames = 0
        field: tuple[int, int] | None = None
        for unit in _nal_units(bytes(packet), self._length_size):
            if not unit or unit[0] & 0x1F not in _H264_SLICES:
                self._read_parameters(unit)
                continue
            if field is not None and unit[1:] < _FIRST_MACROBLOCK:
                continue  # another slice of the same field
            try:
                new_field = self._read_slice(unit) if self._has_fields else None
            except (KeyError, ValueError):  # damaged
                new_field = None
            if new_field is None:  # a frame
                self._first_field = None
                return num_frames + 1
            if new_field != field:
                field = new_field
                num_frames += not self._is_second(field)
        return num_frames

    def _is_second(self, field: tuple[int, int]) -> bool:
        """Return whether a field completes the one before it: 3.30 and 7.4.3."""
        first, self._first_field = self._first_field, None
        if first is not None and first[0] != field[0] and first[1] == field[1]:
            return True
        self._first_field = field
        return False

    def _read_slice(self, unit: bytes) -> tuple[int, int] | None:
        """Return (bottom_field_flag, frame_num) of a field, None for a frame: 7.3.3."""
        reader = BitReader(unit[1:_MAX_SLICE_HEADER])
        reader.golomb()  # first_mb_in_slice
        reader.golomb()  # slice_type
        sps = self._sps[self._pps[reader.golomb()]]
        if sps.has_separate_planes:
            reader.bits(2)
        frame_num = reader.bits(sps.num_frame_num_bits)
        if not sps.may_have_fields or not reader.bits(1):
            return None
        return reader.bits(1), frame_num

    def _read_parameters(self, unit: bytes) -> None:
        try:
            if unit[0] & 0x1F == _H264_PPS:  # 7.3.2.2
                reader = BitReader(unit[1:])
                pps_id = reader.golomb()
                self._pps[pps_id] = reader.golomb()
            elif unit[0] & 0x1F == _H264_SPS:
                sps = _Sps.read(unit)
                self._sps[sps.number] = sps
                self._has_fields = any(s.may_have_fields for s in self._sps.values())
        except (IndexError, ValueError):  # damaged
            return


_H264_SLICES, _H264_SPS, _H264_PPS = (1, 2, 5), 7, 8  # nal_unit_type, ITU-T H.264, table 7-1
_MAX_SLICE_HEADER = 24  # bytes to read: up to bottom_field_flag
_FIRST_MACROBLOCK = b"\x80"  # of a picture: slice headers that begin with less are of others
# with chroma formats and scaling lists in the SPS: 7.3.2.1.1
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))


@dataclass(frozen=True, slots=True)
class _Sps:
    """What an H.264 sequence parameter set says about slice headers: 7.3.2.1.1."""

    number: int
    num_frame_num_bits: int
    has_separate_planes: bool
    may_have_fields: bool

    @classmethod
    def read(cls, unit: bytes) -> "_Sps":
        reader = BitReader(unit[4:])  # after the profile, its constraints, and the level
        number, has_separate_planes = reader.golomb(), False
        if unit[1] in _HIGH_PROFILES:
            chroma_format = reader.golomb()
            if chroma_format == 3:
                has_separate_planes = reader.bits(1) == 1
            reader.golomb(), reader.golomb(), reader.bits(1)  # depths, transform bypass
            if reader.bits(1):
                for index in range(12 if chroma_format == 3 else 8):
                    if reader.bits(1):
                        _skip_scaling_list(reader, 16 if index < 6 else 64)
        num_frame_num_bits = reader.golomb() + 4
        order_type = reader.golomb()
        if order_type == 0:
            reader.golomb()
        elif order_type == 1:
            reader.bits(1), reader.golomb(), reader.golomb()
            for _ in range(min(reader.golomb(), 255)):
                reader.golomb()
        reader.golomb(), reader.bits(1)  # reference frames, gaps in frame_num
        reader.golomb(), reader.golomb()  # size
        return cls(number, num_frame_num_bits, has_separate_planes, not reader.bits(1))


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    """Read a scaling list: 7.3.2.1.1.1."""
    last = scale = 8
    for _ in range(size):
        if scale:
            code = reader.golomb()
            scale = (last + ((code + 1) // 2 if code % 2 else -code // 2)) % 256
        last = scale or last


def _avcc_units(extradata: bytes) -> Iterator[bytes]:
    """Yield the parameter sets in an avcC box: ISO/IEC 14496-15, 5.3.3.1."""
    position = 5
    for mask in (0x1F, 0xFF):  # SPS, then PPS
        num, position = extradata[position : position + 1], position + 1
        for _ in range(num[0] & mask if num else 0):
            start = position + 2
            position = start + int.from_bytes(extradata[position:start], "big")
            yield _unescape(extradata[start:position])


class HevcCounter:
    """Counts frames of ITU-T H.265: RASL pictures are not shown after a cut (8.3.1)."""

    def __init__(self, extradata: bytes) -> None:
        is_hvcc = extradata[:1] == b"\1" and len(extradata) > 22  # ISO/IEC 14496-15, 8.3.3.1
        self._length_size = (extradata[21] & 3) + 1 if is_hvcc else 0
        self._is_cut = False  # between a keyframe after a cut and its first trailing picture
        self._has_begun = False
        self._last: av.Packet | None = None

    def count(self, packet: av.Packet) -> int:
        last, self._last = self._last, packet
        if packet.is_keyframe:
            *others, kind = self._kinds_to_slice(packet)
            begins_sequence = (
                not self._has_begun
                or any(other in _HEVC_ENDS for other in others)
                or (last is not None and _ends_sequence(last))
            )
            self._is_cut = kind in _HEVC_BLA or (kind == _HEVC_CRA and begins_sequence)
            self._has_begun = True
            return 1
        if not self._is_cut:
            return 1
        kind = self._kinds_to_slice(packet)[-1]
        self._is_cut = kind in _HEVC_LEADING
        return int(kind not in _HEVC_RASL)

    def _kinds_to_slice(self, packet: av.Packet) -> list[int]:
        """Return the nal_unit_types of a packet up to its first slice; -1 if it has none."""
        kinds = []
        for unit in _nal_units(bytes(packet), self._length_size):
            kinds.append(unit[0] >> 1 & 0x3F if unit else -1)
            if 0 <= kinds[-1] < _HEVC_FIRST_OTHER:
                return kinds
        return [*kinds, -1]


def _ends_sequence(packet: av.Packet) -> bool:
    """Return whether an H.265 packet ends with a NAL unit that ends the sequence or bitstream."""
    return bytes(packet)[-_HEVC_TAIL:].rstrip(b"\0").endswith(_HEVC_END_UNITS)


# nal_unit_type, ITU-T H.265, table 7-1
_HEVC_BLA, _HEVC_CRA, _HEVC_ENDS = (16, 17, 18), 21, (36, 37)
_HEVC_RASL, _HEVC_LEADING = (8, 9), (6, 7, 8, 9)
_HEVC_FIRST_OTHER = 32  # smaller ones are slices
# NAL units without contents, after their start code or the end of their length
_HEVC_END_UNITS = tuple(
    prefix + bytes((kind << 1, 1)) for prefix in (_START_CODE, b"\0\2") for kind in _HEVC_ENDS
)
_HEVC_TAIL = 16  # bytes: the unit, and zeros that may follow
