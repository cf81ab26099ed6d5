"""Copies the streams besides the picture: sound, subtitles, attachments, cover art."""

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer

from filmcolor.errors import ContainerError
from filmcolor.output.acm import add_acm_stream
from filmcolor.output.audio_conversion import AudioConverter
from filmcolor.output.audio_parameters import set_parameters
from filmcolor.output.audio_target import AudioTarget, add_target_stream
from filmcolor.output.metadata import stream_tags
from filmcolor.output.muxing import write_error
from filmcolor.output.options import Conversion, OutputPlan
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.subtitles import HEADER, MOV_TEXT, convert_text
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.video.demux import open_film, path_of, read_packets


class StreamCopyError(ContainerError):
    """The container refuses a packet of a stream that it took so far."""

    def __init__(self, message: str, stream: StreamInfo) -> None:
        super().__init__(message)
        self.stream = stream


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
        self.repair = PacketRepair(info.path, plan.stream_plan.copied)
        self._converters = {
            index: AudioConverter(source.streams[index], target, part)
            for index, target in plan.stream_plan.conversions.items()
            if isinstance(target, AudioTarget)
        }
        self._packets = self._converted_packets()
        self._next: av.Packet | None = None

    def add_stream(self, output: OutputContainer, stream: StreamInfo) -> None:
        """Add a copy of a stream to the output."""
        self._muxer = PacketMuxer(output)
        conversion = self._plan.stream_plan.conversions.get(stream.index)
        self._copies[stream.index] = add_copy(output, self._source, stream, conversion)

    def start(self) -> None:
        """Read the first packet; the output's header has been written."""
        self._next = next(self._packets, None)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy the packets up to a time on the output's clock; all the others when None."""
        while (packet := self._next) is not None and self._is_due(packet, seconds):
            shift_packet(packet, self._part.offset)
            self._mux(packet)
            self._next = next(self._packets, None)

    def _is_due(self, packet: av.Packet, seconds: Fraction | None) -> bool:
        """Return whether a packet is not later than a time; packets without a time are due."""
        time = packet.pts if packet.dts is None else packet.dts
        if seconds is None or time is None:
            return True
        return time * Fraction(packet.time_base) - self._part.offset <= seconds

    def _converted_packets(self) -> Iterator[av.Packet]:
        """Yield the packets, with subtitles and sound converted as planned."""
        plan = self._plan.stream_plan
        streams = {stream.index: stream for stream in plan.copied}
        for packet in copied_packets(
            self._source, plan.copied, self._part, self.repair, self._converters
        ):
            index = packet.stream_index
            conversion = plan.conversions.get(index)
            if self._copies[index] is None:
                continue
            if isinstance(conversion, AudioTarget):
                yield from self._convert_sound(index, packet)
                continue
            converted = converted_packet(packet, streams[index], conversion)
            if converted is not None:
                converted.stream = self._copies[index]
                yield converted
        for index in self._converters:
            yield from self._convert_sound(index, None)

    def _convert_sound(self, index: int, packet: av.Packet | None) -> Iterator[av.Packet]:
        converter = self._converters[index]
        for converted in converter.convert(packet):
            converted.stream = self._copies[index]
            yield converted
        if packet is None:
            self.repair.add_undecodable(index, converter.reader.num_undecodable)

    def _mux(self, packet: av.Packet) -> None:
        stream = packet.stream
        try:
            self._muxer.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            seconds = float((packet.dts or 0) * Fraction(packet.time_base))
            copied = self._plan.stream_plan.copied
            original = next(s for s in copied if self._copies[s.index] is stream)
            raise StreamCopyError(
                f"{self._plan.path.name} cannot hold the packet of {original.name} at "
                f"{seconds:.3f} s; name another output, .mkv takes most",
                original,
            ) from error
        except (av.error.FFmpegError, OSError) as error:
            raise write_error(self._plan.path, error) from error


class PacketMuxer:
    """Writes packets; MP4 and MOV hold no DTS twice, so a second one comes a tick later."""

    def __init__(self, output: OutputContainer) -> None:
        self._output = output
        self._is_unique = output.format.name in ("mp4", "mov")
        self._last_dts: dict[int, int] = {}  # by stream of the output, in its ticks

    def mux(self, packet: av.Packet) -> None:
        """Write a packet, whose `stream` is one of the output."""
        stream = packet.stream
        if packet.dts is not None and self._is_unique:
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
        self._output.mux(packet)


def copied_packets(
    container: InputContainer,
    streams: tuple[StreamInfo, ...],
    part: Part,
    packet_repair: PacketRepair | None = None,
    whole: Collection[int] = (),
) -> Iterator[av.Packet]:
    """Yield the packets of a part of some streams, in the container's order.

    `packet_repair`: repairs them for any container; None leaves them as they are. `whole`: the
    indexes of streams all of whose packets are yielded.
    """
    source_streams = [container.streams[stream.index] for stream in streams]
    if not source_streams:
        return
    pictures = {stream.index for stream in streams if stream.is_picture}
    needs_all = bool(whole) or (packet_repair is not None and packet_repair.changes_times)
    if part.start and not needs_all:
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
        is_exempt = packet.stream_index in pictures or packet.stream_index in whole
        if is_exempt or time is None or part.contains(time * Fraction(packet.time_base)):
            yield packet


def add_copy(
    output: OutputContainer,
    source: InputContainer,
    stream: StreamInfo,
    conversion: Conversion | None = None,
) -> Any:
    """Add a stream for copied packets and return it; None for an attachment, which has none.

    `conversion`: what the packets are converted to.
    """
    original: Any = source.streams[stream.index]
    if stream.type == "attachment":
        name = original.name or "attachment"
        copy_tags(original, output.add_attachment(name, original.mimetype, original.data))
        return None
    if stream.is_picture and output.format.name == "matroska":
        _attach_picture(output, source, stream)
        return None
    copy: Any
    if isinstance(conversion, AudioTarget):
        copy = add_target_stream(output, conversion)
    elif conversion == MOV_TEXT:
        copy = output.add_stream(conversion)
        copy.codec_context.subtitle_header = HEADER
    elif conversion:
        copy = output.add_mux_stream(conversion)
    else:
        copy = _add_stream_like(output, original)
    if isinstance(conversion, str):
        copy.time_base = original.time_base
    copy_tags(original, copy)
    return copy


def _add_stream_like(output: OutputContainer, original: Any) -> Any:
    if original.codec_context is None and original.type in ("audio", "subtitle"):
        raise ValueError("this build of PyAV does not know its codec")
    try:
        copy: Any = output.add_stream_from_template(original)
    except ValueError:
        if original.type == "audio" and output.format.name == "matroska":
            with suppress(ValueError):
                return add_acm_stream(output, original)
        raise
    if original.type == "audio":
        set_parameters(copy, original)
    return copy


def _attach_picture(output: OutputContainer, source: InputContainer, stream: StreamInfo) -> None:
    """Add cover art as an attachment, which is how Matroska holds it."""
    extension = {"mjpeg": "jpg"}.get(stream.codec, stream.codec)
    subtype = "jpeg" if extension == "jpg" else extension
    name = stream.metadata.get("filename", f"cover.{extension}")
    mimetype = stream.metadata.get("mimetype", f"image/{subtype}")
    with open_film(path_of(source)) as film:
        packet = next(p for p in film.demux(film.streams[stream.index]) if p.size)
        output.add_attachment(name, mimetype, bytes(packet))


def copy_tags(original: Any, copy: Any, is_picture: bool = False) -> None:
    """Copy a stream's language, title, other metadata and disposition to another stream.

    `is_picture`: whether it is the stream that is coloured, whose coding changes.
    """
    copy.metadata.update(stream_tags(original.metadata, is_picture))
    if copy.container.format.name == "mov" and original.metadata.get("language") == "fre":
        copy.metadata["language"] = "fra"  # QuickTime has one of the two codes of French
    copy.disposition = original.disposition


def converted_packet(packet: av.Packet, stream: StreamInfo, codec: str | None) -> av.Packet | None:
    """Return a packet of subtitles in another codec, shown at the same time.

    None for a packet without text. The packet itself where `codec` is None.
    """
    if codec is None:
        return packet
    if stream.codec == MOV_TEXT and not has_text(packet):
        return None
    copy = av.Packet(convert_text(bytes(packet), stream.codec, codec))
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, True
    return copy


def shift_packet(packet: av.Packet, offset: Fraction) -> None:
    """Move a packet `offset` seconds earlier, in place."""
    ticks = round(offset / Fraction(packet.time_base))
    packet.pts = None if packet.pts is None else packet.pts - ticks
    packet.dts = None if packet.dts is None else packet.dts - ticks


def has_text(packet: av.Packet) -> bool:
    """Return False for the empty packets that fill the gaps between MP4's subtitles."""
    return packet.size > 2  # the first two bytes are the text's length
