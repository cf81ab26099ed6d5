"""What a container cannot hold of a film is known before the film's first frame is coloured."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import media
import pytest
from media import Sound, Titles, shoot

from filmcolor.errors import ContainerError
from filmcolor.output.options import Encoding
from filmcolor.output.packet_sample import PacketSampler
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
MILLISECOND = Fraction(1, 1000)
RATE = 8000  # samples per second
DVDSUB = b"\0\x20" + bytes(30)
LOSSLESS = Encoding(codec="libx264", crf=0, preset="ultrafast")
MASTER = Encoding("master")


def with_subtitles(
    path: Path, codec: str, packets: Sequence[tuple[int, int, bytes]], **fields: object
) -> Path:
    """Write a film with a stream of subtitles: (start, duration, data), milliseconds."""
    lines = [(start, start + duration, data) for start, duration, data in packets]
    film = media.Film(shoot(12), titles=[Titles(codec, "fre", lines)], **fields)
    return media.make(path, film)


def pgs_segment(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def pgs_display_set(number: int) -> list[bytes]:
    """Return the segments of a PGS subtitle without objects: composition, window, end."""
    size = (96).to_bytes(2, "big") + (64).to_bytes(2, "big")
    composition = size + bytes([0x10]) + number.to_bytes(2, "big") + bytes([0x80, 0, 0, 0])
    window = bytes([1, 0, 0, 0, 0, 0, 0, 96, 0, 64])
    return [pgs_segment(0x16, composition), pgs_segment(0x17, window), pgs_segment(0x80)]


# ---------------------------------------------------------------- subtitles


@pytest.mark.parametrize("num_titles", [2, 3, 150])
def test_the_last_subtitle_of_a_disc_has_no_duration(
    options: ColorOptions, tmp_path: Path, num_titles: int
) -> None:
    """MP4 drops such a packet at the end of the file; MKV, which keeps it, is chosen instead."""
    times = [n * 480 // num_titles for n in range(num_titles)]
    film = with_subtitles(tmp_path / "disc.mkv", "dvd_subtitle", [(t, 0, DVDSUB) for t in times])
    with av.open(str(film)) as source:
        assert not [p for p in source.demux(subtitles=0) if p.size][-1].duration
    with pytest.raises(ContainerError, match=r"\.mp4 cannot hold .*dvd_subtitle.*\.mkv"):
        plan_output(probe(film), tmp_path / "out.mp4", Encoding())
    report = colorize(film, options=options)
    assert report.output.suffix == ".mkv"
    assert verify(film, report.output) == 12


@pytest.mark.parametrize("num_titles", [1, 4, 60])
def test_segments_of_a_subtitle_in_packets_of_their_own_are_kept(
    options: ColorOptions, tmp_path: Path, num_titles: int
) -> None:
    """MPEG-TS has a packet for each segment; Matroska's muxer joins those of a subtitle."""
    step = 480 // num_titles
    packets = [
        (number * step + place, 0, segment)
        for number in range(num_titles)
        for place, segment in enumerate(pgs_display_set(number))
    ]
    film = with_subtitles(
        tmp_path / "disc.m2ts", "hdmv_pgs_subtitle", packets, time_base=1 / media.RATE
    )
    assert len(media.packets(film, "subtitle")) == 3 * num_titles
    report = colorize(film, tmp_path / "out.mkv", options=options)
    assert len(media.packets(report.output, "subtitle")) == num_titles
    assert verify(film, report.output) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_subtitle_after_a_long_gap_is_kept(
    options: ColorOptions, tmp_path: Path, suffix: str
) -> None:
    text = (len(b"Silence")).to_bytes(2, "big") + b"Silence"
    packets = [(20, 30, text), (60, 30, text), (7_200_000, 500, text)]
    film = with_subtitles(tmp_path / "film.mp4", "mov_text", packets)
    report = colorize(film, tmp_path / f"out{suffix}", options=options)
    assert verify(film, report.output) == 12


# ---------------------------------------------------------------- sound


def with_drifting_pcm(path: Path, drift_ms: int) -> Path:
    """Write a film with 3 s of PCM whose times drift from its samples by `drift_ms` at the end."""
    film = media.make(path, media.Film(shoot(72), codec="ffv1", time_base=MILLISECOND))
    drifting = path.with_name(f"drifting{path.suffix}")
    with av.open(str(film)) as source, av.open(str(drifting), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        packets = []
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = video
                packets.append(packet)
        output.start_encoding()
        for number in range(150):  # of 20 ms
            packet = av.Packet(bytes(2 * RATE // 50))
            packet.stream, packet.time_base = sound, MILLISECOND
            packet.pts = packet.dts = number * 20 + drift_ms * number // 149
            packet.duration = 20
            packets.append(packet)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return drifting


@pytest.mark.parametrize("drift_ms", [-300, 0, 90, 400])
def test_pcm_that_drifts_from_its_times_is_refused_where_only_samples_count(
    options: ColorOptions, tmp_path: Path, drift_ms: int
) -> None:
    film = with_drifting_pcm(tmp_path / "film.mkv", drift_ms)
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER)
    assert verify(film, report.output) == 72
    output = tmp_path / "out.mov"
    if drift_ms:
        with pytest.raises(ContainerError, match=r"\.mov cannot hold .*pcm_s16le.*\.mkv"):
            plan_output(probe(film), output, LOSSLESS)
    else:
        colorize(film, output, options=options, encoding=LOSSLESS)
        assert verify(film, output) == 72


def test_a_sample_has_the_first_packets_the_longest_gap_and_the_last() -> None:
    times = [20 * n + (5000 if n >= 400 else 0) + (90 if n >= 300 else 0) for n in range(1000)]
    with av.open("/dev/null", "w", format="matroska") as output:
        stream = output.add_stream("libmp3lame", rate=RATE)
        sampler = PacketSampler(stream, 1)
        for time in times:
            packet = av.Packet(b"sound")
            packet.time_base, packet.pts, packet.dts, packet.duration = MILLISECOND, time, time, 20
            sampler.add(packet)
    numbers = [number for number, _ in sampler.sample()]
    assert numbers == [*range(100), *range(395, 405), *range(980, 1000)]
    assert sampler.num_packets == 1000
    assert not sampler.overlaps


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "ac3", "flac"])
def test_sound_that_begins_late_or_before_zero_is_kept(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, codec: str
) -> None:
    film = make_film("film.mkv", sounds=[Sound(codec)], start=Fraction(7200), codec="ffv1")
    for suffix in (".mkv", ".mp4"):
        output = tmp_path / f"out{suffix}"
        colorize(film, output, options=options, encoding=Encoding(preset="ultrafast"))
        assert verify(film, output) == 12
