"""Sound that begins late, changes, or is broken: told before the first frame, right at the end."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import codec_samples
import numpy as np
import pytest

from filmcolor.errors import ContainerError
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import Report
from filmcolor.types.film import TimeRange
from filmcolor.video.probe import probe

ENCODINGS = {
    ".mp4": Encoding(preset="ultrafast"),
    ".mov": Encoding(preset="ultrafast"),
    ".mkv": Encoding("master"),
}
CONVERTING = {suffix: replace(e, convert_audio=True) for suffix, e in ENCODINGS.items()}
LATM = {"mpegts_flags": "latm"}
M2TS = {"mpegts_m2ts_mode": "1"}


@dataclass(frozen=True)
class Part:
    """A part of a broadcast or a disc: a second of grey noise, with a tone."""

    codec: str = "ac3"
    rate: int = 48000
    layout: str = "stereo"
    pitch: float = 440.0
    start: int = 0  # seconds
    delay: int = 0  # seconds of picture without sound
    container: str = "mpegts"
    muxer_options: Mapping[str, str] = field(default_factory=dict)
    junk: bytes = b""  # in place of the first packet of sound
    picture: str = "mpeg4"
    frame_rate: int = 5
    size: tuple[int, int] = (64, 64)


def write(path: Path, *parts: Part) -> Path:
    """Write parts one after another, as a recorder does."""
    path.write_bytes(b"".join(map(write_part, parts)))
    return path


def write_part(part: Part) -> bytes:
    memory = io.BytesIO()
    options = dict(part.muxer_options)
    with av.open(memory, "w", format=part.container, container_options=options) as output:
        video: Any = output.add_stream(part.picture, rate=part.frame_rate)
        video.width, video.height = part.size
        sound: Any = None
        if part.codec:
            sound = output.add_stream(part.codec, rate=part.rate)
            sound.codec_context.layout = part.layout
        output.start_encoding()
        packets = [*picture_packets(video, part), *(sound_packets(sound, part) if sound else ())]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return memory.getvalue()


def picture_packets(stream: Any, part: Part) -> list[av.Packet]:
    noise = np.random.default_rng(0)
    packets = []
    for number in range((part.delay + 1) * part.frame_rate):
        frame = av.VideoFrame(*part.size, "yuv420p")
        for plane in frame.planes:
            plane.update(noise.integers(96, 160, plane.buffer_size, np.uint8).tobytes())
        frame.pts = part.start * part.frame_rate + number
        frame.time_base = Fraction(1, part.frame_rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def sound_packets(stream: Any, part: Part) -> list[av.Packet]:
    packets = []
    first = (part.start + part.delay) * part.rate
    for frame in codec_samples.sound_frames(stream.codec_context, Fraction(1), part.pitch):
        frame.pts += first
        packets += stream.encode(frame)
    packets += stream.encode(None)
    if part.junk:
        junk = av.Packet(part.junk)
        junk.stream, junk.time_base = stream, packets[0].time_base
        junk.pts, junk.dts = packets[0].pts, packets[0].dts
        packets[0] = junk
    return packets


def heard(path: Path) -> tuple[list[tuple[int, float]], Fraction]:
    """Return (rate, pitch of the first channel) of each second of sound, and its length."""
    with av.open(str(path), container_options={"analyzeduration": "100000000"}) as film:
        stream = film.streams.audio[0]
        frames: list[Any] = []
        for packet in film.demux(stream):
            try:
                frames += stream.decode(packet)
            except av.error.FFmpegError:
                continue
    timed, end = [], Fraction(0)
    for frame in frames:
        time = end if frame.pts is None else frame.pts * Fraction(frame.time_base)
        end = time + Fraction(frame.samples, frame.sample_rate)
        values = frame.to_ndarray()
        step = 1 if frame.format.is_planar else frame.layout.nb_channels
        timed.append((time, frame.sample_rate, values[0, ::step].astype(float)))
    start = timed[0][0]
    seconds = []
    for number in range(round(end - start)):
        window = number + Fraction(1, 5), number + Fraction(4, 5)
        inside = [t for t in timed if window[0] <= t[0] - start < window[1]]
        rate = inside[0][1]
        values = np.concatenate([t[2] for t in inside])
        spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values))))
        seconds.append((rate, float(np.argmax(spectrum)) * rate / len(values)))
    return seconds, end - start


def check_sound(source: Path, output: Path, parts: tuple[Part, ...], rate: int | None) -> None:
    """Check the pitches of an output, its length, and its rate, None for those of the parts."""
    seconds, length = heard(output)
    rates = [part.rate if rate is None else rate for part in parts]
    assert [second[0] for second in seconds] == rates
    assert [second[1] for second in seconds] == pytest.approx([p.pitch for p in parts], abs=5.0)
    assert abs(length - heard(source)[1]) < Fraction(1, 200)
    verify(source, output)


def color(source: Path, output: Path, options: ColorOptions, encoding: Encoding) -> Report:
    return colorize(source, output, options=options, encoding=encoding)


TAPE = Part("pcm_s16le", container="dv", picture="dvvideo", frame_rate=25, size=(720, 576))


def second(part: Part, **changes: Any) -> tuple[Part, Part]:
    return part, replace(part, **{"pitch": 880.0, "start": 1} | changes)


# (film's suffix, its parts, containers that keep it as it is)
CHANGES = {
    "aac-rate": (".ts", second(Part("aac"), rate=44100), ()),
    "aac-channels": (".ts", second(Part("aac"), layout="mono"), ()),
    "latm-rate": (".ts", second(Part("aac", muxer_options=LATM), rate=44100), (".mkv",)),
    "ac3-rate": (".ts", second(Part("ac3"), rate=44100), tuple(ENCODINGS)),
    "ac3-channels": (".ts", second(Part("ac3"), layout="5.1(side)"), tuple(ENCODINGS)),
    "mp2-rate": (".ts", second(Part("mp2"), rate=32000, layout="mono"), tuple(ENCODINGS)),
    "mp3-rate": (".ts", second(Part("libmp3lame"), rate=32000), tuple(ENCODINGS)),
    "lpcm-rate": (".m2ts", second(Part("pcm_bluray", muxer_options=M2TS), rate=96000), ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", CHANGES)
def test_sound_that_changes_keeps_its_pitch(
    tmp_path: Path, options: ColorOptions, name: str, suffix: str
) -> None:
    film_suffix, parts, kept_in = CHANGES[name]
    source, output = write(tmp_path / f"film{film_suffix}", *parts), tmp_path / f"out{suffix}"
    if suffix in kept_in:
        color(source, output, options, ENCODINGS[suffix])
        check_sound(source, output, parts, None)
        return
    with pytest.raises(ContainerError, match=r"add --convert-audio to convert it to (fl|al)ac"):
        plan_output(probe(source), output, ENCODINGS[suffix])
    report = color(source, output, options, CONVERTING[suffix])
    assert any("converted to" in note and "every sample is kept" in note for note in report.notes)
    check_sound(source, output, parts, max(part.rate for part in parts))


def test_the_change_of_a_dv_tape_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "tape.dv", *second(TAPE, rate=32000))
    info = probe(source)
    for suffix in ENCODINGS:
        output = tmp_path / f"out{suffix}"
        with pytest.raises(ContainerError) as caught:
            plan_output(info, output, ENCODINGS[".mp4"])
        message = str(caught.value)
        assert "32000 Hz with 2 channels and 48000 Hz with 2 channels" in message
        assert "add --convert-audio" in message
        plan = plan_output(info, output, CONVERTING[".mp4"])
        assert any("parts at 32000 Hz are resampled to 48000 Hz" in note for note in plan.notes)


@pytest.mark.slow
def test_a_dv_tape_that_changes_its_rate(tmp_path: Path, options: ColorOptions) -> None:
    parts = second(TAPE, rate=32000)
    source, output = write(tmp_path / "tape.dv", *parts), tmp_path / "out.mkv"
    color(source, output, options, CONVERTING[".mp4"])
    check_sound(source, output, parts, 48000)


LATE = {
    "ac3": (".ts", Part("ac3", delay=8)),
    "aac": (".ts", Part("aac", delay=8)),
    "latm": (".ts", Part("aac", delay=8, muxer_options=LATM)),
    "mp2": (".vob", Part("mp2", delay=8, container="vob", picture="mpeg2video", frame_rate=25)),
    "lpcm": (".m2ts", Part("pcm_bluray", delay=8, muxer_options=M2TS)),
    # later than FFmpeg looks: a frame a second
    "after-a-minute": (".ts", Part("ac3", delay=70, picture="mpeg4", frame_rate=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATE)
def test_sound_that_begins_late_is_kept(tmp_path: Path, options: ColorOptions, name: str) -> None:
    film_suffix, part = LATE[name]
    source, output = write(tmp_path / f"film{film_suffix}", part), tmp_path / "out.mkv"
    color(source, output, options, CONVERTING[".mkv"])
    with av.open(str(output)) as film:
        stream = film.streams.audio[0]
        first = next(packet for packet in film.demux(stream) if packet.size)
        assert stream.codec_context.sample_rate == part.rate
        assert stream.codec_context.layout.nb_channels == 2
        assert float(first.pts * first.time_base) == pytest.approx(part.delay, abs=0.6)
    check_sound(source, output, (part,), None)


def test_sound_in_the_middle_of_a_disc_is_found(tmp_path: Path) -> None:
    silent = Part("", container="vob", picture="mpeg2video", frame_rate=25, size=(320, 240))
    content = 4 * b"".join(write_part(replace(silent, start=n)) for n in range(4))
    middle = write_part(replace(silent, codec="ac3", start=4))
    assert len(content) > 5_000_000  # where FFmpeg stops looking by itself
    source = tmp_path / "film.vob"
    source.write_bytes(content + middle + content)
    assert [stream.codec for stream in probe(source).streams] == ["mpeg2video", "ac3"]


JUNK = {
    "ac3": Part("ac3", junk=bytes([7] * 700)),
    "mp2": Part("mp2", junk=bytes([7] * 700)),
    "aac": Part("aac", junk=bytes([7] * 700)),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", JUNK)
def test_a_broadcast_that_begins_within_a_packet(
    tmp_path: Path, options: ColorOptions, name: str, suffix: str
) -> None:
    source, output = write(tmp_path / "film.ts", JUNK[name]), tmp_path / f"out{suffix}"
    report = color(source, output, options, CONVERTING[suffix])
    converted = [note for note in report.notes if "converted" in note]
    # MP4 and MOV need a header of AC-3, which they read from the first packet
    assert bool(converted) == (name == "ac3" and suffix != ".mkv")
    check_sound(source, output, (JUNK[name],), None)


def test_a_broadcast_that_mp4_cannot_hold_is_refused_early(tmp_path: Path) -> None:
    source = write(tmp_path / "film.ts", JUNK["ac3"])
    with pytest.raises(ContainerError, match=r"name the output \.mkv, add --convert-audio to"):
        plan_output(probe(source), tmp_path / "out.mp4", ENCODINGS[".mp4"])
    assert plan_output(probe(source), None, ENCODINGS[".mp4"]).path.suffix == ".mkv"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ENCODINGS)
def test_a_part_of_a_film_has_its_samples(
    tmp_path: Path, options: ColorOptions, suffix: str
) -> None:
    part = Part("pcm_bluray", muxer_options=M2TS, frame_rate=25)
    source = write(tmp_path / "film.m2ts", part)
    output = tmp_path / f"out{suffix}"
    colorize(
        source,
        output,
        options=options,
        encoding=CONVERTING[suffix],
        time_range=TimeRange(first=5, stop=15),
    )
    with av.open(str(source)) as film:
        first = next(film.decode(video=0))
        start = first.pts * Fraction(first.time_base) + Fraction(5, 25)
    whole, begin = samples(source)
    values, copied_begin = samples(output)
    skipped = round((start - begin) * 48000)
    assert values.shape == (2, 10 * 48000 // 25)
    assert np.array_equal(values, whole[:, skipped : skipped + values.shape[1]])
    assert abs(copied_begin) <= Fraction(1, 1000)


def samples(path: Path) -> tuple[np.ndarray, Fraction]:
    """Return 16-bit samples of two channels, and when they begin, in seconds."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
    parts = [
        f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, 2).T for f in frames
    ]
    return np.concatenate(parts, axis=1), frames[0].pts * Fraction(frames[0].time_base)


@pytest.mark.slow
def test_broken_packets_are_told(
    tmp_path: Path, options: ColorOptions, make_sample: Callable[[str], Path]
) -> None:
    source = make_sample("s302m in mpegts")
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as film:
        packets = [p for p in film.demux(film.streams.audio[0]) if p.size]
    # another size in the header of the second packet, SMPTE ST 302, 5.2
    position = content.index(bytes(packets[1])[:4], (packets[0].pos or 0) + 500)
    content[position : position + 4] = b"\xff\xff\xc0\x30"
    source.write_bytes(content)
    report = color(source, tmp_path / "out.mp4", options, CONVERTING[".mp4"])
    assert any("1 packet could not be decoded, left out" in line for line in report.damage)


@pytest.fixture
def make_sample(tmp_path: Path) -> Callable[[str], Path]:
    """Write the film of a sample."""

    def make(name: str) -> Path:
        sample = next(s for s in codec_samples.SAMPLES if s.id == name)
        return codec_samples.make(tmp_path / "sample", sample)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ENCODINGS)
def test_a_part_without_a_sample(
    tmp_path: Path,
    options: ColorOptions,
    make_sample: Callable[[str], Path],
    suffix: str,
) -> None:
    # the decoder of WMA gives nothing of the first two packets
    source = make_sample("wmav2 in asf")
    output = tmp_path / f"out{suffix}"
    first_frame = TimeRange(first=0, stop=1)
    encoding = CONVERTING[suffix]
    report = colorize(source, output, options=options, encoding=encoding, time_range=first_frame)
    assert report.num_frames == 1
