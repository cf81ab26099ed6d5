"""Copies the streams besides the picture: sound, subtitles, attachments, cover art."""

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer

from filmcolor.errors import ContainerError
from filmcolor.output.muxing import write_error
from filmcolor.output.options import OutputPlan
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.subtitles import HEADER, MOV_TEXT, convert_text
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.video.demux import open_film, read_packets


class StreamCopier:
    """Copies the packets of a plan's streams into an output, in step with the picture.

    Reads the container itself, apart from the decoder, so the colour stages carry frames only. The
    second reading costs far less than the encoder.
    """

    def __init__(
        self, info: FilmInfo, plan: OutputPlan, part: Part, source: InputContainer
    ) -> None:
        """Read the timestamps of the copied streams. The caller closes `source`."""
        self._plan, self._part, self._source = plan, part, source
        self._copies: dict[int, Any] = {}  # index in the source → stream of the output
        self._last_dts: dict[int, int] = {}  # by stream of the output, in its ticks
        self.repair = PacketRepair(info.path, plan.stream_plan.copied)
        self._packets = self._converted_packets()
        self._next: av.Packet | None = None

    def add_stream(self, output: OutputContainer, stream: StreamInfo) -> None:
        """Add a copy of a stream to the output."""
        self._output = output
        codec = self._plan.stream_plan.conversions.get(stream.index)
        self._copies[stream.index] = add_copy(output, self._source, stream, codec)

    def start(self) -> None:
        """Read the first packet; the output's header has been written."""
        self._next = next(self._packets, None)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy the packets up to a time on the output's clock; all the others when None."""
        while (packet := self._next) is not None and self._is_due(packet, seconds):
            base = Fraction(packet.time_base)
            offset = round(self._part.offset / base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            self._mux(packet)
            self._next = next(self._packets, None)

    def _is_due(self, packet: av.Packet, seconds: Fraction | None) -> bool:
        """Return whether a packet is not later than a time; packets without a time are due."""
        time = packet.pts if packet.dts is None else packet.dts
        if seconds is None or time is None:
            return True
        return time * Fraction(packet.time_base) - self._part.offset <= seconds

    def _converted_packets(self) -> Iterator[av.Packet]:
        """Yield the packets, with subtitles converted as planned."""
        plan = self._plan.stream_plan
        codecs = {stream.index: stream.codec for stream in plan.copied}
        for packet in copied_packets(self._source, plan.copied, self._part, self.repair):
            index = packet.stream_index
            if self._copies[index] is None:
                continue
            if codec := plan.conversions.get(index):
                if codecs[index] == MOV_TEXT and not has_text(packet):
                    continue
                packet = convert_packet(packet, codecs[index], codec)
            packet.stream = self._copies[index]
            yield packet

    def _mux(self, packet: av.Packet) -> None:
        """Write a packet; MP4 and MOV hold no DTS twice, so a second one comes a tick later."""
        stream = packet.stream
        if packet.dts is not None and self._plan.format in ("mp4", "mov"):
            ticks = packet.time_base / stream.time_base
            dts = math.floor(packet.dts * ticks + Fraction(1, 2))
            min_dts = self._last_dts.get(stream.index, dts - 1) + 1
            if dts < min_dts:
                delay = 0 if packet.pts is None else packet.pts - packet.dts
                packet.time_base = stream.time_base
                packet.duration = math.floor((packet.duration or 0) * ticks)
                packet.dts = dts = min_dts
                packet.pts = dts + math.floor(delay * ticks)
            self._last_dts[stream.index] = dts
        try:
            self._output.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            seconds = float((packet.dts or 0) * Fraction(packet.time_base))
            raise ContainerError(
                f"{self._plan.path} cannot hold a packet of {seconds:.3f} s of its stream "
                f"{stream.index} ({stream.type}); name another output, .mkv takes most"
            ) from error
        except (av.error.FFmpegError, OSError) as error:
            raise write_error(self._plan.path, error) from error


def copied_packets(
    container: InputContainer,
    streams: tuple[StreamInfo, ...],
    part: Part,
    packet_repair: PacketRepair | None = None,
) -> Iterator[av.Packet]:
    """Yield the packets of a part of some streams, in the container's order.

    `packet_repair`: repairs them for any container; None leaves them as they are.
    """
    source_streams = [container.streams[stream.index] for stream in streams]
    if not source_streams:
        return
    pictures = {stream.index for stream in streams if stream.is_picture}
    if part.start and (packet_repair is None or not packet_repair.changes_times):
        with suppress(av.error.FFmpegError):  # a damaged index: read from the beginning
            container.seek(int(part.start * av.time_base))
    for packet in read_packets(container, source_streams):
        if packet.size == 0:
            continue
        if packet_repair is not None:
            repaired = packet_repair.repair(packet)
            if repaired is None:
                continue
            packet = repaired
        time = packet.dts if packet.pts is None else packet.pts
        is_picture = packet.stream_index in pictures
        if is_picture or time is None or part.contains(time * Fraction(packet.time_base)):
            yield packet


def add_copy(
    output: OutputContainer, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> Any:
    """Add a stream for copied packets and return it; None for an attachment, which has none.

    `codec`: the codec that the packets of subtitles are converted to.
    """
    original: Any = source.streams[stream.index]
    if stream.type == "attachment":
        output.add_attachment(original.name or "attachment", original.mimetype, original.data)
        return None
    if stream.is_picture and output.format.name == "matroska":
        _attach_picture(output, source, stream)
        return None
    copy: Any
    if codec == MOV_TEXT:
        copy = output.add_stream(codec)
        copy.codec_context.subtitle_header = HEADER
    elif codec:
        copy = output.add_mux_stream(codec)
    else:
        copy = output.add_stream_from_template(original)
    if codec:
        copy.time_base = original.time_base
    copy_tags(original, copy)
    return copy


def _attach_picture(output: OutputContainer, source: InputContainer, stream: StreamInfo) -> None:
    """Add cover art as an attachment, which is how Matroska holds it."""
    extension = {"mjpeg": "jpg"}.get(stream.codec, stream.codec)
    subtype = "jpeg" if extension == "jpg" else extension
    name = stream.metadata.get("filename", f"cover.{extension}")
    mimetype = stream.metadata.get("mimetype", f"image/{subtype}")
    with open_film(Path(source.name)) as film:
        packet = next(p for p in film.demux(film.streams[stream.index]) if p.size)
        output.add_attachment(name, mimetype, bytes(packet))


def copy_tags(original: Any, copy: Any) -> None:
    """Copy a stream's language, title, other metadata and disposition to another stream."""
    copy.metadata.update(original.metadata)
    if copy.container.format.name == "mov" and original.metadata.get("language") == "fre":
        copy.metadata["language"] = "fra"  # QuickTime has one of the two codes of French
    copy.disposition = original.disposition


def convert_packet(packet: av.Packet, source: str, target: str) -> av.Packet:
    """Return a packet of subtitles in another codec, shown at the same time."""
    copy = av.Packet(convert_text(bytes(packet), source, target))
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, True
    return copy


def has_text(packet: av.Packet) -> bool:
    """Return False for the empty packets that fill the gaps between MP4's subtitles."""
    return packet.size > 2  # the first two bytes are the text's length
