"""Every codec in every container is kept, converted, or refused before the first frame.

The table in `docs/containers.md` is what these tests measure. WRITE_DOCS=1 in the environment
writes it anew.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import codec_samples
import media
import numpy as np
import pytest
from codec_samples import Sample

from filmcolor.errors import ContainerError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "containers.md"
ENCODINGS = {
    ".mp4": Encoding(preset="ultrafast"),
    ".mov": Encoding(preset="ultrafast"),
    ".mkv": Encoding("master"),
    ".webm": Encoding(codec="libvpx-vp9"),
}
KEPT, REFUSED, LEFT_OUT = "kept", "refused", "left out"
NAMES = {"audio": "Sound", "subtitle": "Subtitles", "data": "Data"}
MAX_DELAY = 2048  # samples
INTRODUCTION = """# Which codec goes into which container

A run keeps every packet of sound and subtitles where the output's container can hold it. Where it
cannot, the run stops before the first frame, and names the containers that can. `--convert-audio`
converts sound instead, to the same samples: to FLAC, or in MOV to ALAC. Lossy sound is decoded and
rounded to 24 bits. Subtitles as text are converted without an option. Data without a player (KLV,
timed metadata) is left out with a note if the container cannot hold it.

`filmcolor probe FILM` prints what becomes of each stream of a film.

A test measures this table with PyAV {version}: it colours a film with each codec into each
container, decodes both, and compares. *to flac*: with `--convert-audio`.
"""
MPEG_AUDIO = {"mp2": "mp3"}  # MP4 and MOV have one name for both


@dataclass(frozen=True)
class Cell:
    """What became of a sample in a container."""

    sample: Sample
    suffix: str
    fate: str  # KEPT, "to " and the codec that it is converted to, LEFT_OUT, REFUSED, or an error
    source: Path
    output: Path


@pytest.fixture(scope="module")
def cells(weights_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Cell]:
    """Colour the film of every sample into every container, with sound converted if need be."""
    options = ColorOptions(weights=str(weights_path), size=32, device="cpu", surfaces=0.0)
    folder = tmp_path_factory.mktemp("codecs")
    result = []
    for number, sample in enumerate(codec_samples.SAMPLES):
        source = codec_samples.make(folder / f"film{number}", sample)
        for suffix in ENCODINGS:
            output = folder / f"film{number}{suffix}"
            result.append(Cell(sample, suffix, color(source, output, options), source, output))
    return result


def color(source: Path, output: Path, options: ColorOptions) -> str:
    """Colour a film; return the fate of its other stream, or what went wrong."""
    messages = []
    for convert_audio in (False, True):
        encoding = replace(ENCODINGS[output.suffix], convert_audio=convert_audio)
        progress: list[int] = []
        try:
            report = colorize(
                source,
                output,
                options=options,
                encoding=encoding,
                progress=lambda done, _, progress=progress: progress.append(done),
            )
        except ContainerError as error:
            if progress or output.exists():
                return f"fails after the first frame: {error}"
            messages.append(str(error))
        except Exception as error:
            return f"fails: {type(error).__name__}: {error}"
        else:
            offered = re.findall(r"--convert-audio to convert it to (\w+)", "".join(messages))
            return fate_of(report.notes, offered)
    return REFUSED if all("--drop-unsupported" in message for message in messages) else messages[0]


def fate_of(notes: Sequence[str], offered: Sequence[str]) -> str:
    """Return the fate that a report's notes name; sound is converted to what was offered."""
    converted = [match[1] for note in notes if (match := re.search(r"converted to (\w+):", note))]
    if any(note.startswith("left out") for note in notes):
        return LEFT_OUT
    if offered and converted != offered:
        return f"converted to {converted} where {offered} was offered"
    return f"to {converted[0]}" if converted else KEPT


def test_no_combination_fails(cells: Sequence[Cell]) -> None:
    allowed = re.compile(rf"{KEPT}|{REFUSED}|{LEFT_OUT}|to \w+")
    failures = [f"{c.sample.id} in {c.suffix}: {c.fate}" for c in cells]
    assert [line for line, cell in zip(failures, cells) if not allowed.fullmatch(cell.fate)] == []


def test_all_encoders_have_a_sample() -> None:
    names = set()
    for name in av.codecs_available:
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        if codec.type == "audio":
            names.add(codec.canonical_name)
    sampled = {av.Codec(s.codec, "w").canonical_name for s in codec_samples.SOUNDS if not s.packets}
    assert names - sampled == {av.Codec(n, "w").canonical_name for n in codec_samples.SOUND_ONLY}


def test_what_is_kept_has_the_same_packets(cells: Sequence[Cell]) -> None:
    kept = [cell for cell in cells if cell.fate == KEPT]
    assert len(kept) > 100
    for cell in kept:
        name, suffix = cell.sample.id, cell.suffix
        kind = cell.sample.type
        sources, outputs = media.streams(cell.source, kind), media.streams(cell.output, kind)
        assert (len(sources), len(outputs)) == (1, 1), (name, suffix, sources, outputs)
        source, output = sources[0], outputs[0]
        codecs = {source.codec, MPEG_AUDIO.get(source.codec, source.codec)}
        assert output.type == source.type, (name, suffix)
        assert output.codec in codecs, (name, suffix)
        originals, copies = content(cell.source), content(cell.output)
        assert copies == originals or copies == without_adts(originals), (name, suffix)


def test_what_is_kept_or_converted_sounds_the_same(cells: Sequence[Cell]) -> None:
    heard = [c for c in cells if c.sample.type == "audio" and c.fate != REFUSED]
    assert len(heard) > 200
    for cell in heard:
        name = f"{cell.sample.id} in {cell.suffix}"
        (originals, start), (copies, copy_start) = sound(cell.source), sound(cell.output)
        # MP4 calls MP2 MP3, whose decoder rounds in another way
        is_mp2 = cell.sample.codec == "mp2" and cell.suffix == ".mp4"
        tolerance = 2.0**-14 if is_mp2 else 2.0**-24
        assert originals.shape[0] == copies.shape[0], name
        if cell.fate == KEPT:
            # containers differ in how much of an encoder's delay they have players skip
            lag = find_lag(originals, copies, tolerance)
            assert lag is not None, name
            copy_start += Fraction(lag, cell.sample.rate)
            originals, copies = originals[:, max(0, -lag) :], copies[:, max(0, lag) :]
            length = min(originals.shape[1], copies.shape[1])
            assert length > 0.9 * originals.shape[1], name
            originals, copies = originals[:, :length], copies[:, :length]
        assert originals.shape == copies.shape, name
        assert np.abs(originals - copies).max() <= tolerance, name
        assert abs(copy_start - start) < Fraction(1, 500), name


def find_lag(originals: np.ndarray, copies: np.ndarray, tolerance: float) -> int | None:
    """Return the position in `copies` of the first original sample; None if it is not there."""
    size = min(256, originals.shape[1] // 2)
    for lag in sorted(range(-MAX_DELAY, MAX_DELAY), key=abs):  # silence is everywhere
        part = originals[:, max(0, -lag) :][:, :size]
        copy = copies[:, max(0, lag) :][:, :size]
        if part.size and copy.shape == part.shape and np.abs(part - copy).max() <= tolerance:
            return lag
    return None


def test_verify_finds_the_same(cells: Sequence[Cell]) -> None:
    for cell in cells:
        if cell.output.exists() and cell.fate != LEFT_OUT:
            assert verify(cell.source, cell.output) == codec_samples.NUM_FRAMES


def content(path: Path) -> bytes:
    """Return the bytes of all packets of the stream besides the picture."""
    with av.open(str(path)) as film:
        stream = next(s for s in film.streams if s.type != "video")
        is_text = getattr(stream, "name", "") == "mov_text"
        data = [bytes(packet) for packet in film.demux(stream) if packet.size]
    return b"".join(packet for packet in data if not is_text or len(packet) > 2)


def without_adts(data: bytes) -> bytes:
    """Return AAC without the headers that MPEG-TS has: ISO 14496-3, 1.A.2.2."""
    frames = []
    while data[:1] == b"\xff":
        size = int.from_bytes(data[3:6], "big") >> 5 & 0x1FFF
        frames.append(data[7:size])
        data = data[size:]
    return b"".join(frames)


def sound(path: Path) -> tuple[np.ndarray, Fraction]:
    """Return the decoded sound, a channel a row from -1 to 1, and its start in seconds."""
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        frames = []
        for packet in film.demux(stream):
            with suppress(av.error.FFmpegError):
                frames += stream.decode(packet)
    num_channels = frames[0].layout.nb_channels
    parts = []
    for frame in frames:
        values = frame.to_ndarray()
        if not frame.format.is_planar:
            values = values.reshape(-1, num_channels).T
        if values.dtype == np.uint8:
            values = (values.astype(np.int16) - 128 << 8).astype(np.int16)
        scale = 2.0 ** (8 * values.dtype.itemsize - 1) if values.dtype.kind == "i" else 1.0
        parts.append((values / scale).clip(-1.0, 1.0 - 2.0**-23))
    start = (frames[0].pts or 0) * Fraction(frames[0].time_base)
    return np.concatenate(parts, axis=1), start


def page(cells: Sequence[Cell]) -> str:
    """Return the page of the documents that shows the cells."""
    fates = {(cell.sample.id, cell.suffix): cell.fate for cell in cells}
    lines = [INTRODUCTION.format(version=av.__version__)]
    for kind, title in NAMES.items():
        lines += [f"## {title}", ""]
        lines.append(f"| codec | in a film of | {' | '.join(ENCODINGS)} |")
        lines.append("|---" * (2 + len(ENCODINGS)) + "|")
        for sample in (s for s in codec_samples.SAMPLES if s.type == kind):
            row = [fates[sample.id, suffix] for suffix in ENCODINGS]
            lines.append(
                f"| {sample.name or sample.codec} | {sample.container} | {' | '.join(row)} |"
            )
        lines.append("")
    without = ", ".join(sorted(codec_samples.SOUND_ONLY))
    lines.append(f"PyAV also encodes sound that no container of films holds: {without}.")
    return "\n".join(lines) + "\n"


def test_the_documents_have_this_table(cells: Sequence[Cell]) -> None:
    measured = page(cells)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(measured, encoding="utf-8")
    written = PAGE.read_text(encoding="utf-8")
    if f"PyAV {av.__version__}" not in written:
        pytest.skip("the table is of another version of PyAV")
    assert written == measured, "WRITE_DOCS=1 pytest tests/test_codec_table.py writes it anew"
