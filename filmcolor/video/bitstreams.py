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
from collections.abc import Callable
from typing import Any

import av

from filmcolor.video.bit_reader import BitReader
from filmcolor.video.nal_units import H264Counter, HevcCounter

FrameCounter = Callable[[av.Packet], int]

_MAX_HEADER = 64  # bytes of a video object layer that are read


def make_frame_counter(stream: Any) -> FrameCounter | None:
    """Return a function that counts the frames that each packet of a video stream shows.

    It must get all packets, in order. A frame of two fields counts at its first field; a packet
    with the second alone shows 0. None if every packet shows one frame.
    """
    context = stream.codec_context
    extradata = context.extradata or b""
    match context.codec.canonical_name:
        case "h264":
            counter = H264Counter(extradata)
            return counter.count if counter.may_have_fields else None
        case "hevc":
            return HevcCounter(extradata).count
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
        reader = BitReader(data[start + len(_VOP_CODE) :])
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
    reader = BitReader(data[start.end() : start.end() + _MAX_HEADER])
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
    while data[position : position + 4] == b"BBCD" and len(data) >= position + 9:
        if data[position + 4] & 0x08:
            return 1
        step = int.from_bytes(data[position + 5 : position + 9], "big")
        if not step:
            return 0
        position += step
    return int(position == 0)
