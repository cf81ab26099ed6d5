"""Samples of a stream's packets: what a container is tried with before the first frame.

A muxer takes a stream's first packet and fails at another: at the last subtitle, which has no
duration, at the one after the longest gap, or where the times of PCM and its number of samples
drift apart, because MP4 and MOV keep only the number. Another rate or number of channels within a
stream's sound plays at a wrong pitch in some. So a sample has these packets too.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from filmcolor.output.audio_parameters import ParameterWatch

_NUM_FIRST = 100  # packets: two seconds of sound
_NUM_LAST = 20
_NUM_AROUND = 5  # before and after the longest gap
_MAX_CHANGED = 40  # packets, at changes of a sound's parameters
_NUM_AFTER_CHANGE = 2
_MAX_BYTES = 1 << 22  # of the first packets; a few large ones suffice
_MIN_GAP = Fraction(1, 1000)  # seconds; less passes the comparison
_PGS_START, _PGS_END = b"\x16", b"\x80\0\0"  # composition segment, end segment

Numbered = tuple[int, av.Packet]  # a packet and its position in the stream


class PacketSampler:
    """Collects a stream's sample in one pass over its packets; memory is bounded."""

    def __init__(self, stream: Any, sample_bytes: int) -> None:
        """`sample_bytes`: bytes of one sample of all channels of PCM, 1 for other streams."""
        self.num_packets = 0
        self.overlaps = False
        self._watch = ParameterWatch(stream)
        self._changed: list[Numbered] = []
        self._change_position: int | None = None  # of the latest change
        self._is_pgs = getattr(stream, "name", "") in ("pgssub", "hdmv_pgs_subtitle")
        self._bytes_per_second = _pcm_bytes_per_second(stream, sample_bytes)
        self._first: list[Numbered] = []
        self._first_bytes = 0
        self._first_end = Fraction(0)
        self._last: deque[Numbered] = deque(maxlen=_NUM_LAST)
        self._around: list[Numbered] = []
        self._gap_position = 0  # of the packet after the longest gap
        self._max_gap = _MIN_GAP
        self._end: Fraction | None = None  # where the packets so far end, seconds

    def add(self, packet: av.Packet) -> None:
        """Add the stream's next packet; the caller does not change it later."""
        item = (self.num_packets, packet)
        self.num_packets += 1
        self._measure_gap(item)
        self._watch_parameters(item)
        if self._gap_position <= item[0] < self._gap_position + _NUM_AROUND:
            self._around.append(item)
        if len(self._first) == item[0] < _NUM_FIRST and self._first_bytes < _MAX_BYTES:
            self._first.append(item)
            self._first_bytes += packet.size
            self._first_end = self._end or Fraction(0)
        self._last.append(item)

    @property
    def changes_sound(self) -> bool:
        """True if the rate or the channels of the stream's sound change."""
        return self._change_position is not None

    def sample(self) -> list[Numbered]:
        """Return the first packets, and then those around the longest gap, with other parameters,
        and at the end, in order.
        """
        start = len(self._first)
        if self._bytes_per_second:
            return [*self._first, *self._joined_pcm()]
        rest = {**dict(self._around), **dict(self._changed), **dict(self._last)}
        packets = [*self._first, *sorted((n, p) for n, p in rest.items() if n >= start)]
        return _whole_subtitles(packets) if self._is_pgs else packets

    def _joined_pcm(self) -> Iterator[Numbered]:
        """Yield PCM with other parameters, and from the longest drift on, after the first packets.

        As PCM has no gaps, what lies between is left out by moving packets. The drift stays, but
        one backwards becomes one forwards, which overlaps nothing.
        """
        start, end = len(self._first), self._first_end
        for number, packet in self._changed:
            if number >= start:
                yield number, _moved(packet, end)
                end += Fraction(packet.size, self._bytes_per_second)
        end += self._max_gap
        for number, packet in self._around:
            if number >= max(self._gap_position, start):
                yield number, _moved(packet, end)
                end += Fraction(packet.size, self._bytes_per_second)

    def _watch_parameters(self, item: Numbered) -> None:
        """Keep the packet if the sound's parameters change at it, or did so right before."""
        number, packet = item
        if self._watch.is_change(packet):
            self._change_position = number
        position = self._change_position
        is_near = position is not None and number < position + _NUM_AFTER_CHANGE
        if is_near and len(self._changed) < _MAX_CHANGED:
            self._changed.append(item)

    def _measure_gap(self, item: Numbered) -> None:
        """Start a window around the packet if its gap is the longest; of PCM, its drift."""
        number, packet = item
        time = packet.pts if packet.dts is None else packet.dts
        if time is None:
            return
        base = Fraction(packet.time_base)
        start = time * base
        expected = start if self._end is None else self._end
        self.overlaps |= start < expected
        gap = abs(start - expected) if self._bytes_per_second else start - expected
        if gap > self._max_gap:
            self._max_gap, self._gap_position = gap, number
            self._around = list(self._last)[-_NUM_AROUND:]
        if self._bytes_per_second:
            self._end = expected + Fraction(packet.size, self._bytes_per_second)
        else:
            self._end = start + (packet.duration or 0) * base


def _moved(packet: av.Packet, start: Fraction) -> av.Packet:
    """Return a copy of a packet that begins at `start` seconds."""
    copy = clone_packet(packet)
    copy.stream = packet.stream
    copy.pts = copy.dts = round(start / Fraction(packet.time_base))
    return copy


def clone_packet(packet: av.Packet, data: bytes | None = None) -> av.Packet:
    """Return a copy of a packet with its side data, of no stream.

    `data` takes the place of its bytes.
    """
    copy = av.Packet(bytes(packet) if data is None else data)
    copy.time_base = packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    for side_data in packet.iter_sidedata():
        copy.set_sidedata(side_data)
    return copy


def _pcm_bytes_per_second(stream: Any, sample_bytes: int) -> int:
    """Return a PCM stream's data rate, 0 for other streams."""
    is_pcm = stream.type == "audio" and getattr(stream, "name", "").startswith("pcm_")
    return sample_bytes * stream.codec_context.sample_rate if is_pcm else 0


def _whole_subtitles(packets: list[Numbered]) -> list[Numbered]:
    """Return packets of PGS without those of subtitles that are not whole in the list.

    MPEG-TS has a packet for each segment of a subtitle, other containers one for all.
    """
    whole: list[Numbered] = []
    current: list[Numbered] = []
    for number, packet in packets:
        data = bytes(packet)
        if data.startswith(_PGS_START):
            current = []
        elif not current or current[-1][0] != number - 1:
            continue
        current.append((number, packet))
        if data.endswith(_PGS_END):
            whole += current
            current = []
    return whole
