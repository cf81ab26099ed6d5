"""Damaged films: decodable frames are coloured at their times, all others are reported."""

import errno
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
from click.testing import CliRunner
from media import Sound, shoot

from filmcolor.cli.main import cli
from filmcolor.errors import InputError, StorageError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import describe_damage
from filmcolor.segments import segment as segments
from filmcolor.types.film import Part
from filmcolor.types.frames import DAMAGED, RETIMED
from filmcolor.video import demux
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
NUM_FRAMES = 40
LOSSLESS = Encoding(purpose="master")


def remuxed(
    film: Path,
    path: Path,
    spoil: Callable[[int, av.Packet], av.Packet | None] = lambda _, packet: packet,
    **options: str,
) -> Path:
    """Copy a film, with each video packet replaced by the result of `spoil(position, packet)`."""
    with av.open(str(film)) as source, av.open(str(path), "w", options=options) as output:
        streams = {s.index: output.add_stream_from_template(s) for s in source.streams}
        position = 0
        for packet in source.demux():
            if packet.size == 0:
                continue
            is_video = packet.stream.type == "video"
            kept = spoil(position, packet) if is_video else packet
            position += is_video
            if kept is not None:
                kept.stream = streams[packet.stream_index]
                output.mux(kept)
    return path


def zeroed(*positions: int) -> Callable[[int, av.Packet], av.Packet]:
    """Return a function that fills the packets at some positions with zeros."""

    def spoil(position: int, packet: av.Packet) -> av.Packet:
        if position not in positions:
            return packet
        broken = av.Packet(bytes(packet.size))
        broken.pts, broken.dts, broken.duration = packet.pts, packet.dts, packet.duration
        broken.time_base = packet.time_base
        return broken

    return spoil


@pytest.fixture
def stills_film(make_film: MakeFilm) -> Path:
    """A film of keyframes only, so that damage does not spread."""
    return make_film(
        "stills.mkv", lumas=shoot(NUM_FRAMES), codec="mjpeg", pix_fmt="yuvj420p", sounds=[Sound()]
    )


# ---------------------------------------------------------------- frames that cannot be decoded


def test_decodable_frames_are_shown_at_their_times(
    stills_film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    broken = remuxed(stills_film, tmp_path / "broken.mkv", zeroed(5, 20, 21, 22))
    report = colorize(broken, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    lost = {5, 20, 21, 22}
    expected = [f for n, f in enumerate(media.frames(stills_film)) if n not in lost]
    frames = media.frames(tmp_path / "out.mkv")
    assert report.num_frames == len(expected) == NUM_FRAMES - 4
    for ours, theirs in zip(frames, expected, strict=True):
        assert ours.seconds == theirs.seconds
        assert np.array_equal(ours.luma, theirs.luma)
    assert media.packets(tmp_path / "out.mkv", "audio") == media.packets(stills_film, "audio")
    (line,) = report.damage
    assert line.startswith("4 frames could not be decoded")
    assert "00:00:00.208 (frame 5), 00:00:00.833 (frames 20 to 22)" in line


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 4, 5, 6, 19, 21, 30])
def test_a_part_of_a_damaged_film_equals_that_part_of_the_whole(
    stills_film: Path, tmp_path: Path, first: int
) -> None:
    info = probe(remuxed(stills_film, tmp_path / "broken.mkv", zeroed(5, 20, 21, 22)))
    index = FrameIndex.read(info)
    whole = [f for f in read_luma(info, index=index) if first <= f.number < first + 10]
    part = list(read_luma(info, first, first + 10, index))
    assert [(f.number, f.pts) for f in part] == [(f.number, f.pts) for f in whole]
    assert all(np.array_equal(a.luma, b.luma) for a, b in zip(part, whole, strict=True))


def test_a_damaged_film_is_the_same_in_one_segment_and_in_several(
    stills_film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = remuxed(stills_film, tmp_path / "broken.mkv", zeroed(9, 10, 11, 12, 13))
    one = colorize(broken, tmp_path / "one.mkv", options=options, encoding=LOSSLESS)
    monkeypatch.setattr(
        segments, "_SECONDS", Fraction(10, 24)
    )  # the second segment begins with damage
    many = colorize(broken, tmp_path / "many.mkv", options=options, encoding=LOSSLESS)
    assert one.damage == many.damage != ()
    for a, b in zip(
        media.frames(tmp_path / "one.mkv"), media.frames(tmp_path / "many.mkv"), strict=True
    ):
        assert a.seconds == b.seconds
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_an_avi_keeps_its_sound_in_step_after_damage(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(
        "film.avi",
        lumas=shoot(NUM_FRAMES),
        codec="mjpeg",
        pix_fmt="yuvj420p",
        time_base=Fraction(1, 24),
        sounds=[Sound("pcm_s16le")],
    )
    whole = media.frames(film)
    broken = remuxed(film, tmp_path / "broken.avi", zeroed(7, 8))
    colorize(broken, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    frames = media.frames(tmp_path / "out.mkv")
    for frame in frames[10:]:  # after the damage each frame is where it was
        near = [w for w in whole if abs(w.seconds - frame.seconds) < Fraction(1, 100)]
        assert any(np.array_equal(frame.luma, w.luma) for w in near)


def test_a_film_whose_beginning_is_broken(
    stills_film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    broken = remuxed(stills_film, tmp_path / "broken.mkv", zeroed(0, 1, 2))
    report = colorize(broken, tmp_path / "out.mkv", options=options)
    assert report.num_frames == NUM_FRAMES - 3
    assert "frames 0 to 2" in report.damage[0]
    assert media.seconds(tmp_path / "out.mkv") == media.seconds(stills_film)[3:]


def test_a_film_without_a_decodable_frame(
    stills_film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    broken = remuxed(stills_film, tmp_path / "broken.mkv", zeroed(*range(NUM_FRAMES)))
    with pytest.raises(InputError, match="none of its pictures can be decoded"):
        colorize(broken, tmp_path / "out.mkv", options=options)
    assert not list(tmp_path.glob("out*"))


def test_damage_ends_at_the_next_keyframe(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(
        "film.mkv", lumas=shoot(NUM_FRAMES), options={"g": "10", "bf": "0", "sc_threshold": "0"}
    )
    broken = remuxed(film, tmp_path / "broken.mkv", zeroed(13))
    report = colorize(broken, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    assert report.damage
    seconds = media.seconds(film)
    lumas = {f.seconds: f.luma for f in media.frames(tmp_path / "out.mkv")}
    for number, frame in enumerate(media.frames(film)):
        if not 13 <= number < 20:  # undamaged frames are unchanged
            assert np.array_equal(lumas[seconds[number]], frame.luma)


# ---------------------------------------------------------------- films that end too early


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_film(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, share: float
) -> None:
    film = make_film("film.mp4", lumas=shoot(NUM_FRAMES, grain=0.1), sounds=[Sound()])
    whole = remuxed(film, tmp_path / "whole.mp4", movflags="faststart")
    short = tmp_path / "short.mp4"
    short.write_bytes(whole.read_bytes()[: round(share * whole.stat().st_size)])
    report = colorize(short, tmp_path / "out.mp4", options=options)
    assert 0 < report.num_frames < NUM_FRAMES
    assert f"of the {NUM_FRAMES} frames that its header announces" in report.damage[-1]
    ours = media.seconds(tmp_path / "out.mp4")
    times = media.seconds(film)  # of the last frames, reference frames are stored first
    assert ours[:-3] == times[: len(ours) - 3] and set(ours) <= set(times)
    assert verify(short, tmp_path / "out.mp4") == report.num_frames


def test_a_film_without_its_header_is_an_error(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mp4", lumas=shoot(NUM_FRAMES))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(InputError, match="is it complete, and a video file"):
        colorize(film, tmp_path / "out.mp4", options=options)


# ---------------------------------------------------------------- times


def test_repeated_times_are_set_apart(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", lumas=shoot(12), codec="mjpeg", pix_fmt="yuvj420p")
    stamps = [n * 40 for n in range(12)]
    stamps[5] = stamps[4]  # milliseconds

    def repeat(position: int, packet: av.Packet) -> av.Packet:
        packet.pts = packet.dts = stamps[position]
        packet.time_base = Fraction(1, 1000)
        return packet

    twice = remuxed(film, tmp_path / "twice.mkv", repeat)
    report = colorize(twice, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    milliseconds = [1000 * s for s in media.seconds(tmp_path / "out.mkv")]
    assert milliseconds == [*stamps[:5], stamps[4] + 1, *stamps[6:]]
    (line,) = report.damage
    assert line.startswith("1 frame without a timestamp") and "(frame 5)" in line


def test_a_clock_that_is_set_back_is_an_error(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", lumas=shoot(60), codec="mjpeg", pix_fmt="yuvj420p")

    def set_back(position: int, packet: av.Packet) -> av.Packet:
        packet.pts = packet.dts = position * 40 if position < 40 else (position - 40) * 40 + 5
        packet.time_base = Fraction(1, 1000)
        return packet

    back = tmp_path / "back.mkv"
    try:
        remuxed(film, back, set_back)
    except av.error.FFmpegError:
        pytest.skip("this muxer refuses such times")
    with pytest.raises(InputError, match=r"set back at frame 40.*split"):
        colorize(back, tmp_path / "out.mkv", options=options)


# ---------------------------------------------------------------- reports


def test_strict_runs_fail_on_damage_but_keep_the_film(
    stills_film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    broken = remuxed(stills_film, tmp_path / "broken.mkv", zeroed(5))
    words = ["run", str(broken), "--weights", options.weights, "--size", "32", "--device", "cpu"]
    for number, (more, code) in enumerate((([], 0), (["--strict"], 1))):
        output = tmp_path / f"out{number}.mkv"
        result = CliRunner().invoke(cli, [*words, "-o", str(output), *more])
        assert result.exit_code == code
        assert output.exists()
        assert f"filmcolor: warning: {broken}: 1 frame could not be decoded" in result.stderr


def test_an_undamaged_film_has_no_damage(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    assert colorize(make_film(), tmp_path / "out.mp4", options=options).damage == ()


def test_only_some_places_are_named(make_film: MakeFilm) -> None:
    info = probe(make_film(lumas=shoot(NUM_FRAMES)))
    index = FrameIndex.read(info)
    shown = index.pts[::2]
    (line,) = describe_damage(info, index, Part(), shown, {})
    assert line.startswith("20 frames could not be decoded")
    assert line.count("frame ") == 5 and line.endswith("and 15 more places")


def test_each_kind_of_damage_has_a_line(make_film: MakeFilm) -> None:
    info = probe(make_film(lumas=shoot(12)))
    index = FrameIndex.read(info)
    faults = {index.pts[3]: DAMAGED, index.pts[4]: DAMAGED, index.pts[9]: RETIMED}
    damaged, retimed = describe_damage(info, index, Part(), index.pts, faults)
    assert damaged.startswith("2 frames damaged") and damaged.endswith(
        "00:00:00.125 (frames 3 to 4)"
    )
    assert retimed.startswith("1 frame without") and retimed.endswith("00:00:00.375 (frame 9)")
    assert describe_damage(info, index, Part(0, 3), index.pts[:3], faults) == ()


def test_values_beyond_the_depth_do_not_end_the_process(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    lumas = [np.full((64, 96), 60000, np.uint16), *shoot(11, depth=10)]
    film = make_film("film.nut", lumas=lumas, codec="rawvideo", pix_fmt="yuv420p10le")
    assert media.frames(film)[0].luma.max() == 60000  # PyAV has not corrected it
    colorize(film, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    frames = media.frames(tmp_path / "out.mkv")
    assert frames[0].luma.min() == frames[0].luma.max() == 1023
    assert np.array_equal(frames[5].luma, lumas[5])
    assert colorize(film, tmp_path / "out.mp4", options=options).num_frames == 12


def test_a_stream_that_begins_midway_does_not_end_the_film(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    silent = make_film("a.ts", lumas=shoot(80, grain=0.3), options={"bf": "0", "qp": "0"})
    sound = make_film(
        "b.ts", lumas=shoot(12), options={"bf": "0"}, sounds=[Sound("mp2")], start=Fraction(4)
    )
    film = tmp_path / "film.ts"
    film.write_bytes(silent.read_bytes() * 12 + sound.read_bytes() + silent.read_bytes() * 2)
    with av.open(str(film)) as source:
        assert len(source.streams) == 1  # the other begins too late to be detected on opening
        with pytest.raises(IndexError):
            list(source.demux())
    index = FrameIndex.read(probe(film))
    assert index.num_packets == 14 * 80 + 12


# ---------------------------------------------------------------- disks that fail


@pytest.mark.parametrize("position", [0.3, 0.9])
def test_a_disk_that_fails_is_no_end_of_the_film(
    stills_film: Path,
    options: ColorOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    position: float,
) -> None:
    """FFmpeg sees the end of the file where a read fails; reading plainly gives the reason."""
    film = tmp_path / "film.mkv"
    film.write_bytes(stills_film.read_bytes()[: round(position * stills_film.stat().st_size)])

    def fail(path: Path, _: int) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(demux, "_read_plainly", fail)
    words = r"film\.mkv cannot be read on after \d+ bytes \(Input/output error\); check the disk"
    with pytest.raises(StorageError, match=words):
        colorize(film, tmp_path / "out.mkv", options=options)
    assert not (tmp_path / "out.mkv").exists()
