"""The display times of all frames, read from packets without decoding."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from filmcolor.types.film import FilmInfo
from filmcolor.video.demux import open_film, read_packets


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The display times of a film's frames, read from its packets without decoding.

    Frame numbers come from here and not from counting decoded frames, so that a missing frame does
    not shift the others.

    pts: display times in FilmInfo.time_base units, sorted.
    keyframes: numbers of the keyframes.
    is_exact: True if each packet's time identifies a frame. False without timestamps, with a
        duplicate one, or when the clock goes back: parts of such films are decoded from the start.
    has_guessed_times: True if frames take the times of `pts` by their number, because their own are
        missing or not in display order. AVI stores no display times, and the demuxer's guesses for
        B-frames are out of order; the same holds for MXF whose index has no order. Elementary
        streams (`.h264`) have no times at all, and theirs follow from the frame rate.
    num_packets, num_declared: packets in the file, and the number that its header declares, 0 if
        it declares none.
    num_discarded: packets marked as not to be shown.
    """

    pts: list[int]
    keyframes: list[int]
    is_exact: bool
    has_guessed_times: bool
    num_packets: int
    num_declared: int
    num_discarded: int

    @classmethod
    def read(cls, info: FilmInfo) -> "FrameIndex":
        """Return the index of a film, from all its packets. Raises InputError if it won't open."""
        pts: list[int] = []
        keyframe_pts: list[int] = []
        has_guessed_times = info.container == "avi" or not info.has_times
        is_exact, is_reordered = True, False
        num_packets = num_discarded = 0
        last_dts: int | None = None
        with open_film(info.path) as container:
            stream: Any = container.streams[info.video_index]
            # other containers' numbers are estimates, or count packets that never existed
            num_declared = stream.frames if "mov" in container.format.name else 0
            for packet in read_packets(container, stream):
                num_packets += packet.size > 0
                num_discarded += packet.size > 0 and packet.is_discard
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.dts is not None:
                    is_exact &= last_dts is None or packet.dts >= last_dts
                    last_dts = packet.dts
                if packet.pts is None:
                    is_exact = False
                else:
                    is_reordered |= packet.pts != packet.dts
                    pts.append(packet.pts)
                    if packet.is_keyframe:
                        keyframe_pts.append(packet.pts)
            has_b_frames = stream.codec_context.has_b_frames
        has_guessed_times |= info.container == "mxf" and has_b_frames and not is_reordered
        if not info.has_times:
            step = info.ticks_per_frame
            pts = [round(number * step) for number in range(num_packets)]
        is_exact &= not has_guessed_times and len(set(pts)) == len(pts)
        pts.sort()
        return cls(
            pts=pts,
            keyframes=[bisect_left(pts, time) for time in sorted(keyframe_pts)],
            is_exact=is_exact,
            has_guessed_times=has_guessed_times,
            num_packets=num_packets,
            num_declared=num_declared,
            num_discarded=num_discarded,
        )

    def number_of(self, pts: int | None) -> int | None:
        """Return the number of the frame shown at `pts`, None if there is none."""
        if pts is None:
            return None
        number = bisect_left(self.pts, pts)
        exists = number < len(self.pts) and self.pts[number] == pts
        return number if exists else None

    @property
    def is_vfr(self) -> bool:
        """True for a variable frame rate: durations differ by more than a tick."""
        steps = {b - a for a, b in zip(self.pts, self.pts[1:])}
        return bool(steps) and max(steps) - min(steps) > 1


def needs_index_times(info: FilmInfo) -> bool:
    """Return whether frames may need the index's times (see `FrameIndex.has_guessed_times`)."""
    return info.container in ("avi", "mxf") or not info.has_times
