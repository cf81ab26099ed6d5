"""Segments: a film's picture cut into parts of about a minute, each encoded into its own file.

Segments are NUT files, which keep the encoder's packets unchanged, in its order and at exact times;
Matroska rounds times, MP4 rewrites packets. The film's video stream comes from opening the encoder
again, so its header equals that of one run over the whole film. A segment costs one keyframe and
the encoder's start.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from itertools import count, groupby, islice
from pathlib import Path
from typing import Generic, TypeVar

import av

from filmcolor.errors import OutputError
from filmcolor.files import media_url
from filmcolor.output.encoder import FrameBuilder, add_video_stream, start_encoding
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.muxing import close_quietly, translate_write_errors
from filmcolor.output.options import OutputPlan
from filmcolor.output.rgb_frames import RgbFrameBuilder
from filmcolor.runtime.profiler import Profiler, section
from filmcolor.segments.journal import FinishedSegment, Journal, Segment
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame
from filmcolor.video.demux import open_film, read_packets
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.side_data import has_captions

T = TypeVar("T")
_FORMATS = "nut", "mov"  # MOV where NUT has no tag for the codec, as for ProRes
_SECONDS = 60  # of a segment: the most that a killed run loses; shorter ones cost more keyframes


def split_into_segments(index: FrameIndex, part: Part, frame_rate: Fraction) -> tuple[Segment, ...]:
    """Return segments of about a minute, which begin at the source's keyframes if possible.

    Encoders put keyframes where the picture changes, so this one would put one there too.
    """
    length = max(1, round(_SECONDS * frame_rate))
    stop = len(index.pts) if part.stop is None else part.stop
    starts = [part.first]
    while (target := starts[-1] + length) + length // 2 < stop:
        position = bisect_left(index.keyframes, target)
        keyframe = [*index.keyframes[position : position + 1], stop][0]
        starts.append(keyframe if keyframe < target + length // 2 else target)
    stops = [*starts[1:], part.stop]
    return tuple(Segment(*fields) for fields in zip(count(), starts, stops))


class Lookahead(Generic[T]):
    """An iterator whose next item can be looked at first."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._peeked: list[T] = []

    def __iter__(self) -> "Lookahead[T]":
        return self

    def __next__(self) -> T:
        return self._peeked.pop() if self._peeked else next(self._items)

    def peek(self) -> T | None:
        """Return the next item without taking it; None at the end."""
        if not self._peeked:
            self._peeked = list(islice(self._items, 1))
        return self._peeked[0] if self._peeked else None


def write_segments(
    journal: Journal,
    segments: Sequence[Segment],
    frames: Lookahead[ColorFrame],
    info: FilmInfo,
    plan: OutputPlan,
    machine: Mapping[str, str],
    profiler: Profiler | None = None,
) -> Iterator[ColorFrame]:
    """Write consecutive segments; yield each of their frames once the encoder has it.

    `machine`: what colours them, see `network.machine`.

    Each segment is finished, and survives whatever ends the run, before the next one begins. The
    first frame after the last segment is not taken.
    """
    for segment in segments:
        partial = journal.partial_path(f"{segment.number:06d}")
        with SegmentWriter(info, plan, partial, profiler) as writer:
            while (frame := frames.peek()) is not None:
                if segment.stop is not None and frame.number >= segment.stop:
                    break
                writer.write(next(frames))
                yield frame
            journal.keep(segment, partial, replace(writer.finish(), machine=machine))


def read_segment(path: Path) -> Iterator[tuple[av.Packet, Fraction]]:
    """Yield the packets of a segment and when each is shown, in seconds from its first frame."""
    with open_film(path) as container:
        first_pts: int | None = None  # a closed group of pictures begins with its first frame
        for packet in read_packets(container, container.streams[0]):
            if packet.size == 0 or packet.pts is None:
                continue  # a packet without a time is damaged; `concatenate` counts the others
            first_pts = packet.pts if first_pts is None else first_pts
            yield packet, (packet.pts - first_pts) * Fraction(packet.time_base)


class SegmentWriter:
    """Encodes the picture of one segment; times in the file count from its first frame.

    Leaving the context without `finish` deletes the file.
    """

    def __init__(
        self, info: FilmInfo, plan: OutputPlan, path: Path, profiler: Profiler | None = None
    ) -> None:
        self._info, self._plan, self._path, self._profiler = info, plan, path, profiler
        make_builder = RgbFrameBuilder if plan.format == IMAGE_SEQUENCE else FrameBuilder
        self._build_frame = make_builder(info, plan)
        self._stack = ExitStack()
        self._pts: list[int] = []
        self._faults: list[tuple[int, str]] = []
        self._chroma_classes: list[str] = []
        self._has_captions = False
        self._end_pts = 0
        self._packet_pts: list[int] = []  # in decoding order
        self._num_before_zero = 0  # packets with a DTS below zero

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, frame: ColorFrame) -> None:
        """Encode one frame."""
        if not self._pts:
            self._open()
        self._pts.append(frame.pts)
        with section(self._profiler, "frame building"):
            built = self._build_frame(frame, frame.pts - self._pts[0])
        self._chroma_classes.append(frame.chroma_class)
        self._has_captions = self._has_captions or has_captions(frame.side_data)
        if frame.fault:
            self._faults.append((frame.pts, frame.fault))
        self._end_pts = frame.pts + frame.duration
        with section(self._profiler, "encode"):
            packets = self._video.encode(built)
        self._mux(packets)

    def finish(self) -> FinishedSegment:
        """Close the file and return what it holds. Without a frame there is no file."""
        if not self._pts:
            return FinishedSegment((), 0, 0, "")
        with section(self._profiler, "encode"):
            packets = self._video.encode(None)
        self._mux(packets)
        with translate_write_errors(self._plan.path):
            self._output.close()
        self._stack.pop_all()
        if len(self._packet_pts) != len(self._pts):
            raise OutputError(
                f"{self._plan.codec} made {len(self._packet_pts)} pictures of {len(self._pts)}; "
                "choose another --codec"
            )
        return FinishedSegment(
            pts=tuple(self._pts),
            end_pts=self._end_pts,
            delay=self._delay(),
            format=self._output.format.name,
            faults=tuple(self._faults),
            chroma_classes=tuple(
                (name, len(list(run))) for name, run in groupby(self._chroma_classes)
            ),
            has_captions=self._has_captions,
        )

    def _delay(self) -> int:
        """Return the number of frames by which decoding must run ahead of display."""
        display_order = {pts: n for n, pts in enumerate(sorted(self._packet_pts))}
        reordering = max(n - display_order[pts] for n, pts in enumerate(self._packet_pts))
        return max(reordering, self._num_before_zero)

    def _open(self) -> None:
        self._stack.callback(self._path.unlink, missing_ok=True)
        with translate_write_errors(self._plan.path):
            for format_name in _FORMATS:
                output = av.open(media_url(self._path), "w", format=format_name)
                self._stack.callback(close_quietly, output)
                try:
                    self._video = add_video_stream(output, self._info, self._plan)
                except ValueError:  # the format cannot hold this codec
                    continue
                self._output = output
                start_encoding(output)
                return
        raise OutputError(
            f"no file of segments can hold {self._plan.codec}; choose another --codec"
        )

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None
            self._packet_pts.append(packet.pts)
            self._num_before_zero += packet.dts is not None and packet.dts < 0
        with section(self._profiler, "mux"), translate_write_errors(self._plan.path):
            self._output.mux(packets)
