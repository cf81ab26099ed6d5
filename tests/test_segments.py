"""A film is coloured in pieces; whatever ends a run, the next one goes on from the last piece."""

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
import media
import numpy as np
import pytest
from media import Sound, Titles, shoot
from PIL import Image

from filmcolor.errors import FilmcolorError, InputError, OutputError
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments import segment as segments
from filmcolor.segments.journal import Journal, Segment
from filmcolor.segments.segment import split_into_segments
from filmcolor.types.film import Part, TimeRange
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
NUM_FRAMES, PIECE = 60, 12  # frames
LOSSLESS = Encoding(purpose="master")


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SECONDS", Fraction(1, 2))  # at 24 frames/s: PIECE frames


@pytest.fixture(scope="module")
def lumas() -> list[np.ndarray]:
    return shoot(25, seed=1) + shoot(NUM_FRAMES - 25, seed=2)


@pytest.fixture
def film(make_film: MakeFilm, lumas: list[np.ndarray]) -> Path:
    return make_film("film.mkv", lumas=lumas, sounds=[Sound("flac")], titles=[Titles()])


class Stop:
    """Progress that ends a run when so many frames are done."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error = at, error
        self.first: int | None = None
        self.num = 0

    def __call__(self, done: int, _: int | None) -> None:
        self.first = done if self.first is None else self.first
        self.num += 1
        if done == self.at:
            raise self.error


def stopped(film: Path, output: Path, at: int, **anchor_requests: object) -> str:
    """Break a run off; return what was said."""
    with pytest.raises(KeyboardInterrupt) as stop:
        colorize(film, output, progress=Stop(at), **anchor_requests)
    return str(stop.value)


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.filmcolor")


def num_finished(output: Path) -> int:
    """Return the number of frames in finished pieces."""
    return sum(len(piece.pts) for piece in Journal(output).finished().values())


def times(path: Path) -> list[tuple[Fraction, Fraction]]:
    """Return when each packet of the picture is shown and decoded, in the order of decoding."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        base = Fraction(packets[0].time_base)
        return [(p.pts * base, (p.pts if p.dts is None else p.dts) * base) for p in packets]


def assert_same(ours: Path, theirs: Path) -> None:
    """Compare two films: pictures, times, sound and titles."""
    for a, b in zip(media.frames(ours), media.frames(theirs), strict=True):
        assert a.seconds == b.seconds
        assert np.array_equal(a.luma, b.luma)
        for mine, other in zip(a.planes[1:], b.planes[1:], strict=True):
            assert np.abs(mine.astype(int) - other).max() <= 1
    assert media.packets(ours, "audio") == media.packets(theirs, "audio")
    assert media.packets(ours, "subtitle") == media.packets(theirs, "subtitle")
    assert media.chapters(ours) == media.chapters(theirs)


# ---------------------------------------------------------------- where a film is cut


def index_of(num_frames: int, keyframes: list[int]) -> FrameIndex:
    return SimpleNamespace(pts=list(range(num_frames)), keyframes=keyframes)  # type: ignore


@pytest.mark.parametrize(
    ("part", "keyframes", "wanted"),
    [
        (Part(), list(range(60)), [0, 12, 24, 36]),  # what is left is no piece of its own
        (Part(), [0, 15, 40], [0, 15, 27, 40]),  # 27: no keyframe is near
        (Part(), [0], [0, 12, 24, 36]),
        (Part(), [], [0, 12, 24, 36]),
        (Part(20, 50), [0, 33], [20, 33]),
        (Part(20, 30), [], [20]),
        (Part(7, 8), [], [7]),
    ],
)
def test_pieces_begin_at_keyframes(part: Part, keyframes: list[int], wanted: list[int]) -> None:
    pieces = split_into_segments(index_of(54, keyframes), part, Fraction(24))
    assert [piece.first for piece in pieces] == wanted
    assert [piece.number for piece in pieces] == list(range(len(wanted)))
    assert pieces[-1].stop == part.stop
    assert all(a.stop == b.first for a, b in pairwise(pieces))


def test_the_index_knows_the_keyframes(make_film: MakeFilm) -> None:
    film = make_film(lumas=shoot(30), options={"g": "10", "bf": "2", "sc_threshold": "0"})
    assert FrameIndex(probe(film)).keyframes == [0, 10, 20]


# ---------------------------------------------------------------- joined


def in_one_piece(monkeypatch: pytest.MonkeyPatch, *args: object, **anchor_requests: object) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(segments, "_SECONDS", Fraction(1000))
        colorize(*args, **anchor_requests)  # type: ignore[arg-type]


def test_a_lossless_film_of_pieces_is_that_of_one(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, pieces = tmp_path / "whole.mkv", tmp_path / "pieces.mkv"
    in_one_piece(monkeypatch, film, whole, options=options, encoding=LOSSLESS)
    colorize(film, pieces, options=options, encoding=LOSSLESS)
    assert_same(pieces, whole)
    assert times(pieces) == times(whole)
    assert sorted(tmp_path.iterdir()) == sorted([film, whole, pieces])


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
    whole, pieces = tmp_path / f"whole-{name}", tmp_path / f"pieces-{name}"
    in_one_piece(monkeypatch, film, whole, options=options, encoding=encoding)
    colorize(film, pieces, options=options, encoding=encoding)
    ours, theirs = media.frames(pieces), media.frames(whole)
    assert [f.seconds for f in ours] == [f.seconds for f in theirs]
    if not name.endswith(("mkv", "webm")):  # these have no times of decoding
        decoded = [dts for _, dts in times(pieces)]
        assert decoded == sorted(decoded)
        assert decoded == [dts for _, dts in times(whole)]
    for a, b in zip(ours, theirs, strict=True):  # the seams show no more than the encoder does
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


def test_a_range_is_in_pieces_too(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, pieces = tmp_path / "whole.mkv", tmp_path / "pieces.mkv"
    time_range = TimeRange(first=5, stop=50)
    in_one_piece(
        monkeypatch, film, whole, time_range=time_range, options=options, encoding=LOSSLESS
    )
    colorize(film, pieces, time_range=time_range, options=options, encoding=LOSSLESS)
    assert_same(pieces, whole)


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("at", [PIECE + 1, 30, 59])
def test_a_run_goes_on_from_the_last_finished_piece(
    film: Path, options: ColorOptions, tmp_path: Path, at: int
) -> None:
    wanted, output = tmp_path / "wanted.mkv", tmp_path / "out.mkv"
    colorize(film, wanted, options=options, encoding=LOSSLESS)
    told = stopped(film, output, at, options=options, encoding=LOSSLESS)
    num_done = num_finished(output)
    assert 0 < num_done < at
    assert f"{num_done // PIECE} of 5 pieces are done, the same command goes on" in told
    assert not output.exists()
    again = Stop(-1)
    report = colorize(film, output, options=options, encoding=LOSSLESS, progress=again)
    assert (again.first, again.num) == (num_done + 1, NUM_FRAMES - num_done)
    assert report.num_frames == NUM_FRAMES
    assert_same(output, wanted)
    assert not folder_of(output).exists()


def test_nothing_is_left_of_a_run_that_finished_no_piece(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    assert stopped(film, tmp_path / "out.mkv", 3, options=options) == "nothing was left behind"
    assert list(tmp_path.iterdir()) == [film]


def test_a_film_that_was_moved_goes_on(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    num_done = num_finished(output)
    moved = film.rename(tmp_path / "moved.mkv")
    again = Stop(-1)
    colorize(moved, output, options=options, progress=again)
    assert again.first == num_done + 1 > PIECE


def referring(
    options: ColorOptions, lumas: list[np.ndarray], folder: Path, *tints: float
) -> ColorOptions:
    """Return a look with references, each of one tint, of frames far from each other."""
    paths = []
    for number, tint in zip((3, 58), tints):
        colors = np.stack([1.0 + tint, 1.0, 1.0 - tint]) * lumas[number][..., None]
        paths.append(str(folder / f"frame-{number:06d}-{tint}.png"))
        Image.fromarray(colors.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return replace(options, references=tuple(paths))


def test_a_run_with_references_goes_on_with_them(
    film: Path, lumas: list[np.ndarray], options: ColorOptions, tmp_path: Path
) -> None:
    given, other = (referring(options, lumas, tmp_path, 0.3, last) for last in (-0.2, -0.21))
    whole, output, many = (tmp_path / f"{name}.mkv" for name in ("whole", "out", "many"))
    colorize(film, whole, options=given, encoding=LOSSLESS)
    stopped(film, output, 30, options=given, encoding=LOSSLESS)
    for changed in (other, options, replace(given, references=given.references[:1])):
        with pytest.raises(OutputError, match=r"pieces of a run with references .*--restart"):
            colorize(film, output, options=changed, encoding=LOSSLESS)
    colorize(film, output, options=given, encoding=LOSSLESS)
    assert_same(output, whole)
    colorize(film, many, jobs=2, options=given, encoding=LOSSLESS)
    assert_same(many, whole)


def test_other_settings_are_said(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    with pytest.raises(OutputError, match=r"options .*'crf': '20'.*now .*'crf': '30'.*--restart"):
        colorize(film, output, options=options, encoding=Encoding(crf=30))
    with pytest.raises(OutputError, match=r"frames .*--restart"):
        colorize(film, output, time_range=TimeRange(first=0, stop=40), options=options)
    assert Journal(output).finished()  # nothing is lost by asking
    again = Stop(-1)
    colorize(film, output, options=options, encoding=Encoding(crf=30), restart=True, progress=again)
    assert again.first == 1


def test_another_film_is_said(
    film: Path, make_film: MakeFilm, lumas: list[np.ndarray], options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    other = make_film("other.mkv", lumas=lumas[::-1])
    with pytest.raises(OutputError, match=r"pieces of another film.*--restart"):
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

    with pytest.raises(InputError, match="changed while it was coloured"):
        colorize(film, tmp_path / "out.mkv", options=options, progress=touch)
    assert not (tmp_path / "out.mkv").exists()


def test_a_broken_piece_is_named_and_made_anew(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options, encoding=LOSSLESS)
    num_frames = len(Journal(output).finished()[1].pts)
    piece = Journal(output).media(Segment(1, 0, None), "nut")
    piece.write_bytes(piece.read_bytes()[: piece.stat().st_size // 2])
    with pytest.raises(OutputError, match=f"{piece.name} holds .* delete that file"):
        colorize(film, output, options=options, encoding=LOSSLESS)
    piece.unlink()
    again = Stop(-1)
    colorize(film, output, options=options, encoding=LOSSLESS, progress=again)
    assert again.num == num_frames


def test_a_journal_that_cannot_be_read_is_begun_again(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    stopped(film, output, 30, options=options)
    (folder_of(output) / "journal.json").write_text("{")
    again = Stop(-1)
    colorize(film, output, options=options, progress=again)
    assert again.first == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed here")
def test_a_killed_run_goes_on(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    wanted, output = tmp_path / "wanted.mkv", tmp_path / "out.mkv"
    colorize(film, wanted, options=options, encoding=LOSSLESS)
    code = (
        "import sys, time\n"
        "from fractions import Fraction\n"
        "from filmcolor import ColorOptions, Encoding, colorize\n"
        "from filmcolor.segments import segment as segments\n"
        "segments._SECONDS = Fraction(1, 2)\n"
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
    again = Stop(-1)
    colorize(film, output, options=options, encoding=LOSSLESS, progress=again)
    assert again.first is not None and again.first > 2 * PIECE
    assert_same(output, wanted)


def test_pieces_in_several_processes_are_those_of_one(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    one, many = tmp_path / "one.mkv", tmp_path / "many.mkv"
    colorize(film, one, options=options, encoding=LOSSLESS)
    told = Stop(-1)
    report = colorize(film, many, jobs=2, options=options, encoding=LOSSLESS, progress=told)
    assert report.num_frames == told.num == NUM_FRAMES
    assert_same(many, one)
    assert not folder_of(many).exists()


# ---------------------------------------------------------------- names, and what is said


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


def test_a_folder_that_cannot_be_made_is_said(
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
    colorize(film, tmp_path / "told.mp4", options=options)
    colorize(film, tmp_path / "untold.mp4", options=options, tag=False)
    told = media.metadata(tmp_path / "told.mp4")["comment"]
    assert "colour added by filmcolor" in told and "weights" in told
    assert told.startswith(comment or "colour")
    assert media.metadata(tmp_path / "untold.mp4").get("comment") == comment
    # coloured once more it is not told twice
    colorize(tmp_path / "told.mp4", tmp_path / "twice.mp4", options=options)
    assert media.metadata(tmp_path / "twice.mp4")["comment"] == told


def test_a_film_that_fails_later_says_what_is_kept(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FilmcolorError("the disk is full: make room")

    output = tmp_path / "out.mkv"
    monkeypatch.setattr("filmcolor.pipeline.run.concatenate", full)
    with pytest.raises(
        FilmcolorError, match="make room; 5 of 5 segments are done, the same command"
    ):
        colorize(film, output, options=options)
    monkeypatch.undo()
    told = Stop(-1)
    colorize(film, output, options=options, colorizer=Colorizer(options), progress=told)
    assert told.num == 0  # all that was left was to join them
    assert media.seconds(output) == media.seconds(film)
