"""The books of an archive: nothing is coloured twice, nothing is missed, sources are only read."""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import media
import pytest

from filmcolor.cli.progress import BatchProgress
from filmcolor.errors import FilmcolorError, InputError, OutputError, SettingsError, StorageError
from filmcolor.farm import archive as archive_module
from filmcolor.farm import archive_recorder
from filmcolor.farm.archive import ArchiveSummary, color_archive, local_engine
from filmcolor.farm.archive_files import find_films
from filmcolor.farm.archive_plan import LATE_ENTRY
from filmcolor.farm.archive_status import ArchiveStatus, read_status
from filmcolor.farm.manifest import LOCK, MANIFEST, Manifest
from filmcolor.output.options import Encoding
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import RunSettings
from filmcolor.pipeline.tasks import Outcome, Task
from filmcolor.segments import segment
from filmcolor.types.film import TimeRange

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five short films, each different, the first one the longest."""
    folder = tmp_path_factory.mktemp("stock")
    lengths = (6, 5, 4, 3, 3)
    return [
        media.make(folder / f"{n}.mkv", media.Film(media.shoot(num, seed=n)))
        for n, num in enumerate(lengths)
    ]


@pytest.fixture
def reels(tmp_path: Path, stock: list[Path]) -> Path:
    """A folder of three films, one broken one, and files that are no films."""
    folder = tmp_path / "reels"
    (folder / "1910").mkdir(parents=True)
    shutil.copy2(stock[0], folder / "long.mkv")
    shutil.copy2(stock[1], folder / "1910" / "fire.mkv")
    shutil.copy2(stock[2], folder / "1910" / "flood.mkv")
    (folder / "1910" / "broken.mkv").write_bytes(stock[3].read_bytes()[:100])
    (folder / "notes.txt").write_text("bought in 1931")
    (folder / ".hidden.mkv").write_bytes(b"")
    return folder


@pytest.fixture
def settings(options: ColorOptions) -> RunSettings:
    return RunSettings(options, Encoding())


class Copier:
    """An engine whose outputs are copies of the films; counts how often it has made each.

    `error`: what all films end with instead.
    """

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.order: list[str] = []
        self.error: FilmcolorError | None = None

    def __call__(
        self, tasks: Sequence[Task], settings: RunSettings, progress: Any, finished: Any
    ) -> None:
        for task in tasks:
            progress(task, 0, None)
            progress(task, 1, 2)
            if self.error is not None:
                finished(Outcome(task.film, error=self.error))
                continue
            self.order.append(task.film.name)
            self.made[task.film.name] += 1
            partial_path = task.output.with_name(".partial")
            shutil.copyfile(task.film, partial_path)
            partial_path.replace(task.output)
            progress(task, 2, 2)
            finished(Outcome(task.film, Report(task.output, 2, 0.1, 0.5, ("a note",), ())))


@pytest.fixture
def engine() -> Copier:
    return Copier()


@pytest.fixture
def run(
    reels: Path, tmp_path: Path, settings: RunSettings, engine: Copier
) -> Callable[..., ArchiveSummary]:
    """Run an archive of `reels` with the copying engine."""

    def color(**changes: Any) -> ArchiveSummary:
        folders = changes.pop("folders", [reels])
        used = changes.pop("settings", settings)
        output = changes.pop("output", tmp_path / "out")
        return color_archive(folders, output, used, changes.pop("engine", engine), **changes)

    return color


def states(folder: Path) -> dict[str, str]:
    books = read_status(folder)
    return {Path(film.path).name: film.state for film in books.films}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the size and time of every file and folder."""
    paths = [folder, *folder.rglob("*")]
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in paths}


def outputs(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the file number and time of each output."""
    paths = sorted(folder.rglob("*.color.*"))
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths
    }


def replace_with(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


# ---------------------------------------------------------------- the command


def test_an_archive_is_coloured_once_and_its_books_tell_everything(
    type_command: Type, reels: Path, tmp_path: Path
) -> None:
    out, before = tmp_path / "out", tree(reels)
    for folder in (reels / "1910", reels):
        folder.chmod(0o555)
    try:
        code, text, err = type_command("archive", reels, "-o", out)
    finally:
        for folder in (reels, reels / "1910"):
            folder.chmod(0o755)
    assert code == 1
    assert "3 of 4 films are in colour and verified, 3 of them by this run" in text
    assert "1 failed: broken.mkv" in text
    assert "left out: .txt files (1), hidden files (1)" in text
    assert str(reels / "1910" / "broken.mkv") in err
    assert tree(reels) == before

    coloured = outputs(out)
    assert list(coloured) == ["1910/fire.color.mkv", "1910/flood.color.mkv", "long.color.mkv"]
    assert {p.name for p in out.iterdir()} - {"1910", "long.color.mkv"} <= {MANIFEST, LOCK}

    books = json.loads(type_status(out, "--json"))
    assert books["states"]["verified"] == 3 and books["states"]["failed"] == 1
    assert books["is_running"] is False and books["film_seconds_left"] == 0.0
    for film in books["films"]:
        if film["state"] == "failed":
            assert "is not a film" in film["error"] and film["output"] is None
            continue
        source, output = Path(film["path"]), Path(film["output"])
        assert film["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert film["output_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
        assert film["size"] == source.stat().st_size
        assert film["frames"] == len(media.frames(output)) == len(media.frames(source))
        assert film["verdict"].startswith(f"compared with the film: {film['frames']} frames")
        assert film["attempts"] == 1 and film["wall_seconds"] > 0.0
        assert film["filmcolor"] and len(film["weights_sha256"]) == 64

    code, text, err = type_command("archive", reels, "-o", out)
    assert code == 1 and err == ""  # the failure is told, and not tried again
    assert "3 of 4 films are in colour and verified, 0 of them by this run" in text
    assert outputs(out) == coloured
    assert [f["attempts"] for f in json.loads(type_status(out, "--json"))["films"]] == [1] * 4


def type_status(*words: str | Path) -> str:
    """Run `filmcolor archive status` in this process, and return what it prints."""
    from click.testing import CliRunner

    from filmcolor.cli.main import cli

    result = CliRunner().invoke(cli, ["archive", "status", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM"])
def test_an_interrupted_archive_goes_on(
    type_command: Type, reels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out, number, advance = tmp_path / "out", getattr(signal, kind), BatchProgress.advance

    def advance_and_raise(self: BatchProgress, film: Path, done: int, total: int | None) -> None:
        advance(self, film, done, total)
        if film.name == "fire.mkv" and done == 2:
            assert states(out)["fire.mkv"] == "running"
            signal.raise_signal(number)

    default = signal.default_int_handler if kind == "SIGINT" else signal.SIG_DFL
    before = signal.signal(number, default)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(BatchProgress, "advance", advance_and_raise)
            code, text, err = type_command("archive", reels, "-o", out)
    finally:
        signal.signal(number, before)
    assert code == 130
    assert err.endswith(
        "filmcolor: interrupted; the same command goes on; `filmcolor archive status` shows how "
        "far it is\n"
    )
    assert states(out) == {
        "long.mkv": "verified",
        "fire.mkv": "waiting",
        "flood.mkv": "waiting",
        "broken.mkv": "failed",
    }
    first = outputs(out)
    assert len(first) == 1 and not list(out.rglob("*.filmcolor"))
    assert "was interrupted" in type_status(out)

    code, text, err = type_command("archive", reels, "-o", out)
    assert "3 of 4 films are in colour and verified, 2 of them by this run" in text
    assert outputs(out).items() >= first.items()
    attempts = {Path(f.path).name: f.attempts for f in read_status(out).films}
    assert attempts == {"long.mkv": 1, "fire.mkv": 2, "flood.mkv": 1, "broken.mkv": 1}


def test_a_film_in_work_goes_on_after_its_last_finished_segment(
    run: Callable[..., ArchiveSummary],
    tmp_path: Path,
    options: ColorOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 8))
    folder = tmp_path / "one"
    folder.mkdir()
    media.make(folder / "film.mkv", media.Film(media.shoot(12), options={"g": "3"}))
    frames: list[int] = []

    def progress(film: Path, done: int, total: int | None) -> None:
        frames.append(done)
        if frames[0] == 1 and done == 8:
            raise KeyboardInterrupt

    color = partial(run, folders=[folder], engine=local_engine(1), progress=progress)
    with pytest.raises(KeyboardInterrupt):
        color()
    num_kept = 6
    other = RunSettings(replace(options, warmth=0.5), Encoding())
    frames.clear()
    assert not color(settings=other).is_complete
    failed = read_status(tmp_path / "out").in_state("failed")[0]
    assert "warmth 0.0 (now 0.5)" in (failed.error or "") and frames == []

    assert color(retry=True).is_complete
    assert frames == list(range(num_kept + 1, 13))
    film = read_status(tmp_path / "out").films[0]
    assert (film.attempts, film.frames) == (3, 12)
    assert len(media.frames(tmp_path / "out" / (film.output or ""))) == 12


def test_wrong_usage_of_an_archive_is_told_in_one_line(
    type_command: Type, reels: Path, tmp_path: Path
) -> None:
    for words, message in (
        ([reels], "missing option '-o' / '--output'"),
        ([reels, "-o", tmp_path / "o", "--progress", "json", "-q"], "leave out --quiet"),
        ([reels, "-o", tmp_path / "o", "--anchors", "shot"], "--anchors is of a model"),
    ):
        code, text, err = type_command("archive", *words)
        assert (code, text) == (2, "") and message in err.lower() and err.count("\n") == 1
    assert not (tmp_path / "o").exists()
    with pytest.raises(InputError, match="holds no archive"):
        read_status(reels)


def test_events_of_an_archive_are_logged(type_command: Type, reels: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    _, text, err = type_command(
        "archive", reels, "-o", tmp_path / "out", "--log", log, "--progress", "json"
    )
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kinds = Counter(event["event"] for event in events)
    assert kinds["finished"] == 3 and kinds["failed"] == 1 and kinds["begun"] == 1
    printed = Counter(json.loads(line)["event"] for line in text.splitlines())
    assert printed["finished"] == 3 and printed["progress"] >= 3 and err == ""


# ---------------------------------------------------------------- what is coloured


def test_the_longest_film_comes_first_and_status_follows(
    run: Callable[..., ArchiveSummary], engine: Copier, tmp_path: Path
) -> None:
    seen: list[ArchiveStatus] = []

    def progress(film: Path, done: int, total: int | None) -> None:
        if done == 1:
            seen.append(read_status(tmp_path / "out"))

    run(progress=progress)
    assert engine.order == ["long.mkv", "fire.mkv", "flood.mkv"]
    assert all(status.is_running for status in seen)
    assert [len(status.in_state("verified")) for status in seen] == [0, 1, 2]
    assert [len(status.in_state("running")) for status in seen] == [1, 1, 1]
    left = [status.film_seconds_left for status in seen]
    assert left[0] == pytest.approx((6 + 5 + 4) / 24, abs=0.01)
    assert left == sorted(left, reverse=True)
    assert not read_status(tmp_path / "out").is_running


def test_a_film_that_was_replaced_is_told_and_coloured_with_retry_only(
    run: Callable[..., ArchiveSummary],
    engine: Copier,
    reels: Path,
    stock: list[Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    run()
    film, old = reels / "1910" / "fire.mkv", outputs(out)
    replace_with(film, stock[4])
    summary = run()
    assert summary.films["film-replaced"] == [film]
    assert not summary.is_complete
    assert outputs(out) == old and engine.made["fire.mkv"] == 1

    engine.error = InputError("it fails")  # the earlier output stays until another is verified
    run(retry=True)
    assert states(out)["fire.mkv"] == "failed"
    assert outputs(out) == old
    engine.error = None
    run()
    assert engine.made["fire.mkv"] == 1
    summary = run(retry=True)
    assert states(out)["fire.mkv"] == "verified"
    assert engine.made["fire.mkv"] == 2
    changed = {name for name, state in outputs(out).items() if old[name] != state}
    assert changed == {"1910/fire.color.mkv"}
    with Manifest.read(out) as manifest:
        kept = [a for a in manifest.attempts() if a["ending"] == "verified"]
        sums = [a["sha256"] for a in kept if "fire" in a["output"]]
    assert sums == [hashlib.sha256(p.read_bytes()).hexdigest() for p in (stock[1], stock[4])]


def test_a_film_that_comes_back_is_verified_as_before(
    run: Callable[..., ArchiveSummary], engine: Copier, reels: Path, tmp_path: Path
) -> None:
    run()
    film, away = reels / "long.mkv", tmp_path / "away.mkv"
    film.rename(away)
    summary = run(retry=True)
    assert summary.films["film-missing"] == [film]
    assert (tmp_path / "out" / "long.color.mkv").exists()
    shutil.copyfile(away, film)  # with another time
    assert len(run().films["verified"]) == 3
    assert engine.made["long.mkv"] == 1


def test_outputs_that_are_gone_or_changed_are_told(
    run: Callable[..., ArchiveSummary], engine: Copier, options: ColorOptions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run()
    gone, edited = sorted(out.rglob("*.color.*"))[:2]
    gone.unlink()
    edited.write_bytes(edited.read_bytes() + b"a title")
    summary = run()
    assert Counter({s: len(f) for s, f in summary.films.items()}) == Counter(
        {"verified": 1, "failed": 1, "output-missing": 1, "output-changed": 1}
    )
    assert not gone.exists() and edited.read_bytes().endswith(b"a title")

    summary = run(retry=True)  # never over a file that a person may have made
    assert gone.exists() and edited.read_bytes().endswith(b"a title")
    assert len(summary.films["verified"]) == 2
    settings = RunSettings(options, Encoding(), force=True)
    summary = run(retry=True, settings=settings)
    assert len(summary.films["verified"]) == 3
    assert not edited.read_bytes().endswith(b"a title")
    assert max(engine.made.values()) == 2


def test_a_repaired_film_is_coloured_by_the_next_run(
    run: Callable[..., ArchiveSummary], engine: Copier, reels: Path, stock: list[Path]
) -> None:
    run()
    assert run().films["failed"] == [reels / "1910" / "broken.mkv"]
    replace_with(reels / "1910" / "broken.mkv", stock[3])
    summary = run()
    assert summary.is_complete and summary.num_colored == 1
    assert set(engine.made.values()) == {1}


def test_films_and_folders_that_move_are_not_coloured_again(
    run: Callable[..., ArchiveSummary], engine: Copier, reels: Path, tmp_path: Path
) -> None:
    run()
    before = outputs(tmp_path / "out")
    (reels / "1912").mkdir()
    (reels / "1910" / "fire.mkv").rename(reels / "1912" / "the fire.mkv")
    summary = run()
    assert summary.review.moved == [str(reels / "1912" / "the fire.mkv")]
    assert summary.review.num_new == 0

    (tmp_path / "disk").mkdir()
    reels.rename(tmp_path / "disk" / "reels")
    with pytest.raises(InputError, match="is not there; name a folder of films"):
        run(folders=[])
    summary = run(folders=[tmp_path / "disk" / "reels"])
    assert len(summary.films["verified"]) == 3 and len(read_status(tmp_path / "out").sources) == 1
    assert run(folders=[]).num_films == 4
    assert outputs(tmp_path / "out") == before
    assert set(engine.made.values()) == {1}


def test_other_settings_do_not_colour_again_but_are_told(
    run: Callable[..., ArchiveSummary], engine: Copier, options: ColorOptions
) -> None:
    assert run().num_other_settings == 0
    summary = run(settings=RunSettings(options, Encoding("master")))
    assert summary.num_other_settings == 3 and summary.num_colored == 0


def test_outputs_that_the_books_do_not_have_are_neither_replaced_nor_lost(
    type_command: Type,
    run: Callable[..., ArchiveSummary],
    engine: Copier,
    reels: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    (out / "1910").mkdir(parents=True)
    assert type_command("run", reels / "1910" / "fire.mkv", "-o", out / "1910")[0] == 0
    other = out / "1910" / "flood.color.mp4"
    shutil.copyfile(next((out / "1910").glob("fire*")), other.with_suffix(".mkv"))
    shutil.copyfile(next((out / "1910").glob("fire*")), other)
    before = outputs(out)
    summary = run()
    assert summary.num_adopted == 1
    assert engine.made == {"long.mkv": 1}
    assert outputs(out).items() >= before.items()
    films = {Path(film.path).name: film for film in read_status(out).films}
    assert films["fire.mkv"].state == "verified" and LATE_ENTRY in films["fire.mkv"].notes
    assert films["fire.mkv"].frames == 5
    assert "exists and is not this film's" in (films["flood.mkv"].error or "")


# ---------------------------------------------------------------- what ends a run


class PowerCutError(BaseException):
    """Nothing is written any more."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_books_are_right_after_a_power_cut_at_any_moment(
    run: Callable[..., ArchiveSummary],
    engine: Copier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every commit is tried as the last one that reaches the disk."""
    num_commits = count_commits(monkeypatch, lambda: run(output=tmp_path / "whole"))
    assert num_commits > 10
    for last in range(num_commits):
        out = tmp_path / f"cut-{last}"
        engine.made.clear()
        with monkeypatch.context() as patch:
            cut_after(last, patch)
            with suppress(PowerCutError):  # the thread that hashes may be the one to meet it
                run(output=out)
        first = outputs(out)
        summary = run(output=out)
        assert {s: len(f) for s, f in summary.films.items()} == {"verified": 3, "failed": 1}
        assert engine.made == {"long.mkv": 1, "fire.mkv": 1, "flood.mkv": 1}, last
        assert outputs(out).items() >= first.items()
        with Manifest.read(out) as manifest:
            endings = Counter(attempt["ending"] for attempt in manifest.attempts())
            assert endings["verified"] == 3 and None not in endings
            assert None not in {entry["ending"] for entry in manifest.runs()}
        for film in read_status(out).in_state("verified"):
            path = out / (film.output or "")
            assert film.output_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def count_commits(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> int:
    commits: list[int] = []
    with monkeypatch.context() as patch:
        transaction = Manifest.transaction

        def counted(self: Manifest) -> Any:
            if self._depth == 0:
                commits.append(1)
            return transaction(self)

        patch.setattr(Manifest, "transaction", counted)
        call()
    return len(commits)


def cut_after(last: int, patch: pytest.MonkeyPatch) -> None:
    """Let no transaction but the first `last` ones be committed."""
    transaction, num = Manifest.transaction, 0

    def cut(self: Manifest) -> Any:
        nonlocal num
        if self._depth == 0:
            num += 1
            if num > last:
                raise PowerCutError
        return transaction(self)

    patch.setattr(Manifest, "transaction", cut)


def test_films_that_may_have_ended_the_program_come_last(
    run: Callable[..., ArchiveSummary], engine: Copier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(tasks: Sequence[Task], settings: RunSettings, progress: Any, finished: Any) -> None:
        progress(tasks[0], 0, None)
        monkeypatch.setattr(Manifest, "transaction", broken)

    def broken(self: Manifest) -> Any:
        raise PowerCutError

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(Manifest, "transaction", Manifest.transaction)
        run(engine=die)
    monkeypatch.undo()
    run()
    assert engine.order == ["fire.mkv", "flood.mkv", "long.mkv"]


@pytest.mark.parametrize(
    ("error", "free_bytes"), [(OutputError("no room"), 0), (StorageError("no network"), 1 << 40)]
)
def test_what_every_film_would_meet_stops_the_run(
    run: Callable[..., ArchiveSummary],
    engine: Copier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: FilmcolorError,
    free_bytes: int,
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free_bytes)
    monkeypatch.setattr(archive_recorder.shutil, "disk_usage", lambda _: usage)
    engine.error = error
    with pytest.raises(type(error), match=r"the run stops; .*same command goes on"):
        run()
    assert Counter(states(tmp_path / "out").values()) == {"waiting": 3, "failed": 1}
    engine.error = None
    assert run().num_colored == 3


def test_an_output_error_of_one_film_fails_that_film(
    run: Callable[..., ArchiveSummary], engine: Copier, tmp_path: Path
) -> None:
    engine.error = OutputError("its container cannot hold it")
    assert len(run().films["failed"]) == 4
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {MANIFEST, LOCK}  # no empty folders
    engine.error = None
    assert run().num_colored == 0
    assert run(retry=True).num_colored == 3


def test_one_run_at_a_time_writes_an_archive(
    run: Callable[..., ArchiveSummary], tmp_path: Path
) -> None:
    run()
    with Manifest.write(tmp_path / "out"):
        with pytest.raises(OutputError, match="another archive run is writing"):
            run()
        assert read_status(tmp_path / "out").is_running
    assert run().num_colored == 0


def test_books_that_cannot_be_read_are_told(
    run: Callable[..., ArchiveSummary], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run()
    with sqlite3.connect(out / MANIFEST) as books:
        books.execute("PRAGMA user_version = 99")
    books.close()
    for call in (run, partial(read_status, out)):
        with pytest.raises(OutputError, match="has format 99"):
            call()
    (out / MANIFEST).write_bytes(b"no books" * 1000)
    for call in (run, partial(read_status, out)):
        with pytest.raises(OutputError, match="it is broken: put back a copy"):
            call()


# ---------------------------------------------------------------- which films, and where


def test_folders_of_the_same_name_have_outputs_of_their_own(
    run: Callable[..., ArchiveSummary], engine: Copier, tmp_path: Path, stock: list[Path]
) -> None:
    folders = [tmp_path / disk / "films" for disk in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
        for number, name in enumerate(("x.mkv", "x.avi.mkv", "x.mov")):
            shutil.copyfile(stock[number], folder / name)
    run(folders=folders)
    made = outputs(tmp_path / "out")
    assert len(made) == 6 and {name.split("/")[0] for name in made} == {"films", "films-2"}
    third = tmp_path / "c" / "more"
    third.mkdir(parents=True)
    shutil.copyfile(stock[3], third / "x.mkv")
    summary = run(folders=[third])
    assert summary.num_films == 7 and summary.num_colored == 1
    assert any(name.startswith("more/") for name in outputs(tmp_path / "out"))


def test_a_single_folder_is_mirrored_and_later_ones_do_not_clash(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path, stock: list[Path]
) -> None:
    for number, name in enumerate(("same.mov", "same.avi")):
        shutil.copyfile(stock[number], reels / name)
    run()
    names = set(outputs(tmp_path / "out"))
    assert len(names) == 5 and any(name.startswith("same.mov.color") for name in names)
    other = tmp_path / "1910"  # as a subfolder of the first
    other.mkdir()
    shutil.copyfile(stock[4], other / "fire.mkv")
    run(folders=[reels, other])
    assert {n.split("/")[0] for n in set(outputs(tmp_path / "out")) - names} == {"1910-2"}


def test_folders_that_cannot_be_an_archives_are_refused(
    run: Callable[..., ArchiveSummary], reels: Path, options: ColorOptions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for folders, message in (
        ([tmp_path / "gone"], "is not there; name a folder of films"),
        ([reels / "long.mkv"], "is a file; name a folder of films"),
        ([reels, reels / "1910"], "is in .*name one of them only"),
        ([tmp_path, out], "is in the archive's own folder"),
        ([], "is a new archive; name the folders"),
    ):
        with pytest.raises(InputError, match=message):
            run(folders=folders)
        assert out.exists() == (len(folders) != 1)  # a name that is mistyped leaves nothing behind
    with pytest.raises(OutputError, match="is a file; an archive is a folder"):
        run(output=reels / "long.mkv")
    run()
    with pytest.raises(InputError, match="holds the outputs of an archive"):
        run(folders=[out], output=tmp_path / "again")
    settings = RunSettings(options, Encoding(), TimeRange(first=1, stop=2))
    with pytest.raises(SettingsError, match="an archive holds whole films"):
        run(settings=settings)


def test_what_is_a_film_and_what_is_left_out(tmp_path: Path, stock: list[Path]) -> None:
    root, out = tmp_path / "root", tmp_path / "root" / "out"
    for folder in ("scan", "pictures", "a.color.mp4.filmcolor", ".trash", "old", "out"):
        (root / folder).mkdir(parents=True)
    for name in ("a.mp4", "a.color.mp4", "a.color.unverified.mp4", "b.color.mp4", "c.MKV", "d.qt"):
        shutil.copyfile(stock[4], root / name)
    for number in range(24):
        (root / "scan" / f"frame_{number:04d}.png").write_bytes(media.jpeg())
    for number in range(5):
        (root / "pictures" / f"{number}.jpg").write_bytes(media.jpeg())
    for name in ("scan.color.mp4", "a.color.mp4.filmcolor/000001.nut", ".trash/e.mp4", "out/f.mp4"):
        (root / name).write_bytes(b"")
    (root / "old" / MANIFEST).write_bytes(b"")
    (root / "old" / "g.mp4").write_bytes(b"")
    (root / "link").symlink_to(root / "scan")
    (root / "nowhere.mp4").symlink_to(root / "gone.mp4")
    found = find_films(root, out)
    names = [film.as_posix() for film in found.films]
    assert names == ["a.mp4", "b.color.mp4", "c.MKV", "d.qt", "scan"]
    assert found.left_out == {
        ".jpg files": 5,
        "folders of another archive": 1,
        "folders of segments": 1,
        "hidden folders": 1,
        "links to folders": 1,
        "links to nothing": 1,
        "outputs of earlier runs": 3,
        "the archive's folder": 1,
    }
    assert not found.unreadable


@pytest.mark.skipif(sys.platform != "linux", reason="names are text")
def test_any_name_can_be_in_the_books(
    run: Callable[..., ArchiveSummary], reels: Path, stock: list[Path], tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9 \n%d.mkv")
    shutil.copyfile(stock[3], reels / name)
    assert reels / name in run().films["verified"]
    film = next(f for f in read_status(tmp_path / "out").films if f.path == name)
    assert (tmp_path / "out" / (film.output or "")).exists()
    assert run().num_colored == 0


# ---------------------------------------------------------------- status


def test_status_is_readable_and_complete(
    run: Callable[..., ArchiveSummary],
    reels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    run()
    lines = type_status(out).splitlines()
    with monkeypatch.context() as patch:
        patch.chdir(out)
        assert type_status().splitlines() == lines
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    counts = {line.split("  ")[0]: line.split()[-3] for line in lines if line[:3] in ("ver", "all")}
    assert counts == {"verified": "3", "all": "4"}
    reason = " ".join(lines[lines.index(next(n for n in lines if n.startswith("failed:"))) :])
    assert "is not a film that can be opened" in reason

    rows = list(csv.DictReader(io.StringIO(type_status(out, "--csv"))))
    assert [row["state"] for row in rows] == ["failed", "verified", "verified", "verified"]
    assert json.loads(rows[1]["notes"]) == ["a note"]
    assert {row["path"] for row in rows} == {
        str(reels / name)
        for name in ("long.mkv", "1910/fire.mkv", "1910/flood.mkv", "1910/broken.mkv")
    }
    sums = dict(reversed(line.split("  ", 1)) for line in type_status(out, "--sha256").splitlines())
    assert len(sums) == 6
    for path, digest in sums.items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest


def test_speed_and_time_left_follow_from_the_work_done(tmp_path: Path) -> None:
    def film(number: int, **values: Any) -> dict[str, Any]:
        return {"source_id": 1, "path": f"{number}.mkv", **values}

    with Manifest.write(tmp_path) as manifest:
        manifest.insert("sources", path=str(tmp_path), subfolder="")
        settings_id = manifest.settings_id({"filmcolor": "1"})
        for seconds in ((500.0, 100.0), (3600.0, 1800.0)):
            manifest.insert(
                "runs",
                settings_id=settings_id,
                started_at="2026-01-01T00:00:00+00:00",
                machine={},
                film_seconds=seconds[0],
                wall_seconds=seconds[1],
            )
        manifest.insert("films", **film(1, state="verified", film_seconds=7200.0))
        manifest.insert("films", **film(2, state="waiting", film_seconds=3600.0))
        manifest.insert(
            "films", **film(3, state="running", film_seconds=400.0, frames=1000, frames_done=750)
        )
        manifest.insert("films", **film(4, state="failed", film_seconds=999.0))
        status = read_status(tmp_path)
        assert status.is_running
        assert status.film_seconds_left == pytest.approx(3600.0 + 100.0)
        assert status.speed == pytest.approx(2.0)
        assert status.seconds_left == pytest.approx(1850.0)
        assert "1.03 hours of film left; 2.00 × real time: 30:50 left" in type_status(tmp_path)
    status = read_status(tmp_path)  # the program is gone, and no segment is counted
    assert [len(status.in_state(s)) for s in ("running", "waiting")] == [0, 2]
    assert status.film_seconds_left == pytest.approx(4000.0)


def test_a_file_that_rots_is_found_by_its_hash(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path
) -> None:
    run()
    out = tmp_path / "out"
    assert "6 of 6 files are as they were entered" in type_status(out, "--check")
    film = reels / "long.mkv"
    data, state = bytearray(film.read_bytes()), film.stat()
    data[len(data) // 2] ^= 1
    film.write_bytes(data)
    os.utime(film, ns=(state.st_atime_ns, state.st_mtime_ns))
    text = type_status(out, "--check")
    assert f"{film} is not the file that was entered: its SHA-256 differs" in text
    assert "5 of 6 files are as they were entered" in text


def test_several_films_side_by_side_are_an_archive_too(
    run: Callable[..., ArchiveSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []

    def run_tasks(tasks: Any, settings: Any, num_workers: int, *callbacks: Any) -> None:
        called.append(num_workers)
        Copier()(tasks, settings, *callbacks)

    monkeypatch.setattr(archive_module, "run_tasks", run_tasks)
    with pytest.raises(SettingsError, match="jobs 65 must be"):
        local_engine(65)
    assert run(engine=local_engine(2)).num_colored == 3
    assert called == [2]


def test_a_film_that_changes_while_it_is_hashed_has_no_hash(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path, stock: list[Path]
) -> None:
    def finished(outcome: Outcome) -> None:
        if outcome.film.name == "long.mkv":
            replace_with(outcome.film, stock[4])

    run(finished=finished)
    film = next(f for f in read_status(tmp_path / "out").films if f.path == "long.mkv")
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (stock[0],)}
    assert film.sha256 is None or film.sha256 in digests


# ---------------------------------------------------------------- disks that come and go


def test_another_folder_of_the_same_name_is_not_one_that_moved(
    run: Callable[..., ArchiveSummary], tmp_path: Path, stock: list[Path]
) -> None:
    disks = [tmp_path / name / "reels" for name in ("disk1", "disk2")]
    for disk, film in zip(disks, stock):
        disk.mkdir(parents=True)
        shutil.copy2(film, disk / "a.mkv")
    run(folders=disks[:1])
    (output,) = (tmp_path / "out").rglob("*.color.mkv")
    before = output.read_bytes()
    disks[0].parent.rename(tmp_path / "unplugged")
    for retry in (False, True):
        run(folders=disks[1:], retry=retry)
        assert output.read_bytes() == before
    assert len(list((tmp_path / "out").rglob("*.color.mkv"))) == 2
    assert set(states(tmp_path / "out").values()) == {"verified"}


def test_a_disk_that_vanishes_stops_the_run_and_its_films_wait(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path
) -> None:
    (reels / "1910" / "broken.mkv").unlink()

    def unplug(tasks: Sequence[Task], *rest: Any) -> None:
        reels.rename(tmp_path / "unplugged")
        local_engine(1)(tasks, *rest)

    with pytest.raises(InputError, match=r"connect the disk of .*reels, then go on"):
        run(engine=unplug)
    (tmp_path / "unplugged").rename(reels)
    assert set(states(tmp_path / "out").values()) == {"waiting"}
    assert run().is_complete


def test_an_archive_with_films_that_wait_is_not_complete(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path
) -> None:
    (reels / "1910" / "broken.mkv").unlink()
    assert not run(engine=lambda *_: None).is_complete
    (reels / "long.mkv").unlink()
    assert not run().is_complete  # it is gone, and was never coloured
    shutil.rmtree(tmp_path / "out")
    assert run().is_complete


def test_copies_of_a_film_that_move_together_stay_coloured(
    run: Callable[..., ArchiveSummary], tmp_path: Path, stock: list[Path], engine: Copier
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for name in "ab":
        shutil.copy2(stock[0], folder / f"{name}.mkv")
    run(folders=[folder])
    assert engine.made.total() == 2
    (folder / "sub").mkdir()
    for name in "ab":
        (folder / f"{name}.mkv").rename(folder / "sub" / f"{name}.mkv")
    assert run(folders=[folder]).is_complete
    assert engine.made.total() == 2


def test_status_does_not_stop_a_run_that_begins(tmp_path: Path) -> None:
    import threading

    from filelock import FileLock

    with Manifest.write(tmp_path):
        pass
    lock = FileLock(tmp_path / LOCK, thread_local=False)
    lock.acquire()  # as `status` does for a moment
    timer = threading.Timer(0.2, lock.release)
    timer.start()
    with Manifest.write(tmp_path):
        pass
    timer.join()


def test_copies_on_disks_that_are_gone_become_one_folder_each(
    run: Callable[..., ArchiveSummary], tmp_path: Path, stock: list[Path], engine: Copier
) -> None:
    disks = [tmp_path / f"disk{number}" / "reels" for number in range(4)]
    for disk in disks:
        disk.mkdir(parents=True)
        shutil.copy2(stock[0], disk / "a.mkv")
    run(folders=disks[:2])
    for disk in disks[:2]:
        disk.parent.rename(disk.parent.with_suffix(".unplugged"))
    run(folders=disks[2:3])
    run(folders=disks[3:])
    assert [source.path for source in read_status(tmp_path / "out").sources] == disks[2:]
    assert engine.made.total() == 2


def test_a_folder_of_images_that_vanishes_stops_the_run(
    run: Callable[..., ArchiveSummary], tmp_path: Path
) -> None:
    from PIL import Image

    scan, away = tmp_path / "scan", tmp_path / "away"
    scan.mkdir()
    for number in range(24):
        Image.new("L", (32, 32), 9 * number).save(scan / f"{number:04}.png")

    def unplug(tasks: Sequence[Task], *rest: Any) -> None:
        scan.rename(away)
        local_engine(1)(tasks, *rest)

    with pytest.raises(InputError, match=r"connect the disk of .*scan, then go on"):
        run(folders=[scan], engine=unplug)
    assert list(states(tmp_path / "out").values()) == ["waiting"]


# ---------------------------------------------------------------- names that are alike


def test_names_that_differ_in_unicode_composition_have_outputs_of_their_own(
    run: Callable[..., ArchiveSummary], tmp_path: Path, stock: list[Path]
) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    folders = [tmp_path / "a" / composed, tmp_path / "b" / decomposed]
    for folder in folders:
        folder.mkdir(parents=True)
        shutil.copy2(stock[0], folder / f"{composed}.mkv")
        shutil.copy2(stock[1], folder / f"{decomposed}.mov")  # both become .color.mkv
    run(folders=folders)
    names = [film.output or "" for film in read_status(tmp_path / "out").films]
    assert len({unicodedata.normalize("NFC", name) for name in names}) == 4
    places = {name.split("/")[0] for name in names}
    assert len({unicodedata.normalize("NFC", place) for place in places}) == 2


def test_captions_replace_no_file_that_is_not_the_archives(
    run: Callable[..., ArchiveSummary], reels: Path, tmp_path: Path, settings: RunSettings
) -> None:
    (reels / "1910" / "broken.mkv").unlink()
    out = tmp_path / "out"
    out.mkdir()
    subtitles = out / "long.color.srt"
    subtitles.write_text("mine")
    color = partial(run, settings=replace(settings, encoding=Encoding(captions=True)))
    for retry in (False, True):  # the attempt that failed has not made the file the archive's
        color(retry=retry)
        (failed,) = read_status(out).in_state("failed")
        assert failed.path == "long.mkv" and "long.color.srt exists" in (failed.error or "")
    subtitles.unlink()
    assert color(retry=True).is_complete
    subtitles.write_text("the archive's own")
    (out / "long.color.mkv").unlink()
    assert color(retry=True).is_complete


def test_films_whose_captions_would_have_one_name_get_two(
    run: Callable[..., ArchiveSummary], tmp_path: Path, stock: list[Path], settings: RunSettings
) -> None:
    folder = tmp_path / "alike"
    folder.mkdir()
    shutil.copy2(stock[0], folder / "a.mkv")
    media.make(folder / "a.mp4", media.Film(media.shoot(3, seed=9)))
    run(folders=[folder], settings=replace(settings, encoding=Encoding(captions=True)))
    names = [Path(film.output or "") for film in read_status(tmp_path / "out").films]
    assert {name.suffix for name in names} == {".mkv", ".mp4"}  # else they differ anyway
    assert len({name.with_suffix("") for name in names}) == 2
