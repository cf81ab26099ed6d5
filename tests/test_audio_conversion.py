"""Converted sound has the source's samples at the source's times, and verification would notice."""

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import codec_samples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmcolor.errors import VerifyError
from filmcolor.output.acm import add_acm_stream, name_acm_tracks
from filmcolor.output.audio_comparison import SoundComparison
from filmcolor.output.audio_conversion import AudioConverter
from filmcolor.output.audio_samples import convert_samples
from filmcolor.output.audio_target import AudioTarget, add_target_stream, choose_target
from filmcolor.output.muxing import muxer_options
from filmcolor.types.film import Part

RATE = 8000
SUFFIXES = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov"}
Span = tuple[int, np.ndarray]  # the position of the first sample, in samples; a channel a row


def tone(num_samples: int, pitch: float = 440.0, rate: int = RATE) -> np.ndarray:
    """Return 16-bit samples of one channel that swell, so that all parts differ."""
    swell = np.linspace(2000, 12000, num_samples)
    return np.rint(np.sin(np.arange(num_samples) * 2 * np.pi * pitch / rate) * swell).astype("i2")


def write_sound(
    path: Path,
    spans: Sequence[Span],
    codec: str = "pcm_mulaw",
    *,
    rate: int = RATE,
    layout: str = "mono",
    format_name: str = "matroska",
    num_samples: int = 160,
    jitter: Sequence[int] = (0,),
) -> Path:
    """Write sound in packets of `num_samples`, at the times of its spans.

    Matroska holds PCM of its own kinds only; NUT and MOV hold others. `jitter`: ticks by which
    packets are late, in turn.
    """
    with av.open(str(path), "w", format=format_name) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        context = stream.codec_context
        context.layout = layout
        output.start_encoding()
        number = 0
        for start, values in spans:
            for first in range(0, values.shape[-1], num_samples):
                part = values[..., first : first + num_samples]
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(np.atleast_2d(part).T.reshape(1, -1)),
                    context.format.name,
                    layout,
                )
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = start + first + jitter[number % len(jitter)]
                number += 1
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def read_sound(path: Path) -> tuple[list[tuple[Fraction, np.ndarray]], int]:
    """Return the decoded frames, (start in seconds, a channel a row), and the sample rate."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
    rate = frames[0].sample_rate
    num_channels = frames[0].layout.nb_channels
    values, end = [], Fraction(0)
    for frame in frames:
        array = frame.to_ndarray()
        if not frame.format.is_planar:
            array = array.reshape(-1, num_channels).T
        start = end if frame.pts is None else frame.pts * Fraction(frame.time_base)
        values.append((start, array))
        end = start + Fraction(frame.samples, rate)
    return values, rate


def joined(frames: Iterable[tuple[Fraction, np.ndarray]]) -> np.ndarray:
    return np.concatenate([values for _, values in frames], axis=1)


def packets(film: Any) -> list[av.Packet]:
    return [packet for packet in film.demux(audio=0) if packet.size]


def convert(source: Path, output: Path, part: Part | None = None) -> AudioTarget:
    """Convert a film's sound as a run does, into the container of the output's suffix."""
    format_name = {suffix: name for name, suffix in SUFFIXES.items()}[output.suffix]
    with av.open(str(source)) as film:
        target = choose_target(format_name, film.streams.audio[0], packets(film))
    assert target is not None
    options = muxer_options(format_name, Fraction(1, 90000))
    with (
        av.open(str(source)) as film,
        av.open(str(output), "w", format=format_name, container_options=options) as result,
    ):
        stream = add_target_stream(result, target)
        result.start_encoding()
        converter = AudioConverter(film.streams.audio[0], target, part or Part())
        for packet in [*packets(film), None]:
            for converted in converter.convert(packet):
                converted.stream = stream
                result.mux(converted)
    return target


def compare(source: Path, output: Path, part: Part | None = None) -> None:
    """Compare as `verify` does."""
    with av.open(str(source)) as film, av.open(str(output)) as copy:
        comparison = SoundComparison("stream 1", output.name, part or Part())
        comparison.compare(
            film.streams.audio[0], packets(film), copy.streams.audio[0], packets(copy)
        )


@pytest.mark.parametrize("suffix", SUFFIXES.values())
@pytest.mark.parametrize("sample", codec_samples.SOUNDS, ids=lambda sample: sample.id)
def test_every_codec_keeps_its_samples(
    tmp_path: Path, sample: codec_samples.Sample, suffix: str
) -> None:
    source = codec_samples.make(tmp_path / "film", sample)
    with av.open(str(source)) as film:
        context = film.streams.audio[0].codec_context
        name = context.codec.canonical_name
        is_wide = name.startswith(("pcm_f", "pcm_s32", "pcm_u32", "alac", "dts"))
        if name == "pcm_s64le" or (is_wide and suffix != ".mkv"):
            format_name = {s: n for n, s in SUFFIXES.items()}[suffix]
            stream = film.streams.audio[0]
            assert choose_target(format_name, stream, packets(film)) is None
            return
    output = tmp_path / f"out{suffix}"
    target = convert(source, output)
    compare(source, output)
    (expected, rate), (result, result_rate) = read_sound(source), read_sound(output)
    assert result_rate == rate
    assert target.codec == {".mov": "alac"}.get(suffix, "flac") or is_wide
    originals, copies = joined(expected), joined(result)
    assert originals.shape == copies.shape
    if originals.dtype.kind == "f" and copies.dtype.kind == "i":
        rounded = copies / 2.0**31
        assert np.abs(rounded - originals.clip(-1.0, 1.0 - 2.0**-23)).max() <= 2.0**-24
    elif originals.dtype == np.uint8:
        assert np.array_equal((originals.astype("i2") - 128) * 256, copies)
    else:
        assert np.array_equal(originals, copies)


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    first, second = tone(2000), tone(1500, 300.0)
    source = write_sound(tmp_path / "film.nut", [(0, first), (4000, second)], format_name="nut")
    decoded, _ = read_sound(source)
    for suffix in SUFFIXES.values():
        output = tmp_path / f"out{suffix}"
        convert(source, output)
        compare(source, output)
        frames, _ = read_sound(output)
        assert np.array_equal(joined(frames), joined(decoded))
        before = joined(f for f in frames if f[0] < Fraction(1, 2))
        after = [f for f in frames if f[0] >= Fraction(1, 2)]
        assert before.shape[1] == 2000
        assert after[0][0] == Fraction(1, 2)
        assert joined(after).shape[1] == 1500


def test_a_slow_clock_does_not_drift(tmp_path: Path) -> None:
    # 1 % too slow: after two seconds, 20 ms of sound are missing in the source's times
    spans = [(n * 162, tone(160, 300.0 + n)) for n in range(100)]
    source = write_sound(tmp_path / "film.nut", spans, format_name="nut")
    output = tmp_path / "out.mkv"
    convert(source, output)
    compare(source, output)
    originals, copies = read_sound(source)[0], read_sound(output)[0]
    assert np.array_equal(joined(originals), joined(copies))
    end = originals[-1][0] + Fraction(160, RATE)
    copied_end = copies[-1][0] + Fraction(copies[-1][1].shape[1], RATE)
    assert abs(end - copied_end) < Fraction(3, 1000)


def test_rounded_times_make_no_gaps(tmp_path: Path) -> None:
    source = write_sound(
        tmp_path / "film.nut", [(0, tone(8000))], format_name="nut", jitter=(0, 4, -4)
    )
    output = tmp_path / "out.mp4"
    convert(source, output)
    compare(source, output)
    frames, _ = read_sound(output)
    starts = [start for start, _ in frames]
    ends = [start + Fraction(values.shape[1], RATE) for start, values in frames]
    assert starts[1:] == ends[:-1]


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_a_part_begins_and_ends_at_its_samples(tmp_path: Path, suffix: str) -> None:
    source = write_sound(tmp_path / "film.nut", [(0, tone(8000))], format_name="nut")
    output = tmp_path / f"out{suffix}"
    part = Part(start=Fraction(1001, 8000), end=Fraction(12345, 20000))
    convert(source, output, part)
    (whole, _), (frames, _) = read_sound(source), read_sound(output)
    assert np.array_equal(joined(whole)[:, 1001:4938], joined(frames))
    assert frames[0][0] >= Fraction(1001, 8000) - Fraction(1, 2000)


def tape(path: Path, *parts: tuple[int, float]) -> Path:
    """Write a DV tape whose sound changes its rate: each part has (rate, pitch), 5 frames."""
    content = b""
    for rate, pitch in parts:
        memory = io.BytesIO()
        with av.open(memory, "w", format="dv") as output:
            video: Any = output.add_stream("dvvideo", rate=25)
            video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
            sound: Any = output.add_stream("pcm_s16le", rate=rate)
            sound.codec_context.layout = "stereo"
            output.start_encoding()
            for number in range(5):
                picture = av.VideoFrame(720, 576, "yuv420p")
                for plane in picture.planes:
                    plane.update(bytes([128]) * plane.buffer_size)
                picture.pts, picture.time_base = number, Fraction(1, 25)
                output.mux(video.encode(picture))
                size = rate // 25
                samples = np.sin(
                    np.arange(number * size, (number + 1) * size) / rate * pitch * 6.2832
                )
                values = np.repeat((samples * 9000).astype("i2"), 2)[None]
                frame = av.AudioFrame.from_ndarray(values, "s16", "stereo")
                frame.sample_rate, frame.pts = rate, number * size
                frame.time_base = Fraction(1, rate)
                output.mux(sound.encode(frame))
            output.mux(video.encode(None))
            output.mux(sound.encode(None))
        content += memory.getvalue()
    path.write_bytes(content)
    return path


def pitch_of(values: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values))))
    return float(np.argmax(spectrum)) * rate / len(values)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
@pytest.mark.parametrize("rates", [(48000, 32000), (32000, 48000), (32000, 48000, 44100)])
def test_a_tape_that_changes_its_rate_keeps_pitch_and_length(
    tmp_path: Path, suffix: str, rates: tuple[int, ...]
) -> None:
    pitches = (400.0, 800.0, 1200.0)
    source = tape(tmp_path / "tape.dv", *zip(rates, pitches))
    output = tmp_path / f"out{suffix}"
    assert convert(source, output).rate == 48000
    compare(source, output)
    frames, rate = read_sound(output)
    values = joined(frames)
    assert rate == 48000
    assert abs(values.shape[1] - len(rates) * 9600) <= len(rates)
    for number, pitch in enumerate(pitches[: len(rates)]):
        part = values[0, number * 9600 : (number + 1) * 9600].astype(float)
        assert pitch_of(part, 48000) == pytest.approx(pitch, abs=5.0)
        assert np.abs(part[1000:-1000]).max() == pytest.approx(9000, rel=0.02)
    # samples that have the output's rate are not touched
    number = rates.index(48000)
    original = [v for _, v in read_frames_at(source, 48000)]
    part = values[:, number * 9600 : (number + 1) * 9600]
    assert np.array_equal(np.concatenate(original, axis=1)[:, 100:-100], part[:, 100:-100])


def read_frames_at(path: Path, rate: int) -> Iterator[tuple[int, np.ndarray]]:
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            if frame.sample_rate == rate:
                yield frame.pts, frame.to_ndarray().reshape(-1, 2).T


def test_many_channels_become_pcm(tmp_path: Path) -> None:
    values = np.stack([tone(2000, 100.0 + 40.0 * n) for n in range(16)])
    source = write_sound(
        tmp_path / "film.nut",
        [(0, values)],
        "pcm_u16le",
        layout="hexadecagonal",
        format_name="nut",
    )
    output = tmp_path / "out.mkv"
    assert convert(source, output).codec == "pcm_s16le"
    compare(source, output)
    assert np.array_equal(joined(read_sound(output)[0]), values)


floats = st.floats(-2.0, 2.0, allow_nan=False, width=32)


@given(st.lists(floats, min_size=1))
def test_floats_are_rounded_to_24_bits(numbers: list[float]) -> None:
    values = np.array([numbers], np.float32)
    result = convert_samples(values, "s32")
    assert not (result & 255).any()  # 24 bits, in the upper ones
    limited = values.astype(np.float64).clip(-1.0, 1.0 - 2.0**-23)
    assert np.abs(result / 2.0**31 - limited).max() <= 2.0**-24


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1))
def test_integers_are_moved_to_the_upper_bits(numbers: list[int]) -> None:
    values = np.array([numbers], np.int16)
    wide = convert_samples(values, "s32")
    assert np.array_equal(wide, values.astype(np.int32) * 65536)
    assert np.array_equal(convert_samples(wide, "s16"), values)
    assert np.array_equal(convert_samples(values, "flt"), values / np.float32(32768))
    octets = (values >> 8).astype(np.int64) + 128
    assert np.array_equal(convert_samples(octets.astype(np.uint8), "s16"), values >> 8 << 8)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, np.concatenate([tone(4000)[:3999], [1]]).astype("i2"))], "has other samples"),
        ([(0, tone(4000)[:3999])], r"ends before the source's, at 0\.500 s"),
        ([(0, np.concatenate([tone(4000), [0]]).astype("i2"))], r"goes on where .* ends"),
        ([(80, tone(4000))], r"comes \+10\.0 ms from where it was, at 0\.000 s"),
        ([(0, tone(4000)[:2000]), (2080, tone(4000)[2000:])], r"comes \+10\.0 ms .* 0\.2\d+ s"),
    ],
)
def test_a_difference_of_converted_sound_is_noticed(
    tmp_path: Path, spans: list[Span], message: str
) -> None:
    source = write_sound(tmp_path / "film.nut", [(0, tone(4000))], "pcm_s16le", format_name="nut")
    good = write_sound(tmp_path / "good.mkv", [(0, tone(4000))], "flac")
    compare(source, good)
    bad = write_sound(tmp_path / "bad.mkv", spans, "flac")
    with pytest.raises(VerifyError, match=message):
        compare(source, bad)


def test_a_packet_that_cannot_be_decoded_leaves_a_gap(tmp_path: Path) -> None:
    sample = next(s for s in codec_samples.SOUNDS if s.id == "adpcm_ima_wav in avi")
    source = codec_samples.make(tmp_path / "film.avi", sample)
    with av.open(str(source)) as film:
        stream = film.streams.audio[0]
        original = packets(film)
        target = choose_target("matroska", stream, original)
        assert target is not None
        broken = av.Packet(bytes(3))
        broken.stream, broken.pts, broken.time_base = stream, original[2].pts, original[2].time_base
        converter = AudioConverter(stream, target, Part())
        given_packets = [*original[:2], broken, *original[3:], None]
        result = [y for packet in given_packets for y in converter.convert(packet)]
    assert converter.reader.num_undecodable == 1
    size = 1017  # samples of a packet
    starts = [packet.pts for packet in result]
    assert any(abs(start - 3 * size) <= 96 for start in starts)
    assert not any(2 * size + 96 < start < 3 * size - 96 for start in starts)


# ---------------------------------------------------------------- WAVE formats in Matroska


def elements(
    content: bytes, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield (identifier, data) of the elements of EBML, and those inside the segment."""
    stop = len(content) if stop is None else stop
    while start < stop:
        id_size = 9 - content[start].bit_length()
        size_size = 9 - content[start + id_size].bit_length()
        data = start + id_size + size_size
        size = int.from_bytes(content[start + id_size : data], "big") & (1 << 7 * size_size) - 1
        name = int.from_bytes(content[start : start + id_size], "big")
        yield name, content[data : data + size]
        start = data if name == 0x18538067 else data + size


def test_matroska_names_a_wave_format(tmp_path: Path) -> None:
    sample = next(s for s in codec_samples.SOUNDS if s.id == "wmav2 in asf")
    source, output = codec_samples.make(tmp_path / "film.wmv", sample), tmp_path / "out.mkv"
    with av.open(str(source)) as film, av.open(str(output), "w") as result:
        other: Any = result.add_stream("pcm_s16le", rate=8000)
        stream = add_acm_stream(result, film.streams.audio[0])
        originals = [bytes(packet) for packet in packets(film)]
        film.seek(0)
        for packet in packets(film):
            packet.stream = stream
            result.mux(packet)
        assert other.index == 0
    for _ in range(2):  # the second time there is nothing to change
        with output.open("r+b") as file:
            name_acm_tracks(file)
    tracks = dict(elements(output.read_bytes()))[0x1654AE6B]
    fields = list(elements(tracks))
    assert fields[0] == (0xBF, zlib.crc32(tracks[6:]).to_bytes(4, "little"))
    entries = [dict(elements(entry)) for name, entry in fields if name == 0xAE]
    assert [entry[0x86].rstrip(b"\0") for entry in entries] == [b"A_PCM/INT/LIT", b"A_MS/ACM"]
    assert entries[1][0x63A2][:2] == b"\x61\1"  # the format tag of WMA 2
    with av.open(str(output)) as result:
        copy = result.streams.audio[1]
        assert copy.codec_context.name == "wmav2"
        assert [bytes(p) for p in result.demux(copy) if p.size] == originals
    with av.open(str(source)) as film, av.open(str(output)) as result:
        decoded, copied = (
            [frame.to_ndarray() for frame in opened.decode(opened.streams.audio[number])]
            for opened, number in ((film, 0), (result, 1))
        )
    assert np.array_equal(np.concatenate(decoded, axis=1), np.concatenate(copied, axis=1))


def test_a_codec_without_a_wave_format_is_refused(tmp_path: Path) -> None:
    sample = next(s for s in codec_samples.SOUNDS if s.id == "s302m in mpegts")
    source = codec_samples.make(tmp_path / "film.ts", sample)
    with av.open(str(source)) as film, av.open(io.BytesIO(), "w", format="matroska") as result:
        with pytest.raises(ValueError, match="s302m"):
            add_acm_stream(result, film.streams.audio[0])
        result.add_stream("pcm_s16le", rate=8000)


@pytest.mark.parametrize("content", [b"", b"\0", b"\x1a", b"RIFF" * 9, bytes([0x18] * 40)])
def test_files_that_are_not_matroska_stay_as_they_are(content: bytes) -> None:
    file = io.BytesIO(content)
    name_acm_tracks(file)
    assert file.getvalue() == content
