"""Keeps the chapters of a Matroska film as they are: levels, editions, titles by language, flags.

FFmpeg's muxer writes a flat list of one title each. Instead, the film's own element of chapters is
cut to the part, appended to the finished file and entered in its index (SeekHead). Players find
elements by the index, wherever they lie (RFC 9559, 6.3).
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import BinaryIO

from filmcolor.types.film import Part
from filmcolor.video.ebml import (
    CHAPTERS,
    SEEK_HEAD,
    SEEK_ID,
    SEEK_POSITION,
    SEGMENT,
    VOID,
    Place,
    children,
    encode,
    encode_uint,
    encode_void,
    top_elements,
    uint,
)
from filmcolor.video.matroska import ATOM, EDITION

_START, _END = 0x91, 0x92  # nanoseconds
_SEEK = 0x4DBB
_NANOSECOND = Fraction(1, 1_000_000_000)
_SIZE_BYTES = 8  # of the segment's size, as FFmpeg writes it


def cut_matroska_chapters(data: bytes, part: Part) -> bytes:
    """Return the data of an element of chapters, cut to a part and on its clock.

    Like `muxing.cut_chapters`, at every level; editions without a chapter in the part are left out.
    """
    editions = []
    for number, edition in children(data):
        fields = _cut_atoms(edition, part) if number == EDITION else []
        if any(key == ATOM for key, _ in fields):
            editions.append(encode(EDITION, _join(fields)))
    return b"".join(editions)


def _cut_atoms(data: bytes, part: Part, end: Fraction | None = None) -> list[tuple[int, bytes]]:
    """Return the elements of an edition or a chapter, the chapters in them cut to a part.

    `end`: when the chapter around them ends, in seconds; None if that is not known.
    """
    fields = children(data)
    starts = sorted(_times(value)[0] for key, value in fields if key == ATOM)
    kept = []
    for key, value in fields:
        if key != ATOM:
            kept.append((key, value))
            continue
        start, stop = _times(value)
        if stop is None:  # the next chapter's start
            stop = min((s for s in starts if s > start), default=end)
        atom = _cut_atom(value, start, stop, part)
        if atom is not None:
            kept.append((ATOM, atom))
    return kept


def _cut_atom(data: bytes, start: Fraction, stop: Fraction | None, part: Part) -> bytes | None:
    """Return a chapter clipped to a part; None if it does not reach into it."""
    new_start = start if part.start is None else max(start, part.start)
    limits = [time for time in (stop, part.end) if time is not None]
    new_stop = min(limits, default=None)
    is_instant = stop is not None and stop <= start
    if not (part.contains(start) if is_instant else new_stop is None or new_start < new_stop):
        return None
    times = {_START: new_start, _END: new_stop}
    return _join(
        (key, _ticks(time - part.offset) if (time := times.get(key)) is not None else value)
        for key, value in _cut_atoms(data, part, stop)
    )


def _times(atom: bytes) -> tuple[Fraction, Fraction | None]:
    """Return when a chapter begins and ends, in seconds; its end is None if it states none."""
    fields = dict(children(atom))
    end = fields.get(_END)
    start = uint(fields.get(_START, b"")) * _NANOSECOND
    return start, None if end is None else uint(end) * _NANOSECOND


def _ticks(seconds: Fraction) -> bytes:
    ticks = max(0, round(seconds / _NANOSECOND))
    return ticks.to_bytes(max(1, -(-ticks.bit_length() // 8)), "big")


def _join(fields: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(encode(key, value) for key, value in fields)


def add_chapters(file: BinaryIO, chapters: bytes) -> bool:
    """Add chapters to a finished Matroska file without any; return False if its index has no room.

    `chapters`: the data of the element.
    """
    places = list(top_elements(file))
    segment = next((place for place in places if place.id == SEGMENT), None)
    index = next((n for n, place in enumerate(places) if place.id == SEEK_HEAD), None)
    if segment is None or index is None or segment.start - segment.head != 4 + _SIZE_BYTES:
        return False
    end = segment.stop
    head = _new_seek_head(file, places, index, end - segment.start)
    if head is None:
        return False
    _write(file, places[index].head, head)
    _write(file, end, encode(CHAPTERS, chapters, _SIZE_BYTES))
    size = file.tell() - segment.start
    _write(file, segment.head + 4, (size | 1 << 7 * _SIZE_BYTES).to_bytes(_SIZE_BYTES, "big"))
    return True


def _new_seek_head(
    file: BinaryIO, places: Sequence[Place], index: int, position: int
) -> bytes | None:
    """Return a segment's index with the position of new chapters, as long as it and its padding.

    None if it does not fit.
    """
    place = places[index]
    has_padding = index + 1 < len(places) and places[index + 1].id == VOID
    stop = places[index + 1].stop if has_padding else place.stop
    file.seek(place.start)
    entries = [encode(*entry) for entry in children(file.read(place.stop - place.start))]
    new = encode(_SEEK, encode_uint(SEEK_ID, CHAPTERS) + encode_uint(SEEK_POSITION, position))
    head = encode(SEEK_HEAD, b"".join([*entries, new]))
    num_left = stop - place.head - len(head)
    if num_left < 0 or num_left == 1:  # padding takes two bytes
        return None
    return head + (encode_void(num_left) if num_left else b"")


def _write(file: BinaryIO, position: int, data: bytes) -> None:
    file.seek(position)
    file.write(data)
