"""The display times of all frames, read from packets without decoding."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import av

from filmcolor.types.film import FilmInfo
from filmcolor.video.bitstreams import make_frame_counter
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.image_sequence import ImageSequence

_NUM_TRIED = 100  # frames that are decoded to see whether times are in display order
_BEFORE_ALL = -(1 << 63)  # no time is less
# of broadcasts and discs: recordings begin anywhere, and only the first picture in each PES packet
# has a time (ISO/IEC 13818-1, 2.4.3.7)
PES_FORMATS = ("mpegts", "mpeg")


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The display times of a film's frames, read from its packets without decoding.

    Frame numbers come from here and not from counting decoded frames, so that a missing frame does
    not shift the others. Frames are those that will be shown: a packet may hold one field, or a
    picture that is never shown (see `bitstreams`).

    pts: display times in FilmInfo.time_base units, sorted.
    keyframes: numbers of the keyframes.
    is_exact: True if each packet's time identifies a frame. False without timestamps, with a
        duplicate one, or when the clock goes back: parts of such films are decoded from the start.
    has_guessed_times: True if frames take the times of `pts` by their number, because their own are
        missing or not in display order. AVI stores no display times, and the demuxer's guesses for
        B-frames are out of order; the same holds for MXF whose index has no order, and for films
        copied from such files. Elementary streams (`.h264`) have no times at all, and theirs
        follow from the frame rate.
    num_packets, num_declared: packets in the file, and the number that its header declares, 0 if
        it declares none.
    num_discarded: packets marked as not to be shown.
    num_untimed: frames whose packets have no time, and are not in `pts`.
    num_leading: pictures that need others which were cut off before them, mostly at the film's
        beginning: no decoder shows them, and they are not in `pts`.
    has_field_packets: True if the two fields of some frames have packets of their own.
    """

    pts: list[int]
    keyframes: list[int]
    is_exact: bool
    has_guessed_times: bool
    num_packets: int
    num_declared: int
    num_discarded: int
    num_untimed: int = 0
    num_leading: int = 0
    has_field_packets: bool = False

    @classmethod
    def read(cls, info: FilmInfo) -> "FrameIndex":
        """Return the index of a film, from all its packets. Raises InputError if it won't open."""
        with open_film(info.path) as container:
            if isinstance(container, ImageSequence):
                return cls._of_images(container)
            stream: Any = container.streams[info.video_index]
            packets = _Packets(stream)
            packets.read(read_packets(container, stream))
            has_b_frames = stream.codec_context.has_b_frames
            # other containers' numbers are estimates, or count packets that never existed
            num_declared = stream.frames if "mov" in container.format.name else 0
        pts, keyframe_pts, num_untimed = packets.pts, packets.keyframe_pts, packets.num_untimed
        unshown: set[int] = set()
        has_guessed_times = info.container == "avi" or not info.has_times
        if not info.has_times:
            step = info.ticks_per_frame
            pts = [round(number * step) for number in range(len(pts) + num_untimed)]
            keyframe_pts, num_untimed = [], 0
        elif has_b_frames and not packets.is_reordered and not _are_decoded_in_order(info):
            has_guessed_times = True
        else:
            unshown = packets.leading.before(info.start_pts, info.container in PES_FORMATS)
        shown = sorted(time for time in pts if time not in unshown)
        is_exact = packets.is_monotonic and not num_untimed and len(set(shown)) == len(shown)
        return cls(
            pts=shown,
            keyframes=[
                bisect_left(shown, time) for time in sorted(keyframe_pts) if time not in unshown
            ],
            is_exact=is_exact and not has_guessed_times,
            has_guessed_times=has_guessed_times,
            num_packets=packets.num_packets,
            num_declared=num_declared,
            num_discarded=packets.num_discarded,
            num_untimed=num_untimed,
            num_leading=packets.num_leading + len(pts) - len(shown),
            has_field_packets=packets.num_second_fields > 0,
        )

    @classmethod
    def _of_images(cls, sequence: ImageSequence) -> "FrameIndex":
        """Return the index of an image sequence, from the names of its files alone."""
        numbers = list(range(sequence.files.span))
        return cls(
            pts=numbers,
            keyframes=numbers,
            is_exact=True,
            has_guessed_times=False,
            num_packets=len(numbers),
            num_declared=0,
            num_discarded=0,
        )

    def number_of(self, pts: int | None) -> int | None:
        """Return the number of the frame shown at `pts`, None if there is none."""
        if pts is None:
            return None
        number = bisect_left(self.pts, pts)
        exists = number < len(self.pts) and self.pts[number] == pts
        return number if exists else None

    @property
    def num_frames(self) -> int:
        """The number of frames that the packets announce."""
        return len(self.pts) + self.num_untimed

    @property
    def is_vfr(self) -> bool:
        """True for a variable frame rate: durations differ by more than a tick."""
        if self.num_untimed:  # the others' durations are unknown
            return False
        steps = {b - a for a, b in zip(self.pts, self.pts[1:])}
        return bool(steps) and max(steps) - min(steps) > 1


class _Packets:
    """What the packets of a film state, and how many frames they show."""

    def __init__(self, stream: Any) -> None:
        self._count_frames = make_frame_counter(stream)
        self._codec = stream.codec_context.codec.canonical_name
        self.pts: list[int] = []  # of frames, in decoding order
        self.keyframe_pts: list[int] = []
        self.leading = _LeadingPictures()
        self.is_monotonic = True  # decoding times are in order
        self.is_reordered = False  # display times are not in decoding order
        self.num_packets = self.num_discarded = self.num_untimed = 0
        self.num_second_fields = 0  # with packets of their own
        self.num_leading = 0  # known from the coded pictures

    def read(self, packets: Iterable[av.Packet]) -> None:
        """Read all packets."""
        count_frames, all_pts, leading = self._count_frames, self.pts, self.leading
        is_reordered, is_monotonic = False, True
        num_packets, num_frames = 0, 1
        last_pts = last_dts = _BEFORE_ALL
        for packet in packets:
            if packet.size == 0:
                num_packets += packet.dts is not None  # without data: the frame before it stays
                continue
            num_packets += 1
            if count_frames is not None:  # it needs those too that are discarded
                num_frames = count_frames(packet)
            if packet.is_discard:
                self.num_discarded += 1
                continue
            if num_frames == 0:
                self.num_second_fields += self._codec == "h264"
                self.num_leading += self._codec == "hevc"
                continue
            dts, pts = packet.dts, packet.pts
            if dts is not None:
                is_monotonic &= dts >= last_dts
                last_dts = dts
            if pts is None:
                self.num_untimed += num_frames
                continue
            is_reordered |= pts < last_pts
            last_pts = pts
            all_pts.append(pts)
            if num_frames > 1:
                all_pts += [pts] * (num_frames - 1)
            if packet.is_keyframe:
                self.keyframe_pts.append(pts)
            if not leading.are_known:
                leading.add(pts, packet.is_keyframe)
        self.num_packets = num_packets
        self.is_reordered, self.is_monotonic = is_reordered, is_monotonic


class _LeadingPictures:
    """The pictures that are coded before the first keyframe, or after it but shown before it.

    The latter are B-frames that may refer to pictures before the keyframe.
    """

    def __init__(self) -> None:
        self.are_known = False
        self._coded_before: list[int] = []
        self._shown_before: list[int] = []
        self._keyframe_pts: int | None = None

    def add(self, pts: int, is_keyframe: bool) -> None:
        """Add the next packet in decoding order, until `are_known`."""
        if self._keyframe_pts is None:
            if is_keyframe:
                self._keyframe_pts = pts
            else:
                self._coded_before.append(pts)
        elif pts < self._keyframe_pts:
            self._shown_before.append(pts)
        else:
            self.are_known = True

    def before(self, start_pts: int, is_recording: bool) -> set[int]:
        """Return the times of those that refer to missing pictures: no decoder shows them.

        `start_pts`: of the first frame that is shown. If that comes after the keyframe, the
        keyframe is damaged. `is_recording`: the film may begin with any picture; in other films,
        a picture that is coded before the first keyframe is a sign of damage.
        """
        if self._keyframe_pts is None or start_pts > self._keyframe_pts:
            return set()
        if self._coded_before and not is_recording:
            return set()
        return {time for time in self._coded_before + self._shown_before if time < start_pts}


def _are_decoded_in_order(info: FilmInfo) -> bool:
    """Return whether the times of the first frames are in the order in which they are shown.

    Decoders yield frames in display order. Where B-frames have the times of their packets, as in
    films copied from an elementary stream or from AVI, the times go back.
    """
    last_pts: int | None = None
    num_frames = 0
    with open_film(info.path) as container:
        stream: Any = container.streams[info.video_index]
        stream.thread_type = "AUTO"
        for packet in read_packets(container, stream):
            for frame in decode_packet(stream, packet) or ():
                num_frames += 1
                if frame.pts is not None:
                    if last_pts is not None and frame.pts < last_pts:
                        return False
                    last_pts = frame.pts
            if num_frames >= _NUM_TRIED:
                break
    return True
