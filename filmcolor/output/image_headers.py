"""Writes into image files what a film's images hold besides pixels: times, reel, who coloured it.

FFmpeg's encoders write little of that. DPX: SMPTE ST 268-1:2014, tables 1 to 6; fields that are not
known have all bits set. OpenEXR: its file layout, and "Standard Attributes". PNG: 11.3.3.3. TIFF
6.0: section 2.
"""

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from filmcolor.errors import InputError
from filmcolor.output.image_formats import has_linear_light
from filmcolor.output.timecode import shift_timecode
from filmcolor.types.film import FilmInfo
from filmcolor.video.image_header import read_image_header
from filmcolor.video.sequence_names import NumberedFiles, find_sequence

_WRITER = b"filmcolor"  # in OpenEXR: FFmpeg's name would mean that its values are not linear light
_HEADER_BYTES = 1 << 16  # of a source image
_DPX_BYTES, _DPX_GENERIC_BYTES = 2048, 1664  # of all headers, and of those that all DPX have
_DPX_FILE_SIZE, _DPX_INDUSTRY_SIZE = 16, 28
_DPX_DATA_OFFSETS = (4, 808)  # where it is written where the pixels begin
_DPX_ORDERS = {b"SDPX": ">", b"XPDS": "<"}
_UNKNOWN = 0xFFFFFFFF
_DPX_CREATOR, _DPX_CREATOR_BYTES = 160, 100
_DPX_DEPTH, _DPX_COLORIMETRY = 803, slice(801, 803)  # of the first image element
_DPX_LEVELS = (784, 788, 792, 796)  # its reference codes and quantities
_DPX_RATES = (1724, 1940)  # of film and of television
_DPX_TIMECODE = 1920
# what describes the reel: project, copyright; source file and scanner; film; slate; fields
_DPX_TEXTS = (
    *(slice(260, 660), slice(1432, 1620), slice(1664, 1712)),
    *(slice(1732, 1864), slice(1928, 1932)),
)
# numbers: position, length, hold and shutter of film; user bits and levels of television
_DPX_NUMBERS = (1712, 1716, 1720, 1728, 1924, 1932, 1936, *range(1944, 1972, 4))
_COLORIMETRY_709, _COLORIMETRIES = 6, {5: 7, 6: 8}  # ST 268-1, table 5A, by H.273 matrix
_MAX_FRAMES = 40  # numbers of frames that a timecode's two BCD digits can have
_EXR_NAME_BYTES = 600  # that an attribute's name and type have at most
_TIFF_ASCII, _TIFF_DESCRIPTION = 2, 270


@dataclass(frozen=True, slots=True)
class ImageHeaders:
    """Completes the headers of a film's images.

    `comment`: says that the colour was added; "" for none. `sources`: the film's own images, if it
    is a sequence.
    """

    info: FilmInfo
    comment: str
    sources: NumberedFiles | None

    @classmethod
    def of(cls, info: FilmInfo, comment: str = "") -> "ImageHeaders":
        """Return those of a film."""
        return cls(info, comment, find_sequence(info.path))

    def complete(self, codec: str, image: bytes, number: int) -> bytes:
        """Return the file of a frame, by its encoder's name and its number in the film."""
        writers: dict[str, Callable[[bytes, int], bytes]] = {
            "dpx": self._complete_dpx,
            "exr": self._complete_exr,
            "png": self._complete_png,
            "tiff": self._complete_tiff,
        }
        return writers[codec](image, number)

    def timecode(self, number: int) -> str | None:
        """Return a frame's timecode: that of its own image, else counted from the first frame's."""
        if (own := read_image_header(self._source_header(number)).timecode) is not None:
            return own
        first = self.info.timecode
        return None if first is None else shift_timecode(first, number, self.info.frame_rate)

    def _source_header(self, number: int) -> bytes:
        """Return the beginning of a frame's own image; nothing of a film that is no sequence."""
        if self.sources is None:
            return b""
        wanted = self.sources.numbers[0] + number
        position = bisect_left(self.sources.numbers, wanted)
        if self.sources.numbers[position : position + 1] != (wanted,):
            return b""
        path = self.sources.path(position)
        try:
            with path.open("rb") as file:
                return file.read(_HEADER_BYTES)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); is it still there?"
            ) from error

    def _complete_dpx(self, image: bytes, number: int) -> bytes:
        order = _DPX_ORDERS[image[:4]]
        pixels = struct.unpack_from(f"{order}I", image, _DPX_DATA_OFFSETS[0])[0]
        # FFmpeg writes no headers of film and television
        data = bytearray(image[:_DPX_GENERIC_BYTES].ljust(_DPX_BYTES, b"\0"))
        sizes = dict.fromkeys(_DPX_DATA_OFFSETS, _DPX_BYTES) | {
            _DPX_FILE_SIZE: _DPX_BYTES + len(image) - pixels,
            _DPX_INDUSTRY_SIZE: _DPX_BYTES - _DPX_GENERIC_BYTES,
        }
        for offset, size in (*sizes.items(), *((n, _UNKNOWN) for n in _DPX_NUMBERS)):
            struct.pack_into(f"{order}I", data, offset, size)
        colorimetry = _COLORIMETRIES.get(self.info.coding.matrix, _COLORIMETRY_709)
        data[_DPX_COLORIMETRY] = bytes([colorimetry]) * 2
        _copy_reel(self._source_header(number), data, order)
        for offset in _DPX_RATES:
            struct.pack_into(f"{order}f", data, offset, self.info.frame_rate)
        bits = timecode_bits(self.timecode(number))
        struct.pack_into(f"{order}I", data, _DPX_TIMECODE, _UNKNOWN if bits is None else bits)
        if self.comment:
            text = self.comment.encode("ascii", "replace")[: _DPX_CREATOR_BYTES - 1]
            end = _DPX_CREATOR + _DPX_CREATOR_BYTES
            data[_DPX_CREATOR:end] = text.ljust(_DPX_CREATOR_BYTES, b"\0")
        return bytes(data) + image[pixels:]

    def _complete_exr(self, image: bytes, number: int) -> bytes:
        added = []
        if self.comment:
            added.append(_exr_attribute("comments", "string", self.comment.encode()))
        if (bits := timecode_bits(self.timecode(number))) is not None:
            added.append(_exr_attribute("timeCode", "timecode", struct.pack("<II", bits, 0)))
        return _replace_exr_writer(image, has_linear_light(self.info), b"".join(added))

    def _complete_png(self, image: bytes, _: int) -> bytes:
        if not self.comment:
            return image
        chunk = b"tEXtComment\0" + self.comment.encode("latin-1", "replace")
        end = 8 + 25  # of the signature and the first chunk, IHDR
        length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
        return image[:end] + length + chunk + check + image[end:]

    def _complete_tiff(self, image: bytes, _: int) -> bytes:
        return _add_tiff_description(image, self.comment) if self.comment else image


def timecode_bits(timecode: str | None) -> int | None:
    """Return a timecode as BCD digits, hours first, as ST 12-1 has them; None if it has no such."""
    if timecode is None:
        return None
    fields = [timecode[n : n + 2] for n in (0, 3, 6, 9)]
    if not all(f.isdecimal() for f in fields) or int(fields[3]) >= _MAX_FRAMES:
        return None
    drop = 0 if timecode[8] == ":" else 0x40
    return int("".join(fields), 16) | drop


def _copy_reel(source: bytes, target: bytearray, order: str) -> None:
    """Copy what a DPX header holds about the reel into another one; nothing of other formats."""
    source_order = _DPX_ORDERS.get(source[:4])
    if source_order is None or len(source) < _DPX_BYTES:
        return
    if struct.unpack_from(f"{source_order}I", source, _DPX_DATA_OFFSETS[0])[0] < _DPX_BYTES:
        return  # its pixels begin where these headers would be
    for field in (*_DPX_TEXTS, _DPX_COLORIMETRY):
        target[field] = source[field]
    levels = _DPX_LEVELS if source[_DPX_DEPTH] == target[_DPX_DEPTH] else ()
    for offset in (*_DPX_NUMBERS, *levels):
        word = struct.unpack_from(f"{source_order}I", source, offset)
        struct.pack_into(f"{order}I", target, offset, *word)


def _exr_attribute(name: str, kind: str, value: bytes) -> bytes:
    return b"%s\0%s\0%s%s" % (name.encode(), kind.encode(), struct.pack("<I", len(value)), value)


def _replace_exr_writer(image: bytes, is_linear: bool, added: bytes) -> bytes:
    """Return an OpenEXR file with attributes added, and ours as the name of its writer if linear.

    The offsets of its chunks are absolute, and move with the header's length.
    """
    at = 8  # after the magic number and the version
    kept = []
    while image[at]:
        name, kind, _ = image[at : at + _EXR_NAME_BYTES].split(b"\0", 2)
        start = at + len(name) + len(kind) + 2
        end = start + 4 + struct.unpack_from("<I", image, start)[0]
        if name == b"writer" and is_linear:
            kept.append(_exr_attribute("writer", "string", _WRITER))
        else:
            kept.append(image[at:end])
        at = end
    header = image[:8] + b"".join(kept) + added + b"\0"
    table = at + 1
    first_chunk = struct.unpack_from("<Q", image, table)[0]
    offsets = struct.unpack_from(f"<{(first_chunk - table) // 8}Q", image, table)
    moved = [offset + len(header) - table for offset in offsets]
    return header + struct.pack(f"<{len(moved)}Q", *moved) + image[first_chunk:]


def _add_tiff_description(image: bytes, text: str) -> bytes:
    """Return a little-endian TIFF with a description, in a new directory at its end."""
    at = struct.unpack_from("<I", image, 4)[0]
    num_entries = struct.unpack_from("<H", image, at)[0]
    entries = [image[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(num_entries)]
    data = text.encode("ascii", "replace") + b"\0"
    padding = b"\0" * (-len(image) % 2)
    start = len(image) + len(padding)
    entries.append(struct.pack("<HHII", _TIFF_DESCRIPTION, _TIFF_ASCII, len(data), start))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data += b"\0" * (-len(data) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    header = image[:4] + struct.pack("<I", start + len(data))
    return header + image[8:] + padding + data + directory
