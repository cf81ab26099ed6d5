"""What a container's header says of its picture and FFmpeg does not pass on to PyAV.

Dolby Vision's configuration record ("Dolby Vision Streams Within the ISO Base Media File Format",
section 3; in Matroska the record's name is the type of a track's additional data, RFC 9559,
5.1.4.1.17.2), and cropping: the clean aperture (ISO/IEC 14496-12, 12.1.4), and Matroska's
PixelCrop elements.
"""

import io
import struct
from typing import BinaryIO

from filmcolor.types.film import FilmInfo
from filmcolor.video.ebml import TRACKS, children, read_elements, uint
from filmcolor.video.partial_films import open_bytes

_DOLBY_NAMES = (b"dvcC", b"dvvC", b"dvwC")
_DOLBY_CODECS = ("h264", "hevc", "av1")
_CLEAN_APERTURE = b"\0\0\0\x28clap"  # with its size: eight numbers of four bytes
_TRACK_ENTRY, _VIDEO = 0xAE, 0xE0
_CROP_LEFT, _CROP_RIGHT, _CROP_TOP, _CROP_BOTTOM = 0x54CC, 0x54DD, 0x54BB, 0x54AA
_MAX_BYTES = 1 << 26  # of a header that is searched


def has_dolby_vision(info: FilmInfo) -> bool:
    """Return whether a film in MP4, MOV or Matroska says that it has Dolby Vision metadata."""
    if info.codec not in _DOLBY_CODECS or info.coding.bit_depth == 8:
        return False
    header = _read_header(info)
    return any(name in header for name in _DOLBY_NAMES)


def read_cropped_size(info: FilmInfo) -> tuple[int, int] | None:
    """Return the (width, height) to which players should crop the picture, None for the whole."""
    header = _read_header(info)
    size = None
    if "matroska" in info.container:
        size = _matroska_size(info, header)
    elif (position := header.find(_CLEAN_APERTURE)) >= 0:
        numbers = header[position + 8 : position + 24].ljust(16, b"\0")
        width, width_unit, height, height_unit = struct.unpack(">4I", numbers)
        if width_unit and height_unit:
            size = round(width / width_unit), round(height / height_unit)
    return None if size == (info.width, info.height) else size


def _matroska_size(info: FilmInfo, tracks: bytes) -> tuple[int, int] | None:
    for number, track in children(tracks):
        video = dict(children(track)).get(_VIDEO) if number == _TRACK_ENTRY else None
        if video is not None:
            crop = {key: uint(value) for key, value in children(video)}
            width = info.width - crop.get(_CROP_LEFT, 0) - crop.get(_CROP_RIGHT, 0)
            return width, info.height - crop.get(_CROP_TOP, 0) - crop.get(_CROP_BOTTOM, 0)
    return None


def _read_header(info: FilmInfo) -> bytes:
    """Return what describes a file's streams; b"" for other containers."""
    try:
        with open_bytes(info.path) as file:
            if "matroska" in info.container:
                return b"".join(data for _, data in read_elements(file, (TRACKS,)))
            return _movie_atom(file) if "mov" in info.container else b""
    except OSError:  # the film's other readers report it
        return b""


def _movie_atom(file: BinaryIO) -> bytes:
    position, end = 0, file.seek(0, io.SEEK_END)
    while position + 8 <= end:
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"moov":
            return file.read(min(size, _MAX_BYTES))
        if size == 1:  # 64 bits follow
            size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
        if size < 8:
            break
        position += size
    return b""
