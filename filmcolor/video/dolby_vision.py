"""Finds Dolby Vision's configuration record, which FFmpeg reads but PyAV does not show.

Sources: "Dolby Vision Streams Within the ISO Base Media File Format"; in Matroska the record's name
is the type of a track's additional data (RFC 9559, 5.1.4.1.17.2).
"""

import io
import struct
from typing import BinaryIO

from filmcolor.types.film import FilmInfo
from filmcolor.video.ebml import TRACKS, read_elements

_NAMES = (b"dvcC", b"dvvC", b"dvwC")
_CODECS = ("h264", "hevc", "av1")
_MAX_BYTES = 1 << 26  # of the header that is searched


def has_dolby_vision(info: FilmInfo) -> bool:
    """Return whether a film in MP4, MOV or Matroska says that it has Dolby Vision metadata."""
    if info.codec not in _CODECS or info.coding.bit_depth == 8:
        return False
    try:
        with info.path.open("rb") as file:
            header = _header(file, info.container)
    except OSError:  # the film's other readers report it
        return False
    return any(name in header for name in _NAMES)


def _header(file: BinaryIO, container: str) -> bytes:
    """Return what describes a file's streams; b"" for other containers."""
    if "matroska" in container:
        return b"".join(data for _, data in read_elements(file, (TRACKS,)))
    return _movie_atom(file) if "mov" in container else b""


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
