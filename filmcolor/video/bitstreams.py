"""Counts the frames that packets show, from the headers of the coded pictures.

Most packets show one frame. These do not:

- H.264: a field may have a packet of its own. FFmpeg's parser makes such packets of MPEG-TS and of
  elementary streams; programs that copy them into MP4 and Matroska keep them.
- H.265: pictures that refer to others before a cut (RASL) are not shown after it.
- VP8, VP9, AV1: reference frames that are never shown may have packets of their own.
- MPEG-4 Part 2: a VOP that is not coded repeats the frame before it.
- Dirac: the end of the sequence has a packet of its own.

Only headers are read, and only in films that can have such packets.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av

FrameCounter = Callable[[av.Packet], int]

_START_CODE = b"\0\0\1"
_MAX_HEADER = 512  # bytes of a NAL unit that are read: enough for parameter sets with scaling lists


def make_frame_counter(stream: Any) -> FrameCounter | None:
    """Return a function that counts the frames that each packet of a video stream shows.

    It must get all packets, in order. A frame of two fields counts at its first field; a packet
    with the second alone shows 0. None if every packet shows one frame.
    """
    context = stream.codec_context
    extradata = context.extradata or b""
    match context.codec.canonical_name:
        case "h264":
            counter = _H264Counter(extradata)
            return counter.count if counter.may_have_fields else None
        case "hevc":
            return _HevcCounter(extradata).count
        case "mpeg4":
            return _Mpeg4Counter(extradata).count
        case "vp8":
            return _count_vp8
        case "vp9":
            return _count_vp9
        case "av1":
            return _count_av1
        case "dirac":
            return _count_dirac
    return None


class _BitReader:
    """Reads bits, the most significant first. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._num_left = int.from_bytes(data, "big"), 8 * len(data)

    def bits(self, num: int) -> int:
        self._num_left -= num
        if self._num_left < 0:
            raise ValueError("the header is cut off")
        return self._value >> self._num_left & (1 << num) - 1

    def golomb(self) -> int:
        """Read an unsigned Exp-Golomb code: ITU-T H.264, 9.1."""
        num = 0
        while not self.bits(1):
            num += 1
        return (1 << num) - 1 + self.bits(num)


# ---------------------------------------------------------------- NAL units: H.264 and H.265


def _nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """Yield the beginning of each NAL unit of a packet, without emulation prevention.

    `length_size`: bytes of the length before each unit, 0 for start codes: ITU-T H.264, annex B,
    or ISO/IEC 14496-15, 5.3.
    """
    if (
        not length_size or data[:4] == b"\0" + _START_CODE
    ):  # some files have start codes all the same
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


class _H264Counter:
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
            try:
                new_field = self._read_slice(unit) if self._has_fields else None
            except (KeyError, ValueError):  # damaged
                new_field = None
            if new_field is None:  # a frame
                self._first_field = None
                return num_frames + 1
            if new_field != field:  # else another slice of the same field
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
        reader = _BitReader(unit[1:])
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
                reader = _BitReader(unit[1:])
                pps_id = reader.golomb()
                self._pps[pps_id] = reader.golomb()
            elif unit[0] & 0x1F == _H264_SPS:
                sps = _Sps.read(unit)
                self._sps[sps.number] = sps
                self._has_fields = any(s.may_have_fields for s in self._sps.values())
        except (IndexError, ValueError):  # damaged
            return


_H264_SLICES, _H264_SPS, _H264_PPS = (1, 2, 5), 7, 8  # nal_unit_type, ITU-T H.264, table 7-1
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
        reader = _BitReader(unit[4:])  # after the profile, its constraints, and the level
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


def _skip_scaling_list(reader: _BitReader, size: int) -> None:
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


class _HevcCounter:
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
            kind = self._first_slice(packet)
            begins_sequence = not self._has_begun or (last is not None and _ends_sequence(last))
            self._is_cut = kind in _HEVC_BLA or (kind == _HEVC_CRA and begins_sequence)
            self._has_begun = True
            return 1
        if not self._is_cut:
            return 1
        kind = self._first_slice(packet)
        self._is_cut = kind in _HEVC_LEADING
        return int(kind not in _HEVC_RASL)

    def _first_slice(self, packet: av.Packet) -> int:
        """Return the nal_unit_type of a packet's picture, -1 without one."""
        units = _nal_units(bytes(packet), self._length_size)
        kinds = (unit[0] >> 1 & 0x3F for unit in units if unit)
        return next((kind for kind in kinds if kind < _HEVC_FIRST_OTHER), -1)


# nal_unit_type, ITU-T H.265, table 7-1
_HEVC_BLA, _HEVC_CRA = (16, 17, 18), 21
_HEVC_RASL, _HEVC_LEADING = (8, 9), (6, 7, 8, 9)
_HEVC_FIRST_OTHER = 32  # smaller ones are slices


def _ends_sequence(packet: av.Packet) -> bool:
    """Return whether an H.265 packet ends with a NAL unit that ends the sequence or bitstream."""
    return bytes(packet)[-_HEVC_TAIL:].rstrip(b"\0").endswith(_HEVC_ENDS)


# NAL units without contents, after their start code or the end of their length
_HEVC_ENDS = tuple(
    prefix + bytes([kind << 1, 1]) for prefix in (_START_CODE, b"\0\2") for kind in (36, 37)
)
_HEVC_TAIL = 16  # bytes: the unit, and zeros that may follow


# ---------------------------------------------------------------- other codecs


class _Mpeg4Counter:
    """Counts frames of MPEG-4 Part 2: ISO/IEC 14496-2, 6.2.3 and 6.2.5.

    In packed streams, of DivX in AVI, a packet may hold two VOPs. FFmpeg's decoder shows the second
    at the time of the next packet, which holds a VOP that is not coded.
    """

    def __init__(self, extradata: bytes) -> None:
        self._num_time_bits = _num_time_bits(extradata)
        self._last: av.Packet | None = None

    def count(self, packet: av.Packet) -> int:
        last, self._last = self._last, packet
        if packet.size > _MAX_EMPTY_VOP:
            if self._num_time_bits is None:
                self._num_time_bits = _num_time_bits(bytes(packet))
            return 1
        if self._is_coded(bytes(packet)):
            return 1
        is_packed = last is not None and bytes(last).count(_VOP_CODE) > 1
        return int(is_packed)

    def _is_coded(self, data: bytes) -> bool:
        start = data.find(_VOP_CODE)
        if start < 0 or self._num_time_bits is None:
            return True
        reader = _BitReader(data[start + len(_VOP_CODE) :])
        try:
            reader.bits(2)  # vop_coding_type
            while reader.bits(1):  # modulo_time_base
                pass
            reader.bits(1 + self._num_time_bits + 1)  # vop_time_increment between markers
            return reader.bits(1) == 1
        except ValueError:
            return True


_MAX_EMPTY_VOP = 19  # bytes; FFmpeg's limit too
_VOP_CODE = b"\0\0\1\xb6"
_VOL_CODE = re.compile(b"\0\0\1[\x20-\x2f]")


def _num_time_bits(data: bytes) -> int | None:
    """Return the size of vop_time_increment, from the video object layer; None without one."""
    start = _VOL_CODE.search(data)
    if start is None:
        return None
    reader = _BitReader(data[start.end() : start.end() + _MAX_HEADER])
    try:
        reader.bits(1 + 8)
        version = reader.bits(4 + 3) >> 3 if reader.bits(1) else 1
        if reader.bits(4) == 15:  # the pixel aspect follows
            reader.bits(16)
        if reader.bits(1):  # vol_control_parameters
            reader.bits(2 + 1)
            if reader.bits(1):
                reader.bits(79)  # of the buffering verifier
        if reader.bits(2) == 3 and version != 1:  # a greyscale shape
            reader.bits(4)
        reader.bits(1)
        return max(1, (reader.bits(16) - 1).bit_length())
    except ValueError:
        return None


def _count_vp8(packet: av.Packet) -> int:
    """Return show_frame: RFC 6386, 9.1."""
    return memoryview(packet)[0] >> 4 & 1 if packet.size else 0


def _count_vp9(packet: av.Packet) -> int:
    """Count the frames shown of a packet, which may be a superframe: VP9 bitstream, annex B."""
    data = memoryview(packet)
    if not packet.size:
        return 0
    marker = data[-1]
    num_frames, num_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = len(data) - 2 - num_frames * num_bytes
    if marker & 0xE0 != 0xC0 or index < 0 or data[index] != marker:
        return _is_vp9_shown(data[0])
    num_shown = start = 0
    for number in range(num_frames):
        position = index + 1 + number * num_bytes
        size = int.from_bytes(data[position : position + num_bytes], "little")
        if size and start < index:
            num_shown += _is_vp9_shown(data[start])
        start += size
    return num_shown


def _is_vp9_shown(header: int) -> int:
    """Return whether a frame is shown, from its first byte: VP9 bitstream, 6.2."""
    flags = header if header & 0x30 == 0x30 else header >> 1  # profile 3 has one bit more
    return int(flags & 0b101 != 0)  # show_existing_frame, or show_frame


def _count_av1(packet: av.Packet) -> int:
    """Return 1 if one of a packet's frames is shown: AV1 bitstream, 5.3 and 5.9.2."""
    data = memoryview(packet)
    position = 0
    while position < len(data):
        kind, has_extension, has_size = (
            data[position] >> 3 & 15,
            data[position] & 4,
            data[position] & 2,
        )
        position += 2 if has_extension else 1
        size = len(data) - position
        if has_size:
            size = shift = 0
            while position < len(data):  # leb128
                byte, position = data[position], position + 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
        if size and position < len(data):
            header = data[position]
            if kind == _AV1_SEQUENCE and header & 0x08:  # reduced_still_picture_header
                return 1
            # show_existing_frame, or show_frame after it and two bits of the type
            if kind in _AV1_FRAMES and header & 0b1001_0000:
                return 1
        position += size
    return 0


_AV1_SEQUENCE, _AV1_FRAMES = 1, (3, 6)  # obu_type, AV1 bitstream, 6.2.2


def _count_dirac(packet: av.Packet) -> int:
    """Return 1 if a packet holds a picture: SMPTE ST 2042-1, 10.5."""
    data = bytes(packet)
    position = 0
    while data[position : position + 4] == b"BBCD":
        if data[position + 4] & 0x08:
            return 1
        step = int.from_bytes(data[position + 5 : position + 9], "big")
        if not step:
            return 0
        position += step
    return int(position == 0)
