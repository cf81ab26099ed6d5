"""Does a film survive its machines? Nodes and drivers that die, archives that stop, S3 that fails.

    python benchmarks/farm_faults.py nodes [--kills 20] [--driver-kills 5] [--seed 0]
    python benchmarks/farm_faults.py archive [--films 200] [--spoiled 5] [--stops 5] [--seed 0]
    python benchmarks/farm_faults.py s3 [--runs 24] [--seed 0]

Makes its own films and runs the commands of filmcolor on them, with short pieces. Prints a line for
each attempt and each finding, and exits with 1 if there are any: another film, a finished piece or
film that is lost or made twice, an error that names no object. Needs filmcolor[ray] for `nodes`,
filmcolor[s3] and moto for `s3`. The seed decides which faults are made; what they hit also depends
on the machine's speed.
"""

import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import click
from archive_faults import archive
from faults import TIMEOUT_SECONDS, differences, end, program, row, states
from s3_faults import s3

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import media


@click.group()
def main() -> None:
    """Try to break films on many machines."""


main.add_command(archive)
main.add_command(s3)


_PIECE_SECONDS, _PIECE_FRAMES = "1", 24


@dataclass
class _Run:
    """A run of `filmcolor run --on ray` in a process of its own, which is watched."""

    film: Path
    output: Path
    words: Sequence[str]
    seen: dict[str, list[Any]] = field(default_factory=dict)  # finished pieces

    @property
    def folder(self) -> Path:
        """The folder of the pieces."""
        return self.output.with_name(f"{self.output.name}.filmcolor")

    def start(self) -> None:
        """Start the driver, again if it was killed."""
        self._kept = self.output.with_suffix(".states")
        self._kept.unlink(missing_ok=True)
        self._log = self.output.with_suffix(".log").open("w+")
        command = [*program(_PIECE_SECONDS, self._kept), "run", str(self.film)]
        command += ["-o", str(self.output), "--quiet", *self.words]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self._deadline = time.monotonic() + TIMEOUT_SECONDS

    def wait(self, num_pieces: int) -> bool:
        """Wait for so many finished pieces; return False if the run ends before."""
        while self.process.poll() is None:
            if time.monotonic() > self._deadline:
                self.process.kill()
            if len(list(self.folder.glob("[0-9]*.json"))) >= num_pieces:
                return True
            time.sleep(0.005)
        return False

    def note(self) -> int:
        """Note the finished pieces; return how many there are."""
        for name, state in states(self.folder).items():
            self.seen.setdefault(name, state)
        return len(self.seen)

    def end(self) -> str | None:
        """Wait for the end; return the exit code and the last lines unless it is 0."""
        try:
            code = self.process.wait(max(1.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.seek(0)
        lines = self._log.read().split("\n")
        return f"exit code {code}: {' / '.join(lines[-4:]).strip(' /')}" if code else None

    def faults(self, wanted: list[Any]) -> Iterator[str]:
        """Wait for the end; yield what is wrong with it."""
        if error := self.end():
            yield error
            return
        if media.all_packets(self.output) != wanted:
            yield "another film"
        after = json.loads(self._kept.read_text()) if self._kept.exists() else {}
        yield from differences(self.seen, after)
        if self.folder.exists():
            yield "the pieces are left"

    def clean(self) -> None:
        """Remove all that the run has made."""
        self._log.close()
        self.seen.clear()
        for path in self.output.parent.glob(f"{self.output.stem}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _cluster() -> Iterator[Any]:
    """Give a Ray cluster with a token, whose head has no CPUs."""
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder  # its sockets' names must be short
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        os.environ["RAY_ADDRESS"] = cluster.address
        try:
            yield cluster
        finally:
            cluster.shutdown()


def _set_nodes(cluster: Any, num_nodes: int) -> None:
    while len(cluster.worker_nodes) > num_nodes:
        cluster.remove_node(next(iter(cluster.worker_nodes)))
    while len(cluster.worker_nodes) < num_nodes:
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)


@main.command()
@click.option("--kills", default=20, show_default=True, help="Of a node.")
@click.option("--driver-kills", default=5, show_default=True)
@click.option("--nodes", default="1,2,4", show_default=True, help="Without kills.")
@click.option("--height", default=180, show_default=True)
@click.option("--pieces", default=20, show_default=True)
@click.option("--for", "purpose", default="master", show_default=True)
@click.option("--seed", default=0, show_default=True)
def nodes(
    kills: int, driver_kills: int, nodes: str, height: int, pieces: int, purpose: str, seed: int
) -> None:
    """Colour a film on simulated Ray nodes, and kill one of two, or the driver.

    A kill comes after a random number of finished pieces, from the first to the last, and up to the
    duration of a piece later. One that comes after the end does not count, and another is made.
    """
    rng = random.Random(seed)
    findings: list[str] = []
    words = ["--for", purpose, "--device", "cpu"]
    with tempfile.TemporaryDirectory() as name, _cluster() as cluster:
        film = _make_scenes(Path(name, "film.mkv"), pieces * _PIECE_FRAMES, height)
        here = _Run(film, Path(name, "here.mkv"), words)
        here.start()
        if error := here.end():
            end([error], "filmcolor run")
        wanted = media.all_packets(here.output)
        types = Counter(packet[0] for packet in wanted)
        click.echo(", ".join(f"{count} packets of {type_}" for type_, count in types.items()))
        row("nodes", "killed", "pieces finished then", "seconds from there", "film")
        run = _Run(film, Path(name, "out.mkv"), [*words, "--on", "ray", "--cores", "1"])
        for num_nodes in map(int, nodes.split(",")):
            _set_nodes(cluster, num_nodes)
            run.start()
            run.wait(1)
            started = time.monotonic()
            faults = list(run.faults(wanted))
            duration = time.monotonic() - started
            run.clean()
            findings += [f"{num_nodes} nodes: {fault}" for fault in faults]
            row(num_nodes, "", "", f"{duration:.1f}", "; ".join(faults) or "the same")
        for victim, num_kills in (("node", kills), ("driver", driver_kills)):
            num_left, num_late = num_kills, 0
            while num_left and num_late <= num_kills:
                _set_nodes(cluster, 2)
                run.start()
                is_there = run.wait(rng.randint(1, pieces))
                time.sleep(rng.uniform(0.0, duration / pieces))
                started = time.monotonic()
                if victim == "node":
                    run.note()
                    node = rng.choice(sorted(cluster.worker_nodes, key=lambda n: n.node_id))
                    cluster.remove_node(node, allow_graceful=False)
                else:
                    run.process.kill()
                    run.process.wait()
                    run.note()
                is_late = run.output.exists() or not is_there
                if victim == "driver" and not is_late:
                    run.start()
                faults = [] if victim == "driver" and is_late else list(run.faults(wanted))
                num_late += is_late
                num_left -= not is_late
                findings += [f"{victim}, kill {num_kills - num_left}: {fault}" for fault in faults]
                result = "; ".join(faults) or ("had ended" if is_late else "the same")
                row(2, victim, len(run.seen), f"{time.monotonic() - started:.1f}", result)
                run.clean()
    end(findings, f"{pieces} pieces, {kills} kills of a node, {driver_kills} of the driver")


def _make_scenes(path: Path, num_frames: int, height: int) -> Path:
    """Write a film of five shots of different lengths with sound."""
    cuts = [round(num_frames * share) for share in (0.0, 0.13, 0.39, 0.5, 0.83, 1.0)]
    size = height * 16 // 9 // 2 * 2, height
    shots = [media.shoot(b - a, size, seed=a, step=0.5) for a, b in pairwise(cuts)]
    return media.make(path, media.Film(list(chain(*shots)), sounds=[media.Sound()]))


if __name__ == "__main__":
    main()
