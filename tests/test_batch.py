"""Batches: which films a run colours, where outputs go, and what happens when a film fails."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest

from filmcolor import errors
from filmcolor.cli.inputs import list_films
from filmcolor.cli.progress import BatchProgress, PlainProgress
from filmcolor.errors import InputError, OutputError, SettingsError, WeightsError
from filmcolor.output.options import Encoding
from filmcolor.pipeline import tasks, workers
from filmcolor.pipeline.batch import colorize, colorize_many
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, run_film
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.tasks import Outcome, Task
from filmcolor.segments import segment
from filmcolor.segments.journal import Segment
from filmcolor.types.film import TimeRange

pytestmark = pytest.mark.slow

SCRIPT = shutil.which("filmcolor", path=str(Path(sys.executable).parent))
PATIENCE_SECONDS = 60  # for processes that start on a busy machine
MASTER = Encoding("master")

MakeFilm = Callable[..., Path]
Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(type_command: Type) -> Type:
    """Run `filmcolor run` in this process; return (exit code, stdout, stderr)."""
    return partial(type_command, "run")


@pytest.fixture
def empty(tmp_path: Path) -> Callable[..., list[Path]]:
    """Create empty files with these names."""

    def make(*names: str) -> list[Path]:
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return paths

    return make


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def planes(path: Path) -> list[np.ndarray]:
    return [plane for frame in media.frames(path) for plane in (frame.luma, *frame.planes[1:])]


# ---------------------------------------------------------------- which films


def test_films_come_in_the_order_of_their_names_and_once(
    empty: Callable[..., list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c, a, b, deep = empty("c.mp4", "a.mp4", "b.mp4", "in/side/d.mp4")
    (tmp_path / "folder.mp4").mkdir()
    monkeypatch.chdir(tmp_path)
    assert list_films([c, tmp_path / "*.mp4", a]).films == (c, a, b)
    assert list_films([tmp_path / "**" / "*.mp4"]).films == (a, b, c, deep)
    assert list_films(["[ab].mp4"]).films == (Path("a.mp4"), Path("b.mp4"))
    assert list_films([Path("a.mp4"), a, Path("in/../a.mp4")]).films == (Path("a.mp4"),)


def test_a_name_that_exists_is_no_pattern(empty: Callable[..., list[Path]], tmp_path: Path) -> None:
    odd, _ = empty("film[1].mp4", "film1.mp4")
    assert list_films([odd]).films == (odd,)
    gone = tmp_path / "gone.mp4"
    assert list_films([gone]).films == (gone,)  # its run reports that it is missing


def test_a_pattern_of_nothing_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches '.*\*\.mp4'; check the pattern"):
        list_films([tmp_path / "*.mp4"])
    with pytest.raises(InputError, match=r"is a folder; for the films in it, write '.+\*'"):
        list_films([tmp_path])


def test_patterns_leave_out_what_earlier_runs_wrote(
    empty: Callable[..., list[Path]], tmp_path: Path
) -> None:
    a, color, preview, clip, orphan = empty(
        "a.mp4", "a.color.mkv", "a.preview.mp4", "a.preview-2.mp4", "b.color.mp4"
    )
    (there,) = empty("out/a.color.mp4")
    film_list = list_films([tmp_path / "*.m*"])
    assert film_list.films == (a, orphan)
    assert set(film_list.excluded) == {color, preview, clip}
    assert list_films([color, tmp_path / "*.m*"]).films == (color, a, orphan)  # named, not matched
    everything = tmp_path / "**" / "*.m*"
    (segment,) = empty("a.color.mkv.filmcolor/000000.mov")
    assert segment not in list_films([everything]).films
    assert there in list_films([everything]).films
    assert there in list_films([everything], tmp_path / "out").excluded


# ---------------------------------------------------------------- where they go


def test_many_films_go_into_a_new_folder(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    films = [make_film("b.mp4"), make_film("a.mkv", lumas=media.shoot(5, seed=1))]
    out = tmp_path / "new" / "out"
    progress: list[tuple[Path, int]] = []
    finished: list[Outcome] = []

    outcomes = colorize_many(
        films,
        out,
        options=options,
        progress=lambda film, done, total: progress.append((film, done)),
        finished=finished.append,
    )

    assert outcomes == finished
    assert [outcome.film for outcome in outcomes] == films
    assert [o.report.num_frames for o in outcomes if o.report] == [12, 5]
    assert progress == [(f, n + 1) for f, num in zip(films, (12, 5)) for n in range(num)]
    assert names(out) == {"b.color.mp4", "a.color.mkv"}
    assert any(frame.planes[1].std() > 2 for frame in media.frames(out / "b.color.mp4"))


def test_without_a_folder_each_stands_beside_its_film(
    typed: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    films = [make_film("a.mp4"), make_film("in/a.mp4"), tmp_path / "a.mp4"]
    code, out, _ = typed(*films, "--frames", "2:4")
    assert code == 0
    assert names(tmp_path) == {"in", "a.mp4", "a.color.mp4"}
    assert names(tmp_path / "in") == {"a.mp4", "a.color.mp4"}
    lines = out.splitlines()
    assert [line[: line.index(" (")] for line in lines[:2]] == ["2 frames"] * 2
    assert lines[2:] == ["2 of 2 films in colour"]


def test_one_film_goes_into_a_folder_that_is_there(
    typed: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    code, out, _ = typed(make_film(), "-o", tmp_path / "out")
    assert (code, len(out.splitlines())) == (0, 1)
    assert names(tmp_path / "out") == {"film.color.mp4"}


def test_outputs_of_one_path_are_refused_before_anything_starts(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    first, second, third = make_film("a.mp4"), make_film("in/a.mp4"), make_film("a.mkv")
    out = tmp_path / "out"
    with pytest.raises(OutputError, match=r"a\.mp4 and .*in/a\.mp4 would both become .*out/a\.c"):
        colorize_many([first, second], out, options=options)
    with pytest.raises(OutputError, match=r"a\.mp4 and .*a\.mkv would both .*a\.color\.mkv; col"):
        colorize_many([first, third], options=options, encoding=MASTER)
    assert names(tmp_path) == {"in", "a.mp4", "a.mkv"}
    colored = make_film("a.color.mp4")
    before = colored.read_bytes()
    with pytest.raises(OutputError, match=r"would become .*color\.mp4, which is a film of this"):
        colorize_many([first, colored], options=options, force=True)
    assert colored.read_bytes() == before


def test_folders_that_cannot_be_are_refused(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film()
    with pytest.raises(OutputError, match=r"film\.mp4 is a file, and many films go into a folder"):
        colorize_many([film], film, options=options)
    with pytest.raises(OutputError, match=r"new\.mkv looks like a film, and many"):
        colorize_many([film], tmp_path / "new.mkv", options=options)
    with pytest.raises(OutputError, match=r"film\.mp4/out cannot be made \(Not a directory\); ch"):
        colorize_many([film], film / "out", options=options)
    for jobs in (0, 65):
        with pytest.raises(SettingsError, match=f"jobs {jobs} must be 1 to 64"):
            colorize_many([film], options=options, jobs=jobs)
    assert names(tmp_path) == {"film.mp4"}


# ---------------------------------------------------------------- when one fails


def test_a_film_that_fails_does_not_stop_the_others(
    typed: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    broken, gone = tmp_path / "broken.mp4", tmp_path / "gone.mp4"
    broken.write_text("no film, only words\n" * 40)
    films = [make_film("a.mp4"), broken, gone, make_film("z.mp4", lumas=media.shoot(3))]

    code, out, err = typed(*films, "-o", tmp_path / "out", "--frames", "4:6")

    assert code == 1
    assert names(tmp_path / "out") == {"a.color.mp4"}
    assert out.splitlines()[1:] == ["1 of 4 films in colour, 3 failed: broken.mp4, gone.mp4, z.mp4"]
    lines = re.findall(r"filmcolor: .*", err)
    assert [re.search(r"\w+\.mp4", n)[0] for n in lines] == ["broken.mp4", "gone.mp4", "z.mp4"]
    assert "is not a film" in lines[0]
    assert lines[1].endswith("check the path") or "no such file" in lines[1]
    assert "has frames 0 to 2" in lines[2]


def test_a_second_run_of_a_pattern_colors_no_colored_film(
    typed: Type, make_film: MakeFilm, tmp_path: Path
) -> None:
    make_film("a.mp4", lumas=media.shoot(2))
    make_film("b.mp4", lumas=media.shoot(2))
    pattern = tmp_path / "*.mp4"
    assert typed(pattern)[0] == 0
    make_film("c.mp4", lumas=media.shoot(2))
    code, out, err = typed(pattern)
    assert code == 1
    assert out.endswith(
        "1 of 3 films in colour, 2 failed: a.mp4, b.mp4; 2 of earlier runs left out\n"
    )
    assert re.search(r"filmcolor: .*a\.mp4: .*a\.color\.mp4 exists; .*--force\n", err)
    assert typed(pattern, "--force")[0] == 0
    assert len(names(tmp_path)) == 6


def test_quiet_is_silent_but_for_failures(typed: Type, make_film: MakeFilm, tmp_path: Path) -> None:
    good = make_film(lumas=media.shoot(2))
    assert typed(good, "-o", tmp_path, "-q") == (0, "", "")
    code, out, err = typed(good, tmp_path / "gone.mp4", "-q", "--force")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"filmcolor: .*gone\.mp4: no such file[^\n]*\n", err)


def test_a_bug_in_one_film_does_not_stop_the_others(
    make_film: MakeFilm,
    options: ColorOptions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    films = [make_film(f"{name}.mp4", lumas=media.shoot(2)) for name in "ab"]

    def stumble(film: Path, *rest: Any, **more: Any) -> Any:
        if film == films[0]:
            raise RuntimeError("out of\nluck")
        return run_film(film, *rest, **more)

    monkeypatch.setattr(tasks, "run_film", stumble)
    bad, good = colorize_many(films, options=options)
    assert str(bad.error) == "RuntimeError out of luck; the traceback says where"
    assert good.report
    assert "stumble" in caplog.text


def test_what_no_film_can_do_without_stops_them_all(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    films = [make_film(f"{name}.mp4", lumas=media.shoot(2)) for name in "ab"]
    for jobs in (1, 2):
        with pytest.raises(WeightsError, match="no weights 'sepia'"):
            colorize_many(
                films, tmp_path / "out", options=replace(options, weights="sepia"), jobs=jobs
            )
        assert names(tmp_path) == {"a.mp4", "b.mp4"}


# ---------------------------------------------------------------- in several processes


def work_and_die(pipe: Connection, settings: RunSettings, num_workers: int) -> None:
    """A worker that is killed in the middle of `always`, and of `once` at its first attempt."""

    def fatal(
        film: Path,
        output: Path,
        settings: RunSettings,
        colorizer: Colorizer,
        progress: Callable[..., None],
    ) -> Report:
        marker = film.with_suffix(".seen")
        is_fatal = film.stem == "always" or (film.stem == "once" and not marker.exists())
        marker.touch()

        def advance(done: int, total: int | None) -> None:
            progress(done, total)
            if done == 3 and is_fatal:
                os.kill(os.getpid(), signal.SIGKILL)

        return run_film(film, output, settings, colorizer, advance)

    tasks.run_film = fatal
    workers.work(pipe, settings, num_workers)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_films_side_by_side_are_as_films_one_by_one_though_processes_are_killed(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stems = ["once", "always", "other"]
    films = [make_film(f"{s}.mp4", lumas=media.shoot(20, seed=n)) for n, s in enumerate(stems)]
    arguments: dict[str, Any] = {
        "options": options,
        "encoding": MASTER,
        "time_range": TimeRange(first=3, stop=17),
    }
    alone = colorize_many(films, tmp_path / "alone", **arguments)
    assert all(outcome.report for outcome in alone)

    monkeypatch.setattr(workers, "work", work_and_die)
    once, always, other = colorize_many(films, tmp_path / "beside", jobs=2, **arguments)

    assert once.report
    assert other.report
    assert str(always.error) == "its process died (signal 9): out of memory? try --jobs 1"
    assert names(tmp_path / "beside") == {"once.color.mkv", "other.color.mkv"}
    for path in (tmp_path / "beside").iterdir():
        actual, expected = planes(path), planes(tmp_path / "alone" / path.name)
        assert len(actual) == len(expected) == 3 * 14
        assert all(np.array_equal(a, b) for a, b in zip(actual, expected))


def fail_after_a_frame(
    self: PieceColorizer, run: Run, piece: Segment, _: Any, last: Segment | None = None
) -> int:
    """Colour one frame, then raise the error that a file beside the film names."""
    name = run.info.path.with_suffix(".error").read_text()

    def advance(done: int) -> None:
        raise getattr(errors, name)(f"{run.info.path} fails; try another film")

    return color_piece(self, run, piece, advance, last)


color_piece = PieceColorizer.color


def work_and_fail(pipe: Connection, settings: RunSettings, num_workers: int) -> None:
    """A worker in which every task fails after one frame."""
    PieceColorizer.color = fail_after_a_frame  # type: ignore[method-assign]
    workers.work(pipe, settings, num_workers)


@pytest.mark.parametrize(
    "error_class",
    [
        *(errors.FilmcolorError, errors.InputError, errors.RangeError, errors.OutputError),
        *(errors.ContainerError, errors.WeightsError, errors.SettingsError, errors.VerifyError),
    ],
)
def test_an_error_in_a_process_keeps_its_class(
    make_film: MakeFilm,
    options: ColorOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error_class: type[errors.FilmcolorError],
) -> None:
    film = make_film(lumas=media.shoot(6))
    film.with_suffix(".error").write_text(error_class.__name__)
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 8))  # of two segments, one a process
    monkeypatch.setattr(workers, "work", work_and_fail)
    monkeypatch.setattr(PieceColorizer, "color", fail_after_a_frame)
    messages = []
    for jobs in (1, 2):
        with pytest.raises(error_class, match=r"fails; try another film") as error:
            colorize(film, tmp_path / "out.mkv", jobs=jobs, options=options)
        assert type(error.value) is error_class
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert names(tmp_path) == {"film.mp4", "film.error"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_before_the_first_frame_keeps_its_class(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, jobs: int
) -> None:
    film = make_film(lumas=media.shoot(3))
    with pytest.raises(WeightsError, match="no weights 'sepia'"):
        colorize(film, jobs=jobs, options=replace(options, weights="sepia"))
    with pytest.raises(OutputError, match="is the film itself"):
        colorize(film, film, jobs=jobs, options=options, force=True)
    with pytest.raises(InputError, match="no such file"):
        colorize(tmp_path / "gone.mp4", jobs=jobs, options=options)
    assert names(tmp_path) == {"film.mp4"}


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_an_interrupted_run_leaves_nothing_behind(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    make_film("a.mp4", lumas=media.shoot(400))
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    words = ["run", "?.mp4", "-o", "out", "--jobs", "2"]
    all_options = ["--weights", options.weights, "--size", "256", "--device", "cpu"]
    process = subprocess.Popen(
        [SCRIPT, *words, *all_options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # the tests may have been started with SIGINT ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_until(lambda: len(partials(tmp_path / "out")) == 2 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (130, ""), err
    last = err.splitlines()[-1]
    message = "interrupted; 0 of 2 films in colour; the same command with --skip-existing goes on"
    assert last.endswith(message), err
    assert "Traceback" not in err
    assert names(tmp_path) == {"a.mp4", "b.mp4"}


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("is_single", "kind"), [(True, "SIGTERM"), (False, "SIGTERM"), (False, "SIGHUP")]
)
def test_other_ends_are_like_ctrl_c(
    typed: Type,
    make_film: MakeFilm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_single: bool,
    kind: str,
) -> None:
    films = [make_film("a.mp4")] if is_single else [make_film("a.mp4"), make_film("b.mp4")]
    number, update = getattr(signal, kind), PlainProgress.update

    def update_and_raise(*args: Any) -> None:
        update(*args)
        if partials(tmp_path)[0].parent.name == f"{films[-1].stem}.color.mp4.filmcolor":
            signal.raise_signal(number)

    monkeypatch.setattr(PlainProgress, "update", update_and_raise)
    before = signal.signal(number, signal.SIG_DFL)  # it may have been ignored
    try:
        code, _, err = typed(*films)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert code == 130
    others = "1 of 2 films in colour; the same command with --skip-existing goes on"
    message = "nothing was left behind" if is_single else others
    assert err.endswith(f"filmcolor: interrupted; {message}\n")
    assert names(tmp_path) == ({"a.mp4"} if is_single else {"a.mp4", "a.color.mp4", "b.mp4"})


def test_films_side_by_side_take_turns_in_the_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = 0.0
    monkeypatch.setattr("filmcolor.cli.progress._clock", lambda: seconds)
    films = [Path(f"{name}.mp4") for name in "abc"]
    with BatchProgress(quiet=False) as progress:
        for step in range(1, 80):
            seconds = float(step)
            for film in films:
                progress.advance(film, step * 10, 1000)
            if step == 40:
                progress.close(films[2])
                films.pop()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{c}.mp4" for c in "abcabab"]
    assert lines[0] == "a.mp4: 110 of 1000 frames, 10.0 frames/s, 1:29 left"
    assert lines[1].startswith("b.mp4: 200 of 1000 frames, ")


def test_a_worker_ends_when_its_parent_is_gone(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film, output = make_film(lumas=media.shoot(400)), tmp_path / "out.mp4"
    settings = RunSettings(options, Encoding(), TimeRange(), force=False)
    worker = workers._Worker("worker", settings, 1, Task(film, output))
    wait_until(lambda: bool(partials(tmp_path)))
    worker.pipe.close()  # as when a process ends
    worker.process.join(PATIENCE_SECONDS)
    assert worker.process.exitcode == 1
    assert names(tmp_path) == {"film.mp4"}


def partials(folder: Path) -> list[Path]:
    """Return the segments that runs are writing."""
    return list(folder.glob("*.filmcolor/[0-9]*.partial"))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)
