"""Compares a finished film with its source: frames, times, geometry, chapters, copied streams."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from filmcolor.errors import VerifyError
from filmcolor.output.audio_comparison import has_samples
from filmcolor.output.image_comparison import compare_images
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.metadata_comparison import compare_description, compare_stream_tags
from filmcolor.output.packet_comparison import compare_stream
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.streams import copied_packets
from filmcolor.runtime.threads import decoder_thread_choices
from filmcolor.types.film import (
    BOTTOM_FIRST,
    PROGRESSIVE,
    TOP_FIRST,
    UNKNOWN_ORDER,
    FilmInfo,
    Part,
    StreamInfo,
)
from filmcolor.video.decoder import read_luma
from filmcolor.video.demux import open_film
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.interlacing import is_interlaced_order, marks_frames
from filmcolor.video.probe import probe
from filmcolor.video.source_options import AS_MARKED, SourceOptions

_ORDER_NAMES = {
    UNKNOWN_ORDER: "in no order",
    PROGRESSIVE: "shown together",
    TOP_FIRST: "top first",
    BOTTOM_FIRST: "bottom first",
}


def verify(
    source: str | Path, output: str | Path, *, source_options: SourceOptions = AS_MARKED
) -> int:
    """Compare a film's output with the film, and return the number of frames.

    Compares frames, timestamps, pixel shape, chapters and all packets of sound and subtitles. If
    packets of a damaged film announce frames that cannot be decoded, the output must hold those
    that can. `source_options`: those that the output was made with.
    Raises VerifyError, which names the first difference, and InputError for files that
    cannot be read.
    """
    info, output = source_options.apply(probe(source)), Path(output)
    index = FrameIndex.read(info)
    error = _find_difference(info, output, index.pts)
    if error is None:
        return len(index.pts)
    # which frames of a damaged film are decoded depends on the decoder's threads
    for num_threads in decoder_thread_choices(info.bytes_per_frame):
        pts = [frame.pts for frame in read_luma(info, index=index, num_threads=num_threads)]
        if pts != index.pts:
            error = _find_difference(info, output, pts)
            if error is None:
                return len(pts)
    raise error


def _find_difference(source: FilmInfo, output: Path, pts: Sequence[int]) -> VerifyError | None:
    try:
        verify_output(source, output, pts)
    except VerifyError as error:
        return error
    return None


def verify_output(
    source: FilmInfo,
    output: Path,
    pts: Sequence[int] | None = None,
    part: Part | None = None,
    copied: Iterable[StreamInfo] | None = None,
    packet_repair: PacketRepair | None = None,
) -> None:
    """Compare an output with its source: frames, timestamps, copied packets, chapters.

    `pts`: times of the decoded source frames, FilmInfo.time_base units; by default all that the
    source's packets announce. `part`: the part that the output holds, by default the whole.
    `copied`: the streams that the output must hold; by default all but the picture and data
    without a player. `packet_repair`: that of the copied streams, if the film has been read for it
    already. Raises VerifyError, which names the first difference.
    """
    part = part or Part(origin=source.origin)
    if pts is None:
        pts = [p for p in FrameIndex.read(source).pts if part.contains(p * source.time_base)]
    types: tuple[str, ...] = ("audio", "subtitle", "attachment", "data", "video")
    if copied is None:
        copied = [s for s in source.streams if s.index != source.video_index]
        types = ("audio", "subtitle", "attachment", "video")
    result = probe(output, source.video_number)  # copies keep the streams' order
    if result.container == IMAGE_SEQUENCE:
        compare_images(source, result, pts)
    else:
        _compare_times(source, result, pts, part)
        _compare_geometry(source, result)
        compare_description(source, result, part)
    copied = list(copied)
    packet_repair = packet_repair or PacketRepair(source.path, copied)
    for stream_type in types:
        streams = [stream for stream in copied if _type_of(stream) == stream_type]
        _compare_streams(source, result, stream_type, streams, part, packet_repair)


def _compare_times(source: FilmInfo, result: FilmInfo, pts: Sequence[int], part: Part) -> None:
    result_pts = FrameIndex.read(result).pts
    if len(result_pts) != len(pts):
        raise VerifyError(
            f"{result.path} has {len(result_pts)} frames where {source.path} has {len(pts)}"
        )
    # exact, unless the container's clock is coarser than the source's
    is_exact = (source.time_base / result.time_base).denominator == 1
    tolerance = Fraction(0) if is_exact else result.time_base / 2
    for number, (result_time, source_time) in enumerate(zip(result_pts, sorted(pts))):
        seconds = result_time * result.time_base
        expected_seconds = source_time * source.time_base - part.offset
        if abs(seconds - expected_seconds) > tolerance:
            raise VerifyError(
                f"frame {number} of {result.path} is shown at {float(seconds):.6f} s where "
                f"{source.path} has it at {float(expected_seconds):.6f} s"
            )


def _compare_geometry(source: FilmInfo, result: FilmInfo) -> None:
    differences: list[tuple[str, object, object]] = []
    if result.sar != source.sar:
        differences.append(("pixels of", result.sar, source.sar))
    if not result.orientation.is_shown_as(source.orientation):
        differences.append(("orientation", result.orientation, source.orientation))
    expected, order = source.output_field_order, result.field_order
    is_stated = marks_frames(result.codec) or order != UNKNOWN_ORDER
    if is_interlaced_order(expected) and is_stated and order != expected:
        differences.append(("fields", _ORDER_NAMES[order], _ORDER_NAMES[expected]))
    for name, value, expected_value in differences:
        raise VerifyError(
            f"{result.path} has {name} {value} where {source.path} has {expected_value}"
        )


def _compare_streams(
    source: FilmInfo,
    result: FilmInfo,
    stream_type: str,
    originals: list[StreamInfo],
    part: Part,
    packet_repair: PacketRepair,
) -> None:
    """Compare the copied streams of one type: their number, languages and packets."""
    copies = [
        stream
        for stream in result.streams
        if stream.index != result.video_index
        and not stream.is_timecode
        and _type_of(stream) == stream_type
    ]
    if len(copies) != len(originals) and stream_type != "attachment":
        # not every container keeps a stream without a packet
        originals = [s for s in originals if _has_packets(source, s, part, packet_repair)]
        copies = [stream for stream in copies if _has_packets(result, stream, Part(), None)]
    if len(copies) < len(originals) and stream_type == "audio":
        # converted sound without a sample has no packet
        originals = [s for s in originals if has_samples(source, s, part)]
    if len(copies) != len(originals):
        raise VerifyError(
            f"{result.path} has {len(copies)} {stream_type} streams besides the picture "
            f"where {len(originals)} of {source.path} were to be kept"
        )
    if stream_type not in ("audio", "subtitle", "data"):
        return
    for copy, original in zip(copies, originals):
        # QuickTime's list of languages is short: the plan's notes name those that it lacks
        is_same_language = (copy.language or "und") == (original.language or "und")
        if not is_same_language and not _is_quicktime(result):
            raise VerifyError(f"{copy.name} of {result.path} was {original.name} in {source.path}")
        repair = packet_repair.restarted()
        compare_stream(source, result, original, copy, part, repair)
        compare_stream_tags(original, copy, source, result)


def _has_packets(
    film: FilmInfo, stream: StreamInfo, part: Part, packet_repair: PacketRepair | None
) -> bool:
    repair = packet_repair and packet_repair.restarted()
    with open_film(film.path) as container:
        packets = copied_packets(container, (stream,), part, repair)
        return next(packets, None) is not None


def _type_of(stream: StreamInfo) -> str:
    """Return a stream's type, with cover art as an attachment: Matroska keeps it as one."""
    return "attachment" if stream.is_picture else stream.type


def _is_quicktime(film: FilmInfo) -> bool:
    return film.metadata.get("major_brand", "").strip() == "qt"
