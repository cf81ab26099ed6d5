"""Does anything break it? Spoiled films, kills, full disks, and a film of three hours.

    python benchmarks/soak.py mutations [--num 2000] [--seed 0] [--jobs 2]
    python benchmarks/soak.py kills [--num 50] [--seed 0]
    python benchmarks/soak.py full-disk [--num 20] [--seed 0]
    python benchmarks/soak.py long [--hours 3] [--rate 8]

Makes its own films (`tests/spoiled.py`). Each command prints its findings and exits with 1 if there
are any: a crash, a hang, a traceback, an output that `verify` rejects, a resumed film that differs
from that of one run, memory that grows.
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
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import av
import click

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from runs import (
    GOOD_RESULTS,
    LOSSLESS,
    OPTIONS,
    SEGMENT_SECONDS,
    attempt,
    contents,
    run_command,
)
from spoiled import KINDS, make_film, make_films, spoil

from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.segments import segment
from filmcolor.segments.journal import Journal

TIMEOUT_SECONDS = 20.0  # for one file
NUM_FRAMES = 96  # of the film that is killed, in about ten segments


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
@click.option("--keep", type=click.Path(path_type=Path), help="Keep films with findings here.")
def mutations(num: int, seed: int, jobs: int, keep: Path | None) -> None:
    """Colour spoiled films: each gives a one-line error, or an output that verify accepts."""
    started = time.monotonic()
    findings: list[str] = []
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        make_films(folder / "whole")
        for number, result, message in _attempt_all(range(seed, seed + num), folder, jobs):
            counts[result] += 1
            if result not in GOOD_RESULTS:
                findings.append(f"{result}: seed {number}: {message}")
                if keep is not None:
                    for path in folder.glob(f"{number:06d}-*"):
                        path.replace(keep / path.name)
    summary = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    _end(findings, f"{num} spoiled films in {time.monotonic() - started:.0f} s: {summary}")


def _attempt_all(
    seeds: Iterator[int] | range, folder: Path, jobs: int
) -> Iterator[tuple[int, str, str]]:
    """Yield (seed, result, message) for each seed; a process that crashes or hangs is replaced."""
    context = get_context("spawn")
    remaining = iter(seeds)
    busy: dict[Connection, tuple[Any, int, float]] = {}

    def start() -> tuple[Connection, Any]:
        pipe, child_pipe = context.Pipe()
        process = context.Process(target=_attempt_received, args=(child_pipe, folder), daemon=True)
        process.start()
        child_pipe.close()
        return pipe, process

    def assign(pipe: Connection, process: Any) -> None:
        seed = next(remaining, None)
        if seed is None:
            process.terminate()
            pipe.close()
        else:
            pipe.send(seed)
            busy[pipe] = process, seed, time.monotonic()

    for _ in range(jobs):
        assign(*start())
    while busy:
        ready = wait(list(busy), timeout=1.0)
        for pipe, (process, seed, since) in list(busy.items()):
            if pipe in ready:
                del busy[pipe]
                try:
                    result, message = pipe.recv()
                    yield seed, result, message
                    assign(pipe, process)
                except EOFError:
                    process.join()
                    yield seed, "crash", f"exit code {process.exitcode}"
                    assign(*start())
            elif time.monotonic() - since > TIMEOUT_SECONDS:
                del busy[pipe]
                process.kill()
                yield seed, "hang", f"not done after {TIMEOUT_SECONDS} s"
                assign(*start())


def _attempt_received(pipe: Connection, folder: Path) -> None:
    """Attempt the seeds that come through a pipe: the main function of a process."""
    av.logging.set_level(None)
    segment._SECONDS = SEGMENT_SECONDS  # type: ignore[assignment]
    films = [folder / "whole" / name for name in KINDS]
    colorizer = Colorizer(OPTIONS)
    while True:
        seed = pipe.recv()
        film = spoil(films, seed, folder)
        output = folder / f"{seed}.{('mkv', 'mp4', 'mkv', 'mov')[seed % 4]}"
        result, message = attempt(film, output, colorizer, seed)
        if result in GOOD_RESULTS:
            film.unlink()
        pipe.send((result, message))


# ---------------------------------------------------------------- kills and full disks


@contextmanager
def _film_and_whole() -> Iterator[tuple[Path, Path]]:
    """Give a film of several segments, and the output of one undisturbed run."""
    segment._SECONDS = SEGMENT_SECONDS  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name:
        film = make_film(Path(name) / "h264.mkv", NUM_FRAMES)
        whole = Path(name) / "whole.mkv"
        colorize(film, whole, options=OPTIONS, encoding=LOSSLESS)
        yield film, whole


@main.command()
@click.option("--num", default=50, show_default=True)
@click.option("--seed", default=0, show_default=True)
def kills(num: int, seed: int) -> None:
    """Kill runs at random moments; each resumed film equals that of one run."""
    rng = random.Random(seed)
    findings = []
    num_kept: Counter[int] = Counter()
    with _film_and_whole() as (film, whole):
        expected, output = contents(whole), film.with_name("out.mkv")
        num_kills = 0
        while num_kills < num:
            process = subprocess.Popen(run_command(film, output, pause=0.01))
            while process.poll() is None and not Journal(output).folder.exists():
                time.sleep(0.005)
            # a whole run, with joining and renaming, takes about this long
            try:
                process.wait(rng.uniform(0.0, NUM_FRAMES * 0.0135))
                was_killed = False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                was_killed = True
            num_kills += was_killed
            num_done = len(Journal(output).finished())
            num_kept[num_done] += was_killed
            if not output.exists():
                colorize(film, output, options=OPTIONS, encoding=LOSSLESS)
            if contents(output) != expected:
                findings.append(f"kill {num_kills}, {num_done} segments done: another film")
            output.unlink()
            if Journal(output).folder.exists() and num_done == 0:  # killed after the renaming
                Journal(output).remove()
            if leftovers := set(film.parent.iterdir()) - {film, whole}:
                findings.append(f"kill {num_kills}: left {sorted(leftovers)}")
    summary = ", ".join(f"{n}: {count}" for n, count in sorted(num_kept.items()))
    _end(findings, f"{num} kills, by the segments that were finished then: {summary}")


@main.command()
@click.option("--num", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True)
def full_disk(num: int, seed: int) -> None:
    """Let writing fail at random sizes, and resume without a limit: nothing done is lost.

    A limit on the size of files stands for a full disk.
    """
    rng = random.Random(seed)
    findings = []
    counts: Counter[int] = Counter()
    with _film_and_whole() as (film, whole):
        expected, output = contents(whole), film.with_name("out.mkv")
        # a journal is smaller than a segment, a segment than the film: hit all of them
        max_size = whole.stat().st_size
        for size in [int(30 * (max_size / 30) ** rng.uniform(0.0, 1.0)) for _ in range(num)]:
            command = run_command(film, output, limit=size)
            run = subprocess.run(command, capture_output=True, text=True, timeout=60)
            message = run.stderr.strip()
            kept = {n: content.pts for n, content in Journal(output).finished().items()}
            counts[len(kept)] += 1
            is_one_line = len(message.splitlines()) == 1 and "cannot be" in message
            if run.returncode != 1 or not is_one_line:
                findings.append(f"limit {size}: exit code {run.returncode}: {message}")
            if kept and not re.search(rf"; {len(kept)} of \d+ segments are done", message):
                findings.append(f"limit {size}: {len(kept)} segments are kept: {message}")
            num_frames = 0

            def count(*_: object) -> None:
                nonlocal num_frames
                num_frames += 1

            colorize(film, output, options=OPTIONS, encoding=LOSSLESS, progress=count)
            if num_frames != NUM_FRAMES - sum(map(len, kept.values())):
                findings.append(f"limit {size}: {num_frames} frames were coloured again")
            if contents(output) != expected:
                findings.append(f"limit {size}: another film")
            output.unlink()
            if leftovers := set(film.parent.iterdir()) - {film, whole}:
                findings.append(f"limit {size}: left {sorted(leftovers)}")
    summary = ", ".join(f"{count} × {n} segments kept" for n, count in counts.most_common())
    _end(findings, f"{num} full disks: {summary}")


# ---------------------------------------------------------------- a long film


@main.command()
@click.option("--hours", default=3.0, show_default=True)
@click.option("--rate", default=8, show_default=True, help="Frames per second.")
def long(hours: float, rate: int) -> None:
    """Colour a long film of small pictures; memory stays flat, and verify passes."""
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        num_frames = round(hours * 3600 * rate)
        film = make_film(Path(name) / "h264.mp4", num_frames, (64, 48), rate, 8000)
        output = film.with_name("out.mp4")
        started = time.monotonic()
        program = str(Path(sys.executable).with_name("filmcolor"))
        command = [program, "run", str(film), "-o", str(output), "--quiet", "--device", "cpu"]
        command += ["--weights", "tutorial", "--size", "32", "--preset", "ultrafast"]
        process = subprocess.Popen(command)
        samples = []  # (segments done, MiB)
        while process.poll() is None:
            time.sleep(1.0)
            num_done = len(list(Journal(output).folder.glob("[0-9]*.json")))
            if memory := _resident_mebibytes(process.pid):
                samples.append((num_done, memory))
        seconds = time.monotonic() - started
        if process.returncode:
            findings.append(f"exit code {process.returncode}")
        num_segments = max(n for n, _ in samples)
        early = max((m for n, m in samples if 2 <= n <= 0.2 * num_segments), default=0.0)
        late = max((m for n, m in samples if n >= 0.8 * num_segments), default=0.0)
        summary = (
            f"{hours} hours in {seconds:.0f} s, {num_segments} segments, memory {early:.0f} MiB "
            f"in the first fifth, {late:.0f} MiB at the end (joining included)"
        )
        if late > 1.1 * early:
            findings.append("memory grows")
        if output.exists():
            summary += f", verify passes: {verify(film, output)} frames"
    _end(findings, summary)


def _resident_mebibytes(pid: int) -> float:
    """Return a process's resident memory; 0 if it has just ended."""
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    line = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return int(line) / 1024 if line else 0.0


if __name__ == "__main__":
    main()
