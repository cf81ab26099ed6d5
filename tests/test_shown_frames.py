"""Frames are counted as they are shown: by the pictures' headers, not by packets.

Field pictures, pictures that are never shown, pictures before a cut, times in the order of coding,
frames that decoders yield late, and elementary streams without a rate.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import coded_fields as coded
import media
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from click.testing import CliRunner
from media import Film, shoot

from filmcolor.cli.main import cli
from filmcolor.errors import InputError, VerifyError
from filmcolor.output.luma_comparison import compare_luma
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import describe_damage, describe_times
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
LOSSLESS = Encoding(purpose="master")
DIRAC = {"codec": "vc2", "pix_fmt": "yuv422p", "options": {"b": "100000000"}}
NUM_FRAMES = 24
FRAME = 2 * coded.CLOCK
MILLISECOND = Fraction(1, 1000)


def assert_shows(film: Path, lumas: list[np.ndarray], times: list[Fraction]) -> FilmInfo:
    """Assert that a film has these frames at these times, undamaged, in whole and in part."""
    info = probe(film)
    index = FrameIndex.read(info)
    assert [time * info.time_base for time in index.pts] == times
    assert index.num_frames == len(lumas)
    for num_threads in (1, 2):
        _assert_frames(
            list(read_luma(info, index=index, num_threads=num_threads)), info, lumas, times
        )
    for first in (1, len(lumas) // 2, len(lumas) - 1):
        part = list(read_luma(info, first, first + 3, index))
        assert [f.number for f in part] == list(range(first, min(first + 3, len(lumas))))
        _assert_frames(part, info, lumas[first : first + 3], times[first : first + 3])
    assert describe_damage(info, index, Part(), index.pts, {}) == ()
    return info


def _assert_frames(
    frames: list[LumaFrame], info: FilmInfo, lumas: list[np.ndarray], times: list[Fraction]
) -> None:
    assert [f.pts * info.time_base for f in frames] == times
    assert all(np.array_equal(f.luma, luma) for f, luma in zip(frames, lumas, strict=True))
    assert not any(f.fault for f in frames)


def even_times(num: int, start: Fraction = Fraction(0), step: Fraction = FRAME) -> list[Fraction]:
    return [start + number * step for number in range(num)]


def packets_of(film: Path) -> list[av.Packet]:
    with av.open(str(film)) as container:
        return [p for p in container.demux(video=0) if p.size]


def remux(film: Path, path: Path, edit: Callable[[list[av.Packet]], list[av.Packet]]) -> Path:
    """Copy the picture of a film, with its packets edited."""
    with av.open(str(film)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in edit([p for p in source.demux(video=0) if p.size]):
            packet.stream = stream
            output.mux(packet)
    return path


def packet_like(packet: av.Packet, data: bytes, shift: int = 0) -> av.Packet:
    copy = av.Packet(data)
    copy.time_base, copy.duration, copy.is_keyframe = packet.time_base, packet.duration, False
    copy.pts, copy.dts = packet.pts + shift, packet.dts + shift
    return copy


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("coding", ["frame", "field", "mixed"])
@pytest.mark.parametrize(
    ("name", "is_split"),
    [("a.ts", False), ("a.ts", True), ("a.mkv", False), ("a.mkv", True), ("a.mp4", True)],
)
def test_a_frame_of_two_fields_is_one_frame(
    tmp_path: Path, name: str, is_split: bool, coding: str
) -> None:
    frames = coded.h264_frames(NUM_FRAMES, coding)
    film = coded.write(tmp_path / name, frames, is_split=is_split)
    with av.open(str(film)) as container:
        start = next(container.decode(video=0)).pts * Fraction(container.streams.video[0].time_base)
    lumas = [coded.luma_of(number) for number in range(NUM_FRAMES)]
    info = assert_shows(film, lumas, even_times(NUM_FRAMES, start))
    assert info.frame_rate == coded.RATE
    assert not FrameIndex.read(info).is_vfr
    *_, last = read_luma(info)
    assert last.duration * info.time_base == pytest.approx(FRAME) or not last.duration


@pytest.mark.parametrize("first_field", [coded.TOP, coded.BOTTOM])
@pytest.mark.parametrize(("coding", "num_b_frames"), [("field", 0), ("field", 2), ("mixed", 1)])
def test_fields_of_an_elementary_stream(
    tmp_path: Path, coding: str, num_b_frames: int, first_field: int
) -> None:
    frames = coded.h264_frames(NUM_FRAMES, coding, num_b_frames, first_field)
    film = coded.write_bare(tmp_path / "film.h264", frames)
    lumas = [coded.luma_of(number) for number in range(NUM_FRAMES)]
    assert_shows(film, lumas, even_times(NUM_FRAMES))


@pytest.mark.parametrize("name", ["film.ts", "film.mkv", "film.h264"])
def test_a_field_without_its_partner_is_told(tmp_path: Path, name: str) -> None:
    frames = coded.h264_frames(NUM_FRAMES, num_b_frames=0)
    frames[8] = frames[8][:1]  # FFmpeg does not show it
    path = tmp_path / name
    bare = path.suffix == ".h264"
    film = coded.write_bare(path, frames) if bare else coded.write(path, frames, is_split=True)
    info = probe(film)
    index = FrameIndex.read(info)
    shown = list(read_luma(info, index=index))
    expected = [n for n in range(NUM_FRAMES) if n != 8]
    assert len(index.pts) == NUM_FRAMES
    assert all(
        np.array_equal(f.luma, coded.luma_of(n)) for f, n in zip(shown, expected, strict=True)
    )
    (line,) = describe_damage(info, index, Part(), [f.pts for f in shown], {})
    assert line.startswith("1 frame could not be decoded")
    if not bare:  # there nothing identifies the frames that follow
        assert [f.number for f in shown] == expected and "(frame 8)" in line


@pytest.mark.parametrize("name", ["film.ts", "film.mpg", "film.m2v"])
def test_fields_of_mpeg2_are_joined_to_frames(tmp_path: Path, name: str) -> None:
    frames = coded.mpeg2_frames(NUM_FRAMES)
    path = tmp_path / name
    bare = path.suffix == ".m2v"
    film = coded.write_bare(path, frames) if bare else coded.write(path, frames, "mpeg2video")
    info = probe(film)
    shown = list(read_luma(info))
    assert len(FrameIndex.read(info).pts) == NUM_FRAMES and info.frame_rate == coded.RATE
    for frame, number in zip(shown, range(NUM_FRAMES), strict=True):
        assert (frame.luma[::2] == coded.level_of(number)).all()
        assert (frame.luma[1::2] == coded.level_of(number) + 2).all()
        assert not frame.fault


@pytest.mark.parametrize("name", ["film.ts", "film.mkv"])
def test_a_film_of_fields_is_coloured_whole_and_in_part(
    options: ColorOptions, tmp_path: Path, name: str
) -> None:
    film = coded.write(tmp_path / name, coded.h264_frames(NUM_FRAMES, "mixed"), is_split=True)
    report = colorize(film, tmp_path / "whole.mkv", options=options, encoding=LOSSLESS)
    assert (report.num_frames, report.damage) == (NUM_FRAMES, ())
    assert verify(film, tmp_path / "whole.mkv") == NUM_FRAMES
    difference = compare_luma(probe(film), probe(tmp_path / "whole.mkv"))
    assert (difference.num_frames, difference.num_different) == (NUM_FRAMES, 0)
    time_range = TimeRange(first=7, stop=12)
    colorize(film, tmp_path / "part.mkv", options=options, encoding=LOSSLESS, time_range=time_range)
    for number, frame in enumerate(media.frames(tmp_path / "part.mkv")):
        assert np.array_equal(frame.luma, coded.luma_of(7 + number))
        assert frame.seconds == number * FRAME
    assert number == 4


def test_h265_whose_pictures_are_fields_is_refused(make_film: MakeFilm) -> None:
    params = "log-level=none:interlace=tff"
    film = make_film("film.mkv", codec="libx265", options={"x265-params": params})
    with pytest.raises(InputError, match=r"single fields; weave them .*-vf weave") as caught:
        probe(film)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- pictures that are never shown

HIDDEN = (10, 20)
HIDING_KINDS = [("libvpx", 0x10, ".webm"), ("libvpx", 0x10, ".ivf"), ("libvpx-vp9", 0x02, ".avi")]


def with_hidden_frames(folder: Path, codec: str, show_frame: int, suffix: str) -> Path:
    """VP8 or VP9 whose frames HIDDEN are reference frames that are not shown.

    `show_frame`: the mask of that bit in the first byte; RFC 6386, 9.1; VP9 bitstream, 6.2.
    """
    encoder_options = {"g": "10", "lag-in-frames": "0", "cpu-used": "8", "deadline": "realtime"}
    made = Film(shoot(30), codec=codec, options=encoder_options, time_base=1 / media.RATE)
    plain = media.make(folder / f"plain{suffix}", made)

    def hide(packets: list[av.Packet]) -> list[av.Packet]:
        edited = []
        for number, packet in enumerate(packets):
            data = bytearray(bytes(packet))
            if number in HIDDEN:
                data[0] &= ~show_frame
            edited.append(packet_like(packet, bytes(data)))
            edited[-1].is_keyframe = packet.is_keyframe
        return edited

    return remux(plain, folder / f"film{suffix}", hide)


@pytest.mark.parametrize(("codec", "show_frame", "suffix"), HIDING_KINDS)
def test_hidden_frames_are_no_frames(
    tmp_path: Path, codec: str, show_frame: int, suffix: str
) -> None:
    film = with_hidden_frames(tmp_path, codec, show_frame, suffix)
    assert len(packets_of(film)) == 30
    shown = [n for n in range(30) if n not in HIDDEN]
    lumas = media.lumas(tmp_path / f"plain{suffix}")
    times = media.seconds(tmp_path / f"plain{suffix}")
    assert_shows(film, [lumas[n] for n in shown], [times[n] for n in shown])


@pytest.mark.parametrize(("codec", "show_frame", "suffix"), [HIDING_KINDS[0], HIDING_KINDS[2]])
def test_a_film_with_hidden_frames_is_coloured_without_damage(
    options: ColorOptions, tmp_path: Path, codec: str, show_frame: int, suffix: str
) -> None:
    film = with_hidden_frames(tmp_path, codec, show_frame, suffix)
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    assert (report.num_frames, report.damage) == (28, ())
    assert verify(film, tmp_path / "out.mkv") == 28


def test_a_superframe_is_one_frame(tmp_path: Path) -> None:
    """VP9's muxers join a hidden frame with the next one that is shown."""
    split = with_hidden_frames(tmp_path, *HIDING_KINDS[2])
    film = remux(split, tmp_path / "film.mkv", lambda packets: packets)
    assert len(packets_of(film)) == 28
    assert_shows(film, media.lumas(split), media.seconds(film))


def test_hidden_frames_of_av1(tmp_path: Path) -> None:
    """A temporal unit shows one frame; filters and some programs split its hidden ones off."""
    try:
        joined = media.make(
            tmp_path / "joined.mkv",
            Film(shoot(20), codec="libsvtav1", options={"preset": "12"}, time_base=MILLISECOND),
        )
    except av.codec.codec.UnknownCodecError:
        pytest.skip("this build of PyAV has no encoder libsvtav1")
    film = tmp_path / "split.ivf"
    with av.open(str(joined)) as source, av.open(str(film), "w") as output:
        stream = output.add_mux_stream("av1", width=media.SIZE[0], height=media.SIZE[1])
        stream.time_base = MILLISECOND
        splitter = BitStreamFilterContext("av1_frame_split", source.streams.video[0])
        times = iter(range(1000))
        for packet in source.demux(video=0):
            for part in splitter.filter(packet if packet.size else None):
                part.pts = part.dts = next(times)
                part.stream, part.time_base = stream, MILLISECOND
                output.mux(part)
    assert len(packets_of(film)) > len(packets_of(joined)) == 20
    assert_shows(film, media.lumas(joined), media.seconds(film))


@pytest.mark.parametrize("name", ["film.avi", "film.mp4", "film.mkv"])
def test_vops_that_are_not_coded_are_no_frames(tmp_path: Path, name: str) -> None:
    """An encoder of MPEG-4 writes them to show a picture longer; what follows stays in step."""
    made = Film(shoot(12), codec="mpeg4", time_base=Fraction(1, 24))
    plain = media.make(tmp_path / "plain.avi", made)

    def insert(packets: list[av.Packet]) -> list[av.Packet]:
        edited = []
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = len(edited)
            edited.append(packet)
            if number in (3, 7):
                # ISO 14496-2, 6.2.5: P, no modulo_time_base, increment of 5 bits, vop_coded 0
                edited.append(packet_like(packet, b"\0\0\1\xb6" + bytes((0x50, 0x4F)), 1))
        return edited

    film = remux(plain, tmp_path / name, insert)
    assert len(packets_of(film)) == 14
    slots = [n for n in range(14) if n not in (4, 9)]
    times = media.seconds(film)
    assert [round(24 * (time - times[0])) for time in times] == slots
    assert_shows(film, media.lumas(plain), times)


def test_an_end_of_sequence_is_no_frame(make_film: MakeFilm) -> None:
    film = make_film("film.drc", time_base=1 / media.RATE, **DIRAC)
    assert len(packets_of(film)) == 13
    info = assert_shows(film, media.lumas(film), even_times(12, step=1 / media.RATE))
    assert info.frame_rate == media.RATE


def test_a_sample_without_data_is_no_frame(make_film: MakeFilm) -> None:
    """QuickTime's writers store one to show the sample before it longer."""
    film = make_film("film.mov", codec="mjpeg", pix_fmt="yuvj420p")
    lumas = media.lumas(film)
    data = bytearray(film.read_bytes())
    start = data.index(b"stsz") + 16 + 4 * 5  # ISO 14496-12, 8.7.3.2
    sizes = [int.from_bytes(data[start + n : start + n + 4], "big") for n in (0, 4)]
    data[start : start + 8] = sum(sizes).to_bytes(4, "big") + bytes(4)
    film.write_bytes(data)
    shown = [n for n in range(12) if n != 6]
    assert_shows(film, [lumas[n] for n in shown], [n / media.RATE for n in shown])


# ---------------------------------------------------------------- cuts

OPEN_GOP = "keyint=10:min-keyint=1:open-gop=1:bframes=3:scenecut=0:b-adapt=0"
CUT_KINDS = {
    "libx264": {"x264-params": OPEN_GOP},
    "libx265": {"x265-params": f"log-level=none:{OPEN_GOP}"},
    "mpeg2video": {"g": "12", "bf": "2", "sc_threshold": "1000000000"},
}


@pytest.fixture(scope="module", params=CUT_KINDS)
def open_gop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film whose groups of pictures begin with B-frames that refer to the group before."""
    encoder_options = CUT_KINDS[request.param]
    made = Film(shoot(40), codec=request.param, options=encoder_options, time_base=1 / media.RATE)
    return media.make(tmp_path_factory.mktemp(request.param) / "film.ts", made)


def keyframe_positions(packets: list[av.Packet]) -> list[int]:
    """Return the positions of keyframes with pictures after them that are shown before them."""
    return [
        n
        for n, packet in enumerate(packets[:-1])
        if packet.is_keyframe and packets[n + 1].pts < packet.pts
    ]


@pytest.mark.parametrize("num_before", [0, 2])
def test_pictures_before_a_cut_are_neither_frames_nor_damage(
    open_gop: Path, options: ColorOptions, tmp_path: Path, num_before: int
) -> None:
    """A recording begins with pictures that need others before it: no player shows them."""
    film = tmp_path / "cut.ts"
    position = keyframe_positions(packets_of(open_gop))[0]
    remux(open_gop, film, lambda packets: packets[position - num_before :])
    shown = media.frames(film)
    assert len(shown) < len(packets_of(film))
    info = assert_shows(film, [f.luma for f in shown], [f.seconds for f in shown])
    (note,) = describe_times(info, FrameIndex.read(info))
    num = len(packets_of(film)) - len(shown)
    subject = "1 picture refers" if num == 1 else f"{num} pictures refer"
    assert note == f"{subject} to pictures that were cut off: not shown"
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    assert report.damage == () and note in report.notes
    assert verify(film, tmp_path / "out.mkv") == len(shown)


def test_a_container_whose_first_keyframe_is_lost_is_damaged(
    open_gop: Path, tmp_path: Path
) -> None:
    film = remux(open_gop, tmp_path / "film.mkv", lambda packets: packets[1:])
    info = probe(film)
    index = FrameIndex.read(info)
    shown = [f.pts for f in read_luma(info, index=index)]
    assert 0 < len(shown) < len(index.pts)
    assert "could not be decoded" in describe_damage(info, index, Part(), shown, {})[0]


@pytest.mark.parametrize("is_bla", [True, False])
def test_pictures_after_a_splice(tmp_path: Path, is_bla: bool) -> None:
    """H.265 parts that were joined: at a BLA picture, or after an end of sequence.

    The leading pictures that refer to pictures before it are not shown: ITU-T H.265, 8.3.1.
    """
    made = Film(shoot(40), codec="libx265", options=CUT_KINDS["libx265"], time_base=1 / media.RATE)
    plain = media.make(tmp_path / "film.ts", made)
    packets = packets_of(plain)
    position = keyframe_positions(packets)[-1]
    hidden = [p for p in packets[position:] if p.pts < packets[position].pts]

    def splice(packets: list[av.Packet]) -> list[av.Packet]:
        number = position if is_bla else position - 1
        data = bytes(packets[number])
        if is_bla:  # ITU-T H.265, table 7-1: CRA_NUT, BLA_W_LP
            assert data.count(bytes((0, 0, 1, 21 << 1))) == 1
            data = data.replace(bytes((0, 0, 1, 21 << 1)), bytes((0, 0, 1, 16 << 1)))
        else:
            data += bytes((0, 0, 1, 36 << 1, 1))  # EOS_NUT
        spliced = packet_like(packets[number], data)
        spliced.is_keyframe = packets[number].is_keyframe
        return [*packets[:number], spliced, *packets[number + 1 :]]

    film = remux(plain, tmp_path / "spliced.ts", splice)
    index = FrameIndex.read(probe(film))
    assert 0 < index.num_leading == len(hidden)
    assert len(index.pts) == 40 - len(hidden)
    shown = [(f.luma, f.seconds) for f in media.frames(film)]
    if is_bla:  # at the end of a sequence, FFmpeg also loses frames that it has not yet shown
        assert_shows(film, [luma for luma, _ in shown], [seconds for _, seconds in shown])


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", suffix) for suffix in ("mkv", "mp4", "ts", "flv")]
    + [("mpeg2video", suffix) for suffix in ("mkv", "mp4", "ts")],
)
def test_times_in_the_order_of_coding_lose_no_frame(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    """Copied from an elementary stream or an AVI, B-frames have the times of their packets."""
    made = Film(
        shoot(30),
        codec=codec,
        rate=Fraction(25),
        time_base=FRAME,
        options={"bf": "2", "g": "12"},
    )
    plain = media.make(tmp_path / "plain.ts", made)

    def renumber(packets: list[av.Packet]) -> list[av.Packet]:
        start = packets[0].pts
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = start + 3600 * number
        return packets

    film = remux(plain, tmp_path / f"film.{suffix}", renumber)
    start = min(p.pts * Fraction(p.time_base) for p in packets_of(film))
    info = assert_shows(film, media.lumas(plain), even_times(30, start))
    (note,) = describe_times(info, FrameIndex.read(info))
    assert note == "its timestamps are in coding order: frames take them in display order"
    assert resolve(info, TimeRange(first=7, stop=9)).start == start + 7 * FRAME


def test_films_with_times_in_display_order_have_no_such_note(make_film: MakeFilm) -> None:
    for name, bf in (("a.mkv", "2"), ("b.mp4", "0"), ("c.ts", "0"), ("d.avi", "2")):
        info = probe(make_film(name, options={"bf": bf}, time_base=1 / media.RATE))
        assert describe_times(info, FrameIndex.read(info)) == ()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_that_share_a_timestamp_with_others_are_not_damaged(
    options: ColorOptions, tmp_path: Path, codec: str
) -> None:
    """MPEG-TS needs a time for the first picture of a PES packet alone: ISO 13818-1, 2.4.3.6."""
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    made = Film(shoot(24), codec=codec, rate=Fraction(25), time_base=FRAME, options=quiet)
    plain = media.make(tmp_path / "plain.ts", made)

    def join(packets: list[av.Packet]) -> list[av.Packet]:
        groups = [packets[n : n + 4] for n in range(0, 24, 4)]
        joined = []
        for group in groups:
            packet = packet_like(group[0], b"".join(bytes(p) for p in group))
            packet.is_keyframe = group[0].is_keyframe
            joined.append(packet)
        return joined

    film = remux(plain, tmp_path / "film.ts", join)
    assert sum(p.pts is None for p in packets_of(film)) == 18
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    assert (report.num_frames, report.damage) == (24, ())
    shown = media.frames(tmp_path / "out.mkv")
    assert all(np.array_equal(f.luma, o) for f, o in zip(shown, media.lumas(plain), strict=True))
    assert [f.seconds - shown[0].seconds for f in shown] == even_times(24)
    info = probe(film)
    part = resolve(info, TimeRange(first=6, stop=9))
    assert part.start == info.start_seconds + 6 * FRAME
    frames = list(read_luma(info, 6, 9))
    assert [info.seconds(f.pts) for f in frames] == [n * FRAME for n in (6, 7, 8)]


# ---------------------------------------------------------------- frames that come late


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", "mkv"), ("libx264", "mp4"), ("libx264", "ts"), ("mpeg2video", "ts")],
)
def test_a_frame_that_the_decoder_yields_late_is_shown_at_its_time(
    options: ColorOptions, tmp_path: Path, codec: str, suffix: str
) -> None:
    """A decoder's order is not always that of the times, after damage above all."""
    made = Film(
        shoot(30), codec=codec, rate=Fraction(25), time_base=FRAME, options={"bf": "2", "g": "8"}
    )
    plain = media.make(tmp_path / "plain.ts", made)

    def delay(packets: list[av.Packet]) -> list[av.Packet]:
        """Frame 9 takes the time of frame 12, and those between come one frame earlier."""
        times = sorted(p.pts for p in packets)
        moved = dict(zip(times[9:13], [times[12], *times[9:12]], strict=True))
        for packet in packets:
            packet.pts = moved.get(packet.pts, packet.pts)
            packet.dts -= 5 * 3600  # ahead of all times
        return packets

    film = remux(plain, tmp_path / f"film.{suffix}", delay)
    times = media.seconds(film)
    assert times != sorted(times)
    order = [*range(9), 10, 11, 12, 9, *range(13, 30)]
    lumas = media.lumas(plain)
    assert_shows(film, [lumas[number] for number in order], sorted(times))
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=LOSSLESS)
    assert (report.num_frames, report.damage) == (30, ())


# ---------------------------------------------------------------- luma of damaged films


@pytest.fixture
def damaged(make_film: MakeFilm, tmp_path: Path) -> Path:
    """A film of 40 keyframes, four of which are zeros."""
    film = make_film("film.mkv", lumas=shoot(40), codec="mjpeg", pix_fmt="yuvj420p")

    def spoil(packets: list[av.Packet]) -> list[av.Packet]:
        return [
            packet_like(p, bytes(p.size)) if n in (5, 20, 21, 39) else p
            for n, p in enumerate(packets)
        ]

    return remux(film, tmp_path / "damaged.mkv", spoil)


def test_luma_is_compared_like_the_frames(
    damaged: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    report = colorize(damaged, output, options=options, encoding=LOSSLESS)
    assert report.damage and report.num_frames == 36
    assert verify(damaged, output) == 36
    difference = compare_luma(probe(damaged), probe(output))
    assert (difference.num_frames, difference.num_different) == (36, 0)
    result = CliRunner().invoke(cli, ["verify", "--luma", str(damaged), str(output)])
    assert result.exit_code == 0
    assert "36 frames" in result.output and "luma is the film's own, to the bit" in result.output


def test_an_output_may_hold_frames_that_cannot_be_decoded(
    damaged: Path, make_film: MakeFilm
) -> None:
    whole = make_film("whole.mkv", lumas=shoot(40), codec="mjpeg", pix_fmt="yuvj420p")
    assert verify(damaged, whole) == 40
    difference = compare_luma(probe(damaged), probe(whole))
    assert (difference.num_frames, difference.num_different) == (36, 0)


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ([8], r"has no frame at 0\.333000 s, where .*mkv has frame 8"),
        ([4], r"has no frame at 0\.167000 s, where .*mkv has frame 4"),
        ([38, 39], r"ends before 1\.583000 s, where .*mkv has frame 38"),
    ],
)
def test_a_missing_frame_is_named(
    damaged: Path, make_film: MakeFilm, tmp_path: Path, dropped: list[int], message: str
) -> None:
    whole = make_film("whole.mkv", lumas=shoot(40), codec="mjpeg", pix_fmt="yuvj420p")
    output = remux(
        whole,
        tmp_path / "short.mkv",
        lambda packets: [p for n, p in enumerate(packets) if n not in dropped],
    )
    with pytest.raises(VerifyError, match=message):
        compare_luma(probe(damaged), probe(output))
    with pytest.raises(VerifyError):
        verify(damaged, output)


def test_frames_too_many_are_named(damaged: Path, make_film: MakeFilm) -> None:
    longer = make_film("longer.mkv", lumas=shoot(42), codec="mjpeg", pix_fmt="yuvj420p")
    with pytest.raises(VerifyError, match=r"ends after 39 frames, .* has more"):
        compare_luma(probe(damaged), probe(longer))


def test_other_luma_is_counted(damaged: Path, make_film: MakeFilm) -> None:
    lumas = shoot(40)
    for number in (0, 5, 30):  # frame 5 cannot be compared
        lumas[number] = 255 - lumas[number]
    other = make_film("other.mkv", lumas=lumas, codec="mjpeg", pix_fmt="yuvj420p")
    difference = compare_luma(probe(damaged), probe(other))
    assert (difference.num_frames, difference.num_different) == (36, 2)
    assert 5 < difference.psnr < 30


# ---------------------------------------------------------------- rates of elementary streams


@pytest.mark.parametrize(
    ("ticks_per_second", "rate", "note"),
    [
        (2 * 18, 18, ""),
        (2 * 25, 25, ""),
        (2 * 120, 120, ""),
        (2 * 1000, 25, "states 1000 frames/s, the rate of a clock: shown at 25 frames/s; --rate"),
        (180_000, 25, "states 90000 frames/s, the rate of a clock: shown at 25 frames/s; --rate"),
        (None, 25, "states no frame rate: shown at 25 frames/s; --rate"),
    ],
)
def test_an_elementary_stream_has_a_sane_rate(
    tmp_path: Path, ticks_per_second: int | None, rate: int, note: str
) -> None:
    frames = coded.h264_frames(NUM_FRAMES, "mixed", ticks_per_second=ticks_per_second)
    film = coded.write_bare(tmp_path / "film.h264", frames)
    lumas = [coded.luma_of(number) for number in range(NUM_FRAMES)]
    clock = Fraction(1, 1_200_000)  # FFmpeg's
    times = [round(time / clock) * clock for time in even_times(24, step=Fraction(1, rate))]
    info = assert_shows(film, lumas, times)
    assert info.frame_rate == rate
    assert {frame.duration for frame in read_luma(info)} == {round(info.ticks_per_frame)}
    assert note in "; ".join(info.notes) and bool(info.notes) == bool(note)


@pytest.mark.parametrize(
    ("name", "codec", "fields"),
    [
        ("film.m1v", "mpeg1video", {}),
        ("film.m2v", "mpeg2video", {"options": {"bf": "2"}}),
        ("film.h263", "h263", {"lumas": shoot(8, (176, 144))}),
        ("film.h261", "h261", {"lumas": shoot(8, (176, 144))}),
        ("film.hevc", "libx265", {"options": {"x265-params": "log-level=none"}}),
        ("film.drc", "vc2", DIRAC),
    ],
)
def test_elementary_streams_have_the_rate_of_their_header(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str, codec: str, fields: Any
) -> None:
    rate = Fraction(30000, 1001)
    film = make_film(
        name, **{"lumas": shoot(8), "codec": codec, "rate": rate, "time_base": 1 / rate, **fields}
    )
    info = probe(film)
    assert (info.frame_rate, info.notes) == (rate, ())
    steps = {b - a for a, b in zip(FrameIndex.read(info).pts, FrameIndex.read(info).pts[1:])}
    assert steps == {info.ticks_per_frame}
    colorize(film, tmp_path / "out.mp4", options=options, encoding=Encoding(preset="ultrafast"))
    result = probe(tmp_path / "out.mp4")
    assert result.num_frames_estimate == 8
    assert result.duration_seconds == pytest.approx(8 / rate, abs=0.001)
