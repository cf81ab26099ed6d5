"""Muxes a film: its encoded picture, copies of its other streams, chapters and metadata.

Films that begin before zero (`FilmInfo.origin`) have all times moved, so that they begin at zero:
Matroska would put its first cluster at zero, MP4 would write an edit list that hides frames.
"""

from contextlib import ExitStack
from pathlib import Path

import av
import av.error

from filmcolor.errors import OutputError
from filmcolor.files import media_url, move_into_place, partial_path
from filmcolor.output.acm import name_acm_tracks
from filmcolor.output.encoder import FrameBuilder, add_video_stream, start_encoding
from filmcolor.output.matroska_chapters import add_chapters, cut_matroska_chapters
from filmcolor.output.mdta import append_tags
from filmcolor.output.metadata import extra_tags, output_tags
from filmcolor.output.muxing import (
    close_quietly,
    cut_chapters,
    muxer_options,
    set_chapters,
    translate_write_errors,
)
from filmcolor.output.options import OutputPlan
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.streams import StreamCopier, copy_tags
from filmcolor.output.timecode import output_timecode
from filmcolor.runtime.profiler import Profiler, section
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame
from filmcolor.video.demux import open_film
from filmcolor.video.matroska import read_details


class FilmWriter:
    """Writes a film beside its target; `keep` renames it, leaving the context deletes it.

    `repair` holds the damage of the copied streams. `partial`: the file that is written to.
    """

    def __init__(
        self,
        info: FilmInfo,
        plan: OutputPlan,
        part: Part,
        profiler: Profiler | None = None,
        partial: Path | None = None,
    ) -> None:
        self.info, self.plan, self.part = info, plan, part
        self._profiler = profiler
        self.partial = partial or partial_path(plan.path)
        self._build_frame = FrameBuilder(info, plan)
        self._last_packet: av.Packet | None = None  # of the picture: its duration may change
        self._delay = 0  # of display after decoding, ticks
        self._end_pts = 0
        self._is_encoder_used = True  # False when the picture's packets are copied
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

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, stack: ExitStack) -> None:
        source = stack.enter_context(open_film(self.info.path))
        self._copier = StreamCopier(self.info, self.plan, self.part, source)
        self._output = av.open(
            media_url(self.partial),
            "w",
            format=self.plan.format,
            container_options=muxer_options(self.plan.format, self.info.time_base),
        )
        stack.callback(close_quietly, self._output)
        for stream in self.info.streams:
            if stream.index == self.info.video_index:
                self._video = add_video_stream(self._output, self.info, self.plan)
            elif stream in self.plan.stream_plan.copied:
                self._copier.add_stream(self._output, stream)
        copy_tags(source.streams[self.info.video_index], self._video, is_picture=True)
        self._tags = output_tags(self.info, self.plan)
        self._output.metadata.update(self._tags)
        timecode = output_timecode(self.info, self.part)
        if timecode is not None and self.plan.keeps_timecode:
            self._output.metadata["timecode"] = timecode
        self._matroska_chapters = self._cut_matroska_chapters()
        if self._matroska_chapters is None:
            set_chapters(self._output, cut_chapters(self.info.chapters, self.part))
        start_encoding(self._output)
        self._copier.start()

    def _cut_matroska_chapters(self) -> bytes | None:
        """Return the film's own element of chapters for the output; None if FFmpeg writes them."""
        chapters = read_details(self.info).chapters
        if chapters is None or self.plan.format != "matroska":
            return None
        return cut_matroska_chapters(chapters, self.part)

    @property
    def repair(self) -> PacketRepair:
        """The repair of the copied streams' packets."""
        return self._copier.repair

    def write(self, frame: ColorFrame) -> None:
        """Encode one frame, after the copied packets that come before it."""
        with section(self._profiler, "copied streams"):
            self._copier.copy_until(frame.pts * self.info.time_base - self.part.offset)
        with section(self._profiler, "frame building"):
            built = self._build_frame(frame, self._ticks(frame.pts))
        self._end_pts = self._ticks(frame.pts) + frame.duration
        with section(self._profiler, "encode"):
            packets = self._video.encode(built)
        with section(self._profiler, "mux"):
            self._mux_video(packets)

    def write_packet(self, packet: av.Packet, pts: int, dts: int, end_pts: int) -> None:
        """Copy an encoded packet of the picture. Times are the source's, in its time_base."""
        self._copier.copy_until(dts * self.info.time_base - self.part.offset)
        packet.stream, packet.time_base = self._video, self.info.time_base
        packet.pts, packet.dts = self._ticks(pts), self._ticks(dts)
        packet.duration = end_pts - pts
        self._end_pts = max(self._end_pts, self._ticks(end_pts))
        self._is_encoder_used = False
        with section(self._profiler, "mux"):
            self._mux_video([packet])

    def finish(self) -> None:
        """Write all remaining packets and close the file."""
        if self._is_encoder_used:
            with section(self._profiler, "encode"):
                packets = self._video.encode(None)
            self._mux_video(packets)
        if self._last_packet is not None:
            # MP4 adds up durations in decoding order: the last packet takes what is left
            end = self._end_pts
            if self.part.stop is None and self.info.end_pts is not None:
                end = max(end, self._ticks(self.info.end_pts))
            rest = end - self._delay - (self._last_packet.dts or 0)
            self._last_packet.duration = max(self._last_packet.duration or 0, rest)
            self._mux(self._last_packet)
        self._copier.copy_until(None)
        with translate_write_errors(self.plan.path):
            self._output.close()
            with self.partial.open("r+b") as file:
                name_acm_tracks(file)
                append_tags(file, extra_tags(self.plan.format, self._tags), self.plan.format)
                if self._matroska_chapters:
                    add_chapters(file, self._matroska_chapters)

    def keep(self, path: Path) -> None:
        """Rename the finished file to `path`, once its bytes are on the disk."""
        with translate_write_errors(path):
            move_into_place(self.partial, path, durable=True)

    def _mux_video(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if self._last_packet is None:
                self._delay = (packet.pts or 0) - (packet.dts or 0)
            else:
                self._mux(self._last_packet)
            self._last_packet = packet

    def _mux(self, packet: av.Packet) -> None:
        with translate_write_errors(self.plan.path):
            self._output.mux(packet)

    def _ticks(self, pts: int) -> int:
        """Return a source frame's time on the output's clock."""
        return pts - round(self.part.offset / self.info.time_base)
