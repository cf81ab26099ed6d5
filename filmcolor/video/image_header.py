"""Reads what DPX and OpenEXR headers hold about a film, and whether an image file is complete.

Offsets of DPX: SMPTE ST 268-1:2014, tables 1 to 6. Attributes of OpenEXR: its file layout, and
"Standard Attributes".
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from filmcolor.timecodes import exact_rate

_DPX_ORDERS = {b"SDPX": ">", b"XPDS": "<"}  # byte order, by the magic number
_DPX_DATA = 4  # the offset of the pixels: FFmpeg's follow the orientation header, at 1664
_DPX_TRANSFER = 801  # of the first image element
_DPX_FILM_RATE, _DPX_TIMECODE, _DPX_TELEVISION_RATE = 1724, 1920, 1940
_DPX_LOG = {1: "printing density", 3: "logarithmic"}  # ST 268-1, table 5A
_UNDEFINED = 0xFFFFFFFF
_EXR_MAGIC = b"\x76\x2f\x31\x01"
_EXR_MULTIPART = 0x1A00  # version flags: tiles, deep data, several parts
_EXR_ROWS = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)  # of a chunk, by the method of compression
_HEADER_BYTES = 1 << 16
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_MAX_RATE = 1000  # frames per second


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image holds about the film that it belongs to."""

    frame_rate: Fraction | None = None
    timecode: str | None = None
    note: str = ""  # a line for people


def read_image_header(data: bytes) -> ImageHeader:
    """Return what the header of an image file holds; nothing for formats without such fields."""
    if data[:4] in _DPX_ORDERS and len(data) > _DPX_TRANSFER:
        return _read_dpx(data, _DPX_ORDERS[data[:4]])
    if data.startswith(_EXR_MAGIC):
        return _read_exr(data[:_HEADER_BYTES])
    return ImageHeader()


def is_complete(data: bytes) -> bool:
    """Return False for a JPEG or OpenEXR file that was cut off, which FFmpeg decodes all the same.

    FFmpeg reports the other formats' files as broken.
    """
    if data.startswith(_JPEG_START):  # a thumbnail in the header ends before the picture begins
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    return not data.startswith(_EXR_MAGIC) or _is_complete_exr(data)


def _is_complete_exr(data: bytes) -> bool:
    """Return whether every chunk of rows is within the file; True for tiles and several parts."""
    try:
        if struct.unpack_from("<I", data, 4)[0] & _EXR_MULTIPART:
            return True
        attributes, at = {}, 8
        while data[at]:
            name, kind, _ = data[at : at + 512].split(b"\0", 2)
            at += len(name) + len(kind) + 2
            size = struct.unpack_from("<I", data, at)[0]
            attributes[name], at = data[at + 4 : at + 4 + size], at + 4 + size
        _, top, _, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
        num_chunks = -(-(bottom - top + 1) // _EXR_ROWS[attributes[b"compression"][0]])
        offsets = struct.unpack_from(f"<{num_chunks}Q", data, at + 1)
    except (IndexError, KeyError, ValueError, struct.error):
        return True  # unknown, or so short that the decoder refuses it
    last = max(offsets)  # the chunk's row and size, then its data
    if min(offsets) == 0 or last + 8 > len(data):
        return False
    return bool(last + 8 + struct.unpack_from("<I", data, last + 4)[0] <= len(data))


def _read_dpx(data: bytes, order: str) -> ImageHeader:
    header = data[: struct.unpack_from(f"{order}I", data, _DPX_DATA)[0]]
    rates = [
        _nominal_rate(struct.unpack_from(f"{order}f", header, offset)[0])
        for offset in (_DPX_FILM_RATE, _DPX_TELEVISION_RATE)
        if len(header) >= offset + 4
    ]
    note = ""
    if density := _DPX_LOG.get(data[_DPX_TRANSFER]):
        note = (
            f"DPX in {density}: luma is kept as it is, and looks flat until it is graded for video"
        )
    has_timecode = len(header) >= _DPX_TIMECODE + 4
    bits = struct.unpack_from(f"{order}I", header, _DPX_TIMECODE)[0] if has_timecode else _UNDEFINED
    return ImageHeader(next(filter(None, rates), None), _timecode(bits), note)


def _read_exr(data: bytes) -> ImageHeader:
    rate = timecode = None
    if (at := _exr_attribute(data, b"framesPerSecond\0rational\0")) is not None:
        numerator, denominator = struct.unpack_from("<iI", data, at)
        rate = _nominal_rate(numerator / denominator if denominator else 0.0)
    if (at := _exr_attribute(data, b"timeCode\0timecode\0")) is not None:
        timecode = _timecode(struct.unpack_from("<I", data, at)[0])
    return ImageHeader(rate, timecode)


def _exr_attribute(data: bytes, name: bytes) -> int | None:
    """Return where the 8 bytes of an attribute begin, None without it."""
    at = data.find(name)
    start = at + len(name) + 4  # after its size
    return None if at < 0 or start + 8 > len(data) else start


def _nominal_rate(rate: float) -> Fraction | None:
    """Return the frame rate that a header's float stands for; None if unset."""
    if not math.isfinite(rate) or not 1.0 <= rate <= _MAX_RATE:
        return None
    return exact_rate(rate)


def _timecode(bits: int) -> str | None:
    """Return a timecode of SMPTE ST 12-1 in BCD, hours in the highest byte; None if unset."""
    hours, minutes, seconds, frames = bits.to_bytes(4, "big")
    fields = [hours & 0x3F, minutes & 0x7F, seconds & 0x7F, frames & 0x3F]
    if bits == _UNDEFINED or any(field & 0xF > 9 for field in fields):
        return None
    numbers = [(field >> 4) * 10 + (field & 0xF) for field in fields]
    if numbers[0] > 23 or max(numbers[1:3]) > 59:
        return None
    separator = ";" if frames & 0x40 else ":"  # drop frame
    return ":".join(f"{n:02}" for n in numbers[:3]) + f"{separator}{numbers[3]:02}"
