"""Compares a finished film with its source: checked, not hoped for."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path

import av
import numpy as np

from filmcolor.color import convert_luma
from filmcolor.cores import num_decoder_threads
from filmcolor.decode import FrameIndex, read_luma
from filmcolor.encode import copied_packets, cut_chapters, has_text
from filmcolor.errors import VerifyError
from filmcolor.frames import FilmInfo, Part, StreamInfo
from filmcolor.mending import Mending
from filmcolor.probing import open_film, probe
from filmcolor.subtitles import MOV_TEXT, is_convertible, styled_text

_FIELD_CODECS = ("h264", "ffv1", "prores", "mpeg2video")  # which tell it everywhere
_ADTS_HEADER = (7, 9)  # bytes which MP4 and Matroska take off each AAC packet of an MPEG-TS
# seconds: MP4 takes no time twice, what has the same comes a sample later
_SOUND_TOLERANCE = Fraction(1, 1000)
_CHAPTER_TOLERANCE = Fraction(1, 500)  # seconds: containers round chapters to 1 ms


def verify(
    source: FilmInfo,
    output: Path,
    pts: Sequence[int] | None = None,
    part: Part | None = None,
    copied: Iterable[StreamInfo] | None = None,
    mending: Mending | None = None,
) -> None:
    """Compare an output with its source: frames, timestamps, copied packets, chapters.

    `pts`: the source frames' times as decoded, FilmInfo.time_base units; read from its
    packets when None. `part`: the part that the output holds, the whole when None.
    `copied`: the streams that were to be copied; when None all but the picture, and but data
    that no one plays. `mending`: theirs, where the film was read for it already.
    Raises VerifyError, which says what differs.
    """
    part = part or Part(origin=source.origin)
    if pts is None:
        pts = [p for p in FrameIndex(source).pts if part.holds(p * source.time_base)]
    kinds: tuple[str, ...] = ("audio", "subtitle", "attachment", "data", "video")
    if copied is None:
        copied = [s for s in source.streams if s.index != source.video_index]
        kinds = ("audio", "subtitle", "attachment", "video")
    result = probe(output, source.video_number)  # copies keep the streams' order
    _compare_times(source, result, pts, part)
    _compare_geometry(source, result)
    _compare_chapters(source, result, part)
    copied = list(copied)
    mending = mending or Mending(source.path, copied)
    _compare_streams(source, result, copied, kinds, part, mending)


def verify_film(source: FilmInfo, output: Path) -> int:
    """Compare a whole film's output with it, and return the number of frames.

    Where the packets of a damaged source promise frames that cannot be decoded, those which
    can be are what the output must hold.
    """
    index = FrameIndex(source)
    problem = _problem(source, output, index.pts)
    if problem is None:
        return len(index.pts)
    # how much of a damaged film is decoded depends on the decoder's threads
    for num_threads in sorted({1, num_decoder_threads(source.bytes_per_frame)}):
        pts = [frame.pts for frame in read_luma(source, index=index, num_threads=num_threads)]
        if pts != index.pts:
            problem = _problem(source, output, pts)
            if problem is None:
                return len(pts)
    raise problem


def _problem(source: FilmInfo, output: Path, pts: Sequence[int]) -> VerifyError | None:
    try:
        verify(source, output, pts)
    except VerifyError as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class LumaDifference:
    """How far an output's luma is from its source's, over all frames."""

    num_frames: int
    num_different: int
    psnr: float  # dB, of code values at the lower of the two depths; infinite where none differs


def compare_luma(
    source: FilmInfo, output: FilmInfo, progress: Callable[[int, int | None], None] | None = None
) -> LumaDifference:
    """Decode both films and compare their luma, frame by frame; raises VerifyError on count."""
    depth = min(source.coding.bit_depth, output.coding.bit_depth)
    num_different, total, num_samples, num = 0, 0.0, 0, 0
    for num, (theirs, ours) in enumerate(zip_longest(read_luma(source), read_luma(output)), 1):
        if theirs is None or ours is None:
            less = output.path if ours is None else source.path
            raise VerifyError(f"{less} ends after {num - 1} frames, the other has more")
        height, width = theirs.luma.shape  # an odd one may have been made even
        planes = [
            convert_luma(f.luma[:height, :width], i.coding, replace(i.coding, bit_depth=depth))
            for f, i in ((theirs, source), (ours, output))
        ]
        squares = (planes[0].astype(np.int64) - planes[1]) ** 2
        error = float(squares.sum())
        num_different += error > 0
        total, num_samples = total + error, num_samples + squares.size
        if progress:
            progress(num, source.num_frames_told)
    peak = (1 << depth) - 1
    psnr = 10.0 * math.log10(peak**2 * num_samples / total) if total else math.inf
    return LumaDifference(num, num_different, psnr)


def _compare_times(source: FilmInfo, result: FilmInfo, pts: Sequence[int], part: Part) -> None:
    found = FrameIndex(result).pts
    if len(found) != len(pts):
        raise VerifyError(
            f"{result.path} has {len(found)} frames where {source.path} has {len(pts)}"
        )
    # exact, unless the container's clock cannot tell the source's ticks apart
    is_exact = (source.time_base / result.time_base).denominator == 1
    tolerance = Fraction(0) if is_exact else result.time_base / 2
    for number, (ours, theirs) in enumerate(zip(found, sorted(pts))):
        wanted = theirs * source.time_base - part.offset
        if abs(ours * result.time_base - wanted) > tolerance:
            raise VerifyError(
                f"frame {number} of {result.path} is shown at "
                f"{float(ours * result.time_base):.6f} s where {source.path} "
                f"has it at {float(wanted):.6f} s"
            )


def _compare_geometry(source: FilmInfo, result: FilmInfo) -> None:
    names = ["sar", "rotation"]
    if source.is_interlaced and not source.is_deinterlaced and result.codec in _FIELD_CODECS:
        names.append("field_order")
    for name in names:
        ours, theirs = getattr(result, name), getattr(source, name)
        if ours != theirs:
            raise VerifyError(f"{result.path} has {name} {ours} where {source.path} has {theirs}")


def _compare_chapters(source: FilmInfo, result: FilmInfo, part: Part) -> None:
    wanted = cut_chapters(source.chapters, part)
    if len(result.chapters) != len(wanted):
        raise VerifyError(
            f"{result.path} has {len(result.chapters)} chapters where {source.path} "
            f"has {len(wanted)}"
        )
    for ours, theirs in zip(result.chapters, wanted):
        if abs(ours.start - theirs.start) > _CHAPTER_TOLERANCE:
            raise VerifyError(
                f"chapter {theirs.metadata.get('title', '')!r} of {result.path} begins at "
                f"{float(ours.start):.3f} s where {source.path} has {float(theirs.start):.3f} s"
            )


def _compare_streams(
    source: FilmInfo,
    result: FilmInfo,
    copied: list[StreamInfo],
    kinds: tuple[str, ...],
    part: Part,
    mending: Mending,
) -> None:
    others = [s for s in result.streams if s.index != result.video_index and not s.is_timecode]
    for kind in kinds:
        ours = [s for s in others if _kind(s) == kind]
        theirs = [s for s in copied if _kind(s) == kind]
        if len(ours) != len(theirs):  # containers keep no stream without a packet
            theirs = [
                s
                for s in theirs
                if kind == "attachment" or _has_packets(source, s, part, mending.again())
            ]
        if len(ours) != len(theirs):
            raise VerifyError(
                f"{result.path} has {len(ours)} {kind} streams besides the picture "
                f"where {len(theirs)} of {source.path} were to be kept"
            )
        for mine, original in zip(ours, theirs):
            if kind in ("audio", "subtitle"):
                _compare_packets(source, original, result, mine, part, mending.again())


def _has_packets(film: FilmInfo, stream: StreamInfo, part: Part, mending: Mending) -> bool:
    with open_film(film.path) as container:
        return next(copied_packets(container, (stream,), part, mending), None) is not None


def _kind(stream: StreamInfo) -> str:
    """Matroska keeps cover art as an attachment: count the two as one."""
    return "attachment" if stream.is_picture else stream.kind


def _compare_packets(
    source: FilmInfo,
    original: StreamInfo,
    result: FilmInfo,
    copy: StreamInfo,
    part: Part,
    mending: Mending,
) -> None:
    # QuickTime's list of languages is short: what it lacks is said before the run
    if not _is_quicktime(result) and (copy.language or "und") != (original.language or "und"):
        raise VerifyError(f"{copy.name} of {result.path} was {original.name} in {source.path}")
    with open_film(source.path) as container, open_film(result.path) as other:
        wanted = copied_packets(container, (original,), part, mending)
        found = copied_packets(other, (copy,), Part())
        # MP4 fills the gaps between titles with empty ones
        wanted = filter(has_text, wanted) if original.codec == MOV_TEXT else wanted
        found = filter(has_text, found) if copy.codec == MOV_TEXT else found
        if original.codec.startswith("pcm_"):
            _compare_bytes(wanted, found, 0, original, result, part)
            return
        for number, (theirs, ours) in enumerate(zip_longest(wanted, found)):
            if theirs is None or ours is None:
                less = result.path if ours is None else source.path
                raise VerifyError(f"{original.name}: {less} ends after packet {number}")
            if not _is_same(bytes(theirs), bytes(ours), original.codec, copy.codec):
                if original.kind == "audio":
                    rest = chain([theirs], wanted), chain([ours], found)
                    _compare_bytes(*rest, number, original, result, part)
                    return
                raise VerifyError(
                    f"{original.name}: packet {number} of {result.path} is not the source's"
                )
            _compare_time(theirs, ours, number, original, result, part)
            if is_convertible(original.codec, copy.codec):
                _compare_length(theirs, ours, number, original, result)


def _compare_bytes(
    wanted: Iterator[av.Packet],
    found: Iterator[av.Packet],
    first: int,
    stream: StreamInfo,
    result: FilmInfo,
    part: Part,
) -> None:
    """Compare sound that is divided otherwise: containers do that with PCM, readers with damage."""
    held, holder = b"", None
    for number, theirs in enumerate(wanted, first):
        data = bytes(theirs)
        while len(held) < len(data):
            latest = next(found, None)
            if latest is None:
                raise VerifyError(f"{stream.name}: {result.path} ends within packet {number}")
            holder = holder if held else latest
            held += bytes(latest)
        if not held.startswith(data):
            raise VerifyError(
                f"{stream.name}: packet {number} of {result.path} is not the source's"
            )
        held = held[len(data) :]
        if holder is not None:
            length = (holder.duration or 0) * Fraction(holder.time_base)
            _compare_time(theirs, holder, number, stream, result, part, length)
        holder = latest if held else None
    if held or next(found, None) is not None:
        raise VerifyError(f"{stream.name}: {result.path} goes on where the source ends")


def _is_quicktime(film: FilmInfo) -> bool:
    return film.metadata.get("major_brand", "").strip() == "qt"


def _is_same(theirs: bytes, ours: bytes, codec: str, our_codec: str) -> bool:
    if is_convertible(codec, our_codec):
        return styled_text(theirs, codec) == styled_text(ours, our_codec)
    if theirs == ours:
        return True
    is_adts = theirs[:1] == b"\xff" and len(theirs) - len(ours) in _ADTS_HEADER
    return is_adts and theirs.endswith(ours)


def _compare_length(
    theirs: av.Packet, ours: av.Packet, number: int, stream: StreamInfo, result: FilmInfo
) -> None:
    """Compare how long a converted title is shown."""
    base, wanted_base = Fraction(ours.time_base), Fraction(theirs.time_base)
    change = (ours.duration or 0) * base - (theirs.duration or 0) * wanted_base
    if theirs.duration and abs(change) > base + wanted_base:
        raise VerifyError(
            f"{stream.name}: packet {number} of {result.path} is shown "
            f"{float(change) * 1000:+.1f} ms longer than it was"
        )


def _compare_time(
    theirs: av.Packet,
    ours: av.Packet,
    number: int,
    stream: StreamInfo,
    result: FilmInfo,
    part: Part,
    tolerance: Fraction = _SOUND_TOLERANCE,
) -> None:
    if theirs.pts is None or ours.pts is None:
        return
    base, wanted_base = Fraction(ours.time_base), Fraction(theirs.time_base)
    drift = ours.pts * base - (theirs.pts * wanted_base - part.offset)
    if abs(drift) > max(base + wanted_base, tolerance):  # each clock may round once
        raise VerifyError(
            f"{stream.name}: packet {number} of {result.path} comes "
            f"{float(drift) * 1000:+.1f} ms from where it was"
            + ("" if "matroska" in result.container else "; .mkv keeps such times, name one")
        )
