"""What `farm_faults.py` and its parts share: filmcolor in short pieces, and what came of them."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

TIMEOUT_SECONDS = 300.0  # for one command
SMALL = ("--weights", "tutorial", "--size", "32", "--device", "cpu")
# `filmcolor` in short pieces; the states of a film's files are kept when its run removes them
_PROGRAM = """
import json, sys
from fractions import Fraction
from pathlib import Path
from filmcolor.segments import journal, segment
segment._SECONDS = Fraction({seconds!r})
remove = journal.Journal.remove
def keep_states(self):
    sys.path.append({here!r})
    from faults import states
    if {states!r}:
        Path({states!r}).write_text(json.dumps(states(self.folder)))
    remove(self)
journal.Journal.remove = keep_states
from filmcolor.farm import s3_store
from filmcolor.video import partial_films
if {is_s3!r}:
    import s3fs
    s3_store.WAITS = tuple(wait / 50 for wait in s3_store.WAITS)
    s3fs.S3FileSystem.read_timeout = 2.0
    partial_films.BLOCK_BYTES = 1 << 12
from filmcolor.cli.main import main
main()
"""


def program(seconds: str, states: Path | str = "", *, is_s3: bool = False) -> list[str]:
    """Return a program that is `filmcolor` with pieces of so many seconds.

    `states`: a file that gets the states of the pieces, see below, before a run removes them.
    """
    here = str(Path(__file__).parent)
    text = _PROGRAM.format(seconds=seconds, here=here, states=str(states), is_s3=is_s3)
    return [sys.executable, "-c", text]


def states(folder: Path) -> dict[str, list[Any]]:
    """Return time, inode and hash of each finished piece in the folder of a run."""
    found = {}
    for path in sorted(folder.glob("[0-9]*.json")):
        try:
            state = path.stat()
            files = [path, *path.parent.glob(f"{path.stem}.[nm]*")]
            digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        except FileNotFoundError:  # the run has just ended
            continue
        found[path.name] = [state.st_mtime_ns, state.st_ino, digest]
    return found


def end(findings: list[str], summary: str) -> None:
    for finding in findings:
        click.echo(f"FOUND {finding}")
    click.echo(f"{summary}; {len(findings)} findings")
    sys.exit(1 if findings else 0)


def row(*cells: object) -> None:
    click.echo(f"| {' | '.join(map(str, cells))} |")


def differences(
    before: Mapping[str, Sequence[Any]], after: Mapping[str, Sequence[Any]]
) -> Iterator[str]:
    """Yield what happened to files that were finished before."""
    for name, state in before.items():
        if name not in after:
            yield f"{name} is lost"
        elif list(after[name]) != list(state):
            yield f"{name} was made twice"


def call(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=4 * TIMEOUT_SECONDS, env=environment
    )
