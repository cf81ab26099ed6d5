"""Does anything break it? Spoiled films, kills, full disks, and a film of three hours.

    python benchmarks/soak.py mutations [--num 2000] [--seed 0] [--jobs 2]
    python benchmarks/soak.py kills [--num 50] [--seed 0]
    python benchmarks/soak.py full-disk [--num 20] [--seed 0]
    python benchmarks/soak.py long [--hours 3] [--rate 8]

Films its own footage (`mutants.py`). Each prints what it found and exits with 1 when that is
anything: a crash, a hang, a traceback, an output that `verify` does not vouch for, a resumed
film that is not that of one run, memory that grows.
"""

import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import av
import click
from mutants import KINDS, make_film, make_films, mutant

from filmcolor.errors import FilmcolorError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments import concat as segments
from filmcolor.segments.journal import Journal
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

OPTIONS = ColorOptions(weights="tutorial", size=32, device="cpu")
LOSSLESS = Encoding("master")
PIECE_SECONDS = Fraction(1, 3)
PATIENCE_SECONDS = 20.0  # with one file
NUM_FRAMES = 96  # of the film that is killed, in ten pieces or so
# a run in a process of its own, which draws breath after each frame so that it can be hit anywhere
RUN = """
import sys, time
from fractions import Fraction
from filmcolor import segments
from filmcolor.errors import FilmcolorError
from filmcolor.pipeline import ColorOptions, colorize
from filmcolor.plan import Encoding
film, output, pause, limit = sys.argv[1:]
if limit != "0":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
segments._SECONDS = Fraction(1, 3)
look = ColorOptions(weights="tutorial", size=32, device="cpu")
try:
    colorize(film, output, look=look, encoding=Encoding("master"),
             progress=lambda *_: time.sleep(float(pause)))
except FilmcolorError as error:
    sys.exit(f"filmcolor: {error}")
"""


@click.group()
def main() -> None:
    """Try to break filmcolor."""


def _end(findings: list[str], summary: str) -> None:
    for finding in findings:
        click.echo(f"FOUND {finding}")
    click.echo(f"{summary}; {len(findings)} findings")
    sys.exit(1 if findings else 0)


# ---------------------------------------------------------------- spoiled films


@main.command()
@click.option("--num", default=2000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep here the films that broke it.")
def mutations(num: int, seed: int, jobs: int, keep: Path | None) -> None:
    """Colour spoiled films: each gives one clear line, or an output that verify vouches for."""
    started = time.monotonic()
    findings: list[str] = []
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        make_films(folder / "whole")
        for number, end, told in _in_processes(range(seed, seed + num), folder, jobs):
            ends[end] += 1
            if end not in ("whole", "damaged", "refused"):
                findings.append(f"{end}: seed {number}: {told}")
                for path in folder.glob(f"{number:06d}-*") if keep else ():
                    path.replace(keep / path.name)  # type: ignore[operator]
    told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    _end(findings, f"{num} spoiled films in {time.monotonic() - started:.0f} s: {told}")


def _in_processes(
    seeds: Iterator[int] | range, folder: Path, jobs: int
) -> Iterator[tuple[int, str, str]]:
    """Yield (seed, end, told) of each, whatever happens to the process it was tried in."""
    context = get_context("spawn")
    waiting = iter(seeds)
    busy: dict[Connection, tuple[Any, int, float]] = {}

    def start() -> tuple[Connection, Any]:
        ours, theirs = context.Pipe()
        process = context.Process(target=_try_all, args=(theirs, folder), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def give(pipe: Connection, process: Any) -> None:
        seed = next(waiting, None)
        if seed is None:
            process.terminate()
            pipe.close()
        else:
            pipe.send(seed)
            busy[pipe] = process, seed, time.monotonic()

    for _ in range(jobs):
        give(*start())
    while busy:
        ready = wait(list(busy), timeout=1.0)
        for pipe, (process, seed, since) in list(busy.items()):
            if pipe in ready:
                del busy[pipe]
                try:
                    end, told = pipe.recv()
                    yield seed, end, told
                    give(pipe, process)
                except EOFError:
                    process.join()
                    yield seed, "crash", f"exit code {process.exitcode}"
                    give(*start())
            elif time.monotonic() - since > PATIENCE_SECONDS:
                del busy[pipe]
                process.kill()
                yield seed, "hang", f"not done after {PATIENCE_SECONDS} s"
                give(*start())


def _try_all(pipe: Connection, folder: Path) -> None:
    """Try what comes through the pipe: the life of a process."""
    av.logging.set_level(None)
    segments._SECONDS = PIECE_SECONDS  # type: ignore[assignment]
    films = [folder / "whole" / name for name in KINDS]
    colorizer = Colorizer(OPTIONS)
    while True:
        seed = pipe.recv()
        film = mutant(films, seed, folder)
        output = folder / f"{seed}.{('mkv', 'mp4', 'mkv', 'mov')[seed % 4]}"
        end, told = attempt(film, output, colorizer, seed)
        if end in ("whole", "damaged", "refused"):
            film.unlink()
        pipe.send((end, told))


def attempt(film: Path, output: Path, colorizer: Colorizer, seed: int = 0) -> tuple[str, str]:
    """Colour a spoiled film; return how that ended, and what was said."""
    encoding = LOSSLESS if seed % 4 < 2 else Encoding(preset="ultrafast")
    try:
        report = colorize(film, output, colorizer=colorizer, encoding=encoding)
    except FilmcolorError as error:
        if len(str(error).splitlines()) != 1:
            return "several lines", str(error)
        if output.exists():
            return "output in spite of an error", str(error)
        return "refused", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    finally:
        Journal(output).remove()
    try:
        num_frames = verify(film, output)
    except FilmcolorError as error:
        return "not vouched for", str(error)
    if report.num_frames != num_frames:
        return "not vouched for", f"{report.num_frames} frames were told, {num_frames} are there"
    index = FrameIndex(probe(film))
    if report.num_frames < index.num_packets - index.num_discarded and not report.damage:
        return "silently shorter", f"{report.num_frames} frames"
    output.unlink()
    return ("damaged", "; ".join(report.damage)) if report.damage else ("whole", "")


# ---------------------------------------------------------------- kills and full disks


@contextmanager
def _film_and_whole() -> Iterator[tuple[Path, Path]]:
    """Give a film of several pieces, and what one undisturbed run makes of it."""
    segments._SECONDS = PIECE_SECONDS  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name:
        film = make_film(Path(name) / "h264.mkv", NUM_FRAMES)
        whole = Path(name) / "whole.mkv"
        colorize(film, whole, options=OPTIONS, encoding=LOSSLESS)
        yield film, whole


def contents(film: Path) -> list[Any]:
    """Return all that is in a film: frames, their times, and the sound's packets."""
    with av.open(str(film)) as container:
        packets = [
            (packet.stream_index, packet.pts, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type != "video"
        ]
    with av.open(str(film)) as container:
        frames = [(f.pts, f.to_ndarray().tobytes()) for f in container.decode(video=0)]
    return [frames, packets]


@main.command()
@click.option("--num", default=50, show_default=True)
@click.option("--seed", default=0, show_default=True)
def kills(num: int, seed: int) -> None:
    """Kill runs at random moments; each resumed film is that of one run."""
    rng = random.Random(seed)
    findings = []
    kept: Counter[int] = Counter()
    with _film_and_whole() as (film, whole):
        wanted, output = contents(whole), film.with_name("out.mkv")
        words = [sys.executable, "-c", RUN, str(film), str(output), "0.01", "0"]
        num_kills = 0
        while num_kills < num:
            process = subprocess.Popen(words)
            while process.poll() is None and not Journal(output).folder.exists():
                time.sleep(0.005)
            # all of it, the joining and the renaming too, takes about this long
            try:
                process.wait(rng.uniform(0.0, NUM_FRAMES * 0.0135))
                was_killed = False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                was_killed = True
            num_kills += was_killed
            num_done = len(Journal(output).finished())
            kept[num_done] += was_killed
            if not output.exists():
                colorize(film, output, options=OPTIONS, encoding=LOSSLESS)
            if contents(output) != wanted:
                findings.append(f"kill {num_kills}, {num_done} pieces done: another film")
            output.unlink()
            if Journal(output).folder.exists() and num_done == 0:  # it was renamed, then killed
                Journal(output).remove()
            if left := set(film.parent.iterdir()) - {film, whole}:
                findings.append(f"kill {num_kills}: left {sorted(left)}")
    told = ", ".join(f"{n}: {count}" for n, count in sorted(kept.items()))
    _end(findings, f"{num} kills, by the pieces that were finished then: {told}")


@main.command()
@click.option("--num", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True)
def full_disk(num: int, seed: int) -> None:
    """Let writing fail at random sizes, and go on without: nothing done is lost.

    A limit for the size of files stands for the end of the disk.
    """
    rng = random.Random(seed)
    findings = []
    lines: Counter[str] = Counter()
    with _film_and_whole() as (film, whole):
        wanted, output = contents(whole), film.with_name("out.mkv")
        # a journal is smaller than a piece, a piece than the film: all of them are to be hit
        most = whole.stat().st_size
        for size in [int(30 * (most / 30) ** rng.uniform(0.0, 1.0)) for _ in range(num)]:
            words = [sys.executable, "-c", RUN, str(film), str(output), "0", str(size)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60)
            told = done.stderr.strip()
            pieces = {n: facts.pts for n, facts in Journal(output).finished().items()}
            lines[f"{len(pieces)} pieces kept"] += 1
            if done.returncode != 1 or len(told.splitlines()) != 1 or "cannot be" not in told:
                findings.append(f"limit {size}: exit code {done.returncode}: {told}")
            if pieces and not re.search(rf"; {len(pieces)} of \d+ pieces are done", told):
                findings.append(f"limit {size}: {len(pieces)} pieces are kept, told is {told}")
            num_frames = 0

            def count(*_: object) -> None:
                nonlocal num_frames
                num_frames += 1

            colorize(film, output, options=OPTIONS, encoding=LOSSLESS, progress=count)
            if num_frames != NUM_FRAMES - sum(map(len, pieces.values())):
                findings.append(f"limit {size}: {num_frames} frames were coloured again")
            if contents(output) != wanted:
                findings.append(f"limit {size}: another film")
            output.unlink()
            if left := set(film.parent.iterdir()) - {film, whole}:
                findings.append(f"limit {size}: left {sorted(left)}")
    told = ", ".join(f"{count} × {line}" for line, count in lines.most_common())
    _end(findings, f"{num} full disks: {told}")


# ---------------------------------------------------------------- a long film


@main.command()
@click.option("--hours", default=3.0, show_default=True)
@click.option("--rate", default=8, show_default=True, help="Frames a second.")
def long(hours: float, rate: int) -> None:
    """Colour a long film of small pictures; memory stays flat, and verify passes."""
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        num_frames = round(hours * 3600 * rate)
        film = make_film(Path(name) / "h264.mp4", num_frames, (64, 48), rate, 8000)
        output = film.with_name("out.mp4")
        started = time.monotonic()
        program = str(Path(sys.executable).with_name("filmcolor"))
        words = [program, "run", str(film), "-o", str(output), "--quiet", "--weights", "tutorial"]
        words += ["--size", "32", "--device", "cpu", "--preset", "ultrafast"]
        process = subprocess.Popen(words)
        sizes = []  # (pieces done, MiB)
        while process.poll() is None:
            time.sleep(1.0)
            num_pieces = len(list(Journal(output).folder.glob("[0-9]*.json")))
            if memory := _mebibytes(process.pid):
                sizes.append((num_pieces, memory))
        seconds = time.monotonic() - started
        if process.returncode:
            findings.append(f"exit code {process.returncode}")
        most = max(num for num, _ in sizes)
        early, late = (
            max((m for n, m in sizes if part(n)), default=0.0)
            for part in (lambda n: 2 <= n <= 0.2 * most, lambda n: n >= 0.8 * most)
        )
        told = f"{hours} hours in {seconds:.0f} s, {most} pieces, memory {early:.0f} MiB in the"
        told += f" first fifth, {late:.0f} MiB at the end (joining included)"
        if late > 1.1 * early:
            findings.append("memory grows")
        if output.exists():
            told += f", verify passes: {verify(film, output)} frames"
    _end(findings, told)


def _mebibytes(pid: int) -> float:
    """Return a process's resident memory; 0 where it has just ended."""
    words = ["ps", "-o", "rss=", "-p", str(pid)]
    told = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    return int(told) / 1024 if told else 0.0


if __name__ == "__main__":
    main()
