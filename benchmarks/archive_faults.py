"""The part of `farm_faults.py` about archives that stop."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from faults import SMALL, TIMEOUT_SECONDS, call, differences, end, program, row

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import media


@click.command()
@click.option("--films", "num_films", default=200, show_default=True)
@click.option("--spoiled", "num_spoiled", default=5, show_default=True)
@click.option("--stops", "num_stops", default=5, show_default=True)
@click.option("--frames", default=12, show_default=True, help="Of the shortest film.")
@click.option("--signals", default="INT,TERM,KILL", show_default=True, help="In turn.")
@click.option("--jobs", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
def archive(
    num_films: int,
    num_spoiled: int,
    num_stops: int,
    frames: int,
    signals: str,
    jobs: int,
    seed: int,
) -> None:
    """Stop an archive again and again, and start it again at once.

    Each stop comes after a random number of further films, and up to a second later. Short films
    are mostly hit when they are finished and not yet in the books, long ones while being coloured.
    """
    rng = random.Random(seed)
    findings: list[str] = []
    kinds = [signal.Signals[f"SIG{name}"] for name in signals.split(",")]
    # a shell ignores it for what runs in the background, and so would the archive
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        films, output, whole = (Path(name, part) for part in ("films", "out", "whole"))
        spoiled = _make_archive(films, num_films, num_spoiled, frames, rng)
        sources = {path: path.read_bytes() for path in films.rglob("*.*")}
        command = [*program("60"), "archive", str(films), *SMALL, "--preset", "ultrafast"]
        command += ["--jobs", str(jobs), "-o"]
        undisturbed = call([*command, str(whole)])
        if undisturbed.returncode != 1:
            findings.append(f"undisturbed: exit code {undisturbed.returncode}")
        seen: dict[str, list[Any]] = {}
        row("stop", "signal", "films finished then", "seconds until it ended", "exit code")
        for number in range(num_stops):
            share = (num_films - num_spoiled - len(seen)) // (num_stops - number + 1)
            count = len(seen) + rng.randint(1, max(1, share))
            kind = kinds[number % len(kinds)]
            code, duration = _stop([*command, str(output)], output, count, kind, rng)
            found = _outputs(output)
            findings += [f"after stop {number + 1}: {f}" for f in differences(seen, found)]
            seen |= found
            row(number + 1, kind.name, len(found), f"{duration:.1f}", code)
            if code != (-signal.SIGKILL if kind == signal.SIGKILL else 130):
                findings.append(f"stop {number + 1} by {kind.name}: exit code {code}")
        last = call([*command, str(output)])
        click.echo(last.stdout.strip().splitlines()[-1])
        if last.returncode != 1:
            findings.append(f"the last run: exit code {last.returncode}: {last.stderr[-300:]}")
        findings += differences(seen, _outputs(output))
        findings += _compare(output, whole)
        findings += [f"{p} was changed" for p, data in sources.items() if p.read_bytes() != data]
        states = _check_books(output, set(spoiled), findings)
    summary = ", ".join(f"{count} {state}" for state, count in states.items())
    end(findings, f"{num_films} films, stopped {num_stops} times: {summary}")


def _make_archive(
    folder: Path, num_films: int, num_spoiled: int, frames: int, rng: random.Random
) -> list[str]:
    """Write films with different pictures in subfolders; return the names of those spoiled.

    They have `frames` to three times as many.
    """
    numbers = rng.sample(range(num_films), num_spoiled)
    for number in range(num_films):
        path = folder / f"{number % 7}" / f"{number:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        lumas = media.shoot(frames + number % (2 * frames), seed=number)
        media.make(path, media.Film(lumas, sounds=[media.Sound()]))
        if number in numbers:
            data = path.read_bytes()
            ways = b"", data[: len(data) // 2], rng.randbytes(len(data)), bytes(len(data)), b"no"
            path.write_bytes(ways[numbers.index(number) % len(ways)])
    return [f"{number:03d}.mp4" for number in numbers]


def _stop(
    command: Sequence[str], output: Path, count: int, kind: int, rng: random.Random
) -> tuple[int, float]:
    """Start an archive and stop it once so many films are finished; return exit code and seconds.

    As a terminal does, SIGINT goes to the workers, too. The next run begins at once.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(list(output.rglob("*.color.mp4"))) < count or not output.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    time.sleep(rng.uniform(0.0, 1.0))
    started = time.monotonic()
    if process.poll() is None:
        (os.killpg if kind == signal.SIGINT else os.kill)(process.pid, kind)
    try:
        code = process.wait(60.0)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return code, time.monotonic() - started


def _outputs(folder: Path) -> dict[str, list[Any]]:
    """Return time and inode of each finished output."""
    found = {}
    for path in folder.rglob("*.color.mp4"):
        state = path.stat()
        found[str(path.relative_to(folder))] = [state.st_mtime_ns, state.st_ino]
    return found


def _compare(folder: Path, whole: Path) -> Iterator[str]:
    names, wanted = _outputs(folder), _outputs(whole)
    if names.keys() != wanted.keys():
        yield f"other outputs: {sorted(names.keys() ^ wanted.keys())}"
    for name in names.keys() & wanted.keys():
        if media.all_packets(folder / name) != media.all_packets(whole / name):
            yield f"{name} is another film than without stops"
    ours = re.compile(r".*\.color\.mp4|filmcolor-archive\.(sqlite|lock)")
    for path in folder.rglob("*"):
        if path.is_file() and not ours.fullmatch(path.name):
            yield f"{path.relative_to(folder)} is left"


def _check_books(folder: Path, spoiled: set[str], findings: list[str]) -> Counter[str]:
    """Add what is wrong in an archive's books; return the number of films in each state."""
    check = call([*program("60"), "archive", "status", str(folder), "--check"])
    if check.returncode:
        findings.append(f"status --check: {check.stdout[-300:]}")
    status = call([*program("60"), "archive", "status", str(folder), "--json"])
    books = json.loads(status.stdout)
    failed = {Path(film["path"]).name for film in books["films"] if film["state"] == "failed"}
    if failed != spoiled:
        findings.append(f"failed: {sorted(failed)}, spoiled: {sorted(spoiled)}")
    findings += [f"{film['path']} has no error" for film in books["films"] if _lacks_error(film)]
    endings = Counter(attempt["ending"] for attempt in books["attempts"])
    click.echo(f"attempts: {', '.join(f'{n} {ending}' for ending, n in endings.items())}")
    times = Counter(
        a["film_id"] for a in books["attempts"] if a["ending"] in ("verified", "failed")
    )
    findings += [f"film {number} was done {n} times" for number, n in times.items() if n > 1]
    return Counter(film["state"] for film in books["films"])


def _lacks_error(film: Mapping[str, Any]) -> bool:
    return bool(film["state"] == "failed") == (not film["error"])
