"""Writes H.264 and MPEG-2 whose pictures are fields, frames, or both: no encoder of FFmpeg does.

H.264 pictures are samples as they are (I_PCM), so tests know every decoded luma. MPEG-2 pictures
are flat.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 32, 64
RATE = 25
GOP = 6  # frames from keyframe to keyframe
CLOCK = Fraction(1, 2 * RATE)  # of containers: a field is a tick
TOP, BOTTOM = 0, 1


class BitWriter:
    """Writes bits, the most significant first."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, num: int, value: int) -> "BitWriter":
        self._bits += f"{value:0{num}b}"
        return self

    def code(self, bits: str) -> "BitWriter":
        self._bits += bits
        return self

    def golomb(self, *values: int) -> "BitWriter":
        """Write unsigned Exp-Golomb codes: ITU-T H.264, 9.1."""
        for value in values:
            bits = f"{value + 1:b}"
            self._bits += "0" * (len(bits) - 1) + bits
        return self

    def align(self) -> "BitWriter":
        self._bits += "0" * (-len(self._bits) % 8)
        return self

    def data(self) -> bytes:
        self.align()
        return int(self._bits or "0", 2).to_bytes(len(self._bits) // 8, "big")


# ---------------------------------------------------------------- H.264


def luma_of(number: int) -> np.ndarray:
    """Return the luma (HEIGHT, WIDTH) of a frame; its fields differ, and so do frames."""
    luma = np.full((HEIGHT, WIDTH), 30 + 3 * number % 180, np.uint8)
    luma[1::2] += 1
    luma[:4] = 60
    return luma


@dataclass(frozen=True)
class Picture:
    """One coded picture: a frame, or a field of it."""

    number: int  # of its frame, in display order
    data: bytes
    is_keyframe: bool


def h264_frames(
    num_frames: int,
    coding: str = "field",
    num_b_frames: int = 1,
    first_field: int = TOP,
    ticks_per_second: int | None = 2 * RATE,
) -> list[list[Picture]]:
    """Return the pictures of each frame, in coding order: one, or two fields.

    `coding`: "frame", "field", or "mixed" (PAFF). `ticks_per_second`: time_scale of the stream,
    None for a stream that states none.
    """
    frames = []
    frame_num = base = 0
    for number, is_reference in _coding_order(num_frames, num_b_frames):
        is_keyframe = number % GOP == 0
        if is_keyframe:
            frame_num, base = 0, number
        header = _access_unit_delimiter()
        if is_keyframe:
            header += _sps(ticks_per_second, bool(num_b_frames)) + _pps()
        luma, order = luma_of(number), 2 * (number - base)
        is_frame = coding == "frame" or (coding == "mixed" and number % 3 == 1)
        fields = [None] if is_frame else [first_field, 1 - first_field]
        pictures = []
        for position, field in enumerate(fields):
            is_idr = is_keyframe and position == 0
            rows = luma if field is None else luma[field::2]
            data = _picture(rows, frame_num, order + position, is_reference, is_idr, field)
            header = header if position == 0 else _access_unit_delimiter()
            pictures.append(Picture(number, header + data, is_idr))
        frames.append(pictures)
        frame_num = (frame_num + is_reference) % 16
    return frames


def _coding_order(num_frames: int, num_b_frames: int) -> Iterator[tuple[int, bool]]:
    """Yield (number in display order, whether others may refer to it)."""
    number = 0
    while number < num_frames:
        last = number
        if number % GOP:
            last = min(number + num_b_frames, num_frames - 1, (number // GOP + 1) * GOP - 1)
        yield last, True
        yield from ((earlier, False) for earlier in range(number, last))
        number = last + 1


def _nal_unit(reference: int, kind: int, bits: BitWriter) -> bytes:
    """Return a NAL unit after its start code: 7.3.1 and annex B."""
    data = bytearray([reference << 5 | kind])
    num_zeros = 0
    for byte in bits.code("1").data():
        if num_zeros >= 2 and byte <= 3:  # emulation prevention
            data.append(3)
            num_zeros = 0
        data.append(byte)
        num_zeros = num_zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes(data)


def _access_unit_delimiter() -> bytes:
    return _nal_unit(0, 9, BitWriter().put(3, 7))


def _sps(ticks_per_second: int | None, is_reordered: bool) -> bytes:
    """Main profile, fields allowed: 7.3.2.1.1, with the VUI of annex E."""
    bits = BitWriter().put(8, 77).put(8, 0).put(8, 30).golomb(0, 0, 0, 4, 2).put(1, 0)
    bits.golomb(WIDTH // 16 - 1, HEIGHT // 32 - 1)
    bits.put(1, 0).put(1, 0)  # frame_mbs_only_flag, mb_adaptive_frame_field_flag
    bits.put(1, 1).put(1, 0).put(1, 1)  # direct_8x8_inference, no cropping, VUI
    bits.put(4, 0)
    bits.put(1, int(ticks_per_second is not None))
    if ticks_per_second is not None:
        bits.put(32, 1).put(32, ticks_per_second).put(1, 0)
    bits.put(3, 0)
    bits.put(1, 1).put(1, 1).golomb(0, 0, 10, 10, int(is_reordered), 2)
    return _nal_unit(3, 7, bits)


def _pps() -> bytes:
    bits = BitWriter().golomb(0, 0).put(2, 0).golomb(0, 0, 0).put(3, 0).golomb(0, 0, 0)
    return _nal_unit(3, 8, bits.put(1, 1).put(2, 0))


def _picture(
    rows: np.ndarray,
    frame_num: int,
    order: int,
    is_reference: bool,
    is_idr: bool,
    field: int | None,
) -> bytes:
    """Return a slice of I_PCM macroblocks: 7.3.3 and 7.3.5."""
    bits = BitWriter().golomb(0, 7, 0).put(4, frame_num).put(1, int(field is not None))
    if field is not None:
        bits.put(1, field)
    if is_idr:
        bits.golomb(0)
    bits.put(8, order % 256)
    if is_reference:
        bits.put(2 if is_idr else 1, 0)
    bits.golomb(0, 1)  # quantiser, no deblocking
    height, width = rows.shape
    for y in range(0, height, 16):
        for x in range(0, width, 16):
            block = rows[y : y + 16, x : x + 16].tobytes() + bytes([128]) * 128
            bits.golomb(25).align().put(8 * len(block), int.from_bytes(block, "big"))
    return _nal_unit(2 * is_reference, 5 if is_idr else 1, bits)


# ---------------------------------------------------------------- MPEG-2

M2_WIDTH, M2_HEIGHT = 96, 64
_DC_SIZES = ("100", "00", "01", "101", "110", "1110", "11110", "111110", "1111110")  # table B.12


def level_of(number: int) -> int:
    """Return the luma of the top field of an MPEG-2 frame; the bottom field's is 2 more."""
    return 60 + 4 * number


def mpeg2_frames(num_frames: int) -> list[list[Picture]]:
    """Return the two fields of each frame: ISO/IEC 13818-2, 6.2."""
    frames = []
    for number in range(num_frames):
        header = _mpeg2_headers() if number % GOP == 0 else b""
        fields = [_mpeg2_field(level_of(number) + 2 * k, number % GOP, k + 1) for k in (0, 1)]
        frames.append(
            [Picture(number, header + fields[0], header != b""), Picture(number, fields[1], False)]
        )
    return frames


def _start_code(code: int, bits: BitWriter) -> bytes:
    return b"\0\0\1" + bytes([code]) + bits.data()


def _mpeg2_headers() -> bytes:
    sequence = BitWriter().put(12, M2_WIDTH).put(12, M2_HEIGHT).put(4, 1).put(4, 3)  # 25 frames/s
    sequence.put(18, 0x3FFFF).put(1, 1).put(10, 10).put(3, 0)
    extension = BitWriter().put(4, 1).put(8, 0x48).put(1, 0).put(2, 1).put(4, 0)
    extension.put(12, 0).put(1, 1).put(8, 0).put(8, 0)
    group = BitWriter().put(25, 1 << 12).put(2, 0b10)
    return _start_code(0xB3, sequence) + _start_code(0xB5, extension) + _start_code(0xB8, group)


def _mpeg2_field(level: int, reference: int, structure: int) -> bytes:
    """Return a flat intra field; `structure`: 1 for the top one, 2 for the bottom one."""
    header = BitWriter().put(10, reference).put(3, 1).put(16, 0xFFFF).put(1, 0)
    extension = BitWriter().put(4, 8).put(16, 0xFFFF).put(2, 0).put(2, structure).put(10, 0)
    data = _start_code(0, header) + _start_code(0xB5, extension)
    for row in range(M2_HEIGHT // 32):
        bits = BitWriter().put(5, 8).put(1, 0)
        difference = level - 128
        for _ in range(M2_WIDTH // 16):
            bits.code("11")  # the next macroblock, intra
            for _ in range(4):
                size = abs(difference).bit_length()
                bits.code(_DC_SIZES[size])
                if size:
                    bits.put(size, difference if difference > 0 else difference + (1 << size) - 1)
                bits.code("10")
                difference = 0
            bits.code("0010" * 2)
        data += _start_code(1 + row, bits)
    return data


# ---------------------------------------------------------------- files


def write_bare(path: Path, frames: Sequence[Sequence[Picture]]) -> Path:
    """Write an elementary stream."""
    path.write_bytes(b"".join(p.data for pictures in frames for p in pictures))
    return path


def write(
    path: Path,
    frames: Sequence[Sequence[Picture]],
    codec: str = "h264",
    *,
    is_split: bool = False,
    start: int = 10,
) -> Path:
    """Write a container with a packet per frame, or per picture if `is_split`.

    `start`: ticks of CLOCK at which frame 0 is shown. A second field with a packet of its own is
    shown a tick after the first.
    """
    size = (WIDTH, HEIGHT) if codec == "h264" else (M2_WIDTH, M2_HEIGHT)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_mux_stream(codec, width=size[0], height=size[1])
        stream.time_base = CLOCK
        for position, pictures in enumerate(frames):
            units = [p.data for p in pictures]
            for field, data in enumerate(units if is_split else [b"".join(units)]):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, CLOCK
                packet.pts = 2 * pictures[0].number + field + start
                packet.dts = 2 * position + field + start - (4 if codec == "h264" else 0)
                packet.duration = 2 if len(units) == 1 or not is_split else 1
                packet.is_keyframe = pictures[0].is_keyframe and field == 0
                output.mux(packet)
    return path
