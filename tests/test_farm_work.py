"""Plan, piece, join: a film in pieces that any machines can colour."""

import json
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from filmcolor.cli.main import main
from filmcolor.errors import (
    ContainerError,
    FilmcolorError,
    InputError,
    MissingPiecesError,
    OutputError,
    PlanError,
    StorageError,
    WeightsError,
)
from filmcolor.farm.work import color_piece, format_numbers, is_temporary, join_film, plan_film
from filmcolor.output.options import Encoding
from filmcolor.pipeline import plan_file
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import Piece, PieceColorizer, PieceQueue
from filmcolor.pipeline.run import Run
from filmcolor.pipeline.saved_run import open_run
from filmcolor.segments import segment
from filmcolor.types.film import TimeRange

LOSSLESS = Encoding("master")
NUM_PIECES = 6


@pytest.fixture
def film(make_film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a film of six pieces of a third of a second, with sound."""
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 3))
    return make_film("film.mkv", lumas=media.shoot(48), sounds=[media.Sound()])


@pytest.fixture
def settings(options: ColorOptions) -> dict[str, Any]:
    return {"options": options, "encoding": LOSSLESS}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---------------------------------------------------------------- the three steps


def test_pieces_in_any_order_make_the_film_of_a_run(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work, output, whole = tmp_path / "work", tmp_path / "out.mkv", tmp_path / "whole.mkv"
    planned = plan_film(film, output, work=work, **settings)
    assert planned.num_pieces == NUM_PIECES
    assert planned.num_frames == 48
    assert list(planned.missing) == list(range(NUM_PIECES))
    assert not output.exists()
    for number in (3, 0, 5, 1, 4, 2):
        assert color_piece(work, number)
    joined = join_film(work)
    colorize(film, whole, options=settings["options"], encoding=LOSSLESS)
    assert media.all_packets(output) == media.all_packets(whole)
    assert joined["size"] == output.stat().st_size
    assert joined["report"]["num_frames"] == 48
    assert names(work) <= {"joined.json", "lock"}


def test_a_step_that_is_repeated_changes_nothing(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work, output = tmp_path / "work", tmp_path / "out.mkv"
    planned = plan_film(film, output, work=work, **settings)
    assert color_piece(work, 0)
    before = {path.name: path.stat().st_mtime_ns for path in work.glob("000000.*")}
    assert not color_piece(work, 0)
    again = plan_film(film, output, work=work, **settings)
    assert again == replace(planned, missing=planned.missing[1:])
    assert {path.name: path.stat().st_mtime_ns for path in work.glob("000000.*")} == before
    for number in again.missing:
        color_piece(work, number)
    joined, written = join_film(work), output.stat().st_mtime_ns
    assert join_film(work) == joined
    assert not color_piece(work, 3)
    assert output.stat().st_mtime_ns == written


def test_a_join_lists_the_missing_pieces_and_keeps_the_others(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work, output = tmp_path / "work", tmp_path / "out.mkv"
    plan_film(film, output, work=work, **settings)
    color_piece(work, 1)
    with pytest.raises(MissingPiecesError, match=r"5 of 6 pieces of .* are missing: 0, 2 to 5;"):
        join_film(work)
    assert not output.exists()
    assert not color_piece(work, 1)


def test_two_machines_may_color_the_same_piece_at_once(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    runs = [open_run(work) for _ in range(2)]
    pieces = [PieceColorizer(Colorizer(settings["options"])) for _ in runs]
    contents = []

    def race(done: int) -> None:
        if done == 4 and not contents:
            contents.append(b"")
            pieces[1].color(runs[1], runs[1].segment(2))
            contents.append((work / "000002.nut").read_bytes())

    pieces[0].color(runs[0], runs[0].segment(2), race)
    assert (work / "000002.nut").read_bytes() == contents[1]
    assert not list(work.glob("*.partial"))


def test_a_plan_may_be_of_a_part(film: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    work, output, whole = tmp_path / "work", tmp_path / "out.mkv", tmp_path / "part.mkv"
    part = TimeRange(first=10, stop=31)
    planned = plan_film(film, output, work=work, time_range=part, **settings)
    for number in planned.missing:
        color_piece(work, number)
    join_film(work)
    colorize(film, whole, options=settings["options"], encoding=LOSSLESS, time_range=part)
    assert media.all_packets(output) == media.all_packets(whole)


def test_guidance_travels_with_the_plan(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Pictures and palettes are read by the plan: they need not be there, nor stay as they are."""
    from PIL import Image

    strokes, palette = tmp_path / "frame-000011.png", tmp_path / "film.toml"
    picture = Image.new("RGBA", media.SIZE)
    picture.paste((180, 40, 30, 255), (30, 20, 50, 24))
    picture.save(strokes)
    palette.write_text("[film]\nwarmth = 0.4\n")
    options = replace(settings["options"], hints=(str(strokes),), palette=str(palette))
    whole, work, output = tmp_path / "whole.mkv", tmp_path / "work", tmp_path / "out.mkv"
    colorize(film, whole, options=options, encoding=LOSSLESS)
    planned = plan_film(film, output, work=work, **{**settings, "options": options})
    strokes.unlink()
    palette.write_text("[film]\nwarmth = -1.0\n")
    for number in planned.missing:
        color_piece(work, number)
    join_film(work)
    assert media.all_packets(output) == media.all_packets(whole)


def test_own_weights_travel_with_the_plan(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    import shutil

    import filmcolor.weights as weights_store

    weights, work = tmp_path / "own.safetensors", tmp_path / "work"
    shutil.copy(weights_store.find("tutorial"), weights)
    plan_film(
        film,
        tmp_path / "out.mkv",
        work=work,
        options=replace(settings["options"], weights=str(weights)),
        encoding=LOSSLESS,
    )
    weights.unlink()
    assert color_piece(work, 0)


# ---------------------------------------------------------------- what is refused


def test_another_film_is_refused(
    film: Path, make_film: Callable[..., Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    other = make_film("other.mkv", lumas=media.shoot(48, seed=5), sounds=[media.Sound()])
    with pytest.raises(PlanError, match=r"other\.mkv is not the film that .*work was planned for"):
        color_piece(work, 0, film=other)
    moved = film.rename(tmp_path / "moved.mkv")
    with pytest.raises(InputError, match="cannot be read") as error:
        color_piece(work, 0)
    assert is_temporary(error.value)
    assert color_piece(work, 0, film=moved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("filmcolor", "0.0.1"), "planned with filmcolor 0.0.1"),
        (("libavcodec", "1.2.3"), "planned with libavcodec 1.2.3"),
    ],
)
def test_another_version_is_refused(
    film: Path, settings: dict[str, Any], tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    path = work / plan_file.PLAN
    content = json.loads(path.read_text())
    content["versions"][change[0]] = change[1]
    path.write_text(json.dumps(content))
    with pytest.raises(PlanError, match=words) as error:
        color_piece(work, 0)
    assert not is_temporary(error.value)


def test_other_weights_of_the_same_name_are_refused(
    film: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filmcolor.weights as weights_store

    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    monkeypatch.setattr(weights_store, "sha256", lambda path: "0" * 64)
    with pytest.raises(PlanError, match="planned with other files: weights"):
        color_piece(work, 0)


def test_other_settings_are_refused_until_the_pieces_may_go(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work, output = tmp_path / "work", tmp_path / "out.mkv"
    plan_film(film, output, work=work, **settings)
    color_piece(work, 0)
    other = {**settings, "options": replace(settings["options"], saturation=0.3)}
    with pytest.raises(OutputError, match=r"of a run with saturation .*--restart"):
        plan_film(film, output, work=work, **other)
    planned = plan_film(film, output, work=work, restart=True, **other)
    assert len(planned.missing) == NUM_PIECES


def test_a_folder_with_other_files_is_refused(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    letter = tmp_path / "letters" / "mother.txt"
    letter.write_text("dear mother")
    with pytest.raises(OutputError, match=r"holds other files, as mother\.txt; name a new folder"):
        plan_film(film, tmp_path / "out.mkv", work=letter.parent, **settings)
    assert names(letter.parent) <= {"mother.txt", "lock"}


def test_a_broken_plan_is_refused_in_words(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with pytest.raises(InputError, match="no such folder; `filmcolor plan` makes it"):
        color_piece(work, 0)
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    with pytest.raises(PlanError, match="has no piece 6; its pieces are 0 to 5"):
        color_piece(work, NUM_PIECES)
    randomness = random.Random(4)
    for name in plan_file.PLAN_FILES:
        whole = (work / name).read_bytes()
        for _ in range(20):
            broken = bytearray(whole)
            for _ in range(8):
                broken[randomness.randrange(len(broken))] = randomness.randrange(256)
            cut = randomness.randrange(len(broken)) if randomness.random() < 0.5 else None
            (work / name).write_bytes(broken[:cut])
            try:
                open_run(work)
            except FilmcolorError as error:
                assert "\n" not in str(error)
        (work / name).write_bytes(whole)
    assert color_piece(work, 0)


def test_a_plan_makes_nothing_but_dataclasses_of_filmcolor(tmp_path: Path) -> None:
    plan_file.write_plan(tmp_path, {"index": 3})
    path = tmp_path / plan_file.PLAN
    arrays = (tmp_path / plan_file.ARRAYS).read_bytes()
    for name in ("os:system", "filmcolor.files:atomic_write", "filmcolor.cli.main:main"):
        content = json.loads(path.read_text())
        content["plan"] = {"type": "class", "class": name, "fields": {}}
        content["sha256"] = plan_file._digest(content["plan"], arrays)
        path.write_text(json.dumps(content))
        with pytest.raises(PlanError, match="cannot be read; plan again"):
            plan_file.read_plan(tmp_path)


@settings_of_hypothesis(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 70), 1 << 70)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(max_size=9)
        | st.fractions()
        | st.builds(TimeRange, first=st.none() | st.integers(0, 9))
        | st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=60, max_size=70)
        | st.text("abc/.", min_size=1).map(Path),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_a_plan_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    plan_file.write_plan(folder, {"value": value})
    again = plan_file.read_plan(folder)["value"]
    assert again == value
    assert type(again) is type(value)


def test_arrays_of_a_plan_keep_their_dtype(tmp_path: Path) -> None:
    for dtype in (np.float16, np.float32, np.int32, np.uint8, np.bool_):
        array = np.arange(12).reshape(3, 4).astype(dtype)
        plan_file.write_plan(tmp_path, {"array": array})
        again = plan_file.read_plan(tmp_path)["array"]
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)


# ---------------------------------------------------------------- who gets which piece


def test_consecutive_pieces_cost_no_context(
    film: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that goes on reads each frame once, and the colours are those of single pieces."""
    work, alone = tmp_path / "work", tmp_path / "alone"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    plan_film(film, tmp_path / "out2.mkv", work=alone, **settings)
    starts = []
    frames = Run.frames

    def count(self: Run, first: Any, *rest: Any) -> Any:
        starts.append(first.number)
        return frames(self, first, *rest)

    monkeypatch.setattr(Run, "frames", count)
    run = open_run(work)
    last = run.segment(4)
    with PieceColorizer(Colorizer(run.options)) as pieces:
        for number in (0, 1, 3, 4):
            pieces.color(run, run.segment(number), last=last)
    assert starts == [0, 3]
    for number in (0, 1, 3, 4):
        color_piece(alone, number)
        name = f"{number:06d}.nut"
        assert (work / name).read_bytes() == (alone / name).read_bytes()


@given(
    films=st.lists(st.integers(0, 12), max_size=4),
    num_workers=st.integers(1, 5),
    choices=st.randoms(use_true_random=False),
)
def test_each_piece_is_handed_out_once_whatever_dies(
    films: list[int], num_workers: int, choices: random.Random
) -> None:
    queue = PieceQueue()
    for film, length in enumerate(films):
        queue.add(film, range(length))
    in_work: dict[int, Any] = {}
    done: list[tuple[Any, int]] = []
    while True:
        worker = choices.randrange(num_workers)
        if worker in in_work:
            piece = in_work.pop(worker)
            if choices.random() < 0.2:
                queue.remove_worker(worker)
                queue.put_back(piece)
            else:
                done.append((piece.film, piece.number))
        elif (piece := queue.next(worker)) is not None:
            assert piece.number <= piece.last
            in_work[worker] = piece
        elif not in_work:
            break
    assert not len(queue)
    assert sorted(done) == [(film, n) for film, length in enumerate(films) for n in range(length)]


def test_a_worker_gets_consecutive_pieces_and_an_idle_one_the_back_half() -> None:
    queue = PieceQueue()
    queue.add("a", range(10))
    assert queue.next("one") == Piece("a", 0, 9)
    assert queue.next("two") == Piece("a", 5, 9)
    assert [queue.next("one").number for _ in range(2)] == [1, 2]  # type: ignore[union-attr]
    assert queue.next("two") == Piece("a", 6, 9)
    assert queue.next("three") == Piece("a", 8, 9)
    assert queue.next("one") == Piece("a", 3, 4)
    queue.remove_film("a")
    assert queue.next("one") is None


# ---------------------------------------------------------------- the commands


COLOR_OPTIONS = ["--weights", "tutorial", "--size", "32", "--device", "cpu", "--for", "master"]


def type_command(
    *words: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["filmcolor", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out, captured.err


def test_the_commands_of_a_plan_make_the_film(
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work, output = tmp_path / "two words", tmp_path / "out.mkv"

    def typed(*words: object) -> tuple[int, str, str]:
        return type_command(*words, monkeypatch=monkeypatch, capsys=capsys)

    code, out, err = typed("plan", film, "-o", output, "--work", work, "-q", *COLOR_OPTIONS)
    assert (code, out, err) == (0, "", "")
    code, out, _ = typed("plan", film, "-o", output, "--work", work, "--json", *COLOR_OPTIONS)
    assert json.loads(out)["missing"] == list(range(NUM_PIECES))
    code, _, err = typed("join", work)
    assert code == 75
    assert "6 of 6 pieces" in err
    lines = (work / "commands.txt").read_text().splitlines()
    assert len(lines) == NUM_PIECES
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["filmcolor", "piece"]
        assert typed(*words[1:], "-q") == (0, "", "")
    code, out, err = typed("join", work)
    assert (code, err) == (0, "")
    assert "48 frames → " in out
    assert output.exists()
    assert typed(*words[1:], "-q") == (0, "", "")


def test_exit_codes_of_a_piece(
    film: Path,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)

    def typed(*words: object) -> tuple[int, str, str]:
        return type_command("piece", *words, monkeypatch=monkeypatch, capsys=capsys)

    assert typed(work, NUM_PIECES)[0] == 1
    assert typed(work, "two")[0] == 2
    assert typed(work, -1)[0] == 2
    film.rename(tmp_path / "moved.mkv")
    code, _, err = typed(work, 0)
    assert code == 75
    assert err.endswith("try again\n")
    code, _, err = typed(work, 0, "--film", __file__)
    assert code == 1
    assert "is not the film" in err
    assert typed(work, 0, "--film", tmp_path / "moved.mkv", "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("error", "is_worth_it"),
    [
        (StorageError("s3"), True),
        (OutputError("disk full"), True),
        (MissingPiecesError("3"), True),
        (MemoryError(), True),
        (ContainerError("mp4"), False),
        (PlanError("other film"), False),
        (WeightsError("broken"), False),
        (InputError("no film"), False),
    ],
)
def test_which_errors_are_worth_another_try(error: BaseException, is_worth_it: bool) -> None:
    assert is_temporary(error) == is_worth_it


def test_numbers_are_listed_in_few_words() -> None:
    assert format_numbers([]) == ""
    assert format_numbers([4]) == "4"
    assert format_numbers([0, 1, 3, 5, 6, 7]) == "0 to 1, 3, 5 to 7"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_piece_that_is_killed_is_done_again(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    import signal
    import time

    work, output, whole = tmp_path / "work", tmp_path / "out.mkv", tmp_path / "whole.mkv"
    colorize(film, whole, options=settings["options"], encoding=LOSSLESS)
    planned = plan_film(film, output, work=work, **settings)
    command = [sys.executable, "-m", "filmcolor", "piece", str(work), "2", "-q"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while not list(work.glob("000002.*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    for number in planned.missing:
        color_piece(work, number)
    join_film(work)
    assert media.all_packets(output) == media.all_packets(whole)


# ---------------------------------------------------------------- faults that a review found


def test_a_folder_of_numbered_scans_is_no_work_folder(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(3):
        (scans / f"{number:06d}.dpx").write_bytes(b"a scan")
        (scans / f"{number:06d}.mov").write_bytes(b"a reel")
    with pytest.raises(OutputError, match=r"holds other files, as 00000.*; name a new folder"):
        plan_film(film, tmp_path / "out.mkv", work=scans, **settings)
    assert len(names(scans) - {"lock"}) == 6


def test_film_and_output_are_not_in_the_work_folder(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"is in the work folder .*; name a folder of its own"):
        plan_film(film, tmp_path / "elsewhere.mkv", work=film.parent, **settings)
    with pytest.raises(OutputError, match="is in the work folder"):
        plan_film(film, tmp_path / "work" / "000007.mkv", work=tmp_path / "work", **settings)
    assert film.exists()


def test_a_late_piece_of_an_earlier_plan_does_not_count(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work, output, whole = tmp_path / "work", tmp_path / "out.mkv", tmp_path / "whole.mkv"
    plan_film(film, output, work=work, **settings)
    late = open_run(work)
    other = {**settings, "options": replace(settings["options"], saturation=0.3)}
    plan_film(film, output, work=work, **other)
    with PieceColorizer(Colorizer(late.options)) as pieces:
        pieces.color(late, late.segment(2))
    planned = plan_film(film, output, work=work, **other)
    assert 2 in planned.missing
    for number in planned.missing:
        color_piece(work, number)
    join_film(work)
    colorize(film, whole, **other)
    assert media.all_packets(output) == media.all_packets(whole)


def test_a_piece_without_its_picture_is_made_again(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, **settings)
    color_piece(work, 0)
    (work / "000000.nut").unlink()
    assert color_piece(work, 0)
    (work / "000000.json").write_text("")
    with pytest.raises(MissingPiecesError, match="6 of 6"):
        join_film(work)
    assert color_piece(work, 0)


def test_a_join_replaces_no_file_that_came_meanwhile(
    film: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    output, works = tmp_path / "out.mkv", [tmp_path / "one", tmp_path / "two"]
    for work in works:
        for number in plan_film(film, output, work=work, **settings).missing:
            color_piece(work, number)
    join_film(works[0])
    before = output.read_bytes()
    with pytest.raises(OutputError, match="was not there when this was planned"):
        join_film(works[1])
    assert output.read_bytes() == before
    output.unlink()
    with pytest.raises(PlanError, match="was joined, and is gone"):
        join_film(works[0])
    assert join_film(works[1])["size"] == output.stat().st_size


def test_a_join_that_is_killed_leaves_nothing(
    film: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filmcolor.farm import work as farm

    work, output = tmp_path / "work", tmp_path / "out.mkv"
    for number in plan_film(film, output, work=work, **settings).missing:
        color_piece(work, number)
    (work / "joined.0123abcd.partial").write_bytes(b"of a join that was killed")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(farm, "_describe", stop)  # the film has its name, and nothing says so
        join_film(work)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(farm, "remove_pieces", stop)
        join_film(work)
    join_film(work)
    assert names(work) <= {"joined.json", "lock"}
    assert output.exists()


def test_memory_that_runs_out_is_worth_another_try() -> None:
    words = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
    assert is_temporary(RuntimeError(words))
    assert not is_temporary(RuntimeError("a bug"))
