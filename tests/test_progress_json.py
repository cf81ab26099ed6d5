"""`filmcolor run --progress json`: what another program reads, and what its death does."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import pytest
import runs

from filmcolor.cli import json_progress
from filmcolor.cli.event_log import EventLog
from filmcolor.cli.json_progress import JsonProgress
from filmcolor.errors import OutputError
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments.journal import Journal

MakeFilm = Callable[..., Path]
Type = Callable[..., tuple[int, str, str]]
PATIENCE_SECONDS = 60


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of an output, which holds nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def kinds(text: str) -> list[str]:
    """Return the kinds of events, runs of progress as one."""
    names = [event["event"] for event in events(text)]
    return [n for i, n in enumerate(names) if n != "progress" or names[i - 1] != n]


def test_a_film_from_its_beginning_to_its_report(
    type_command: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    film = make_film(sounds=[media.Sound()])
    code, out, err = type_command("run", film, "--progress", "json")
    assert (code, err) == (0, "")
    assert kinds(out) == ["begun", "progress", "finished"]
    *_, last, finished = events(out)
    assert (last["film"], last["done"], last["total"]) == (str(film), 12, 12)
    output = tmp_path / "film.color.mp4"
    assert (finished["film"], finished["output"]) == (str(film), str(output))
    assert finished["num_frames"] == len(media.frames(output)) == 12
    assert finished["film_seconds"] == 0.5
    assert finished["summary"].startswith("12 frames (0.5 s) in ")
    assert "12 frames at their times" in finished["verified"]
    assert finished["damage"] == []


def test_the_film_is_that_of_the_plain_command(
    type_command: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    words = "run", make_film(sounds=[media.Sound()]), "--for", "master", "-o"
    plain, printed = tmp_path / "plain.mkv", tmp_path / "json.mkv"
    assert type_command(*words, plain)[0] == 0
    assert type_command(*words, printed, "--progress", "json")[0] == 0
    assert runs.contents(printed) == runs.contents(plain)


def test_a_film_that_fails(type_command: Type, make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    (tmp_path / "film.color.mp4").touch()
    code, out, err = type_command("run", film, "--progress", "json")
    assert (code, kinds(out)) == (1, ["begun", "failed"])
    failed = events(out)[-1]
    assert failed["film"] == str(film)
    assert err == f"filmcolor: {failed['error']}\n"
    assert "add --force" in failed["error"]


def test_a_batch_and_what_it_skips(type_command: Type, make_film: MakeFilm, tmp_path: Path) -> None:
    good, gone = make_film("good.mp4"), tmp_path / "gone.mp4"
    words = "run", good, gone, "-o", tmp_path / "out", "--progress", "json"
    code, out, err = type_command(*words)
    assert (code, err) == (1, "")
    assert kinds(out) == ["begun", "failed", "progress", "finished", "summary"]
    by_kind = {event["event"]: event for event in events(out)}
    assert by_kind["failed"]["film"] == str(gone)
    assert by_kind["finished"]["output"] == str(tmp_path / "out" / "good.color.mp4")
    assert by_kind["summary"]["text"] == "1 of 2 films in colour, 1 failed: gone.mp4"

    _, out, _ = type_command(*words, "--skip-existing")
    assert [e["film"] for e in events(out) if e["event"] == "skipped"] == [str(good)]
    code, out, _ = type_command("run", good, "-o", tmp_path / "out", *words[-2:], "--skip-existing")
    assert (code, kinds(out)) == (0, ["begun", "skipped"])


def test_the_log_has_the_same_records(
    type_command: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    _, out, _ = type_command("run", make_film(), "--progress", "json", "--log", log)
    printed = [e for e in events(out) if e["event"] not in ("progress", "notice")]
    assert printed == events(log.read_text(encoding="utf-8"))
    assert len(printed) == 2


@pytest.mark.parametrize("word", ["--quiet", "--profile"])
def test_other_lines_on_stdout_are_refused(
    type_command: Type, make_film: MakeFilm, tmp_path: Path, word: str
) -> None:
    code, out, err = type_command("run", make_film(), "--progress", "json", word)
    assert (code, out) == (2, "")
    assert word in err
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_progress_comes_five_times_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(json_progress, "_clock", lambda: now)
    progress = JsonProgress(EventLog(None, is_printed=True))
    for done in range(1, 1001):  # in ten seconds
        progress.advance(Path("a.mp4"), done, 1000)
        progress.advance(Path("b.mp4"), done, None)
        now += 0.01
    shown = [e for e in events(capsys.readouterr().out) if e["event"] == "progress"]
    one, other = ([e for e in shown if e["film"] == name] for name in ("a.mp4", "b.mp4"))
    assert 45 <= len(one) <= 51
    assert 45 <= len(other) <= 51
    assert one[-1]["done"] == one[-1]["total"] == 1000  # the end is always there
    assert other[-1]["total"] is None


class Broken:
    """A stdout that cannot be written."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def write(self, _: str) -> None:
        raise self._error

    def flush(self) -> None: ...

    def fileno(self) -> int:
        raise OSError


def test_a_closed_stdout_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(None, is_printed=False)
    log._is_printed = True
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(32, "Broken pipe")))
    for write in (log.print, log.write):
        with pytest.raises(KeyboardInterrupt):
            write("notice", text="x")
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            log.print("notice", text="x")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert not errors  # the main thread is the one to be interrupted


def test_a_full_disk_under_stdout_stops_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(None, is_printed=False)
    log._is_printed = True
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    log.print("progress", done=1)
    with pytest.raises(OutputError, match="No space left"):
        log.write("finished")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is seen by the next write only")
def test_a_run_without_a_reader_keeps_its_segments(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    """It stops though it prints nothing: frame 20 takes longer than the test."""
    film, frames = make_film(lumas=media.shoot(36)), tmp_path / "frames"
    output = tmp_path / "out.mkv"
    words = ["run", film, "-o", output, "--progress", "json", "--weights", options.weights]
    words += ["--size", "32", "--device", "cpu", "--for", "master"]
    program = runs.slow_program(frames, 10 * PATIENCE_SECONDS, at=20)
    run = subprocess.Popen(
        list(map(str, [*program, *words])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not frames.exists() or "20" not in frames.read_text().split():
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert run.stdout is not None
        run.stdout.close()
        run.wait(timeout=PATIENCE_SECONDS / 2)
        assert run.stderr is not None
        assert run.stderr.read().endswith(
            "filmcolor: interrupted; 2 of 4 segments are done, the same command goes on from "
            "there\n"
        )
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert sorted(Journal(output).finished()) == [0, 1]
