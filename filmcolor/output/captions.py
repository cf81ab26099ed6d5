"""Writes closed captions beside an output: as Scenarist captions (.scc), and as subtitles (.srt).

Captions are CEA-608 pairs of bytes, one for each frame and field, in the decoded pictures
(ATSC A/53, part 4: cc_data) or in a track of their own (QuickTime's c608). The first field's are
written; a .scc file holds them to the byte, a .srt file what FFmpeg's decoder shows of them.
"""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from filmcolor.files import atomic_write
from filmcolor.output.options import OutputPlan
from filmcolor.output.subtitles import SUBRIP, convert_text
from filmcolor.output.timecode import shift_timecode
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.video.decoder import read_luma
from filmcolor.video.demux import open_film, read_packets
from filmcolor.video.side_data import CAPTIONS, read_side_data

Pair = tuple[Fraction, bytes]  # seconds from the output's first frame, two bytes with parity

SUFFIXES = (".scc", ".srt")
# for captions that a trial at the film's beginning did not meet
_KEEPING_ENCODERS = ("libx264", "libx265")
_TRACK_CODECS = ("eia_608", "cc_dec")
_PAIR_SECONDS = Fraction(1001, 30_000)  # CEA-608: a pair for each frame of NTSC
# of a triplet's first byte: cc_valid and cc_type, which is 0 for the first field
_VALID_AND_TYPE, _FIRST_FIELD = 0x07, 0x04
_MAX_RATE = 30  # frames per second that .scc files number
_MILLISECOND = Fraction(1, 1000)
_IMAGE_NUMBER = re.compile(r"[ ._-]*%\d*d")
_TAGS = re.compile(r"\{[^}]*\}")
_STYLE = re.compile(r"\\([ibu])([01])")


def is_caption_track(stream: StreamInfo) -> bool:
    """Return whether a stream is a track of CEA-608 captions."""
    return stream.codec in _TRACK_CODECS


def sidecar_paths(output: Path) -> tuple[Path, ...]:
    """Return the paths of the captions beside an output; of images, without their number."""
    stem = _IMAGE_NUMBER.sub("", output.stem) or output.parent.name
    return tuple(output.with_name(f"{stem}{suffix}") for suffix in SUFFIXES)


def write_captions(info: FilmInfo, part: Part, output: Path) -> tuple[Path, ...]:
    """Write the captions of a part of a film beside its output; return the files.

    They are read by decoding the film once more. None are written if there are none. Raises
    OutputError where a file cannot be written.
    """
    pairs = list(read_pairs(info, part))
    if not pairs:
        return ()
    texts = scc_text(pairs, info.frame_rate), srt_text(pairs)
    for path, text in zip(sidecar_paths(output), texts):
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return sidecar_paths(output)


def read_pairs(info: FilmInfo, part: Part) -> Iterator[Pair]:
    """Yield the first field's pairs of bytes in a part of a film, without padding, in order."""
    tracks = [stream.index for stream in info.streams if is_caption_track(stream)]
    data = _track_data(info, part, tracks[0]) if tracks else _picture_data(info, part)
    first_frame = info.start_seconds if part.start is None else part.start
    for seconds, triplets in data:
        number = 0
        for start in range(0, len(triplets) - 2, 3):
            first, pair = triplets[start], triplets[start + 1 : start + 3]
            if first & _VALID_AND_TYPE != _FIRST_FIELD:
                continue
            if pair[0] & 0x7F or pair[1] & 0x7F:  # else padding
                yield seconds - first_frame + number * _PAIR_SECONDS, pair
            number += 1  # a DVD has the pairs of many frames with the first of them


def describe_captions(
    info: FilmInfo, plan: OutputPlan, part: Part, has_captions: bool
) -> Iterator[str]:
    """Write captions beside a finished output where planned; yield a line about them.

    `has_captions`: whether frames of the part have any.
    """
    if plan.writes_captions:
        paths = write_captions(info, part, plan.path)
        names = " and ".join(path.name for path in paths)
        yield f"closed captions in {names}" if paths else "no closed captions (CEA-608) found"
    elif has_captions and CAPTIONS not in info.side_data and plan.codec not in _KEEPING_ENCODERS:
        yield (
            f"closed captions in later pictures left out: {plan.codec} does not keep them; "
            "--captions writes them beside it, as .scc and .srt"
        )


def _picture_data(info: FilmInfo, part: Part) -> Iterator[tuple[Fraction, bytes]]:
    """Yield (seconds, cc_data) of the frames that have any."""
    for frame in read_luma(info, part.first, part.stop):
        if frame.side_data is not None:
            triplets = read_side_data(frame.side_data).get(CAPTIONS, b"")
            yield frame.pts * info.time_base, triplets


def _track_data(info: FilmInfo, part: Part, index: int) -> Iterator[tuple[Fraction, bytes]]:
    """Yield (seconds, cc_data) of the packets of a track of captions."""
    with open_film(info.path) as film:
        for packet in read_packets(film, film.streams[index]):
            if packet.size and packet.pts is not None:
                seconds = packet.pts * Fraction(packet.time_base)
                if part.contains(seconds):
                    yield seconds, bytes(packet)


def scc_text(pairs: Iterable[Pair], frame_rate: Fraction) -> str:
    """Return a Scenarist closed caption file (V1.0) of pairs.

    A line has a timecode, from 00:00:00 at the first frame, and the pairs from there on, one for
    each frame. Its frames are the film's, or every second of a film with more than 30 a second;
    rates like 29.97 drop numbers.
    """
    rate = frame_rate if frame_rate <= _MAX_RATE else frame_rate / 2
    is_drop = rate.denominator != 1 and round(rate) == _MAX_RATE
    start = "00:00:00;00" if is_drop else "00:00:00:00"
    lines: list[str] = []
    next_number = 0
    for seconds, pair in pairs:
        number = round(seconds * rate)
        if not lines or number > next_number:
            lines.append(f"{shift_timecode(start, number, rate)}\t{pair.hex()}")
            next_number = number
        else:  # also where several frames' pairs come with one, as on DVDs
            lines[-1] += f" {pair.hex()}"
        next_number += 1
    return "\n\n".join(["Scenarist_SCC V1.0", *lines, ""])


def srt_text(pairs: Iterable[Pair]) -> str:
    """Return SubRip subtitles of what pairs show, with its bold, italics and underlines."""
    blocks: list[str] = []
    for start, end, text in _shown(pairs):
        times = " --> ".join(_format_srt_time(time) for time in (start, end))
        blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
    return "\n".join(blocks)


def _shown(pairs: Iterable[Pair]) -> Iterator[tuple[Fraction, Fraction, str]]:
    """Yield (start, end, text) of each text that is shown."""
    decoder: Any = av.CodecContext.create("cc_dec", "r")
    decoder.options = {"real_time": "1"}  # a text as soon as it is shown, and what follows it
    shown, start, time = "", Fraction(0), Fraction(0)
    for time, pair in pairs:
        packet = av.Packet(bytes([0xF8 | _FIRST_FIELD]) + pair)
        packet.pts, packet.time_base = round(time / _MILLISECOND), _MILLISECOND
        subtitles = decoder.decode2(packet)
        if subtitles is None:
            continue
        text = "\n".join(filter(None, (_plain_text(rect.ass) for rect in subtitles)))
        if text != shown:
            if shown and start < time:
                yield start, time, shown
            shown, start = text, time
    if shown:
        yield start, time + 1, shown


def _plain_text(ass: bytes) -> str:
    """Return SubRip's text of a line of ASS."""
    text = ass.decode("utf-8", "replace").split(",", 8)[-1]
    text = _TAGS.sub(lambda tag: _styles(tag[0]), text)
    lines = text.replace("\\h", " ").replace("\\n", "\\N").split("\\N")
    text = "\n".join(line.strip() for line in lines if line.strip())
    return convert_text(text.encode(), SUBRIP, SUBRIP).decode()  # closes open styles


def _styles(tag: str) -> str:
    """Return SubRip's tags of the styles in a tag of ASS."""
    return "".join(f"<{'' if on == '1' else '/'}{name}>" for name, on in _STYLE.findall(tag))


def _format_srt_time(seconds: Fraction) -> str:
    minutes, milliseconds = divmod(round(seconds / _MILLISECOND), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02},{milliseconds:03}"
