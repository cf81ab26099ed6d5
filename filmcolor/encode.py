"""Frames to packets, and stream copy of everything that is not the picture."""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer

from filmcolor.copies import add_copy, converted_packet, copy_tags
from filmcolor.errors import ContainerError, OutputError
from filmcolor.fields import Marker
from filmcolor.frames import Chapter, ColorFrame, FilmInfo, Part, Plane, StreamInfo
from filmcolor.journal import remedy_for, sync, sync_folder
from filmcolor.mending import Mending
from filmcolor.plan import OutputPlan, add_video_stream, is_coded_as_fields
from filmcolor.probing import open_film, packets_of
from filmcolor.profiling import Profile, section
from filmcolor.subtitles import MOV_TEXT

_MOVIE_TIMESCALE = 90_000  # ticks a second at least; FFmpeg's 1000 would round to 1 ms


def copied_packets(
    container: InputContainer,
    streams: tuple[StreamInfo, ...],
    part: Part,
    mending: Mending | None = None,
) -> Iterator[av.Packet]:
    """Yield the packets of the streams that are copied, in the container's order.

    `mending`: for these streams, so that every container takes them; as they are when None.
    """
    wanted = [container.streams[s.index] for s in streams]
    if not wanted:
        return
    pictures = {s.index for s in streams if s.is_picture}
    if part.start and (mending is None or not mending.is_needed):
        with suppress(av.error.FFmpegError):  # a damaged index: then from the beginning
            container.seek(int(part.start * av.time_base))
    for packet in packets_of(container, wanted):
        if packet.size == 0:
            continue
        if mending is not None:
            mended = mending.mended(packet)
            if mended is None:
                continue
            packet = mended
        is_picture = packet.stream_index in pictures
        stamp = packet.dts if packet.pts is None else packet.pts
        if is_picture or stamp is None or part.holds(stamp * Fraction(packet.time_base)):
            yield packet


def has_text(packet: av.Packet) -> bool:
    """Tell MP4's subtitles from the empty ones that it fills the gaps between them with."""
    return packet.size > 2  # the first two bytes are the text's length


def cut_chapters(chapters: tuple[Chapter, ...], part: Part) -> tuple[Chapter, ...]:
    """Return the chapters that reach into a part, clipped and on the part's clock."""
    kept = []
    for chapter in chapters:
        start = chapter.start if part.start is None else max(chapter.start, part.start)
        end = chapter.end if part.end is None else min(chapter.end, part.end)
        if start < end:
            kept.append(Chapter(start - part.offset, end - part.offset, chapter.metadata))
    return tuple(kept)


class FilmWriter:
    """Writes a film beside its target; `keep` renames it there, leaving without it deletes it."""

    def __init__(
        self,
        info: FilmInfo,
        plan: OutputPlan,
        part: Part,
        profile: Profile | None = None,
        partial: Path | None = None,
    ) -> None:
        self.info, self.plan, self.part = info, plan, part
        self._profile = profile
        self.partial = partial or plan.path.with_name(f".{plan.path.name}.partial")
        self._copies: dict[int, Any] = {}
        self._held: av.Packet | None = None  # the picture's latest, until it is not the last
        self._lag = 0  # of decoding behind display, ticks
        self._end_pts = 0
        self._is_copied = False  # the picture: its packets came encoded
        self._latest: dict[int, int] = {}  # time of each copied stream, ticks of the output
        self._picture = Pictures(info, plan)
        self._stack = ExitStack()

    def __enter__(self) -> "FilmWriter":
        with ExitStack() as stack:
            stack.callback(self.partial.unlink, missing_ok=True)
            try:
                self._open(stack)
            except (av.error.FFmpegError, OSError) as error:
                raise OutputError(f"{self.plan.path} cannot be written: {error}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def write(self, frame: ColorFrame) -> None:
        """Encode one frame, after the copied packets that come before it."""
        with section(self._profile, "copied streams"):
            self._copy_until((frame.pts * self.info.time_base) - self.part.offset)
        with section(self._profile, "frame building"):
            picture = self._picture(frame, self._ticks(frame.pts))
        self._end_pts = self._ticks(frame.pts) + frame.duration
        with section(self._profile, "encode"):
            packets = self._video.encode(picture)
        with section(self._profile, "mux"):
            self._mux_video(packets)

    def add(self, packet: av.Packet, pts: int, dts: int, end_pts: int) -> None:
        """Copy a packet of the picture that is encoded already; times are the source's."""
        self._copy_until(dts * self.info.time_base - self.part.offset)
        packet.stream, packet.time_base = self._video, self.info.time_base
        packet.pts, packet.dts = self._ticks(pts), self._ticks(dts)
        packet.duration = end_pts - pts
        self._end_pts = max(self._end_pts, self._ticks(end_pts))
        self._is_copied = True
        with section(self._profile, "mux"):
            self._mux_video([packet])

    def finish(self) -> None:
        """Write what is still on its way and close the file."""
        if not self._is_copied:
            with section(self._profile, "encode"):
                packets = self._video.encode(None)
            self._mux_video(packets)
        if self._held is not None:
            # MP4 counts lengths in order of decoding: what is left until the end is this one's
            end = self._end_pts
            if self.part.stop is None and self.info.end_pts is not None:
                end = max(end, self._ticks(self.info.end_pts))
            left = end - self._lag - (self._held.dts or 0)
            self._held.duration = max(self._held.duration or 0, left)
            self._mux([self._held])
        self._copy_until(None)
        with written(self.plan.path):
            self._output.close()

    def keep(self) -> None:
        """Give the finished file its name, once all of it is on the disk."""
        with written(self.plan.path):
            sync(self.partial)
            self.partial.replace(self.plan.path)
            sync_folder(self.plan.path.parent)

    def _open(self, stack: ExitStack) -> None:
        self._source = stack.enter_context(open_film(self.info.path))
        self._output = av.open(
            os.fspath(self.partial),
            "w",
            format=self.plan.format,
            container_options=_clock_options(self.plan.format, self.info.time_base),
        )
        stack.callback(closed, self._output)
        for stream in self.info.streams:
            if stream.index == self.info.video_index:
                self._video = add_video_stream(self._output, self.info, self.plan)
            elif stream in self.plan.fates.copied:
                codec = self.plan.fates.conversions.get(stream.index)
                self._copies[stream.index] = add_copy(self._output, self._source, stream, codec)
        copy_tags(self._source.streams[self.info.video_index], self._video)
        self._output.metadata.update(_metadata(self.info, self.plan))
        if not self.plan.keeps_timecode:
            for tags in (self._video.metadata, self._output.metadata):
                for name in [name for name in tags if name.lower() == "timecode"]:
                    del tags[name]
        _set_chapters(self._output, cut_chapters(self.info.chapters, self.part))
        self._output.start_encoding()
        self.mending = Mending(self.info.path, self.plan.fates.copied)
        self._waiting = self._copied()
        self._next = next(self._waiting, None)

    def _copied(self) -> Iterator[av.Packet]:
        """Yield the copied packets, those of subtitles converted where the plan says so."""
        codecs = {s.index: s.codec for s in self.plan.fates.copied}
        waiting = copied_packets(self._source, self.plan.fates.copied, self.part, self.mending)
        for packet in waiting:
            index = packet.stream_index
            if self._copies[index] is None:
                continue
            if target := self.plan.fates.conversions.get(index):
                if codecs[index] == MOV_TEXT and not has_text(packet):
                    continue
                packet = converted_packet(packet, codecs[index], target)
            packet.stream = self._copies[index]
            yield packet

    def _copy_until(self, seconds: Fraction | None) -> None:
        while (packet := self._next) is not None:
            base = Fraction(packet.time_base)
            stamp = packet.dts if packet.dts is not None else packet.pts
            when = None if stamp is None else stamp * base - self.part.offset
            if seconds is not None and when is not None and when > seconds:
                return
            offset = round(self.part.offset / base)
            packet.pts = packet.pts if packet.pts is None else packet.pts - offset
            packet.dts = packet.dts if packet.dts is None else packet.dts - offset
            self._mux_copy(packet)
            self._next = next(self._waiting, None)

    def _mux_copy(self, packet: av.Packet) -> None:
        """Write a copied packet; MP4 and MOV take no time twice, so it may come a tick later."""
        stream = packet.stream
        if packet.dts is not None and self.plan.format in ("mp4", "mov"):
            ticks = packet.time_base / stream.time_base
            dts = math.floor(packet.dts * ticks + Fraction(1, 2))
            least = self._latest.get(stream.index, dts - 1) + 1
            if dts < least:
                delay = 0 if packet.pts is None else packet.pts - packet.dts
                packet.time_base = stream.time_base
                packet.duration = math.floor((packet.duration or 0) * ticks)
                packet.dts = dts = least
                packet.pts = dts + math.floor(delay * ticks)
            self._latest[stream.index] = dts
        try:
            self._output.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            seconds = float((packet.dts or 0) * Fraction(packet.time_base))
            raise ContainerError(
                f"{self.plan.path} cannot hold a packet of {seconds:.3f} s of its stream "
                f"{stream.index} ({stream.type}); name another output, .mkv takes most"
            ) from error
        except (av.error.FFmpegError, OSError) as error:
            raise unwritten(self.plan.path, error) from error

    def _mux_video(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if self._held is None:
                self._lag = (packet.pts or 0) - (packet.dts or 0)
            else:
                self._mux([self._held])
            self._held = packet

    def _mux(self, packets: list[av.Packet]) -> None:
        with written(self.plan.path):
            self._output.mux(packets)

    def _ticks(self, pts: int) -> int:
        """Return a source frame's time on the output's clock."""
        return pts - round(self.part.offset / self.info.time_base)


class Pictures:
    """Makes finished frames into what the encoder takes, fields marked where there are two."""

    def __init__(self, info: FilmInfo, plan: OutputPlan) -> None:
        self._plan, self._time_base = plan, info.time_base
        self._marker = Marker(info.field_order)
        self._marks_all = is_coded_as_fields(info, plan)  # what has no mark, it takes for "bff"

    def __call__(self, frame: ColorFrame, pts: int) -> av.VideoFrame:
        """Return a frame, shown at `pts`."""
        plan = self._plan
        picture = av.VideoFrame(plan.width, plan.height, plan.pix_fmt)
        for plane, values in zip(picture.planes, (frame.luma, frame.cb, frame.cr), strict=True):
            _fill(plane, values, plan.coding.bit_depth)
        picture.pts, picture.time_base = pts, self._time_base
        picture.duration = frame.duration
        is_marked = frame.is_interlaced or self._marks_all
        return self._marker.marked(picture) if is_marked else picture


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn what goes wrong in writing a file into one line with a remedy."""
    try:
        yield
    except OutputError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: Exception) -> OutputError:
    """Return one line, with a remedy, for what went wrong in writing a file."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    kind = ContainerError if number == errno.EINVAL else OutputError
    return kind(f"{path} cannot be written ({reason}); {remedy_for(error)}")


def closed(output: OutputContainer) -> None:
    """Close a file that will be deleted: a full disk would refuse its end once more."""
    with suppress(av.error.FFmpegError, OSError):
        output.close()


def _clock_options(format_name: str, time_base: Fraction) -> dict[str, str]:
    """Return the muxer's options that keep every time as it was."""
    if format_name not in ("mp4", "mov"):
        # sound that begins before zero (AAC's priming) would move the whole film
        return {"avoid_negative_ts": "disabled"}
    ticks = time_base.denominator
    # a late start is written in ticks of the movie: the picture's own, made as fine as a
    # sample of sound
    movie_ticks = ticks * math.ceil(_MOVIE_TIMESCALE / ticks)
    return {"video_track_timescale": str(ticks), "movie_timescale": str(movie_ticks)}


def _metadata(info: FilmInfo, plan: OutputPlan) -> dict[str, str]:
    """Return the film's own metadata, and the tag in its comment."""
    metadata = dict(info.metadata)
    if plan.tag:
        name = next((name for name in metadata if name.lower() == "comment"), "comment")
        told = metadata.get(name, "")
        metadata[name] = told if plan.tag in told else "; ".join(filter(None, [told, plan.tag]))
    return metadata


def _set_chapters(output: OutputContainer, chapters: tuple[Chapter, ...]) -> None:
    base = Fraction(1, 1_000_000)
    output.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.start / base),
                "end": round(chapter.end / base),
                "time_base": base,
                "metadata": dict(chapter.metadata),
            }
            for number, chapter in enumerate(chapters)
        ]
    )


def _fill(plane: Any, values: Plane, bit_depth: int) -> None:
    """Copy code values into a frame's plane, repeating the last row and column into padding.

    What a damaged film has beyond its depth is cut off: x264 ends the process at such values.
    """
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    target = rows.view(values.dtype)[:, : plane.width]
    height, width = values.shape
    if (height, width) != target.shape:
        pad = plane.height - height, plane.width - width
        values = cv2.copyMakeBorder(values, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    if bit_depth < 8 * values.itemsize:
        np.minimum(values, (1 << bit_depth) - 1, out=target)
    else:
        target[:] = values
