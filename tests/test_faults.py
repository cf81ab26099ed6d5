"""Faults: spoiled films, kills, full disks, folders that vanish, and odd shell environments."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import media
import pytest
from media import Sound, shoot
from runs import GOOD_RESULTS, LOSSLESS, SEGMENT_SECONDS, attempt, contents, run_command
from runs import OPTIONS as TUTORIAL
from spoiled import make_film as make_known_film
from spoiled import make_films, spoil

from filmcolor.cli.console import escape_controls
from filmcolor.errors import FilmcolorError, InputError, OutputError
from filmcolor.output.packet_repair import find_new_times
from filmcolor.output.verify import verify
from filmcolor.pipeline import workers
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.run import RunSettings
from filmcolor.segments import segment
from filmcolor.segments.journal import Journal

pytestmark = pytest.mark.slow

SCRIPT = shutil.which("filmcolor", path=str(Path(sys.executable).parent))
NUM_FRAMES, SEGMENT_FRAMES = 96, 8
NUM_SPOILED = 200
PATIENCE_SECONDS = 60

MakeFilm = Callable[..., Path]


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    # at 24 frames/s: SEGMENT_FRAMES
    monkeypatch.setattr(segment, "_SECONDS", SEGMENT_SECONDS)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_known_film(tmp_path / "h264.mkv", NUM_FRAMES)


def leftovers(folder: Path, *known: Path) -> list[Path]:
    return sorted(set(folder.iterdir()) - set(known))


# ---------------------------------------------------------------- spoiled films


@pytest.mark.filterwarnings("ignore")
def test_spoiled_films_end_in_one_line_or_in_a_film_that_verify_vouches_for(
    options: ColorOptions, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    films = make_films(tmp_path / "whole", 16, (64, 48))
    colorizer = Colorizer(options)
    counts: Counter[str] = Counter()
    for seed in range(NUM_SPOILED):
        spoiled = spoil(films, seed, tmp_path)
        output = tmp_path / f"out.{('mkv', 'mp4')[seed % 2]}"
        result, message = attempt(spoiled, output, colorizer, seed)
        assert result in GOOD_RESULTS, f"seed {seed}: {result}: {message}"
        counts[result] += 1
        assert leftovers(tmp_path, tmp_path / "whole", spoiled) == []
        spoiled.unlink()
    assert min(counts[result] for result in GOOD_RESULTS) > 10


# ---------------------------------------------------------------- sound with broken timestamps


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 2, 4, 6], [0, 2, 4, 6]),
        ([0, 2, 2, 6], [0, 2, 2, 6]),  # the clocks of some containers are that coarse
        ([0, 2, 1, 6, 8], [0, 1, 1, 6, 8]),
        ([0, 2, 900, 6, 8, 10], [0, 2, 4, 6, 8, 10]),  # a late packet moves no other
        ([0, 900, 902, 6, 8, 10], [0, 2, 4, 6, 8, 10]),
        ([10, 12, 14, 0], [10, 12, 14, 16]),
        ([900, 2, 4], [2, 2, 4]),
    ],
)
def test_the_longest_row_of_times_in_order_is_kept(times: list[int], expected: list[int]) -> None:
    new = find_new_times(times, [2] * len(times))
    assert [new.get(n, time) for n, time in enumerate(times)] == expected


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_sound_whose_times_go_back_stays_in_step(
    options: ColorOptions, tmp_path: Path, suffix: str
) -> None:
    film = make_known_film(tmp_path / "h264.mp4", 48)
    with av.open(str(film)) as source, av.open(str(tmp_path / "back.ts"), "w") as output:
        streams = [output.add_stream_from_template(s) for s in source.streams]
        packets = [p for p in source.demux() if p.size]
        for n, packet in enumerate(p for p in packets if p.stream.type == "audio"):
            if 20 <= n < 24:
                packet.pts = packet.dts = packet.pts + (5 - 2 * (n - 20)) * 1024
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            try:
                output.mux(packet)
            except av.error.FFmpegError:
                continue  # this muxer refuses decreasing timestamps: those packets are missing
    report = colorize(tmp_path / "back.ts", tmp_path / f"out.{suffix}", options=options)
    assert verify(tmp_path / "back.ts", report.output) == 48


def test_a_clock_that_is_set_back_a_little_is_the_same_in_segments_and_after_a_stop(
    options: ColorOptions, tmp_path: Path
) -> None:
    """Two recordings in one file: frames and sound of the second directly follow the first's."""
    (tmp_path / "second").mkdir()
    first = make_known_film(tmp_path / "mpeg2.ts", 20)
    second = make_known_film(tmp_path / "second" / "mpeg2.ts", 40)
    back = tmp_path / "back.ts"
    back.write_bytes(first.read_bytes() + second.read_bytes())
    straight = colorize(back, tmp_path / "straight.mkv", options=options, encoding=LOSSLESS)
    assert straight.num_frames == 60
    assert any("without a timestamp" in line for line in straight.damage)
    assert any("packets had times that do not fit" in line for line in straight.damage)

    def stop(done: int, _: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colorize(back, tmp_path / "resumed.mkv", options=options, encoding=LOSSLESS, progress=stop)
    resumed = colorize(back, tmp_path / "resumed.mkv", options=options, encoding=LOSSLESS)
    assert resumed.damage == straight.damage
    assert contents(tmp_path / "resumed.mkv") == contents(tmp_path / "straight.mkv")


def test_a_film_without_any_times_is_as_long_as_its_rate_says(
    options: ColorOptions, tmp_path: Path
) -> None:
    film, raw = make_known_film(tmp_path / "h264.mp4", 48), tmp_path / "raw.h264"
    with av.open(str(film)) as source, av.open(str(raw), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    report = colorize(raw, tmp_path / "out.mkv", options=options)
    assert report.damage == ()
    milliseconds = [round(1000 * seconds) for seconds in media.seconds(report.output)]
    assert milliseconds == [round(n * 1000 / 24) for n in range(48)]  # from the codec's header
    assert verify(raw, report.output) == 48


# ---------------------------------------------------------------- kills, full disks, folders


@pytest.mark.skipif(sys.platform == "win32", reason="nothing can be killed there")
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_any_moment_goes_on(film: Path, tmp_path: Path, seed: int) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=TUTORIAL, encoding=LOSSLESS)
    process = subprocess.Popen(run_command(film, output, pause=0.01))
    while not Journal(output).folder.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.1, 1.1))
    process.kill()
    process.wait()
    if not output.exists():
        colorize(film, output, options=TUTORIAL, encoding=LOSSLESS)
    assert contents(output) == contents(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits for files")
@pytest.mark.parametrize(("limit", "num_kept"), [(200, 0), (45_000, None), (150_000, None)])
def test_a_full_disk_loses_nothing_that_is_done(
    film: Path, tmp_path: Path, limit: int, num_kept: int | None
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=TUTORIAL, encoding=LOSSLESS)
    done = subprocess.run(
        run_command(film, output, limit=limit), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(r"filmcolor: .*out\.mkv cannot be [^\n]*\n", done.stderr)
    num_finished = len(Journal(output).finished())
    assert num_kept is None or num_finished == num_kept
    assert not num_finished or f"{num_finished} of 10 segments are done" in done.stderr
    assert not output.exists()
    colorize(film, output, options=TUTORIAL, encoding=LOSSLESS)
    assert contents(output) == contents(whole)
    assert leftovers(tmp_path, film, whole, output) == []


def at(number: int, do: Callable[[], object]) -> Callable[..., None]:
    """Return a progress callback that calls `do` when `number` frames are done."""

    def progress(done: int, _: int | None) -> None:
        if done == number:
            do()

    return progress


@pytest.mark.parametrize("moment", [10, 40, NUM_FRAMES])
def test_an_output_folder_that_vanishes_is_reported(
    film: Path, options: ColorOptions, tmp_path: Path, moment: int
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match=r"its folder is gone|segments of .* are gone|cannot be"):
        remove = at(moment, lambda: shutil.rmtree(folder))
        colorize(film, folder / "out.mkv", options=options, progress=remove)
    assert leftovers(tmp_path, film) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_not_be_written_is_reported(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="check the folder's permissions"):
        colorize(film, folder / "out.mkv", options=options)


def test_segments_that_vanish_are_made_again(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    journal = Journal(output)
    remove = at(NUM_FRAMES, lambda: (journal.folder / "000003.json").unlink())
    with pytest.raises(OutputError, match=r"are gone \(000003\); run again"):
        colorize(film, output, options=options, progress=remove)
    assert colorize(film, output, options=options).num_frames == NUM_FRAMES


# ---------------------------------------------------------------- the film itself


def test_a_film_that_grows_is_begun_again(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"

    def grow() -> None:
        with film.open("ab") as file:
            file.write(b"\0" * 1000)

    with pytest.raises(InputError, match="was changed during the run") as error:
        colorize(film, output, options=options, progress=at(50, grow))
    assert "\n" not in str(error.value)
    assert leftovers(tmp_path, film) == []  # its segments are of no single film
    assert colorize(film, output, options=options).num_frames == NUM_FRAMES


def test_a_film_that_vanishes_loses_no_segments(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    """Its disk may have been unplugged."""
    output, kept = tmp_path / "out.mkv", tmp_path / "kept.mkv"
    with pytest.raises(InputError, match=r"is gone; put it back, .*; \d+ of \d+ segments are done"):
        colorize(film, output, options=options, progress=at(50, lambda: film.rename(kept)))
    assert not output.exists()
    assert Journal(output).finished()
    kept.rename(film)
    assert colorize(film, output, options=options).num_frames == NUM_FRAMES
    assert leftovers(tmp_path, film, output) == []


@pytest.mark.parametrize("text", ["[]", "null", '"words"', '{"format": 1}', "\0"])
def test_a_journal_of_nonsense_is_begun_again(
    film: Path, options: ColorOptions, tmp_path: Path, text: str
) -> None:
    folder = Journal(tmp_path / "out.mkv").folder
    folder.mkdir()
    for name in ("journal.json", "000000.json", "000001.json"):
        (folder / name).write_text(text)
    assert colorize(film, tmp_path / "out.mkv", options=options).num_frames == NUM_FRAMES
    assert leftovers(tmp_path, film, tmp_path / "out.mkv") == []


def test_a_pickle_beside_the_segments_is_not_read(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    folder = Journal(tmp_path / "out.mkv").folder
    folder.mkdir()
    trap = b"cos\nsystem\n(S'touch " + os.fsencode(tmp_path / "trap") + b"'\ntR."
    for name in ("journal.json", "000000.json", "000000.nut", "lock"):
        (folder / name).write_bytes(trap)
    colorize(film, tmp_path / "out.mkv", options=options)
    assert leftovers(tmp_path, film, tmp_path / "out.mkv") == []


# ---------------------------------------------------------------- processes


def work_and_die_once(pipe: Connection, settings: RunSettings, num_workers: int) -> None:
    """A worker of segments that is killed in the middle of its first task."""
    color = PieceColorizer.color

    def fatal(self: PieceColorizer, run: Any, piece: Any, progress: Any, last: Any) -> int:
        marker = run.info.path.with_suffix(f".{piece.number}")

        def advance(done: int) -> None:
            progress(done)
            if done == 4 and piece.number in (1, run.segments[-1].number) and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return color(self, run, piece, advance, last)

    PieceColorizer.color = fatal  # type: ignore[method-assign]
    workers.work(pipe, settings, num_workers)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_process_that_dies_is_replaced_and_goes_on(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=options, encoding=LOSSLESS)
    monkeypatch.setattr(workers, "work", work_and_die_once)
    report = colorize(film, output, jobs=2, options=options, encoding=LOSSLESS)
    assert report.num_frames == NUM_FRAMES
    assert len(list(tmp_path.glob("h264.[0-9]*"))) == 2  # both died
    assert contents(output) == contents(whole)
    assert not Journal(output).folder.exists()


# ---------------------------------------------------------------- the command


# the command with short segments and without a network
WRAPPED = """
import socket
from fractions import Fraction

def refuse(*_, **__):
    raise AssertionError("to the network")

class Closed(socket.socket):
    connect = connect_ex = sendto = refuse

socket.socket, socket.create_connection, socket.getaddrinfo = Closed, refuse, refuse
from filmcolor.cli.main import main
from filmcolor.segments import segment
segment._SECONDS = Fraction(1, 3)
main()
"""
COLOR_OPTIONS = ["--weights", "tutorial", "--size", "32", "--device", "cpu"]


def command(*args: object, code: str | None = None) -> list[str]:
    """Return a `filmcolor run` command; `code` takes the place of the installed script."""
    program = [SCRIPT] if code is None else [sys.executable, "-c", code]
    return [*map(str, program), "run", *map(str, args), *COLOR_OPTIONS]


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("two\nlines.mkv", "C"),
        ("🎞️ 'x' \"y\".mkv", "C"),
        (os.fsdecode(b"\xff.mkv"), "C"),
        (os.fsdecode(b"\xff.mkv"), "C.UTF-8"),
    ],
)
def test_odd_names_in_any_locale_without_input_or_terminal(
    film: Path, tmp_path: Path, name: str, locale: str
) -> None:
    film = film.rename(tmp_path / name)
    environment = {**os.environ, "LC_ALL": locale}
    for code in (0, 1):  # the second time the output exists
        done = subprocess.run(
            command(film.name, "-q" if code else "--no-tag"),
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1 and b"exists; choose another name" in done.stderr
    assert len(leftovers(tmp_path, film)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_standard_files_that_are_closed_do_no_harm(
    make_film: MakeFilm, tmp_path: Path, closed: list[int]
) -> None:
    film = make_film("film.mkv", lumas=shoot(12), sounds=[Sound()])
    output = tmp_path / "out.mkv"
    done = subprocess.run(
        command(film, "-o", output),
        preexec_fn=lambda: [os.close(number) for number in closed],
        stderr=None if 2 in closed else subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0
    assert verify(film, output) == 12


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file that is always full")
def test_results_that_cannot_be_printed_are_reported(make_film: MakeFilm, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(make_film(), "-o", tmp_path / "out.mkv"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "the results cannot be printed (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("kind", "jobs"), [("SIGTERM", 1), ("SIGTERM", 2), ("SIGINT", 1)])
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, kind: str, jobs: int) -> None:
    film = make_known_film(tmp_path / "h264.mkv", 600)
    args = command(film, "-o", tmp_path / "out.mkv", "-q", "--jobs", jobs, code=WRAPPED)
    process = subprocess.Popen(
        args,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = Journal(tmp_path / "out.mkv")
    while len(journal.finished()) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(getattr(signal, kind))
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    message = r"filmcolor: interrupted; (\d+) of \d+ segments are done, the same command goes on.*"
    match = re.fullmatch(message, err.strip())
    assert match, err
    assert int(match[1]) == len(journal.finished()) >= 3
    assert colorize(film, tmp_path / "out.mkv", options=TUTORIAL).num_frames == 600


@pytest.mark.skipif(sys.platform == "win32", reason="HOME has no effect")
@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_written_elsewhere_and_nothing_goes_to_the_network(
    film: Path, tmp_path: Path, jobs: int
) -> None:
    folders = {name: tmp_path / name for name in ("home", "here", "temporary", "out")}
    for folder in folders.values():
        folder.mkdir()
    environment = {**os.environ, "HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"])}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PYTHONPYCACHEPREFIX", "COVERAGE_FILE"):
        environment.pop(name, None)
    done = subprocess.run(
        command(film, "-o", folders["out"] / "out.mkv", "--jobs", jobs, code=WRAPPED),
        cwd=folders["here"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert leftovers(folders["out"]) == [folders["out"] / "out.mkv"]
    assert leftovers(folders["home"]) == leftovers(folders["here"]) == []
    assert leftovers(folders["temporary"]) == []
    assert leftovers(tmp_path, film, *folders.values()) == []


def test_a_line_stays_one_whatever_a_name_holds() -> None:
    assert escape_controls("a\nb\x1b[2J é→🎞") == "a\\nb\\x1b[2J é→🎞"


def test_a_log_of_an_odd_name_is_json(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    film = film.rename(tmp_path / 'two\n"lines".mkv')
    done = subprocess.run(
        command(film, "-o", tmp_path / "out.mkv", "--log", tmp_path / "log"), capture_output=True
    )
    assert done.returncode == 0
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [e["event"] for e in events] == ["begun", "finished"]
    assert events[1]["film"] == str(film)


def test_errors_are_of_the_family(tmp_path: Path, options: ColorOptions) -> None:
    with pytest.raises(FilmcolorError):
        colorize(tmp_path, tmp_path / "out.mkv", options=options)
