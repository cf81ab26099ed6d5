"""Faults: spoiled films, kills, full disks, folders that go, and all that a shell can do."""

import importlib.util
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
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import media
import pytest
from media import Sound, shoot

from filmcolor.cli.console import in_one_line
from filmcolor.errors import FilmcolorError, InputError, OutputError
from filmcolor.output.options import Encoding
from filmcolor.output.packet_repair import in_order
from filmcolor.output.verify import verify
from filmcolor.pipeline import workers
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments import segment as segments
from filmcolor.segments.journal import Journal
from filmcolor.video.probe import probe

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPT = shutil.which("filmcolor", path=str(Path(sys.executable).parent))
LOSSLESS = Encoding("master")
NUM_FRAMES, PIECE = 96, 8  # frames
NUM_MUTANTS = 200
PATIENCE_SECONDS = 60

MakeFilm = Callable[..., Path]


def _from_benchmarks(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = _from_benchmarks("mutants")
soak = _from_benchmarks("soak")


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SECONDS", Fraction(1, 3))  # at 24 frames/s: PIECE frames


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return mutants.make_film(tmp_path / "h264.mkv", NUM_FRAMES)


def leftovers(folder: Path, *known: Path) -> list[Path]:
    return sorted(set(folder.iterdir()) - set(known))


# ---------------------------------------------------------------- spoiled films


@pytest.mark.filterwarnings("ignore")
def test_spoiled_films_end_in_one_line_or_in_a_film_that_verify_vouches_for(
    options: ColorOptions, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    films = mutants.make_films(tmp_path / "whole", 16, (64, 48))
    colorizer = Colorizer(options)
    ends: Counter[str] = Counter()
    for seed in range(NUM_MUTANTS):
        spoiled = mutants.mutant(films, seed, tmp_path)
        output = tmp_path / f"out.{('mkv', 'mp4')[seed % 2]}"
        end, told = soak.attempt(spoiled, output, colorizer, seed)
        assert end in ("whole", "damaged", "refused"), f"seed {seed}: {end}: {told}"
        ends[end] += 1
        assert leftovers(tmp_path, tmp_path / "whole", spoiled) == []
        spoiled.unlink()
    assert min(ends.values()) > 10  # each is met


# ---------------------------------------------------------------- sound whose times do not fit


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([0, 2, 4, 6], [0, 2, 4, 6]),
        ([0, 2, 2, 6], [0, 2, 2, 6]),  # some containers' clocks are that coarse
        ([0, 2, 1, 6, 8], [0, 1, 1, 6, 8]),
        ([0, 2, 900, 6, 8, 10], [0, 2, 4, 6, 8, 10]),  # one that is late moves no other
        ([0, 900, 902, 6, 8, 10], [0, 2, 4, 6, 8, 10]),
        ([10, 12, 14, 0], [10, 12, 14, 16]),
        ([900, 2, 4], [2, 2, 4]),
    ],
)
def test_the_most_times_that_are_in_order_are_believed(times: list[int], wanted: list[int]) -> None:
    new = in_order(times, [2] * len(times))
    assert [new.get(place, time) for place, time in enumerate(times)] == wanted


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_sound_whose_times_go_back_stays_in_step(
    options: ColorOptions, tmp_path: Path, suffix: str
) -> None:
    film = mutants.make_film(tmp_path / "h264.mp4", 48)
    with av.open(str(film)) as source, av.open(str(tmp_path / "back.ts"), "w") as output:
        streams = [output.add_stream_from_template(s) for s in source.streams]
        packets = [p for p in source.demux() if p.size]
        for place, packet in enumerate(p for p in packets if p.stream.type == "audio"):
            if 20 <= place < 24:
                packet.pts = packet.dts = packet.pts + (5 - 2 * (place - 20)) * 1024
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            try:
                output.mux(packet)
            except av.error.FFmpegError:
                continue  # this muxer refuses those that go back: they are missing then
    report = colorize(tmp_path / "back.ts", tmp_path / f"out.{suffix}", options=options)
    assert verify(probe(tmp_path / "back.ts"), report.output) == 48


def test_a_clock_that_is_set_back_a_little_is_the_same_in_pieces_and_after_a_stop(
    options: ColorOptions, tmp_path: Path
) -> None:
    """Two recordings in one file: frames and sound of the second come right after the first's."""
    (tmp_path / "second").mkdir()
    first = mutants.make_film(tmp_path / "mpeg2.ts", 20)
    second = mutants.make_film(tmp_path / "second" / "mpeg2.ts", 40)
    back = tmp_path / "back.ts"
    back.write_bytes(first.read_bytes() + second.read_bytes())
    one = colorize(back, tmp_path / "one.mkv", options=options, encoding=LOSSLESS)
    assert one.num_frames == 60
    assert any("without a time of their own" in line for line in one.damage)
    assert any("packets had times that do not fit" in line for line in one.damage)

    def stop(done: int, _: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colorize(back, tmp_path / "two.mkv", options=options, encoding=LOSSLESS, progress=stop)
    two = colorize(back, tmp_path / "two.mkv", options=options, encoding=LOSSLESS)
    assert two.damage == one.damage
    assert soak.contents(tmp_path / "two.mkv") == soak.contents(tmp_path / "one.mkv")


def test_a_film_without_any_times_is_as_long_as_its_rate_says(
    options: ColorOptions, tmp_path: Path
) -> None:
    film, raw = mutants.make_film(tmp_path / "h264.mp4", 48), tmp_path / "raw.h264"
    with av.open(str(film)) as source, av.open(str(raw), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    report = colorize(raw, tmp_path / "out.mkv", options=options)
    assert report.damage == ()
    found = [round(1000 * seconds) for seconds in media.seconds(report.output)]
    assert found == [round(n * 1000 / 24) for n in range(48)]  # the codec's own header tells it
    assert verify(raw, report.output) == 48


# ---------------------------------------------------------------- kills, full disks, folders


def run_slowly(film: Path, output: Path, pause: float = 0.0, limit: int = 0) -> list[str]:
    return [sys.executable, "-c", soak.RUN, str(film), str(output), str(pause), str(limit)]


@pytest.fixture
def tutorial() -> ColorOptions:
    return soak.OPTIONS


@pytest.mark.skipif(sys.platform == "win32", reason="nothing can be killed there")
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_any_moment_goes_on(
    film: Path, tutorial: ColorOptions, tmp_path: Path, seed: int
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=tutorial, encoding=LOSSLESS)
    process = subprocess.Popen(run_slowly(film, output, 0.01))
    while not Journal(output).folder.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.1, 1.1))
    process.kill()
    process.wait()
    if not output.exists():
        colorize(film, output, options=tutorial, encoding=LOSSLESS)
    assert soak.contents(output) == soak.contents(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits for files")
@pytest.mark.parametrize(("limit", "num_kept"), [(200, 0), (45_000, None), (150_000, None)])
def test_a_full_disk_loses_nothing_that_is_done(
    film: Path, tutorial: ColorOptions, tmp_path: Path, limit: int, num_kept: int | None
) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    colorize(film, whole, options=tutorial, encoding=LOSSLESS)
    done = subprocess.run(
        run_slowly(film, output, limit=limit), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(r"filmcolor: .*out\.mkv cannot be [^\n]*\n", done.stderr)
    num_pieces = len(Journal(output).finished())
    assert num_kept is None or num_pieces == num_kept
    assert not num_pieces or f"{num_pieces} of 10 pieces are done" in done.stderr
    assert not output.exists()
    colorize(film, output, options=tutorial, encoding=LOSSLESS)
    assert soak.contents(output) == soak.contents(whole)
    assert leftovers(tmp_path, film, whole, output) == []


def at(number: int, do: Callable[[], object]) -> Callable[..., None]:
    """Return a progress that does something when so many frames are done."""

    def progress(done: int, _: int | None) -> None:
        if done == number:
            do()

    return progress


@pytest.mark.parametrize("moment", [10, 40, NUM_FRAMES])
def test_an_output_folder_that_goes_is_said(
    film: Path, options: ColorOptions, tmp_path: Path, moment: int
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match=r"its folder is gone|pieces of .* are gone|cannot be"):
        colorize(film, folder / "out.mkv", options=options, progress=at(moment, lambda: rm(folder)))
    assert leftovers(tmp_path, film) == []


def rm(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_not_be_written_is_said(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="check the folder's permissions"):
        colorize(film, folder / "out.mkv", options=options)


def test_pieces_that_go_are_made_again(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    journal = Journal(output)
    gone = at(NUM_FRAMES, lambda: (journal.folder / "000003.json").unlink())
    with pytest.raises(OutputError, match=r"are gone \(000003\); run again"):
        colorize(film, output, options=options, progress=gone)
    assert colorize(film, output, options=options).num_frames == NUM_FRAMES


# ---------------------------------------------------------------- the film itself


def test_a_film_that_grows_is_begun_again(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"

    def grow() -> None:
        with film.open("ab") as file:
            file.write(b"\0" * 1000)

    with pytest.raises(InputError, match="changed while it was coloured, or went") as error:
        colorize(film, output, options=options, progress=at(50, grow))
    assert "\n" not in str(error.value)
    assert leftovers(tmp_path, film) == []  # its pieces are of no one film
    assert colorize(film, output, options=options).num_frames == NUM_FRAMES


def test_a_film_that_goes_is_said(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"changed while it was coloured, or went"):
        colorize(film, tmp_path / "out.mkv", options=options, progress=at(50, film.unlink))
    assert list(tmp_path.iterdir()) == []


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


def test_a_pickle_beside_the_pieces_is_not_read(
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


def work_and_die_once(pipe: Connection, settings: workers.RunSettings, num_workers: int) -> None:
    """A worker of pieces that is killed in the midst of the first task it gets."""
    color_missing = workers.color_missing

    def fatal(run: Any, colorizer: Any, tell: Any, pieces: Any) -> None:
        seen = run.info.path.with_suffix(f".{pieces[0].number}")

        def advance(done: int, total: int | None) -> None:
            tell(done, total)
            if done % NUM_FRAMES == PIECE + 4 and not seen.exists():
                seen.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        color_missing(run, colorizer, advance, pieces)

    workers.color_missing = fatal
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
    assert soak.contents(output) == soak.contents(whole)
    assert not Journal(output).folder.exists()


# ---------------------------------------------------------------- the command


# pieces are short, the network is out of reach, and what is opened to be written is told
WRAPPED = """
import socket, sys
from fractions import Fraction
from pathlib import Path

def refuse(*_, **__):
    raise AssertionError("to the network")

class Closed(socket.socket):
    connect = connect_ex = sendto = refuse

socket.socket, socket.create_connection, socket.getaddrinfo = Closed, refuse, refuse
from filmcolor.cli.main import main
from filmcolor.segments import segment as segments
segments._SECONDS = Fraction(1, 3)
main()
"""
LOOK_WORDS = ["--weights", "tutorial", "--size", "32", "--device", "cpu"]


def command(*words: object, code: str | None = None) -> list[str]:
    program = [SCRIPT] if code is None else [sys.executable, "-c", code]
    return [*map(str, program), "run", *map(str, words), *LOOK_WORDS]


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
    for code in (0, 1):  # the second time it is there already
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
@pytest.mark.parametrize("close_quietly", [[0], [1], [2], [0, 1, 2]])
def test_standard_files_that_are_closed_do_no_harm(
    make_film: MakeFilm, tmp_path: Path, close_quietly: list[int]
) -> None:
    film = make_film("film.mkv", lumas=shoot(12), sounds=[Sound()])
    output = tmp_path / "out.mkv"
    done = subprocess.run(
        command(film, "-o", output),
        preexec_fn=lambda: [os.close(number) for number in close_quietly],
        stderr=None if 2 in close_quietly else subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0
    assert verify(film, output) == 12


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file that is always full")
def test_results_that_cannot_be_printed_are_said(make_film: MakeFilm, tmp_path: Path) -> None:
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
    film = mutants.make_film(tmp_path / "h264.mkv", 600)
    words = command(film, "-o", tmp_path / "out.mkv", "-q", "--jobs", jobs, code=WRAPPED)
    process = subprocess.Popen(
        words,
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
    told = r"filmcolor: interrupted; (\d+) of \d+ pieces are done, the same command goes on .*"
    match = re.fullmatch(told, err.strip())
    assert match, err
    assert int(match[1]) == len(journal.finished()) >= 3
    assert colorize(film, tmp_path / "out.mkv", options=soak.OPTIONS).num_frames == 600


@pytest.mark.skipif(sys.platform == "win32", reason="homes are elsewhere")
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
    assert in_one_line("a\nb\x1b[2J é→🎞") == "a\\nb\\x1b[2J é→🎞"


def test_a_log_of_an_odd_name_is_json(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    film = film.rename(tmp_path / 'two\n"lines".mkv')
    done = subprocess.run(
        command(film, "-o", tmp_path / "out.mkv", "--log", tmp_path / "log"), capture_output=True
    )
    assert done.returncode == 0
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [e["event"] for e in events] == ["begun", "finished"]
    assert events[1]["film"] == str(film)


def test_errors_are_the_familys(tmp_path: Path, options: ColorOptions) -> None:
    with pytest.raises(FilmcolorError):
        colorize(tmp_path, tmp_path / "out.mkv", options=options)
