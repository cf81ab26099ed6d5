"""Writes elements of EBML (RFC 8794) into Matroska films: what FFmpeg's muxer does not write."""

from collections.abc import Mapping
from pathlib import Path

SEGMENT, CLUSTER, SEEK_HEAD, VOID = 0x18538067, 0x1F43B675, 0x114D9B74, 0xEC
CHAPTERS, TAGS, TRACKS, TRACK = 0x1043A770, 0x1254C367, 0x1654AE6B, 0xAE
ATTACHMENTS, ATTACHED_FILE = 0x1941A469, 0x61A7
CRC_32 = 0xBF
Value = int | str | bytes


def element(number: int, *content: Value) -> bytes:
    """Return an element: an integer, a text, or bytes, such as other elements."""
    data = b"".join(_data(part) for part in content)
    return _id(number) + (len(data) | 1 << 56).to_bytes(8, "big") + data


def change(path: Path, elements: Mapping[int, bytes | None]) -> Path:
    """Replace elements at the top of a Matroska film by others, by identifier.

    None removes one. Those that the film has not come before its first cluster. Its index of
    elements is removed, for they move.
    """
    data = path.read_bytes()
    position = data.index(_id(SEGMENT))
    start = position + 4 + 8
    parts, added = [], dict(elements)
    for number, content in children(data[start:]):
        if number == CLUSTER:
            parts += [new for new in added.values() if new]
            added = {}
        if number in elements:
            parts.append(elements[number] or b"")
            added.pop(number, None)
        elif number != SEEK_HEAD:
            parts.append(element(number, content))
    path.write_bytes(data[:position] + element(SEGMENT, *parts))
    return path


def children(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements that some bytes hold: (identifier, content)."""
    found, position = [], 0
    while position < len(data):
        id_size = 9 - data[position].bit_length()
        number = int.from_bytes(data[position : position + id_size], "big")
        position += id_size
        size_size = 9 - data[position].bit_length()
        size = int.from_bytes(data[position : position + size_size], "big")
        position += size_size
        size &= (1 << 7 * size_size) - 1
        found.append((number, data[position : position + size]))
        position += size
    return found


def top(path: Path, number: int) -> bytes | None:
    """Return the content of a film's last element at the top with an identifier."""
    data = path.read_bytes()
    start = data.index(_id(SEGMENT)) + 4 + 8
    found = [content for other, content in children(data[start:]) if other == number]
    return found[-1] if found else None


def _id(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


def _data(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return value.to_bytes(max(1, -(-value.bit_length() // 8)), "big")
