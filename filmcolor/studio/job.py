"""One film in the queue, and the file that the queue survives in."""

import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

from filmcolor.errors import FilmcolorError
from filmcolor.files import atomic_write
from filmcolor.output.playback import is_playable
from filmcolor.video.probe import probe

WAITING, RUNNING, PAUSED = "waiting", "running", "paused"
DONE, FAILED, STOPPED = "done", "failed", "stopped"
UNFINISHED = WAITING, RUNNING, PAUSED
_STATES = (*UNFINISHED, DONE, FAILED, STOPPED)
_PRIVATE = "arguments", "has_run", "needs_restart", "is_orphan"  # no business of the page
_FORMAT = 1  # of the file
_SPEED_SECONDS = 20.0  # over which the speed is measured
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """A film, how it is run, and how far that is. `arguments`: what follows `filmcolor run`."""

    id: str
    film: str  # its identifier on the page
    film_name: str
    output: str
    purpose: str
    arguments: list[str]
    command: str  # with the arguments, to be typed into a terminal
    state: str = WAITING
    done: int = 0  # frames
    total: int | None = None
    error: str = ""
    summary: str = ""
    verdict: str = ""
    notes: list[str] = field(default_factory=list)
    is_playable: bool = False
    has_run: bool = False  # segments beside the output may be this job's
    needs_restart: bool = False  # the segments are of other settings, and are to be discarded
    is_orphan: bool = False  # its server died; its run may still be there

    @property
    def output_path(self) -> Path:
        """The file that is written."""
        return Path(self.output)

    @property
    def run_arguments(self) -> list[str]:
        """What follows `filmcolor run` this time."""
        return [*self.arguments, *(["--restart"] if self.needs_restart else [])]

    def to_json(self, speed: "Speed | None") -> dict[str, Any]:
        """Return the job object of the API. `speed`: while it runs."""
        values = asdict(self)
        for name in _PRIVATE:
            del values[name]
        rate = None if speed is None else speed.frames_per_second()
        rest = None if self.total is None else max(0, self.total - self.done)
        seconds = rest / rate if rate and rest is not None else None
        return {**values, "frames_per_second": rate, "seconds_left": seconds}

    def advance(self, done: int, total: int | None) -> None:
        """Take over the progress of its run."""
        self.done, self.total = done, total
        self.needs_restart = False  # other segments have been discarded by now

    def finish(self, event: dict[str, Any]) -> None:
        """Take over the report of its run."""
        num_frames = event.get("num_frames")
        self.state, self.error, self.needs_restart = DONE, "", False
        if isinstance(num_frames, int):
            self.done = self.total = num_frames
        self.summary, self.verdict = str(event.get("summary", "")), str(event.get("verified", ""))
        self.notes = [str(line) for name in ("notes", "damage") for line in event.get(name) or ()]
        with suppress(FilmcolorError):
            self.is_playable = is_playable(probe(self.output_path))

    def fail(self, error: str) -> None:
        """Note why its run failed; what is finished is kept."""
        self.state, self.error = FAILED, error


class Speed:
    """The speed of a run: frames per second over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # (seconds, frames done)

    def add(self, done: int) -> None:
        """Note how many frames are done now."""
        now = time.monotonic()
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()  # another pass over the film begins
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _SPEED_SECONDS:
            self._samples.popleft()

    def frames_per_second(self) -> float | None:
        """Return the speed; None before it is known."""
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start and last > first else None


def save_jobs(path: Path, jobs: Sequence[Job]) -> None:
    """Write the queue's file; raises OutputError."""
    content = json.dumps({"format": _FORMAT, "jobs": [asdict(job) for job in jobs]}, indent=1)
    with atomic_write(path, durable=True) as partial:
        partial.write_text(content, encoding="utf-8")


def load_jobs(path: Path) -> list[Job]:
    """Return the jobs of a queue's file. A broken one is kept beside it, and the queue is empty."""
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}")
        jobs = [_load(values) for values in content["jobs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        broken = path.with_name(f"{path.name}.broken")
        with suppress(OSError):
            path.replace(broken)
        _log.warning("%s cannot be read (%s): kept as %s, the queue is empty", path, error, broken)
        return []
    for job in jobs:
        job.is_orphan = job.is_orphan or job.state == RUNNING
    return jobs


def _load(values: dict[str, Any]) -> Job:
    """Return a job with the right types; raises ValueError or TypeError."""
    job = Job(**values)
    for entry in fields(Job):
        kind: Any = list if get_origin(entry.type) is list else entry.type
        if not isinstance(getattr(job, entry.name), kind):
            raise TypeError(f"{entry.name} {getattr(job, entry.name)!r}")
    lists = job.arguments, job.notes
    if not all(isinstance(line, str) for lines in lists for line in lines):
        raise TypeError("lists of strings are wanted")
    if job.state not in _STATES or not job.arguments:
        raise ValueError(f"state {job.state!r}")
    return job
