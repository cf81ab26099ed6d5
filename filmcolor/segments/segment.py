"""Stretches of a film's picture, each encoded into a file of its own, and their packets again."""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import count, groupby
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from filmcolor.errors import OutputError
from filmcolor.output.encoder import FrameBuilder, add_video_stream, close_quietly, written
from filmcolor.output.options import OutputPlan
from filmcolor.runtime.profiler import Profiler, section
from filmcolor.segments.journal import FinishedSegment, Journal, Segment
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame
from filmcolor.video.demux import open_film, read_packets
from filmcolor.video.frame_index import FrameIndex

# NUT keeps every packet as the encoder gave it; it has no name for ProRes
_FORMATS = "nut", "mov"


class SegmentWriter:
    """Encodes a stretch of a film by itself, the picture alone; times count from its first frame.

    Leaving the context without `finish` deletes the file.
    """

    def __init__(
        self, info: FilmInfo, plan: OutputPlan, path: Path, profiler: Profiler | None = None
    ) -> None:
        self._info, self._plan, self._path, self._profiler = info, plan, path, profiler
        self._picture = FrameBuilder(info, plan)
        self._stack = ExitStack()
        self._pts: list[int] = []
        self._faults: list[tuple[int, str]] = []
        self._kinds: list[str] = []
        self._end_pts = 0
        self._order: list[int] = []  # times of the packets, as they are decoded
        self._num_early = 0  # packets to be decoded before the first is shown

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, frame: ColorFrame) -> None:
        """Encode one frame."""
        if not self._pts:
            self._open()
        with section(self._profiler, "frame building"):
            since = frame.pts - (self._pts or [frame.pts])[0]
            picture = self._picture(frame, since)
        self._pts.append(frame.pts)
        self._kinds.append(frame.chroma_class)
        if frame.fault:
            self._faults.append((frame.pts, frame.fault))
        self._end_pts = frame.pts + frame.duration
        with section(self._profiler, "encode"):
            packets = self._video.encode(picture)
        self._mux(packets)

    def finish(self) -> FinishedSegment:
        """Close the file and return what it holds; without a frame there is none."""
        if not self._pts:
            return FinishedSegment((), 0, 0, "")
        with section(self._profiler, "encode"):
            packets = self._video.encode(None)
        self._mux(packets)
        with written(self._plan.path):
            self._output.close()
        self._stack.pop_all()
        if len(self._order) != len(self._pts):
            raise OutputError(
                f"{self._plan.codec} made {len(self._order)} pictures of {len(self._pts)}; "
                "choose another --codec"
            )
        ranks = {pts: rank for rank, pts in enumerate(sorted(self._order))}
        latest = max(place - ranks[pts] for place, pts in enumerate(self._order))
        delay = max(latest, self._num_early)
        name = self._output.format.name
        chroma_classes = tuple(
            (chroma_class, len(list(run))) for chroma_class, run in groupby(self._kinds)
        )
        return FinishedSegment(
            tuple(self._pts), self._end_pts, delay, name, tuple(self._faults), chroma_classes
        )

    def _open(self) -> None:
        self._stack.callback(self._path.unlink, missing_ok=True)
        with written(self._plan.path):
            for format_name in _FORMATS:
                output = av.open(os.fspath(self._path), "w", format=format_name)
                self._stack.callback(close_quietly, output)
                video = self._added(output)
                if video is not None:
                    self._output, self._video = output, video
                    output.start_encoding()
                    return
        raise OutputError(
            f"no file of segments can hold {self._plan.codec}; choose another --codec"
        )

    def _added(self, output: OutputContainer) -> Any:
        """Add the picture's stream; None where the format cannot hold it."""
        try:
            return add_video_stream(output, self._info, self._plan)
        except ValueError:
            return None

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None
            self._order.append(packet.pts)
            self._num_early += packet.dts is not None and packet.dts < 0
        with section(self._profiler, "mux"), written(self._plan.path):
            self._output.mux(packets)


def piece_packets(path: Path) -> Iterator[tuple[av.Packet, Fraction]]:
    """Yield the packets of a segment and when each is shown, seconds from its first frame."""
    with open_film(path) as container:
        first: int | None = None  # a close_quietly group begins with the frame that is shown first
        for packet in read_packets(container, container.streams[0]):  # it has no other
            if packet.size == 0 or packet.pts is None:
                continue  # without a time it is damaged: whoever counts will miss it
            first = packet.pts if first is None else first
            yield packet, (packet.pts - first) * Fraction(packet.time_base)


_SECONDS = 60  # of a segment: what is lost at most; shorter ones cost more keyframes


def split_into_segments(index: FrameIndex, part: Part, frame_rate: Fraction) -> tuple[Segment, ...]:
    """Return segments of about a minute, each from one of the source's keyframes where there is one.

    Keyframes are where the picture changes: the encoder would set one there too.
    """
    length = max(1, round(_SECONDS * frame_rate))
    stop = len(index.pts) if part.stop is None else part.stop
    starts = [part.first]
    while (wanted := starts[-1] + length) + length // 2 < stop:
        place = bisect_left(index.keyframes, wanted)
        nearest = [*index.keyframes[place : place + 1], stop][0]
        starts.append(nearest if nearest < wanted + length // 2 else wanted)
    stops = [*starts[1:], part.stop]
    return tuple(Segment(*fields) for fields in zip(count(), starts, stops))


def write_segments(
    journal: Journal,
    segments: Sequence[Segment],
    frames: Iterable[ColorFrame],
    info: FilmInfo,
    plan: OutputPlan,
    profiler: Profiler | None = None,
) -> Iterator[ColorFrame]:
    """Write segments which follow each other, of the frames of all of them; yield each frame.

    Each segment is finished, and outlives whatever comes, before the next one begins.
    """
    waiting = iter(frames)
    frame = next(waiting, None)
    for segment in segments:
        written = journal.partial(f"{segment.number:06d}")
        with SegmentWriter(info, plan, written, profiler) as writer:
            while frame is not None and (segment.stop is None or frame.number < segment.stop):
                writer.write(frame)
                yield frame
                frame = next(waiting, None)
            journal.keep(segment, written, writer.finish())
