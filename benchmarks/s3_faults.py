"""The part of `farm_faults.py` about S3 that fails."""

import os
import random
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from faults import SMALL, call, end, program, row

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import media

_BUCKET = "archive"
_NUM_PIECES = 3
RIGHT, NAMED = "right", "named"  # how a run may end: the film, or the object at fault
_MAX_TRIES = 4  # of a command, by a scheduler
_ADDRESS = re.compile(rf"s3://{_BUCKET}/[^\s:,;]+")


@click.command()
@click.option("--runs", default=24, show_default=True)
@click.option("--least", default=0.05, show_default=True, help="Share of requests that fail.")
@click.option("--most", default=0.3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def s3(runs: int, least: float, most: float, seed: int) -> None:
    """Plan, colour and join a film in S3, on a server that fails in all its ways.

    A command that ends with exit code 75 is repeated, as schedulers do.
    """
    from s3_server import S3Server, random_faults

    rng = random.Random(seed)
    findings: list[str] = []
    results: Counter[str] = Counter()
    server = S3Server()
    secret = secrets.token_hex(16)
    environment = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",  # the waits between botocore's own tries are long
    }
    os.environ |= {name: value for name, value in environment.items() if name.startswith("AWS_")}
    try:
        with tempfile.TemporaryDirectory() as name:
            film, here = Path(name, "fire.mp4"), Path(name, "here.mkv")
            media.make(film, media.Film(media.shoot(48), sounds=[media.Sound()]))
            words = ["--for", "master", *SMALL]
            call([*program("2/3"), "run", str(film), "-o", str(here), *words])
            wanted = media.all_packets(here)
            import s3fs

            files = s3fs.S3FileSystem(use_listings_cache=False)
            row("run", "share", "requests", "faults", "commands", "75", "seconds", "outcome")
            for number in range(runs):
                started, share = time.monotonic(), rng.uniform(least, most)
                server.clear()
                files.mkdir(_BUCKET)
                files.put_file(str(film), f"{_BUCKET}/fire.mp4")
                server.clear()
                server.fault = random_faults(rng.getrandbits(32), share)
                codes, outcome = _run_in_s3(words, environment, rng)
                cells = [len(server.requests), _by_kind(server.faults), len(codes), codes.count(75)]
                server.fault = lambda _: None
                if outcome == RIGHT:
                    path = Path(name, "out.mkv")
                    files.get_file(f"{_BUCKET}/out.mkv", str(path))
                    outcome = RIGHT if media.all_packets(path) == wanted else "another film"
                    left = {entry.rpartition("/")[2] for entry in files.ls(f"{_BUCKET}/work")}
                    if left != {"joined.json", "joined.json.done"}:
                        outcome = f"left {sorted(left)}"
                files.rm(_BUCKET, recursive=True)
                kind = outcome.partition(":")[0]
                if kind not in (RIGHT, NAMED):
                    kind = "wrong"
                    findings.append(f"run {number}: {outcome}")
                results[kind] += 1
                seconds = f"{time.monotonic() - started:.0f}"
                row(number, f"{share:.2f}", *cells, seconds, outcome)
    finally:
        server.stop()
    summary = ", ".join(f"{count} {kind}" for kind, count in results.items())
    end(findings, f"{runs} runs, {100 * least:g} to {100 * most:g} % of requests fail: {summary}")


def _by_kind(faults: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))


def _run_in_s3(
    words: Sequence[str], environment: Mapping[str, str], rng: random.Random
) -> tuple[list[int], str]:
    """Run plan, pieces and join; return the exit codes and how it ended."""
    film, work, output = (f"s3://{_BUCKET}/{name}" for name in ("fire.mp4", "work", "out.mkv"))
    codes: list[int] = []
    pieces = rng.sample(range(_NUM_PIECES), _NUM_PIECES)
    commands = [
        ["plan", film, "-o", output, "--work", work, *words],
        *(["piece", work, str(number)] for number in pieces),
        ["join", work],
    ]
    for command in commands:
        for _ in range(_MAX_TRIES):
            result = call([*program("2/3", is_s3=True), *command], environment)
            codes.append(result.returncode)
            if result.returncode == 0:
                break
            message = result.stderr.strip()
            named = _ADDRESS.search(message)
            is_clean = environment["AWS_SECRET_ACCESS_KEY"] not in message
            if result.returncode != 75 or not (named and is_clean) or "\n" in message:
                return codes, f"{command[0]}: exit code {result.returncode}: {message[-400:]}"
        else:
            assert named
            return codes, f"{NAMED}: {command[0]}: {named[0]}"
    return codes, RIGHT
