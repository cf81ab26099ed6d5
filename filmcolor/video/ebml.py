"""Reads and writes elements of EBML (RFC 8794), the form of Matroska files."""

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

SEGMENT, CLUSTER, SEEK_HEAD, CHAPTERS = 0x18538067, 0x1F43B675, 0x114D9B74, 0x1043A770
TRACKS, TAGS = 0x1654AE6B, 0x1254C367
SEEK_ID, SEEK_POSITION = 0x53AB, 0x53AC  # of an entry in the index of elements
VOID, CRC_32 = 0xEC, 0xBF
_MAX_HEAD = 12  # bytes of an identifier and a size
_MAX_BYTES = 1 << 26  # of an element that is read whole


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element lies in a file: where its identifier, and where its data begins and ends."""

    id: int
    head: int
    start: int
    stop: int


def top_elements(file: BinaryIO) -> Iterator[Place]:
    """Yield the segment of a Matroska file, then the elements at its top, up to its first cluster.

    An element that is not whole, or of unknown size, ends the list.
    """
    size = file.seek(0, io.SEEK_END)
    position = 0
    while position < size:
        place = _place_at(file, position, size)
        if place is None or place.id == CLUSTER:
            return
        yield place
        position = place.start if place.id == SEGMENT else place.stop


def read_elements(file: BinaryIO, wanted: Collection[int]) -> list[tuple[int, bytes]]:
    """Return the wanted elements at the top of a Matroska file: (identifier, data).

    Those after the first cluster are found by the file's index of elements.
    """
    size = file.seek(0, io.SEEK_END)
    origin = 0
    places: dict[int, Place] = {}
    for place in top_elements(file):
        places[place.head] = place
        if place.id == SEGMENT:
            origin = place.start
        elif place.id == SEEK_HEAD:
            for _, entry in children(_read(file, place)):
                fields = dict(children(entry))
                position = origin + uint(fields.get(SEEK_POSITION, b""))
                if uint(fields.get(SEEK_ID, b"")) in wanted and position not in places:
                    found = _place_at(file, position, size)
                    places |= {position: found} if found else {}
    ordered = [places[position] for position in sorted(places)]
    return [(place.id, _read(file, place)) for place in ordered if place.id in wanted]


def _place_at(file: BinaryIO, position: int, size: int) -> Place | None:
    """Return the element at a position of a file of `size` bytes; None if it is not whole."""
    file.seek(position)
    place = _read_head(file.read(_MAX_HEAD), position, size)
    is_whole = place is not None and (place.stop <= size or place.id == SEGMENT)
    return place if is_whole else None


def _read(file: BinaryIO, place: Place) -> bytes:
    file.seek(place.start)
    return file.read(min(place.stop - place.start, _MAX_BYTES))


def children(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements that an element's data hold, without padding and checksums.

    Damaged data end the list.
    """
    return [
        (place.id, data[place.start : place.stop])
        for place in places_in(data, 0, len(data))
        if place.id not in (VOID, CRC_32)
    ]


def places_in(data: bytes | bytearray, start: int, stop: int) -> Iterator[Place]:
    """Yield the elements from `start` to `stop` of some data; damaged data end the list."""
    while start < stop:
        place = _read_head(bytes(data[start : start + _MAX_HEAD]), start, stop)
        if place is None or place.stop > stop:
            return
        yield place
        start = place.stop


def encode(number: int, data: bytes, size_bytes: int = 0) -> bytes:
    """Return an element; `size_bytes` of the field of its size, 0 for the fewest."""
    size_bytes = size_bytes or max(1, -(-(len(data) + 1).bit_length() // 7))
    return _encode_id(number) + (len(data) | 1 << 7 * size_bytes).to_bytes(size_bytes, "big") + data


def encode_uint(number: int, value: int) -> bytes:
    """Return an element with an unsigned integer."""
    return encode(number, value.to_bytes(max(1, -(-value.bit_length() // 8)), "big"))


def encode_void(num_bytes: int) -> bytes:
    """Return an element of padding that takes a number of bytes, at least 2, in all."""
    size_bytes = 1 if num_bytes < 9 else 8
    return encode(VOID, bytes(num_bytes - 1 - size_bytes), size_bytes)


def uint(data: bytes) -> int:
    """Return the unsigned integer of an element's data."""
    return int.from_bytes(data, "big")


def text(data: bytes) -> str:
    """Return the text of an element's data, which zeros may follow."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _encode_id(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


def _read_head(data: bytes, position: int, end: int) -> Place | None:
    """Return the element whose head begins `data`; a segment of unknown size goes to the end."""
    if not data or not data[0]:
        return None
    id_size = 9 - data[0].bit_length()
    if len(data) <= id_size or not data[id_size]:
        return None
    size_bytes = 9 - data[id_size].bit_length()
    start = id_size + size_bytes
    number, peak = int.from_bytes(data[:id_size], "big"), (1 << 7 * size_bytes) - 1
    size = int.from_bytes(data[id_size:start], "big") & peak
    if size == peak:
        if number != SEGMENT:
            return None
        size = end - position - start
    return Place(number, position, position + start, position + start + size)
