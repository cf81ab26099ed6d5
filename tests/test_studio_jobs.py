"""The studio's queue: its states, what it keeps through a crash, and real runs."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import media
import pytest
import runs
from media import Film, Sound, shoot

from filmcolor.errors import OutputError, RangeError, SettingsError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments.journal import Journal
from filmcolor.studio import job as job_module
from filmcolor.studio.command import run_arguments
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.studio.job import Speed
from filmcolor.studio.jobs import JobQueue
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

PATIENCE_SECONDS = 60.0
MakeFilm = Callable[..., Path]
Type = Callable[..., tuple[int, str, str]]

# a run that does what a test has written into a file: say(event, ...), with words and output
_FAKE = """
import json, os, signal, sys, time
from pathlib import Path
script, words = sys.argv[1], sys.argv[2:]
output = Path(words[words.index("-o") + 1])
log = Path(words[words.index("--log") + 1])
def say(event, **details):
    line = json.dumps({"event": event, **details})
    if event not in ("progress", "notice"):
        with log.open("a") as file:
            print(line, file=file)
    print(line, flush=True)
def finish(**details):
    output.write_bytes(b"film")
    report = {"num_frames": 12, "summary": "12 frames", "verified": "as the film",
              "notes": [], "damage": []}
    say("finished", output=str(output), **{**report, **details})
def interrupted(*_):
    say("interrupted", kept="")
    os._exit(130)
signal.signal(signal.SIGTERM, interrupted)
with open(script + ".runs", "a") as file:
    print(json.dumps(words), file=file)
say("begun")
exec(Path(script).read_text())
"""
HANG = "say('progress', done=3, total=12)\ntime.sleep(600)"


class Corrections:
    """Corrections that only have a command."""

    def __init__(self, path: Path, options: ColorOptions) -> None:
        self._path, self._options = path, options

    def arguments(
        self,
        output: Path | None = None,
        purpose: str = "share",
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        force: bool = False,
    ) -> list[str]:
        return run_arguments(
            self._path,
            self._options,
            output=output,
            encoding=Encoding(purpose),
            time_range=TimeRange(start_seconds, end_seconds),
            force=force,
        )


@dataclass
class OpenedFilm:
    """A film as the queue sees it."""

    path: Path
    options: ColorOptions

    def __post_init__(self) -> None:
        self.id = self.path.stem
        self.info: FilmInfo = probe(self.path)
        self.index = FrameIndex.read(self.info)
        self.corrections = Corrections(self.path, self.options)


class FakeRuns:
    """A queue whose runs do what `script` says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._script = folder / "state", folder / "script.py"
        self._program = [sys.executable, "-S", "-c", _FAKE, str(self._script)]
        self.script = "finish()"
        self.queue = self.open()

    @property
    def script(self) -> str:
        return self._script.read_text()

    @script.setter
    def script(self, text: str) -> None:
        self._script.write_text(text)

    def open(self) -> JobQueue:
        self.queue = JobQueue(self.folder, self._program)
        return self.queue

    def reopen(self) -> JobQueue:
        self.queue.close()
        return self.open()

    def runs(self) -> list[list[str]]:
        """Return the words of each run, in order."""
        path = Path(f"{self._script}.runs")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def kill_server(self) -> None:
        """Leave a queue as a killed server does: with a job that runs."""
        self.queue.close()
        content = json.loads((self.folder / "queue.json").read_text())
        content["jobs"][0]["state"] = "running"
        (self.folder / "queue.json").write_text(json.dumps(content))


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeRuns]:
    fake = FakeRuns(tmp_path)
    yield fake
    fake.queue.close()


@pytest.fixture
def film(make_film: MakeFilm, options: ColorOptions) -> OpenedFilm:
    return OpenedFilm(make_film(sounds=[Sound()]), options)


def job_of(queue: JobQueue, identifier: str) -> dict[str, Any]:
    return next(job for job in queue.state()["jobs"] if job["id"] == identifier)


def wait_for(queue: JobQueue, identifier: str, *states: str) -> dict[str, Any]:
    """Return a job once it has one of some states."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (job := job_of(queue, identifier))["state"] not in states:
        assert job["state"] in ("waiting", "running", "paused"), job
        assert time.monotonic() < deadline, job
        time.sleep(0.005)
    return job


def wait_for_progress(queue: JobQueue, identifier: str) -> dict[str, Any]:
    """Return a job once it has begun to colour."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (job := job_of(queue, identifier))["done"]:
        assert time.monotonic() < deadline and job["state"] in ("waiting", "running"), job
        time.sleep(0.005)
    return job


# ---------------------------------------------------------------- how a job ends


def test_a_job_from_waiting_to_done(fake: FakeRuns, film: OpenedFilm) -> None:
    fake.script = (
        "say('notice', text='a notice')\nsay('progress', done=1, total=12)\n"
        "say('progress', done=12, total=12)\nfinish(notes=['a note'], damage=['damage'])"
    )
    job = fake.queue.add(film, "share")
    output = film.path.with_name("film.color.mp4")
    assert job["state"] in ("waiting", "running")
    assert (job["film"], job["film_name"], job["purpose"]) == ("film", "film.mp4", "share")
    assert job["output"] == str(output)
    done = wait_for(fake.queue, job["id"], "done")
    assert (done["done"], done["total"], done["error"]) == (12, 12, "")
    assert (done["summary"], done["verdict"]) == ("12 frames", "as the film")
    assert done["notes"] == ["a note", "damage"]
    assert done["seconds_left"] is None
    assert fake.queue.output_path(job["id"]) == output
    assert not done["is_playable"]  # what a fake run writes is no film


def test_a_job_shows_the_command_that_it_runs(fake: FakeRuns, film: OpenedFilm) -> None:
    job = fake.queue.add(film, "archive", start_seconds=0.1, end_seconds=0.4)
    wait_for(fake.queue, job["id"], "done")
    assert shlex.split(job["command"])[:2] == ["filmcolor", "run"]
    (words,) = fake.runs()
    shown, added = words[: -len(["--progress", "json", "--log", "x"])], words[-4:]
    assert shown == shlex.split(job["command"])[1:]
    assert added[:3] == ["--progress", "json", "--log"]
    assert shown[shown.index("--for") :][:2] == ["--for", "archive"]
    assert shown[shown.index("--from") :][:2] == ["--from", "00:00:00.100"]


def test_films_are_coloured_one_after_the_other(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    fake.script = (
        "with open(script + '.times', 'a') as file: print(time.time(), file=file)\n"
        "time.sleep(0.1)\n"
        "with open(script + '.times', 'a') as file: print(time.time(), file=file)\n"
        "finish()"
    )
    outputs = [tmp_path / f"{n}.mp4" for n in (3, 1, 2)]
    jobs = [fake.queue.add(film, "share", output) for output in outputs]
    for job in jobs:
        wait_for(fake.queue, job["id"], "done")
    assert [words[words.index("-o") + 1] for words in fake.runs()] == list(map(str, outputs))
    times = [float(t) for t in (tmp_path / "script.py.times").read_text().split()]
    assert len(times) == 6
    assert times == sorted(times)
    assert [job["output"] for job in fake.queue.state()["jobs"]] == list(map(str, outputs))


FAILURES = {
    "an error": ("say('failed', error='the disk is full')\nsys.exit(1)", r"the disk is full"),
    "wrong usage": (
        "print('filmcolor: no such option', file=sys.stderr)\nsys.exit(2)",
        r"no such option",
    ),
    "a bug": ("raise KeyError('x')", r"exit code 1; KeyError: 'x'"),
    "nothing": ("os._exit(3)", r"exit code 3; it printed no reason"),
    "a kill": (
        "say('progress', done=3, total=12)\nos.kill(os.getpid(), 9)",
        r"killed \(SIGKILL\): out of memory\? resume it",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_job_that_fails_names_the_reason(fake: FakeRuns, film: OpenedFilm, kind: str) -> None:
    fake.script, reason = FAILURES[kind]
    job = fake.queue.add(film, "share")
    failed = wait_for(fake.queue, job["id"], "failed")
    assert re.search(reason, failed["error"])
    assert "\n" not in failed["error"]
    with pytest.raises(ConflictError, match="not finished"):
        fake.queue.output_path(job["id"])
    fake.script = "finish()"
    assert fake.queue.resume(job["id"])["error"] == ""
    wait_for(fake.queue, job["id"], "done")
    assert len(fake.runs()) == 2


def test_what_no_process_can_be_started_for_fails(film: OpenedFilm, tmp_path: Path) -> None:
    queue = JobQueue(tmp_path / "state", [str(tmp_path / "gone")])
    job = queue.add(film, "share")
    assert "cannot be started" in wait_for(queue, job["id"], "failed")["error"]
    queue.close()


def test_segments_of_other_corrections_are_discarded_when_asked_for(
    fake: FakeRuns, film: OpenedFilm
) -> None:
    error = "out.filmcolor holds segments of a run with palette x; to begin again add --restart"
    fake.script = f"say('failed', error={error!r})\nsys.exit(1)"
    job = fake.queue.add(film, "share")
    assert "--restart" in wait_for(fake.queue, job["id"], "failed")["error"]
    fake.script = HANG
    fake.queue.resume(job["id"])
    wait_for_progress(fake.queue, job["id"])
    fake.queue.pause(job["id"])
    fake.script = "finish()"
    fake.queue.resume(job["id"])
    wait_for(fake.queue, job["id"], "done")
    # once: what it had coloured by the pause is kept
    assert ["--restart" in words for words in fake.runs()] == [False, True, False]


def test_a_film_that_browsers_play_is_known(fake: FakeRuns, film: OpenedFilm) -> None:
    fake.script = (
        f"output.write_bytes(Path({str(film.path)!r}).read_bytes())\nsay('finished', num_frames=12)"
    )
    job = fake.queue.add(film, "share")
    assert wait_for(fake.queue, job["id"], "done")["is_playable"]


# ---------------------------------------------------------------- what a person does with it


def test_pause_and_resume(fake: FakeRuns, film: OpenedFilm) -> None:
    fake.script = HANG
    job = fake.queue.add(film, "share")
    wait_for_progress(fake.queue, job["id"])
    assert fake.queue.pause(job["id"])["state"] == "paused"
    fake.script = "finish()"
    paused = job_of(fake.queue, job["id"])
    assert (paused["state"], paused["done"], paused["total"]) == ("paused", 3, 12)
    assert fake.queue.resume(job["id"])["state"] == "waiting"
    wait_for(fake.queue, job["id"], "done")
    first, second = fake.runs()
    assert first == second
    with pytest.raises(ConflictError, match="done"):
        fake.queue.resume(job["id"])
    with pytest.raises(ConflictError, match="nothing to pause"):
        fake.queue.pause(job["id"])


def test_a_pause_lets_the_next_film_begin(fake: FakeRuns, film: OpenedFilm, tmp_path: Path) -> None:
    fake.script = "finish() if '2.mp4' in str(output) else time.sleep(600)"
    one, two = (fake.queue.add(film, "share", tmp_path / f"{n}.mp4") for n in (1, 2))
    waiting = fake.queue.pause(one["id"])
    assert waiting["state"] == "paused"
    wait_for(fake.queue, two["id"], "done")
    assert job_of(fake.queue, one["id"])["state"] == "paused"


def test_a_job_that_waits_can_be_paused_before_it_runs(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    fake.script = HANG
    one, two = (fake.queue.add(film, "share", tmp_path / f"{n}.mp4") for n in (1, 2))
    wait_for_progress(fake.queue, one["id"])
    fake.queue.pause(two["id"])
    fake.script = "finish()"
    fake.queue.pause(one["id"])
    fake.queue.resume(one["id"])
    wait_for(fake.queue, one["id"], "done")
    assert job_of(fake.queue, two["id"])["state"] == "paused"
    assert len(fake.runs()) == 2


def test_remove(fake: FakeRuns, film: OpenedFilm, tmp_path: Path) -> None:
    fake.script = HANG
    job = fake.queue.add(film, "share")
    wait_for_progress(fake.queue, job["id"])
    with pytest.raises(ConflictError, match="pause or stop it first"):
        fake.queue.remove(job["id"])
    fake.queue.stop(job["id"])
    fake.queue.remove(job["id"])  # waits for its process
    assert fake.queue.state() == {"jobs": []}
    assert list((fake.folder / "jobs").iterdir()) == []
    with pytest.raises(NotFoundError):
        fake.queue.remove(job["id"])
    with pytest.raises(NotFoundError):
        fake.queue.pause(job["id"])

    fake.script = "finish()"
    job = fake.queue.add(film, "share")
    wait_for(fake.queue, job["id"], "done")
    output = fake.queue.output_path(job["id"])
    fake.queue.remove(job["id"])
    assert output.exists()  # the film stays


def test_a_film_that_is_gone_cannot_be_fetched(fake: FakeRuns, film: OpenedFilm) -> None:
    job = fake.queue.add(film, "share")
    wait_for(fake.queue, job["id"], "done")
    fake.queue.output_path(job["id"]).unlink()
    with pytest.raises(NotFoundError, match="is gone"):
        fake.queue.output_path(job["id"])


def test_what_cannot_be_run_is_refused_at_once(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    fake.script = HANG
    existing = tmp_path / "existing.mp4"
    existing.write_bytes(b"old")
    for error, words, arguments in (
        (OutputError, "add --force", {"output": existing}),
        (OutputError, "the film itself", {"output": film.path, "force": True}),
        (OutputError, "is no folder", {"output": tmp_path / "gone" / "out.mp4"}),
        (OutputError, "cannot write .txt", {"output": tmp_path / "out.txt"}),
        (SettingsError, "in a terminal", {"output": tmp_path / "%06d.png"}),
        (RangeError, "holds no frame", {"start_seconds": 50.0}),
        (RangeError, "holds no frame", {"start_seconds": 0.3, "end_seconds": 0.2}),
    ):
        with pytest.raises(error, match=words):
            fake.queue.add(film, "share", **arguments)
    assert fake.queue.state() == {"jobs": []}
    assert existing.read_bytes() == b"old"
    job = fake.queue.add(film, "share", existing, force=True)
    assert "--force" in job["command"]


def test_two_jobs_never_write_one_file(fake: FakeRuns, film: OpenedFilm, tmp_path: Path) -> None:
    fake.script = HANG
    one = fake.queue.add(film, "share", tmp_path / "out.mp4")
    same = tmp_path / "." / ".." / tmp_path.name / "out.mp4"
    with pytest.raises(ConflictError, match=r"written by another job, of film\.mp4"):
        fake.queue.add(film, "share", same)
    wait_for_progress(fake.queue, one["id"])
    fake.queue.pause(one["id"])
    with pytest.raises(ConflictError):  # it is to go on
        fake.queue.add(film, "share", same, force=True)
    fake.queue.stop(one["id"])
    two = fake.queue.add(film, "share", same)
    with pytest.raises(ConflictError):
        fake.queue.resume(one["id"])
    assert [job["id"] for job in fake.queue.state()["jobs"]] == [one["id"], two["id"]]


def test_where_a_run_would_write(fake: FakeRuns, film: OpenedFilm, tmp_path: Path) -> None:
    output = tmp_path / "film.color.mp4"
    suggestion = fake.queue.suggest(film, "share")
    assert (suggestion["output"], suggestion["exists"]) == (str(output), False)
    assert suggestion["folder"] == str(tmp_path)
    assert shlex.split(suggestion["command"])[:3] == ["filmcolor", "run", str(film.path)]
    output.touch()
    assert fake.queue.suggest(film, "share")["exists"]
    assert fake.queue.suggest(film, "master")["output"].endswith(".color.mkv")
    assert fake.queue.suggest(film, "share", tmp_path / "a.mkv")["output"].endswith("a.mkv")
    assert "--to" in fake.queue.suggest(film, "share", None, 0.0, 0.25)["command"]


# ---------------------------------------------------------------- what survives


def test_a_closed_queue_goes_on_when_it_is_opened_again(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    ids = [fake.queue.add(film, "share", tmp_path / "1.mp4")["id"]]
    wait_for(fake.queue, ids[0], "done")
    fake.script = "say('failed', error='no')\nsys.exit(1)"
    ids.append(fake.queue.add(film, "share", tmp_path / "2.mp4")["id"])
    wait_for(fake.queue, ids[1], "failed")
    fake.script = HANG
    ids += [fake.queue.add(film, "share", tmp_path / f"{n}.mp4")["id"] for n in (3, 4, 5)]
    fake.queue.pause(ids[3])
    wait_for_progress(fake.queue, ids[2])
    before = fake.queue.state()["jobs"]
    started = time.monotonic()
    fake.queue.close()
    assert time.monotonic() - started < 10
    fake.script = "finish()"
    queue = fake.open()
    for identifier in (ids[2], ids[4]):
        wait_for(queue, identifier, "done")
    after = queue.state()["jobs"]
    assert [job["id"] for job in after] == ids
    assert [job["state"] for job in after] == ["done", "failed", "done", "paused", "done"]
    assert [after[n] for n in (0, 1, 3)] == [before[n] for n in (0, 1, 3)]
    outputs = [words[words.index("-o") + 1] for words in fake.runs()]
    assert [Path(output).stem for output in outputs] == ["1", "2", "3", "3", "5"]


def test_the_job_of_a_killed_server_goes_on_first(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    fake.script = HANG
    waiting, running = (fake.queue.add(film, "share", tmp_path / f"{n}.mp4") for n in (1, 2))
    fake.queue.pause(waiting["id"])
    wait_for_progress(fake.queue, running["id"])
    fake.queue.resume(waiting["id"])
    fake.queue.close()
    fake.script = "finish()"
    queue = fake.open()
    for job in (waiting, running):
        wait_for(queue, job["id"], "done")
    outputs = [Path(words[words.index("-o") + 1]).stem for words in fake.runs()]
    assert outputs[-2:] == ["2", "1"]


def test_a_run_that_outlasts_its_server_is_waited_for(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    """It is verifying its film when the server dies, and finishes it after the next one begins."""
    fake.script = HANG
    job = fake.queue.add(film, "share", tmp_path / "out.mp4")
    wait_for_progress(fake.queue, job["id"])
    fake.kill_server()
    with Journal(tmp_path / "out.mp4"):  # as that run holds it
        fake.open()
        time.sleep(0.3)
        assert job_of(fake.queue, job["id"])["state"] == "running"
        assert len(fake.runs()) == 1
        with (fake.folder / "jobs" / f"{job['id']}.jsonl").open("a") as log:
            event = {"event": "finished", "num_frames": 12, "summary": "s", "verified": "v"}
            print(json.dumps(event), file=log)
        (tmp_path / "out.mp4").write_bytes(b"film")
    done = wait_for(fake.queue, job["id"], "done")
    assert (done["done"], done["summary"], done["verdict"]) == (12, "s", "v")
    assert len(fake.runs()) == 1


def test_a_run_that_stops_after_its_server_is_taken_up_again(
    fake: FakeRuns, film: OpenedFilm, tmp_path: Path
) -> None:
    fake.script = HANG
    job = fake.queue.add(film, "share", tmp_path / "out.mp4")
    wait_for_progress(fake.queue, job["id"])
    fake.kill_server()
    fake.script = "finish()"
    with Journal(tmp_path / "out.mp4"):
        fake.open()
        time.sleep(0.1)
        assert len(fake.runs()) == 1
    wait_for(fake.queue, job["id"], "done")
    assert len(fake.runs()) == 2


BROKEN = {
    "empty": "",
    "cut off": '{"format": 1, "jobs": [{"id": "a',
    "another shape": "[1, 2]",
    "another format": '{"format": 99, "jobs": []}',
    "a job without its words": '{"format": 1, "jobs": [{"id": "a"}]}',
    "wrong types": (
        '{"format": 1, "jobs": [{"id": "a", "film": "f", "film_name": "f", "output": 5, '
        '"purpose": "share", "arguments": ["f"], "command": "c"}]}'
    ),
    "an unknown state": (
        '{"format": 1, "jobs": [{"id": "a", "film": "f", "film_name": "f", "output": "o", '
        '"purpose": "share", "arguments": ["f"], "command": "c", "state": "dancing"}]}'
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_kept_and_the_queue_begins_empty(
    fake: FakeRuns, film: OpenedFilm, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    fake.queue.close()
    (fake.folder / "queue.json").write_text(BROKEN[kind])
    queue = fake.open()
    assert queue.state() == {"jobs": []}
    assert (fake.folder / "queue.json.broken").read_text() == BROKEN[kind]
    assert "queue.json.broken" in caplog.text
    wait_for(queue, queue.add(film, "share")["id"], "done")


def test_one_server_has_a_queue(fake: FakeRuns) -> None:
    with pytest.raises(ConflictError, match="another studio is using"):
        JobQueue(fake.folder)
    fake.reopen()


def test_a_full_disk_refuses_a_job_and_keeps_the_queue(
    fake: FakeRuns, film: OpenedFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OutputError("queue.json cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr("filmcolor.studio.jobs.save_jobs", fail)
        with pytest.raises(OutputError, match="No space"):
            fake.queue.add(film, "share")
    assert fake.queue.state() == {"jobs": []}
    wait_for(fake.queue, fake.queue.add(film, "share")["id"], "done")


# ---------------------------------------------------------------- speed


def test_the_speed_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(job_module.time, "monotonic", lambda: now)
    speed = Speed()
    assert speed.frames_per_second() is None
    done = 0
    for rate, seconds in ((2, 60), (10, 40)):
        for _ in range(seconds):
            speed.add(done)
            now, done = now + 1.0, done + rate
    assert speed.frames_per_second() == pytest.approx(10.0)
    speed.add(0)  # another pass over the film
    assert speed.frames_per_second() is None
    now += 2.0
    speed.add(10)
    assert speed.frames_per_second() == pytest.approx(5.0)


def test_the_time_that_is_left(fake: FakeRuns, film: OpenedFilm) -> None:
    fake.script = (
        "for n in range(1, 7):\n    say('progress', done=n, total=12)\n    time.sleep(0.05)\n"
        "time.sleep(600)"
    )
    job = fake.queue.add(film, "share")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (shown := job_of(fake.queue, job["id"]))["done"] < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    rate = shown["frames_per_second"]
    assert 2 < rate <= 20  # frames come after 0.05 s at the earliest
    assert shown["seconds_left"] == pytest.approx(6 / rate)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no niceness")
def test_a_run_leaves_the_processor_to_the_page(fake: FakeRuns, film: OpenedFilm) -> None:
    fake.script = "finish(summary=str(os.nice(0)))"
    job = fake.queue.add(film, "share")
    niceness = int(wait_for(fake.queue, job["id"], "done")["summary"])
    assert niceness == min(19, os.nice(0) + 10)


# ---------------------------------------------------------------- real runs


def numbers(path: Path) -> list[int]:
    """Return the frames that a slow program has coloured, in order."""
    return list(map(int, path.read_text().split())) if path.exists() else []


@pytest.fixture
def long_film(make_film: MakeFilm, options: ColorOptions) -> OpenedFilm:
    """A film of five segments of eight frames, in the tests' programs."""
    film = Film(shoot(40), codec="mpeg4", sounds=[Sound()])
    return OpenedFilm(make_film("long.mkv", film), options)


def wait_for_segments(output: Path, num_segments: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(Journal(output).finished()) < num_segments:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_frame_20(frames: Path, times: int) -> None:
    """Wait until a slow program has reached its slow frame some times."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while numbers(frames).count(20) < times:
        assert time.monotonic() < deadline, numbers(frames)
        time.sleep(0.02)


@pytest.mark.slow
def test_a_job_gives_the_film_of_its_command(
    film: OpenedFilm, type_command: Type, tmp_path: Path
) -> None:
    queue, output = JobQueue(tmp_path / "state"), tmp_path / "out.mkv"
    try:
        done = wait_for(queue, queue.add(film, "master", output)["id"], "done")
    finally:
        queue.close()
    contents = runs.contents(output)
    assert (done["done"], done["total"], done["is_playable"]) == (12, 12, False)
    assert f"→ {output}" in done["summary"]
    assert done["notes"] == ["times rounded to 1 ms, all that .mkv keeps"]
    assert "12 frames at their times" in done["verdict"]
    assert verify(film.path, output) == 12
    output.unlink()
    # the fixture adds the options of the colours
    assert type_command(*shlex.split(done["command"])[1:])[0] == 0
    assert runs.contents(output) == contents


@pytest.mark.slow
def test_pause_keeps_segments_and_stop_removes_them(long_film: OpenedFilm, tmp_path: Path) -> None:
    frames, output = tmp_path / "frames", tmp_path / "out.mkv"
    queue = JobQueue(tmp_path / "state", runs.slow_program(frames, PATIENCE_SECONDS * 10, at=20))
    try:
        job = queue.add(long_film, "master", output)
        wait_for_frame_20(frames, 1)
        queue.pause(job["id"])
        queue.resume(job["id"])
        wait_for_frame_20(frames, 2)
        # the first two segments were not coloured again
        assert numbers(frames).count(15) == 1
        assert numbers(frames).count(16) == 2
        assert queue.stop(job["id"])["state"] == "stopped"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while Journal(output).folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert job_of(queue, job["id"])["state"] == "stopped"
    finally:
        queue.close()
    assert not output.exists()


_SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_studio_jobs import OpenedFilm
from filmcolor.pipeline.options import ColorOptions
from filmcolor.studio.jobs import JobQueue
options = ColorOptions(weights={weights!r}, size=32, device="cpu")
queue = JobQueue(Path({state!r}), {program!r})
queue.add(OpenedFilm(Path({film!r}), options), "master", Path({output!r}))
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed here")
def test_a_killed_server_loses_no_segment(long_film: OpenedFilm, tmp_path: Path) -> None:
    frames, output, state = tmp_path / "frames", tmp_path / "out.mkv", tmp_path / "state"
    values = {
        "tests": str(Path(__file__).parent),
        "weights": long_film.options.weights,
        "state": str(state),
        "program": runs.slow_program(frames, 0.1, at=20),
        "film": str(long_film.path),
        "output": str(output),
    }
    server = subprocess.Popen([sys.executable, "-c", _SERVER.format(**values)])
    try:
        wait_for_segments(output, 2)
    finally:
        server.kill()
        server.wait()
    queue = JobQueue(state, runs.slow_program(frames, 0.0))
    try:
        (job,) = queue.state()["jobs"]
        done = wait_for(queue, job["id"], "done")
    finally:
        queue.close()
    assert (done["done"], done["total"]) == (40, 40)
    assert verify(long_film.path, output) == 40
    coloured = numbers(frames)
    assert set(coloured) == set(range(40))
    assert all(coloured.count(number) == 1 for number in range(16))
    assert len(coloured) < 40 + 2 * 8  # of the segments, only the one that was begun
    assert not Journal(output).folder.exists()
    assert len(media.frames(output)) == 40
