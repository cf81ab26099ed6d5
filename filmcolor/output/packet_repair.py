"""Repairs the packets of copied streams from damaged films, so that every container takes them.

Containers reject decreasing timestamps, and MP4 repeated ones too. The longest non-decreasing
subsequence of a stream's timestamps is kept; every other packet follows its predecessor directly.
So one packet far ahead moves no other. Packets left out or moved are reported as damage. Encoding
and verification read a film through this module, so both expect the same packets.
"""

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext

from filmcolor.output.packet_sample import PacketSampler, clone_packet
from filmcolor.types.film import StreamInfo
from filmcolor.video.demux import open_film, read_packets

_NO_TIME = -(1 << 63)
_RETIMED = "had times that do not fit the others', set right after the one before"
_BROKEN = "were broken, left out"
_UNDECODABLE = "could not be decoded, left out"


class PacketRepair:
    """Repairs the packets of some streams one by one, in the film's order.

    Leaves out what would spoil the packets after it: AAC without its ADTS header, and PCM that ends
    within a sample.
    """

    def __init__(
        self, path: Path, streams: Sequence[StreamInfo], with_samples: bool = False
    ) -> None:
        """Read the timestamps of all packets of the streams.

        `with_samples`: also keep a sample of each stream's packets, for `sample`.
        """
        self._streams = {stream.index: stream for stream in streams}
        self._num_damaged: Counter[tuple[int, str]] = Counter()  # by stream and kind of damage
        self._num_packets: Counter[int] = Counter()  # repaired so far, by stream
        with open_film(path) as container:
            source_streams = [container.streams[index] for index in self._streams]
            self._sample_bytes = {s.index: _sample_bytes(s) for s in source_streams}
            self._adts_streams = {s.index for s in source_streams if _has_adts(container, s)}
            times = {index: array("q") for index in self._streams}
            durations = {index: array("q") for index in self._streams}
            self._samplers = {
                stream.index: PacketSampler(stream, self._sample_bytes[stream.index])
                for stream in (source_streams if with_samples else ())
            }
            for packet in read_packets(container, source_streams) if source_streams else ():
                if packet.size:
                    time = _NO_TIME if packet.dts is None else packet.dts
                    times[packet.stream_index].append(time)
                    durations[packet.stream_index].append(packet.duration or 0)
                    if with_samples:
                        self._samplers[packet.stream_index].add(packet)
            # while the container is open: some repairs read the stream's header
            self._samples = {
                index: [(n, self._without_broken_bytes(p)) for n, p in sampler.sample()]
                for index, sampler in self._samplers.items()
            }
        self._new_times = {
            index: find_new_times(times[index], durations[index]) for index in self._streams
        }

    def restarted(self) -> "PacketRepair":
        """Return a copy for another pass from the film's beginning, with no damage counted."""
        other = copy(self)
        other._num_damaged, other._num_packets = Counter(), Counter()
        return other

    def sample(self, index: int) -> list[av.Packet]:
        """Return a sample of a stream's packets, repaired; they are the caller's own."""
        packets = []
        for number, original in self._samples[index]:
            if original is not None:
                packet = clone_packet(original)
                _retime(packet, self._new_times[index].get(number))
                packets.append(packet)
        return packets

    def num_packets(self, index: int) -> int:
        """Return the number of packets of a stream of which samples were kept."""
        return self._samplers[index].num_packets

    def changes_sound(self, index: int) -> bool:
        """Return whether the parameters of a sampled stream's sound change within it."""
        return self._samplers[index].changes_sound

    def overlaps(self, index: int) -> bool:
        """Return whether some packet of a sampled stream begins before an earlier one ends."""
        return self._samplers[index].overlaps

    @property
    def changes_times(self) -> bool:
        """True when timestamps change: packets must then be read from the film's beginning."""
        return any(self._new_times.values())

    @property
    def damage(self) -> tuple[str, ...]:
        """One line for each stream and kind of damage, so far."""
        return tuple(
            f"{self._streams[index].name}: {num} packet{'s' if num > 1 else ''} {message}"
            for (index, message), num in sorted(self._num_damaged.items())
        )

    def repair(self, packet: av.Packet) -> av.Packet | None:
        """Return the stream's next packet as it can be copied; None to leave it out."""
        index = packet.stream_index
        number = self._num_packets[index]
        self._num_packets[index] += 1
        repaired = self._without_broken_bytes(packet)
        if repaired is not packet:
            self._num_damaged[index, _BROKEN] += 1
        time = self._new_times[index].get(number)
        if repaired is not None and time is not None:
            self._num_damaged[index, _RETIMED] += 1
            _retime(repaired, time)
        return repaired

    def add_undecodable(self, index: int, num_packets: int) -> None:
        """Count packets of a stream that could not be decoded as damage."""
        if num_packets:
            self._num_damaged[index, _UNDECODABLE] += num_packets

    def _without_broken_bytes(self, packet: av.Packet) -> av.Packet | None:
        index = packet.stream_index
        num_excess = packet.size % self._sample_bytes[index]
        is_broken_adts = index in self._adts_streams and not _is_adts_frame(packet)
        if num_excess == packet.size or is_broken_adts:
            return None
        if not num_excess:
            return packet
        repaired = clone_packet(packet, bytes(packet)[:-num_excess])
        repaired.stream = packet.stream
        return repaired


def find_new_times(times: Sequence[int], durations: Sequence[int]) -> dict[int, int]:
    """Return new times, by position, for those that break the non-decreasing order.

    The longest non-decreasing subsequence keeps its times.
    """
    known = [n for n, time in enumerate(times) if time != _NO_TIME]
    if all(times[a] <= times[b] for a, b in pairwise(known)):
        return {}
    kept = _longest_non_decreasing(times, known)
    first_kept, last_kept = min(kept), max(kept)
    limits: dict[int, int] = {}  # the next time that is kept
    following = times[last_kept]
    for n in reversed(known):
        following = times[n] if n in kept else following
        limits[n] = following
    new: dict[int, int] = {}
    end = times[first_kept]
    for n in known:
        time = times[n]
        if n not in kept:
            new[n] = time = min(end, limits[n]) if n < last_kept else end
        end = time + durations[n]
    return new


def _longest_non_decreasing(times: Sequence[int], positions: Iterable[int]) -> set[int]:
    """Return the positions of the longest non-decreasing subsequence of times."""
    # of the subsequences of each length, the one with the earliest last time
    last_times: list[int] = []
    last_positions: list[int] = []
    predecessors: dict[int, int | None] = {}
    for n in positions:
        length = bisect_right(last_times, times[n])
        predecessors[n] = last_positions[length - 1] if length else None
        last_times[length : length + 1] = [times[n]]
        last_positions[length : length + 1] = [n]
    subsequence: set[int] = set()
    position: int | None = last_positions[-1]
    while position is not None:
        subsequence.add(position)
        position = predecessors[position]
    return subsequence


def _sample_bytes(stream: Any) -> int:
    """Return the number of bytes that a packet's size is a multiple of."""
    if stream.type != "audio" or not stream.codec_context:
        return 1
    match = re.fullmatch(r"pcm_[suf](\d+)(le|be)?", stream.codec_context.name)
    return max(1, int(match[1]) // 8 * stream.codec_context.channels) if match else 1


def _has_adts(container: Any, stream: Any) -> bool:
    """Return True when every AAC packet has an ADTS header, which other containers remove."""
    return container.format.name == "mpegts" and getattr(stream, "name", "") == "aac"


def _is_adts_frame(packet: av.Packet) -> bool:
    """Return True when a muxer can remove the packet's ADTS header."""
    try:
        bitstream_filter = BitStreamFilterContext("aac_adtstoasc", packet.stream)
        return bool(bitstream_filter.filter(clone_packet(packet)))
    except (av.error.FFmpegError, ValueError):
        return False


def _retime(packet: av.Packet, time: int | None) -> None:
    """Move a packet to a DTS, in place; None leaves it where it is."""
    if time is not None:
        shift = time - (packet.dts or 0)
        packet.dts = time
        packet.pts = None if packet.pts is None else packet.pts + shift
