"""Finds encryption in films, which decoders take for damage, or show as rubbish.

FFmpeg reads most encrypted files without a word, so the marks are read from the files themselves.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from filmcolor.errors import InputError
from filmcolor.video.ebml import CLUSTER, children, top_elements
from filmcolor.video.partial_films import open_bytes

_SAMPLE_BYTES = 1 << 20  # read at each of the places of a stream that is sampled
_MIN_SHARE = 0.05  # of marked packets of a stream: fewer are damage
_MAX_HEADER = 1 << 26  # bytes of a film's index; larger ones are not searched
# sample entries of encrypted tracks (ISO/IEC 14496-12, 8.12; FairPlay) and the scheme's name
_MP4_TRACK = re.compile(rb"(enc[vats]|drm[is])(?=.{0,4096}?sinf)", re.DOTALL)
_MP4_SCHEME = re.compile(rb"schm.{4}([\x20-\x7e]{4})", re.DOTALL)
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# elements of Matroska (RFC 9559)
_TRACKS, _TRACK = 0x1654AE6B, 0xAE
_ENCODINGS, _ENCODING, _ENCRYPTION = 0x6D80, 0x6240, 0x5035
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_ENCRYPTION = (  # content encryption objects, ASF specification 3.14 and 3.15
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
_MXF_START = bytes.fromhex("060e2b34")
_MXF_ENCRYPTED = re.compile(
    rb"\x06\x0e\x2b\x34\x02\x04\x01.\x0d\x01\x03\x01\x02\x7e\x01", re.DOTALL
)
_PACK, _SECTOR = b"\0\0\1\xba", 2048
_AACS_UNIT, _M2TS_PACKET = 6144, 192


def check_is_clear(path: Path, ids: Collection[int] | None = None) -> None:
    """Raise InputError, naming the kind of encryption, for an encrypted film.

    `ids`: PIDs of the streams to check in a transport stream, all by default.
    """
    try:
        with open_bytes(path) as file:
            kind = _find_encryption(file, ids)
    except OSError:
        return  # opening the film reports that
    if kind:
        raise InputError(f"{path} is encrypted ({kind}); decrypt it first, filmcolor has no keys")


def _find_encryption(file: BinaryIO, ids: Collection[int] | None) -> str:
    """Return the name of a file's encryption, "" without any."""
    head = file.read(1 << 16)
    if head[4:8] in _MP4_BOXES:
        return _find_in_mp4(file)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _find_in_matroska(file)
    if head.startswith(_ASF_HEADER):
        return "Windows Media DRM" if any(guid in head for guid in _ASF_ENCRYPTION) else ""
    if head.startswith(_MXF_START):
        is_encrypted = any(_MXF_ENCRYPTED.search(data) for data in _samples(file))
        return "MXF encryption, SMPTE ST 429-6" if is_encrypted else ""
    if head.startswith(_PACK):
        return "CSS of DVDs" if _is_scrambled(list(_pes_marks(_samples(file)))) else ""
    if _is_aacs(head):
        return "AACS of Blu-ray discs"
    if size := _ts_packet_size(head):
        marks = _ts_marks(_samples(file), size)
        scrambled = [n for n in marks if _is_scrambled(marks[n]) and (ids is None or n in ids)]
        numbers = ", ".join(f"{number:#x}" for number in scrambled)
        return f"scrambled MPEG-TS, PID {numbers}" if scrambled else ""
    return ""


def _samples(file: BinaryIO) -> Iterator[bytes]:
    """Yield the beginning of a file, its middle and a part near its end, at sectors of DVDs."""
    length = file.seek(0, 2)
    places = [0]
    if length > 4 * _SAMPLE_BYTES:
        places += [length // 2, length - 2 * _SAMPLE_BYTES]
    for place in places:
        file.seek(place - place % _SECTOR)
        yield file.read(_SAMPLE_BYTES)


def _is_scrambled(marks: list[bool]) -> bool:
    """Return whether enough packets are marked as scrambled."""
    return sum(marks) > max(1, _MIN_SHARE * len(marks))


def _find_in_mp4(file: BinaryIO) -> str:
    position, length = 0, file.seek(0, 2)
    while position + 8 <= length:
        file.seek(position)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if header[4:8] == b"moov":
            file.seek(position)
            index = file.read(min(size or length, _MAX_HEADER))
            if not (track := _MP4_TRACK.search(index)):
                return ""
            scheme = _MP4_SCHEME.search(index, track.start())
            name = scheme[1].decode("ascii") if scheme else track[0].decode("ascii")
            return "FairPlay" if track[0].startswith(b"drm") else f"Common Encryption, {name}"
        if size < 8:
            break
        position += size
    return ""


def _find_in_matroska(file: BinaryIO) -> str:
    for place in top_elements(file):
        if place.id == _TRACKS:
            file.seek(place.start)
            values = children(file.read(min(place.stop - place.start, _MAX_HEADER)))
            for level in (_TRACK, _ENCODINGS, _ENCODING):
                values = [
                    item for name, value in values if name == level for item in children(value)
                ]
            is_encrypted = any(name == _ENCRYPTION for name, _ in values)
            return "Matroska's encryption of tracks" if is_encrypted else ""
        if place.id == CLUSTER:
            break
    return ""


def _pes_marks(samples: Iterator[bytes]) -> Iterator[bool]:
    """Yield for each sector of a DVD whether its packet is scrambled (ISO/IEC 13818-1, 2.4.3.7)."""
    for data in samples:
        for at in range(0, len(data) - _SECTOR + 1, _SECTOR):
            pes = at + 14 + (data[at + 13] & 7)  # after the pack header
            is_pack = data[at : at + 4] == _PACK and data[pes : pes + 3] == b"\0\0\1"
            if is_pack and (data[pes + 3] == 0xBD or 0xC0 <= data[pes + 3] <= 0xEF):
                flags = data[pes + 6]
                yield flags >> 6 == 2 and flags & 0x30 != 0


def _ts_packet_size(head: bytes) -> int | None:
    """Return the size of a transport stream's packets, None for another file."""
    for size, first in ((188, 0), (192, 4), (204, 0)):
        marks = head[first : first + 10 * size : size]
        if len(marks) == 10 and set(marks) == {0x47}:
            return size
    return None


def _ts_marks(samples: Iterator[bytes], size: int) -> dict[int, list[bool]]:
    """Return by PID whether each packet with content is scrambled (ISO/IEC 13818-1, 2.4.3.2)."""
    marks: dict[int, list[bool]] = {}
    for data in samples:
        start = next(
            (n for n in range(size) if set(data[n : n + 10 * size : size]) == {0x47}), len(data)
        )
        for at in range(start, len(data) - 3, size):
            if data[at] == 0x47 and data[at + 3] & 0x10:
                number = int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF
                marks.setdefault(number, []).append(data[at + 3] & 0x80 != 0)
    return marks


def _is_aacs(head: bytes) -> bool:
    """Return whether only the first packet of each unit of 32 is readable, as AACS leaves it."""
    units = [head[n : n + _AACS_UNIT] for n in range(0, 8 * _AACS_UNIT, _AACS_UNIT)]
    if len(units[-1]) < _AACS_UNIT or any(unit[4] != 0x47 for unit in units):
        return False
    inner = [unit[n + 4] for unit in units for n in range(_M2TS_PACKET, _AACS_UNIT, _M2TS_PACKET)]
    is_marked = all(unit[0] & 0xC0 for unit in units)  # copy permission indicator
    return is_marked and inner.count(0x47) < len(inner) // 8
