"""Adds tags of any name to MP4 and MOV files, as an atom that FFmpeg's muxer writes only alone.

FFmpeg writes either the well-known tags, where players look for them, or all tags as QuickTime's
metadata keys, where few players find the title. Both fit into one file: well-known tags in 'udta',
the others in a 'meta' atom of the movie, where cameras and phones put theirs.
Sources: QuickTime File Format Specification, "Metadata"; ISO/IEC 14496-12, 8.11.1.
"""

import os
import struct
from collections.abc import Mapping
from typing import BinaryIO

_UTF_8 = 1  # well-known type of a value


def append_tags(file: BinaryIO, tags: Mapping[str, str], format_name: str) -> bool:
    """Add tags to a finished file; return False if it has no room for them at its end.

    `format_name`: "mp4" or "mov"; others are left as they are. The movie's atom must be the file's
    last, as FFmpeg writes it; it grows.
    """
    if not tags or format_name not in ("mp4", "mov"):
        return not tags
    position = _last_atom(file, b"moov")
    if position is None:
        return False
    atom = _meta_atom(tags, is_full=format_name == "mp4")
    size = file.seek(0, os.SEEK_END) + len(atom) - position
    if size >= 1 << 32:  # the field has four bytes
        return False
    file.write(atom)
    file.seek(position)
    file.write(struct.pack(">I", size))
    return True


def _last_atom(file: BinaryIO, kind: bytes) -> int | None:
    """Return the position of a file's last atom, None if it is of another kind."""
    position, end = 0, file.seek(0, os.SEEK_END)
    while position < end:
        file.seek(position)
        size, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if position + size == end:
            return position if name == kind else None
        if size == 1:  # 64 bits follow
            size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
        if size < 8:
            return None
        position += size
    return None


def _meta_atom(tags: Mapping[str, str], is_full: bool) -> bytes:
    """Return a 'meta' atom with keys and values; in MP4 it has a version and flags."""
    handler = _atom(b"hdlr", bytes(8), b"mdta", bytes(12), b"\0")
    names = [_atom(b"mdta", name.encode()) for name in tags]
    keys = _atom(b"keys", bytes(4), struct.pack(">I", len(names)), *names)
    values = []
    for number, value in enumerate(tags.values(), 1):
        data = _atom(b"data", struct.pack(">II", _UTF_8, 0), value.encode())
        values.append(_atom(struct.pack(">I", number), data))
    return _atom(b"meta", bytes(4 if is_full else 0), handler, keys, _atom(b"ilst", *values))


def _atom(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content
