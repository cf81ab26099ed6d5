"""A film is coloured in segments; whatever ends a run, the next resumes after the last segment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import av.error
import media
import numpy as np
import pytest
from media import Sound, Titles, shoot
from PIL import Image

from filmcolor.errors import FilmcolorError, InputError, OutputError, VerifyError
from filmcolor.output.options import Encoding
from filmcolor.output.streams import PacketMuxer
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, color_missing
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.segments import segment
from filmcolor.segments.journal import Journal, Segment
from filmcolor.segments.segment import split_into_segments
from filmcolor.types.film import Part, TimeRange
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

pytestmark = pytest.mark.slow

MakeFilm = Callable[..., Path]
NUM_FRAMES, SEGMENT_FRAMES = 60, 12
LOSSLESS = Encoding(purpose="master")


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 2))  # at 24 frames/s: SEGMENT_FRAMES


@pytest.fixture(scope="module")
def lumas() -> list[np.ndarray]:
    return shoot(25, seed=1) + shoot(NUM_FRAMES - 25, seed=2)


@pytest.fixture
def film(make_film: MakeFilm, lumas: list[np.ndarray]) -> Path:
    return make_film("film.mkv", lumas=lumas, sounds=[Sound("flac")], titles=[Titles()])


class Stop:
    """A progress callback that ends a run when `at` frames are done, and counts its calls."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error = at, error
        self.first: int | None = None
        self.num = 0

    def __call__(self, done: int, _: int | None) -> None:
        self.first = done if self.first is None else self.first
        self.num += 1
        if done == self.at:
            raise self.error


def stopped(film: Path, output: Path, at: int, **arguments: object) -> str:
    """Interrupt a run; return the message."""
    with pytest.raises(KeyboardInterrupt) as interrupt:
        colorize(film, output, progress=Stop(at), **arguments)
    return str(interrupt.value)


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.filmcolor")


def num_finished(output: Path) -> int:
    """Return the number of frames in finished segments."""
    return sum(len(content.pts) for content in Journal(output).finished().values())


def times(path: Path) -> list[tuple[Fraction, Fraction]]:
    """Return (PTS, DTS) of each packet of the picture in seconds, in decoding order."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        base = Fraction(packets[0].time_base)
        return [(p.pts * base, (p.pts if p.dts is None else p.dts) * base) for p in packets]


def assert_same(output: Path, expected: Path) -> None:
    """Compare two films: pictures, times, sound and titles."""
    for a, b in zip(media.frames(output), media.frames(expected), strict=True):
        assert a.seconds == b.seconds
        assert np.array_equal(a.luma, b.luma)
        for chroma, expected_chroma in zip(a.planes[1:], b.planes[1:], strict=True):
            assert np.abs(chroma.astype(int) - expected_chroma).max() <= 1
    assert media.packets(output, "audio") == media.packets(expected, "audio")
    assert media.packets(output, "subtitle") == media.packets(expected, "subtitle")
    assert media.chapters(output) == media.chapters(expected)


# ---------------------------------------------------------------- where segments begin


def index_of(num_frames: int, keyframes: list[int]) -> FrameIndex:
    return SimpleNamespace(pts=list(range(num_frames)), keyframes=keyframes)  # type: ignore


@pytest.mark.parametrize(
    ("part", "keyframes", "firsts"),
    [
        (Part(), list(range(60)), [0, 12, 24, 36]),  # the rest is no segment of its own
        (Part(), [0, 15, 40], [0, 15, 27, 40]),  # 27: no keyframe is near
        (Part(), [0], [0, 12, 24, 36]),
        (Part(), [], [0, 12, 24, 36]),
        (Part(20, 50), [0, 33], [20, 33]),
        (Part(20, 30), [], [20]),
        (Part(7, 8), [], [7]),
    ],
)
def test_segments_begin_at_keyframes(part: Part, keyframes: list[int], firsts: list[int]) -> None:
    segments = split_into_segments(index_of(54, keyframes), part, Fraction(24))
    assert [segment.first for segment in segments] == firsts
    assert [segment.number for segment in segments] == list(range(len(firsts)))
    assert segments[-1].stop == part.stop
    assert all(a.stop == b.first for a, b in pairwise(segments))


def test_the_index_knows_the_keyframes(make_film: MakeFilm) -> None:
    film = make_film(lumas=shoot(30), options={"g": "10", "bf": "2", "sc_threshold": "0"})
    assert FrameIndex.read(probe(film)).keyframes == [0, 10, 20]


# ---------------------------------------------------------------- joined


def in_one_segment(monkeypatch: pytest.MonkeyPatch, *args: object, **arguments: object) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(segment, "_SECONDS", Fraction(1000))
        colorize(*args, **arguments)  # type: ignore[arg-type]


def test_a_lossless_film_of_segments_is_that_of_one(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    in_one_segment(monkeypatch, film, whole, options=options, encoding=LOSSLESS)
    colorize(film, output, options=options, encoding=LOSSLESS)
    assert_same(output, whole)
    assert times(output) == times(whole)
    assert sorted(tmp_path.iterdir()) == sorted([film, whole, output])


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("out.mp4", Encoding(preset="medium")),
        ("out.mov", Encoding(preset="ultrafast")),
        ("out.mkv", Encoding(preset="medium")),
        ("out.mkv", Encoding("archive", preset="ultrafast")),
        ("out.mp4", Encoding(codec="libsvtav1", preset="12")),
        ("out.mov", Encoding("edit")),
        ("out.webm", Encoding(codec="libvpx-vp9")),
    ],
    ids=lambda value: str(getattr(value, "codec", value) or getattr(value, "purpose", "")),
)
def test_every_encoder_has_the_times_of_one_run(
    make_film: MakeFilm,
    lumas: list[np.ndarray],
    options: ColorOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    encoding: Encoding,
) -> None:
    film = make_film("source.mp4", lumas=lumas)
    whole, output = tmp_path / f"whole-{name}", tmp_path / f"output-{name}"
    in_one_segment(monkeypatch, film, whole, options=options, encoding=encoding)
    colorize(film, output, options=options, encoding=encoding)
    frames, expected = media.frames(output), media.frames(whole)
    assert [f.seconds for f in frames] == [f.seconds for f in expected]
    if not name.endswith(("mkv", "webm")):  # these store no DTS
        decoded = [dts for _, dts in times(output)]
        assert decoded == sorted(decoded)
        assert decoded == [dts for _, dts in times(whole)]
    for a, b in zip(frames, expected, strict=True):  # seams differ no more than encodings do
        assert np.abs(a.luma.astype(float) - b.luma).mean() < 10.0 * (
            1 << (8, 10)["10" in a.pix_fmt] - 8
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"pts": [round(n * 1000 + 300 * (n % 3)) for n in range(NUM_FRAMES)]},
        {"start": Fraction(3, 2)},
        {"options": {"bf": "3", "g": "7"}},
        {"rate": Fraction(24000, 1001), "time_base": Fraction(1, 24000)},
    ],
    ids=["uneven", "late", "b-frames", "ntsc"],
)
def test_every_source_keeps_its_times(
    make_film: MakeFilm,
    lumas: list[np.ndarray],
    options: ColorOptions,
    tmp_path: Path,
    changes: dict[str, object],
) -> None:
    film = make_film("source.mp4", lumas=lumas, sounds=[Sound()], **changes)
    colorize(film, tmp_path / "out.mp4", options=options)
    assert media.seconds(tmp_path / "out.mp4") == media.seconds(film)


def test_a_range_is_in_segments_too(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    time_range = TimeRange(first=5, stop=50)
    in_one_segment(
        monkeypatch, film, whole, time_range=time_range, options=options, encoding=LOSSLESS
    )
    colorize(film, output, time_range=time_range, options=options, encoding=LOSSLESS)
    assert_same(output, whole)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("at", [SEGMENT_FRAMES + 1, 30, 59])
def test_a_run_goes_on_from_the_last_finished_segment(
    film: Path, options: ColorOptions, tmp_path: Path, at: int
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=options, encoding=LOSSLESS)
    message = stopped(film, output, at, options=options, encoding=LOSSLESS)
    num_done = num_finished(output)
    assert 0 < num_done < at
    assert (
        f"{num_done // SEGMENT_FRAMES} of 5 segments are done, the same command goes on" in message
    )
    assert not output.exists()
    progress = Stop(-1)
    report = colorize(film, output, options=options, encoding=LOSSLESS, progress=progress)
    assert (progress.first, progress.num) == (num_done + 1, NUM_FRAMES - num_done)
    assert report.num_frames == NUM_FRAMES
    assert_same(output, whole)
    assert not folder_of(output).exists()


def test_nothing_is_left_of_a_run_that_finished_no_segment(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    assert stopped(film, tmp_path / "out.mkv", 3, options=options) == "nothing was left behind"
    assert list(tmp_path.iterdir()) == [film]


def test_a_film_that_was_moved_goes_on(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    num_done = num_finished(output)
    moved = film.rename(tmp_path / "moved.mkv")
    progress = Stop(-1)
    colorize(moved, output, options=options, progress=progress)
    assert progress.first == num_done + 1 > SEGMENT_FRAMES


def referring(
    options: ColorOptions, lumas: list[np.ndarray], folder: Path, *tints: float
) -> ColorOptions:
    """Return options with references of frames far apart, each in one tint."""
    paths = []
    for number, tint in zip((3, 58), tints):
        colors = np.stack([1.0 + tint, 1.0, 1.0 - tint]) * lumas[number][..., None]
        paths.append(str(folder / f"frame-{number:06d}-{tint}.png"))
        Image.fromarray(colors.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return replace(options, references=tuple(paths))


def test_a_run_with_references_goes_on_with_them(
    film: Path, lumas: list[np.ndarray], options: ColorOptions, tmp_path: Path
) -> None:
    tinted, other = (referring(options, lumas, tmp_path, 0.3, last) for last in (-0.2, -0.21))
    whole, output, many = (tmp_path / f"{name}.mkv" for name in ("whole", "out", "many"))
    colorize(film, whole, options=tinted, encoding=LOSSLESS)
    stopped(film, output, 30, options=tinted, encoding=LOSSLESS)
    for changed in (other, options, replace(tinted, references=tinted.references[:1])):
        with pytest.raises(OutputError, match=r"segments of a run with references .*--restart"):
            colorize(film, output, options=changed, encoding=LOSSLESS)
    colorize(film, output, options=tinted, encoding=LOSSLESS)
    assert_same(output, whole)
    colorize(film, many, jobs=2, options=tinted, encoding=LOSSLESS)
    assert_same(many, whole)


def test_other_settings_are_refused(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    with pytest.raises(OutputError, match=r"options .*'crf': '20'.*now .*'crf': '30'.*--restart"):
        colorize(film, output, options=options, encoding=Encoding(crf=30))
    with pytest.raises(OutputError, match=r"frames .*--restart"):
        colorize(film, output, time_range=TimeRange(first=0, stop=40), options=options)
    assert Journal(output).finished()  # the refusal loses nothing
    progress = Stop(-1)
    colorize(
        film, output, options=options, encoding=Encoding(crf=30), restart=True, progress=progress
    )
    assert progress.first == 1


def test_another_film_is_refused(
    film: Path, make_film: MakeFilm, lumas: list[np.ndarray], options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    other = make_film("other.mkv", lumas=lumas[::-1])
    with pytest.raises(OutputError, match=r"segments of another film.*--restart"):
        colorize(other, output, options=options)


def test_a_second_run_on_the_same_output_says_so(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    with Journal(output), pytest.raises(OutputError, match=r"another run is writing .*out\.mkv"):
        colorize(film, output, options=options)
    colorize(film, output, options=options)


def test_a_film_that_changes_is_not_taken_for_whole(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    def touch(done: int, _: int | None) -> None:
        if done == 40:
            os.utime(film, ns=(1, 1))

    with pytest.raises(InputError, match="was changed during the run"):
        colorize(film, tmp_path / "out.mkv", options=options, progress=touch)
    assert not (tmp_path / "out.mkv").exists()


def test_a_broken_segment_is_named_and_made_anew(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options, encoding=LOSSLESS)
    num_frames = len(Journal(output).finished()[1].pts)
    path = Journal(output).media_path(Segment(1, 0, None), "nut")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OutputError, match=f"{path.name} holds .* delete that file"):
        colorize(film, output, options=options, encoding=LOSSLESS)
    path.unlink()
    progress = Stop(-1)
    colorize(film, output, options=options, encoding=LOSSLESS, progress=progress)
    assert progress.num == num_frames


def test_a_journal_that_cannot_be_read_is_begun_again(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    (folder_of(output) / "journal.json").write_text("{")
    progress = Stop(-1)
    colorize(film, output, options=options, progress=progress)
    assert progress.first == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed here")
def test_a_killed_run_goes_on(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=options, encoding=LOSSLESS)
    code = (
        "import sys, time\n"
        "from fractions import Fraction\n"
        "from filmcolor import ColorOptions, Encoding, colorize\n"
        "from filmcolor.segments import segment\n"
        "segment._SECONDS = Fraction(1, 2)\n"
        "film, output, weights = sys.argv[1:]\n"
        "options = ColorOptions(weights=weights, size=32, device='cpu')\n"
        "slow = lambda *_: time.sleep(0.02)\n"
        "colorize(film, output, options=options, encoding=Encoding('master'), progress=slow)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code, film, output, options.weights])
    while len(Journal(output).finished()) < 2:
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not output.exists()
    progress = Stop(-1)
    colorize(film, output, options=options, encoding=LOSSLESS, progress=progress)
    assert progress.first is not None and progress.first > 2 * SEGMENT_FRAMES
    assert_same(output, whole)


def test_segments_in_several_processes_are_those_of_one(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    single, many = tmp_path / "single.mkv", tmp_path / "many.mkv"
    colorize(film, single, options=options, encoding=LOSSLESS)
    progress = Stop(-1)
    report = colorize(film, many, jobs=2, options=options, encoding=LOSSLESS, progress=progress)
    assert report.num_frames == progress.num == NUM_FRAMES
    assert_same(many, single)
    assert not folder_of(many).exists()


# ---------------------------------------------------------------- names and messages


def test_a_name_of_255_bytes(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / f"{'é' * 125}o.mkv"
    assert len(os.fsencode(output.name)) == 255
    stopped(film, output, 30, options=options)
    colorize(film, output, options=options)
    assert sorted(tmp_path.iterdir()) == sorted([film, output])


@pytest.mark.parametrize("name", ["two\nlines.mkv", "'\"$(x).mkv", "🎞️ film.mkv", "-o.mkv"])
def test_odd_names(film: Path, options: ColorOptions, tmp_path: Path, name: str) -> None:
    source = film.rename(tmp_path / f"of {name}")
    colorize(source, tmp_path / name, options=options)
    assert sorted(tmp_path.iterdir()) == sorted([source, tmp_path / name])


def test_a_folder_that_cannot_be_made_is_reported(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    folder_of(output).write_text("in the way")
    with pytest.raises(OutputError, match=r"out\.mkv cannot be written .*out\.mkv\.filmcolor"):
        colorize(film, output, options=options)


@pytest.mark.parametrize("comment", [None, "From a nitrate print"])
def test_the_output_says_that_its_colour_was_added(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, comment: str | None
) -> None:
    film = make_film(metadata={"comment": comment} if comment else {})
    colorize(film, tmp_path / "tagged.mp4", options=options)
    colorize(film, tmp_path / "untagged.mp4", options=options, tag=False)
    tagged_comment = media.metadata(tmp_path / "tagged.mp4")["comment"]
    assert "colour added by filmcolor" in tagged_comment and "weights" in tagged_comment
    assert tagged_comment.startswith(comment or "colour")
    assert media.metadata(tmp_path / "untagged.mp4").get("comment") == comment
    # a second run does not tag it twice
    colorize(tmp_path / "tagged.mp4", tmp_path / "twice.mp4", options=options)
    assert media.metadata(tmp_path / "twice.mp4")["comment"] == tagged_comment


def test_a_run_that_fails_later_says_what_is_kept(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FilmcolorError("the disk is full: make room")

    output = tmp_path / "out.mkv"
    monkeypatch.setattr("filmcolor.pipeline.join.concatenate", full)
    with pytest.raises(
        FilmcolorError, match="make room; 5 of 5 segments are done, the same command"
    ):
        colorize(film, output, options=options)
    monkeypatch.undo()
    progress = Stop(-1)
    colorize(film, output, options=options, colorizer=Colorizer(options), progress=progress)
    assert progress.num == 0  # only the joining was left
    assert media.seconds(output) == media.seconds(film)


def test_a_film_that_differs_is_kept_under_another_name(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(*_: object) -> None:
        raise VerifyError("out.mkv has 1 chapters where film.mkv has 2")

    output, kept = tmp_path / "out.mkv", tmp_path / "out.unverified.mkv"
    monkeypatch.setattr("filmcolor.pipeline.join.verify_output", differ)
    message = r"has 1 chapters .*; the coloured film is kept as .*out\.unverified\.mkv$"
    with pytest.raises(VerifyError, match=message):
        colorize(film, output, options=options)
    assert not output.exists()
    assert media.seconds(kept) == media.seconds(film)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", "out.unverified.mkv"]


def test_a_stream_that_is_refused_at_the_end_loses_no_colour(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial before the run does not see every packet; the picture is kept without it."""
    film = make_film("spoken.mp4", sounds=[media.Sound(), media.Sound("ac3")])
    output, kept = tmp_path / "out.mp4", tmp_path / "out.unverified.mp4"
    mux = PacketMuxer.mux

    def refuse_ac3(self: PacketMuxer, packet: av.Packet) -> None:
        if packet.stream.name == "ac3" and packet.dts > packet.stream.codec_context.sample_rate / 4:
            raise av.error.InvalidDataError(1, "Invalid data found")
        mux(self, packet)

    with monkeypatch.context() as patch:
        run = Run.prepare(film, output, RunSettings(options, Encoding()))
        with run.locked():
            color_missing(run, PieceColorizer(Colorizer(options)))
            patch.setattr(PacketMuxer, "mux", refuse_ac3)
            with pytest.raises(VerifyError, match=r"cannot hold .*ac3.* kept as .*unverified"):
                run.join()
    assert media.lumas(kept)[0].shape == media.lumas(film)[0].shape
    assert [s.codec for s in media.streams(kept, "audio")] == ["aac"]


def test_segments_of_another_version_are_kept_and_reported(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    folder = Journal(output).folder
    folder.mkdir()
    (folder / "journal.json").write_text('{"format": 1, "source": {"size": 9}, "pieces": []}')
    (folder / "000000.nut").write_bytes(b"work of another version")
    with pytest.raises(OutputError, match=r"segments of another version of filmcolor; .*--restart"):
        colorize(film, output, options=options)
    assert (folder / "000000.nut").read_bytes() == b"work of another version"
    colorize(film, output, options=options, restart=True)
    assert output.exists() and not folder.exists()
