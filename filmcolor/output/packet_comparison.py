"""Compares the packets of a copied stream with the source's: their bytes and their times."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path

import av

from filmcolor.errors import VerifyError
from filmcolor.output.audio_comparison import SoundComparison, is_converted_sound
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.streams import copied_packets, has_text
from filmcolor.output.subtitles import MOV_TEXT, is_convertible, styled_text
from filmcolor.types.film import FilmInfo, Part, StreamInfo
from filmcolor.video.demux import open_film

_PGS = "hdmv_pgs_subtitle"
_MPEG_CODECS = frozenset({"mp1", "mp2", "mp3"})  # MP4 has one name for them
_ADTS_SIZES = (7, 9)  # bytes of AAC's header in MPEG-TS, which MP4 and Matroska remove
# seconds: MP4 holds no time twice, so a second packet of one time comes a sample later
_TOLERANCE = Fraction(1, 1000)


def compare_stream(
    source: FilmInfo,
    output: FilmInfo,
    original: StreamInfo,
    copy: StreamInfo,
    part: Part,
    packet_repair: PacketRepair,
) -> None:
    """Compare a stream of a film with its copy in an output.

    `part`: the part of the film that the output holds. `packet_repair`: fresh for one pass.
    Raises VerifyError, naming the first packet that differs.
    """
    with open_film(source.path) as film, open_film(output.path) as copied_film:
        is_converted = is_converted_sound(original, copy)
        whole = {original.index} if is_converted else ()
        originals = copied_packets(film, (original,), part, packet_repair, whole)
        copies = copied_packets(copied_film, (copy,), Part())
        if is_converted:
            streams = film.streams[original.index], copied_film.streams[copy.index]
            sound_comparison = SoundComparison(original.name, str(output.path), part)
            sound_comparison.compare(streams[0], originals, streams[1], copies)
            return
        comparison = PacketComparison(
            original, copy, source.path, output.path, output.container, part.offset
        )
        comparison.compare(originals, copies)


@dataclass(frozen=True, slots=True)
class PacketComparison:
    """Compares the packets of a stream with those of its copy.

    `source`, `output`: the files, for messages. `container`: FFmpeg's name of the output's.
    `offset`: seconds from the source's clock to the output's.
    """

    original: StreamInfo
    copy: StreamInfo
    source: Path
    output: Path
    container: str
    offset: Fraction

    def compare(self, originals: Iterator[av.Packet], copies: Iterator[av.Packet]) -> None:
        """Raise VerifyError, naming the first packet that differs."""
        codecs = {self.original.codec, self.copy.codec}
        if self.original.type == "audio" and len(codecs) > 1 and not codecs <= _MPEG_CODECS:
            raise VerifyError(f"{self.original.name}: {self.output} has it as {self.copy.codec}")
        if self.original.codec == MOV_TEXT:
            originals = filter(has_text, originals)
        if self.copy.codec == MOV_TEXT:
            copies = filter(has_text, copies)
        if self.original.codec.startswith("pcm_"):
            self._compare_bytes(originals, copies, 0)
        else:
            self._compare_packets(originals, copies)

    def _compare_packets(self, originals: Iterator[av.Packet], copies: Iterator[av.Packet]) -> None:
        for number, (original, copy) in enumerate(zip_longest(originals, copies)):
            if original is None or copy is None:
                shorter = self.output if copy is None else self.source
                raise VerifyError(f"{self.original.name}: {shorter} ends after packet {number}")
            if not self._has_same_content(bytes(original), bytes(copy)):
                if not self._may_be_divided:
                    raise self._difference(number, "is not the source's")
                rest = chain([original], originals), chain([copy], copies)
                self._compare_bytes(*rest, number)
                return
            self._compare_time(original, copy, number)
            if self._is_converted:
                self._compare_duration(original, copy, number)

    def _compare_bytes(
        self, originals: Iterator[av.Packet], copies: Iterator[av.Packet], first: int
    ) -> None:
        """Compare a stream as one row of bytes, for its packets may be divided differently.

        MOV reads PCM in portions of its own; damage may divide other sound. Matroska's muxer joins
        the segments of a PGS subtitle, each a packet in MPEG-TS, to one packet.
        """
        data, data_start = b"", None  # copied bytes not compared yet, the packet they begin in
        is_joined = False  # whether the packet began with an earlier original
        for number, original in enumerate(originals, first):
            original_data = bytes(original)
            while len(data) < len(original_data):
                latest = next(copies, None)
                if latest is None:
                    raise VerifyError(
                        f"{self.original.name}: {self.output} ends within packet {number}"
                    )
                data_start = data_start if data else latest
                is_joined = False
                data += bytes(latest)
            if not data.startswith(original_data):
                raise self._difference(number, "is not the source's")
            data = data[len(original_data) :]
            if data_start is not None and not (is_joined and self.original.codec == _PGS):
                duration = (data_start.duration or 0) * Fraction(data_start.time_base)
                self._compare_time(original, data_start, number, duration)
            data_start, is_joined = (latest if data else None), bool(data)
        if data or next(copies, None) is not None:
            raise VerifyError(f"{self.original.name}: {self.output} goes on where the source ends")

    @property
    def _may_be_divided(self) -> bool:
        """True if the copy may hold the same bytes in other packets."""
        return self.original.type == "audio" or self.original.codec == _PGS

    @property
    def _is_converted(self) -> bool:
        return is_convertible(self.original.codec, self.copy.codec)

    def _has_same_content(self, original: bytes, copy: bytes) -> bool:
        if self._is_converted:
            return styled_text(original, self.original.codec) == styled_text(copy, self.copy.codec)
        if original == copy:
            return True
        is_adts = original[:1] == b"\xff" and len(original) - len(copy) in _ADTS_SIZES
        return is_adts and original.endswith(copy)

    def _compare_duration(self, original: av.Packet, copy: av.Packet, number: int) -> None:
        copy_base, base = Fraction(copy.time_base), Fraction(original.time_base)
        change = (copy.duration or 0) * copy_base - (original.duration or 0) * base
        if original.duration and abs(change) > copy_base + base:
            raise self._difference(number, f"is shown {_milliseconds(change)} longer than it was")

    def _compare_time(
        self, original: av.Packet, copy: av.Packet, number: int, tolerance: Fraction = _TOLERANCE
    ) -> None:
        if original.pts is None or copy.pts is None:
            return
        copy_base, base = Fraction(copy.time_base), Fraction(original.time_base)
        drift = copy.pts * copy_base - (original.pts * base - self.offset)
        if abs(drift) > max(copy_base + base, tolerance):  # each clock may round once
            remedy = "" if "matroska" in self.container else "; .mkv keeps such times, name one"
            raise self._difference(
                number, f"comes {_milliseconds(drift)} from where it was{remedy}"
            )

    def _difference(self, number: int, message: str) -> VerifyError:
        return VerifyError(f"{self.original.name}: packet {number} of {self.output} {message}")


def _milliseconds(seconds: Fraction) -> str:
    return f"{float(seconds) * 1000:+.1f} ms"
