"""Packets of copied streams from a damaged film, made such as every container takes them."""

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext

from filmcolor.frames import StreamInfo
from filmcolor.probing import open_film, packets_of

_NO_TIME = -(1 << 63)
_RETIMED, _BROKEN = (
    "had times that do not fit the others', set right after the one before",
    "were broken, left out",
)


class Mending:
    """Mends the packets of streams one by one, in the film's order; `damage` says what it did.

    A time that goes back is no container's. The most packets that are in order are believed,
    each of the others comes right after the one before it. A packet of AAC without its header,
    and half a sample of PCM, would spoil what comes after them: they are left out.
    """

    def __init__(self, path: Path, streams: Sequence[StreamInfo]) -> None:
        self._streams = {stream.index: stream for stream in streams}
        self._found: Counter[tuple[int, str]] = Counter()
        self._places: Counter[int] = Counter()
        with open_film(path) as container:
            wanted = [container.streams[index] for index in self._streams]
            self._blocks = {s.index: _bytes_of_sample(s) for s in wanted}
            self._is_adts = {s.index for s in wanted if _has_adts(container, s)}
            times = {index: array("q") for index in self._streams}
            ends = {index: array("q") for index in self._streams}
            for packet in packets_of(container, wanted) if wanted else ():
                if packet.size:
                    time = _NO_TIME if packet.dts is None else packet.dts
                    times[packet.stream_index].append(time)
                    ends[packet.stream_index].append(packet.duration or 0)
        self._times = {index: in_order(times[index], ends[index]) for index in self._streams}

    def again(self) -> "Mending":
        """Return the same for another pass from the film's beginning; all is found anew."""
        other = copy(self)
        other._found, other._places = Counter(), Counter()
        return other

    @property
    def is_needed(self) -> bool:
        """True when times change, by the packet's place in the whole film."""
        return any(self._times.values())

    @property
    def damage(self) -> tuple[str, ...]:
        """A line for each stream and kind of damage."""
        return tuple(
            f"{self._streams[index].name}: {num} packet{'s' if num > 1 else ''} {told}"
            for (index, told), num in sorted(self._found.items())
        )

    def mended(self, packet: av.Packet) -> av.Packet | None:
        """Return the packet as it can be copied; None where it cannot."""
        index = packet.stream_index
        place = self._places[index]
        self._places[index] += 1
        whole = self._whole(packet)
        if whole is None:
            self._found[index, _BROKEN] += 1
            return None
        time = self._times[index].get(place)
        if time is not None:
            self._found[index, _RETIMED] += 1
            shift = time - (whole.dts or 0)
            whole.dts = time
            whole.pts = None if whole.pts is None else whole.pts + shift
        return whole

    def _whole(self, packet: av.Packet) -> av.Packet | None:
        index = packet.stream_index
        left = packet.size % self._blocks[index]
        if left == packet.size or (index in self._is_adts and not _is_adts_frame(packet)):
            return None
        if not left:
            return packet
        self._found[index, _BROKEN] += 1
        return _like(packet, bytes(packet)[:-left])


def in_order(times: Sequence[int], durations: Sequence[int]) -> dict[int, int]:
    """Return new times, by place, for those that do not fit the others; none goes back then.

    The longest part of them that never goes back is believed.
    """
    known = [place for place, time in enumerate(times) if time != _NO_TIME]
    if all(times[a] <= times[b] for a, b in pairwise(known)):
        return {}
    ends: list[int] = []  # of the believed parts of each length, the earliest last time
    lasts: list[int] = []  # and its place
    before: dict[int, int | None] = {}
    for place in known:
        length = bisect_right(ends, times[place])
        before[place] = lasts[length - 1] if length else None
        ends[length : length + 1] = [times[place]]
        lasts[length : length + 1] = [place]
    believed: set[int] = set()
    step: int | None = lasts[-1]
    while step is not None:
        believed.add(step)
        step = before[step]
    new: dict[int, int] = {}
    limit: dict[int, int] = {}  # the next time that is believed
    following = max(times[place] for place in believed)
    for place in reversed(known):
        following = times[place] if place in believed else following
        limit[place] = following
    end = times[min(believed)]
    for place in known:
        time = times[place]
        if place not in believed:
            new[place] = time = min(end, limit[place]) if place < max(believed) else end
        end = time + durations[place]
    return new


def _bytes_of_sample(stream: Any) -> int:
    """Return what a packet's size must be a multiple of."""
    if stream.type != "audio" or not stream.codec_context:
        return 1
    name = stream.codec_context.name
    bits = re.fullmatch(r"pcm_[suf](\d+)(le|be)?", name)
    return max(1, int(bits[1]) // 8 * stream.codec_context.channels) if bits else 1


def _has_adts(container: Any, stream: Any) -> bool:
    """Tell whether each packet of AAC has a header, which other containers take off."""
    return container.format.name == "mpegts" and getattr(stream, "name", "") == "aac"


def _is_adts_frame(packet: av.Packet) -> bool:
    """Have the header taken off, as a muxer will."""
    try:
        return bool(BitStreamFilterContext("aac_adtstoasc", packet.stream).filter(_like(packet)))
    except (av.error.FFmpegError, ValueError):
        return False


def _like(packet: av.Packet, data: bytes | None = None) -> av.Packet:
    made = av.Packet(bytes(packet) if data is None else data)
    made.stream, made.time_base = packet.stream, packet.time_base
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.is_keyframe = packet.is_keyframe
    return made
