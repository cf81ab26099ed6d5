"""Puts closed captions into the pictures of films, as broadcasters and DVDs do."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import media

Pair = tuple[int, int]  # two characters of CEA-608, without parity
START_CODE = b"\0\0\1"
PAUSE = [(0, 0)] * 4


def pop_on(text: str, row: int = 0x14) -> list[Pair]:
    """Return the pairs that load a text into memory and show it, one for each frame.

    `row`: the first byte of the code of its row; 0x14 is row 15.
    """
    letters = [ord(letter) for letter in text] + [0] * (len(text) % 2)
    load, place, show = (0x14, 0x20), (row, 0x70), (0x14, 0x2F)
    return [load, place, *zip(letters[::2], letters[1::2]), show]


ERASE = (0x14, 0x2C)


def with_parity(pair: Pair) -> bytes:
    """Return two bytes with odd parity."""
    return bytes(b | (0 if (b & 0x7F).bit_count() % 2 else 0x80) for b in pair)


def cc_data(pair: Pair) -> bytes:
    """Return the two triplets of a frame: a pair of the first field, padding of the second."""
    return b"\xfc" + with_parity(pair) + b"\xfd\x80\x80"


def add_captions(path: Path, film: media.Film, pairs: Sequence[Pair], first: int = 0) -> Path:
    """Write a film whose frames have captions, in display order: H.264, H.265 or MPEG-2.

    Frames before `first` have none.
    """
    plain = media.make(path.with_name(f"plain{path.suffix}"), film)
    insert = _INSERTS[film.codec]
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        times = sorted(packet.pts for packet in packets)
        for packet in packets:
            number = times.index(packet.pts)
            pair = pairs[number] if number < len(pairs) else (0, 0)
            data = bytes(packet)
            copy = av.Packet(insert(data, cc_data(pair)) if number >= first else data)
            copy.stream, copy.time_base = stream, packet.time_base
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            copy.is_keyframe = packet.is_keyframe
            output.mux(copy)
    plain.unlink()
    return path


def registered_sei(header: bytes, payload: bytes) -> bytes:
    """Return a NAL unit of "user data registered by ITU-T T.35" (ITU-T H.264, D.1.6)."""
    return _escape(header + bytes([4, len(payload)]) + payload + b"\x80")


def insert_nal(data: bytes, unit: bytes, is_slice: Callable[[int], bool]) -> bytes:
    """Return a packet of MP4 with a NAL unit before its first slice."""
    position = 0
    while not is_slice(data[position + 4]):
        position += 4 + int.from_bytes(data[position : position + 4], "big")
    return data[:position] + len(unit).to_bytes(4, "big") + unit + data[position:]


def _a53(triplets: bytes) -> bytes:
    """Return cc_data with its identifier (ATSC A/53, part 4, 6.2.3)."""
    return b"GA94\x03" + bytes([0x40 | len(triplets) // 3, 0xFF]) + triplets + b"\xff"


def _insert_h264(data: bytes, triplets: bytes) -> bytes:
    unit = registered_sei(b"\x06", b"\xb5\0\x31" + _a53(triplets))
    return insert_nal(data, unit, lambda head: head & 31 in (1, 5))


def _insert_h265(data: bytes, triplets: bytes) -> bytes:
    unit = registered_sei(b"\x4e\x01", b"\xb5\0\x31" + _a53(triplets))
    return insert_nal(data, unit, lambda head: head >> 1 & 63 < 32)


def _insert_mpeg2(data: bytes, triplets: bytes) -> bytes:
    return insert_user_data(data, _a53(triplets))


def insert_user_data(data: bytes, content: bytes) -> bytes:
    """Return a packet of MPEG-2 with user data before its first slice (ISO/IEC 13818-2, 6.2.2)."""
    position = data.index(START_CODE + b"\x01", data.index(START_CODE + b"\0"))
    return data[:position] + START_CODE + b"\xb2" + content + data[position:]


def _escape(unit: bytes) -> bytes:
    """Return a NAL unit with emulation prevention (ITU-T H.264, 7.4.1)."""
    escaped = bytearray()
    for byte in unit:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    return bytes(escaped)


_INSERTS = {"libx264": _insert_h264, "libx265": _insert_h265, "mpeg2video": _insert_mpeg2}
