"""Stretches of a film's picture, each encoded into a file of its own, and their packets again."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from filmcolor.encode import Pictures, closed, written
from filmcolor.errors import OutputError
from filmcolor.frames import ColorFrame, FilmInfo
from filmcolor.journal import FinishedPiece
from filmcolor.plan import OutputPlan, add_video_stream
from filmcolor.probing import open_film, packets_of
from filmcolor.profiling import Profile, section

# NUT keeps every packet as the encoder gave it; it has no name for ProRes
_FORMATS = "nut", "mov"


class PieceWriter:
    """Encodes a stretch of a film by itself, the picture alone; times count from its first frame.

    Leaving the context without `finish` deletes the file.
    """

    def __init__(
        self, info: FilmInfo, plan: OutputPlan, path: Path, profile: Profile | None = None
    ) -> None:
        self._info, self._plan, self._path, self._profile = info, plan, path, profile
        self._picture = Pictures(info, plan)
        self._stack = ExitStack()
        self._pts: list[int] = []
        self._faults: list[tuple[int, str]] = []
        self._kinds: list[str] = []
        self._end_pts = 0
        self._order: list[int] = []  # times of the packets, as they are decoded
        self._num_early = 0  # packets to be decoded before the first is shown

    def __enter__(self) -> "PieceWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, frame: ColorFrame) -> None:
        """Encode one frame."""
        if not self._pts:
            self._open()
        with section(self._profile, "frame building"):
            since = frame.pts - (self._pts or [frame.pts])[0]
            picture = self._picture(frame, since)
        self._pts.append(frame.pts)
        self._kinds.append(frame.kind)
        if frame.fault:
            self._faults.append((frame.pts, frame.fault))
        self._end_pts = frame.pts + frame.duration
        with section(self._profile, "encode"):
            packets = self._video.encode(picture)
        self._mux(packets)

    def finish(self) -> FinishedPiece:
        """Close the file and return what it holds; without a frame there is none."""
        if not self._pts:
            return FinishedPiece((), 0, 0, "")
        with section(self._profile, "encode"):
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
        kinds = tuple((kind, len(list(run))) for kind, run in groupby(self._kinds))
        return FinishedPiece(
            tuple(self._pts), self._end_pts, delay, name, tuple(self._faults), kinds
        )

    def _open(self) -> None:
        self._stack.callback(self._path.unlink, missing_ok=True)
        with written(self._plan.path):
            for format_name in _FORMATS:
                output = av.open(os.fspath(self._path), "w", format=format_name)
                self._stack.callback(closed, output)
                video = self._added(output)
                if video is not None:
                    self._output, self._video = output, video
                    output.start_encoding()
                    return
        raise OutputError(f"no file of pieces can hold {self._plan.codec}; choose another --codec")

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
        with section(self._profile, "mux"), written(self._plan.path):
            self._output.mux(packets)


def piece_packets(path: Path) -> Iterator[tuple[av.Packet, Fraction]]:
    """Yield the packets of a piece and when each is shown, seconds from its first frame."""
    with open_film(path) as container:
        first: int | None = None  # a closed group begins with the frame that is shown first
        for packet in packets_of(container, container.streams[0]):  # it has no other
            if packet.size == 0 or packet.pts is None:
                continue  # without a time it is damaged: whoever counts will miss it
            first = packet.pts if first is None else first
            yield packet, (packet.pts - first) * Fraction(packet.time_base)
