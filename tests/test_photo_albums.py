"""Folders of photographs: which pictures a run colours, where results go, what fails alone."""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from PIL import Image

from filmcolor.errors import InputError, OutputError, SettingsError, WeightsError
from filmcolor.files import partial_path
from filmcolor.images.image_file import read_photo
from filmcolor.pipeline import workers
from filmcolor.pipeline.album import list_pictures
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import PICTURE_SUFFIXES, colorize_photo
from filmcolor.pipeline.photo_batch import PhotoOutcome, PhotoTask, colorize_photos

Type = Callable[..., tuple[int, str, str]]
Save = Callable[..., list[Path]]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Save a different grey picture under each name, in the test's folder, which is current."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> list[Path]:
        for name in names:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = sum(name.encode())
            grey = media.shoot(1, (48, 32), is_full_range=True, seed=seed)[0]
            Image.fromarray(grey).convert("RGB").save(path)
        return list(map(Path, names))

    return make


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Create empty files with these names in the test's folder, which is current."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


@pytest.fixture
def typed(type_command: Type) -> Type:
    """Run `filmcolor photo` in this process; return (exit code, stdout, stderr)."""
    return partial(type_command, "photo")


def files(folder: str | Path) -> set[str]:
    """Return the files below a folder, hidden ones too, relative to it."""
    return {
        path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()
    }


def places(*names: str, output: str | None = None) -> list[str]:
    """Return the result of each picture that is found, as a path."""
    folder = None if output is None else Path(output)
    return [p.result_path(folder).as_posix() for p in list_pictures(names, output).pictures]


# ---------------------------------------------------------------- which pictures


def test_a_folder_is_read_whole_and_its_results_keep_their_places(
    empty: Callable[..., None],
) -> None:
    empty("album/b.JPG", "album/1910/a.tif", "album/1910/in/a.png", "album/notes.txt")
    assert places("album") == [
        "album/b.color.JPG",
        "album/1910/a.color.tif",
        "album/1910/in/a.color.png",
    ]
    assert places("album", output="out") == [
        "out/b.color.JPG",
        "out/1910/a.color.tif",
        "out/1910/in/a.color.png",
    ]
    assert places("album/", output="album") == places("album")


def test_folders_beside_other_names_keep_their_own(empty: Callable[..., None]) -> None:
    empty("1910/a.jpg", "1911/a.jpg", "1911/in/a.jpg", "a.jpg")
    assert places("1910", "1911/", "a.jpg", output="out") == [
        "out/1910/a.color.jpg",
        "out/1911/a.color.jpg",
        "out/1911/in/a.color.jpg",
        "out/a.color.jpg",
    ]


def test_matches_keep_their_places_below_the_first_wildcard(empty: Callable[..., None]) -> None:
    empty("al[bum]/1910/a.jpg", "al[bum]/1911/in/b.jpg", "al[bum]/1911/in/c.png", "al[bum]/x.txt")
    below = ["out/1910/a.color.jpg", "out/1911/in/b.color.jpg"]
    assert places("al[bum]/**/*.jpg", output="out") == below
    assert places("al[bum]/19*/*.jpg", output="out") == below[:1]
    assert places("al*/*/*.jpg", output="out") == ["out/al[bum]/1910/a.color.jpg"]
    everything = [*below, "out/1911/in/c.color.png"]
    assert places("al[bum]/*", output="out") == everything, "folders that match are read whole"
    assert places("al[bum]/**", output="out") == everything
    assert places("**/*.jpg") == ["al[bum]/1910/a.color.jpg", "al[bum]/1911/in/b.color.jpg"]


def test_hidden_files_segments_and_pipes_are_no_pictures(
    empty: Callable[..., None], tmp_path: Path
) -> None:
    empty("in/a.jpg", "in/._a.jpg", "in/.thumbnails/a.jpg", "in/film.mkv.filmcolor/000000.png")
    empty("in/.a.color.jpg.partial", "in/Thumbs.db", "in/film.mp4")
    (tmp_path / "in" / "folder.jpg").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "in" / "pipe.jpg")
    assert places("in") == ["in/a.color.jpg"]
    assert places("in/*") == ["in/a.color.jpg"]


def test_links_to_pictures_are_pictures_of_their_own(empty: Callable[..., None]) -> None:
    empty("1910/a.jpg")
    Path("best").mkdir()
    Path("best/a.jpg").symlink_to(Path("1910/a.jpg").resolve())
    Path("best/all").symlink_to(Path("best").resolve())  # a loop
    assert places("best", "1910", output="out") == ["out/best/a.color.jpg", "out/1910/a.color.jpg"]


def test_each_picture_comes_once(empty: Callable[..., None]) -> None:
    empty("in/b.jpg", "in/a.jpg")
    assert places("in/b.jpg", "in", "in/../in/*.jpg") == ["in/b.color.jpg", "in/a.color.jpg"]


@pytest.mark.parametrize("name", ["in", "in/", "in/*", "in/**", "in/**/*.jpg"])
def test_results_of_earlier_runs_are_left_out(empty: Callable[..., None], name: str) -> None:
    empty("in/a.jpg", "in/a.color.jpg", "in/b.color.jpg", "in/sub/a.jpg")
    empty("in/out/a.color.jpg", "in/out/sub/a.color.jpg", "in/out/gone.color.jpg")
    album = list_pictures([name], "in/out")
    found = {picture.path.as_posix() for picture in album.pictures}
    assert found == {"in/a.jpg", "in/b.color.jpg", "in/sub/a.jpg"}  # no b.jpg: b.color is no result
    assert {path.as_posix() for path in album.excluded} == {
        *("in/a.color.jpg", "in/out/a.color.jpg"),
        *("in/out/sub/a.color.jpg", "in/out/gone.color.jpg"),
    }


def test_names_that_a_shell_has_expanded_are_left_out_alike(empty: Callable[..., None]) -> None:
    empty("a.jpg", "a.color.jpg", "out/a.color.jpg", "out/in/b.color.png", "in/b.webp")
    album = list_pictures(sorted(Path().iterdir()), "out")
    assert {p.path.as_posix() for p in album.pictures} == {"a.jpg", "in/b.webp"}
    assert len(album.excluded) == 3
    assert places("a.color.jpg") == ["a.color.color.jpg"]  # named alone


def test_folders_and_patterns_without_pictures_are_refused(
    empty: Callable[..., None], tmp_path: Path
) -> None:
    empty("in/notes.txt")
    with pytest.raises(InputError, match=r"in holds no pictures \(\.avif, .*; name another folder"):
        list_pictures(["in"])
    for pattern in ("in/*", "in/*.jpg", "gone/**/*.jpg"):
        with pytest.raises(InputError, match=r"no picture matches '.+'; check the pattern and the"):
            list_pictures([pattern])


def test_a_folder_that_cannot_be_read_fails_alone(
    typed: Type, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("in/a.png", "in/secret/b.png")
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code, out, err = typed("in")
    monkeypatch.undo()
    assert (code, out) == (1, "in/a.color.png\n")
    assert "in/secret cannot be read (Permission denied); check its permissions\n" in err
    assert err.endswith("1 of 1 pictures in colour, 1 failed: secret\n")


Image.init()


@pytest.mark.parametrize(
    "suffix", sorted(s for s in PICTURE_SUFFIXES if Image.EXTENSION.get(s) in Image.SAVE)
)
def test_every_suffix_that_is_looked_for_can_be_read(tmp_path: Path, suffix: str) -> None:
    """Of those that Pillow writes; HEIC, DPX and so on have tests of their own."""
    path = tmp_path / f"a{suffix}"
    mode = "1" if suffix == ".pbm" else "L"
    Image.fromarray(media.shoot(1, (48, 32))[0]).convert(mode).save(path)
    assert read_photo(path).rgb.shape == (32, 48, 3)


# ---------------------------------------------------------------- where results go


def color_one_by_one(pictures: list[Path], options: ColorOptions) -> dict[str, bytes]:
    """Return the contents of each result, by its path below the first folder."""
    results = {}
    for picture in pictures:
        result = colorize_photo(picture, options=options)
        results[Path(*result.parts[1:]).as_posix()] = result.read_bytes()
        result.unlink()
    return results


def contents(folder: str) -> dict[str, bytes]:
    """Return the contents of the files below a folder."""
    return {name: Path(folder, name).read_bytes() for name in files(folder)}


def test_an_album_is_colored_as_its_pictures_one_by_one(save: Save, options: ColorOptions) -> None:
    pictures = save("album/d.webp", "album/1910/c.tif", "album/1910/ä b.png", "album/1911/a.jpg")
    Image.fromarray(np.full((50, 1), 90, np.uint8)).save("album/thin.png")
    pictures.insert(1, Path("album/thin.png"))
    expected = color_one_by_one(pictures, options)
    progress: list[tuple[int, int | None]] = []
    finished: list[PhotoOutcome] = []

    outcomes = colorize_photos(
        ["album"],
        "out",
        options=options,
        progress=lambda *done: progress.append(done),
        finished=finished.append,
    )

    assert contents("out") == expected
    assert outcomes == finished
    assert [outcome.picture for outcome in outcomes] == pictures
    assert {outcome.output for outcome in outcomes} == {Path("out", name) for name in expected}
    assert progress == [(n, 5) for n in range(1, 6)]


def test_without_a_folder_results_are_beside_their_pictures(typed: Type, save: Save) -> None:
    save("album/a.png", "album/1910/b.png")
    code, out, err = typed("album")
    assert (code, err) == (0, "2 of 2 pictures in colour\n")
    assert out.splitlines() == ["album/a.color.png", "album/1910/b.color.png"]
    code, out, err = typed("album", "--skip-existing")
    assert (code, out) == (0, "")
    assert err == "0 of 2 pictures in colour, 2 were there already; 2 of earlier runs left out\n"


def test_an_interrupted_album_goes_on_and_results_inside_it_are_no_pictures(
    typed: Type, save: Save
) -> None:
    save("album/a.png", "album/b.png")
    words = ["album", "-o", "album/out", "--skip-existing"]
    assert typed("album/a.png", *words[1:]) == (0, "album/out/a.color.png\n", "")
    assert typed("album/a.png", *words[1:])[1].endswith(
        "a.color.png is there already, left alone\n"
    )
    code, out, err = typed(*words)
    assert (code, out) == (0, "album/out/b.color.png\n")
    assert err == (
        "1 of 2 pictures in colour, 1 was there already; "
        "1 of earlier runs or in album/out left out\n"
    )
    assert files("album") == {"a.png", "b.png", "out/a.color.png", "out/b.color.png"}


def test_results_are_replaced_only_when_forced(typed: Type, save: Save) -> None:
    save("a.png", "b.png", "out/a.color.png")
    before = Path("out/a.color.png").read_bytes()
    code, out, err = typed("a.png", "b.png", "-o", "out")
    assert (code, out) == (1, "out/b.color.png\n")
    assert "filmcolor: a.png: out/a.color.png exists; choose another name or add --force\n" in err
    assert Path("out/a.color.png").read_bytes() == before
    assert typed("a.png", "b.png", "-o", "out", "--force", "-q") == (0, "", "")
    assert Path("out/a.color.png").read_bytes() != before


def test_names_that_differ_in_case_or_composition_stay_apart(
    save: Save, options: ColorOptions
) -> None:
    pictures = save("in/a.png", "in/A.png", "in/e\u0301.png", "in/\u00e9.png")
    if len(files("in")) < 4:
        pytest.skip("this disk ignores case or composition")
    colorize_photos(["in"], "out", options=options)
    assert files("out") == {f"{picture.stem}.color.png" for picture in pictures}
    contents = {Path("out", name).read_bytes() for name in files("out")}
    assert len(contents) == 4


def test_on_a_disk_that_ignores_case_the_second_fails(
    save: Save, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("in/1/a.png", "in/2/A.png", "in/2/b.png")
    exists = Path.exists

    def exists_in_any_case(path: Path) -> bool:
        if ".filmcolor-" not in str(path):
            return exists(path)
        return path.name.lower() in (name.name.lower() for name in path.parent.iterdir())

    monkeypatch.setattr(Path, "exists", exists_in_any_case)
    first, second, third = colorize_photos(
        ["in/1/a.png", "in/2/A.png", "in/2/b.png"], "out", options=options, force=True
    )
    assert (first.error, third.error) == (None, None)
    assert str(second.error) == (
        "in/2/A.png would become out/a.color.png, as in/1/a.png does; "
        "colour it alone, with a name of its own"
    )
    assert files("out") == {"a.color.png", "b.color.png"}


def test_two_pictures_never_share_a_result(typed: Type, save: Save) -> None:
    save("in/a.png", "in/a.webp", "in/b.webp", "other/b.webp")
    words = ["in/a.png", "in/a.webp", "in/b.webp", "other/b.webp", "-o", "out"]
    code, out, err = typed(*words)
    assert (code, out.splitlines()) == (1, ["out/a.color.png", "out/b.color.png"])
    assert "in/a.webp would become out/a.color.png, as in/a.png does; colour it alone" in err
    assert "other/b.webp would become out/b.color.png, as in/b.webp does; colour it al" in err
    code, _, err = typed(*words, "--skip-existing")
    assert code == 1
    assert err.endswith("2 were there already, 2 failed: a.webp, b.webp\n")


# ---------------------------------------------------------------- when one fails


def test_a_picture_that_fails_does_not_stop_the_others(typed: Type, save: Save) -> None:
    save("album/a.png", "album/z.png")
    Path("album/broken.jpg").write_bytes(b"no picture")
    Path("album/1").mkdir()
    Path("album/1/short.png").write_bytes(Path("album/a.png").read_bytes()[:300])
    long_name = "n" * 246 + ".png"  # its result's name is longer than file systems allow
    shutil.copy("album/a.png", f"album/{long_name}")
    Path("notes.txt").write_text("words")

    code, out, err = typed("album", "gone.png", "notes.txt", "-o", "out", "--log", "log")

    assert code == 1
    results = ["out/album/a.color.png", "out/album/z.color.png"]
    assert sorted(out.splitlines()) == results
    assert files("out") == {"album/a.color.png", "album/z.color.png"}, "no empty folder, no rest"
    lines = [line for line in err.splitlines() if line.startswith("filmcolor: ")]
    assert len(lines) == 5
    for expected in (
        r"album/broken\.jpg is not a picture; give a JPEG, PNG or TIFF",
        r"album/1/short\.png is not a picture that can be read .*; is the file complete\?",
        r"album/n{246}\.png: n{246}\.color\.png is longer than the 255 bytes .*; name the output",
        r"gone\.png: no such file; check the spelling and the folder",
        r"notes\.txt is not a picture; give a JPEG, PNG or TIFF",
    ):
        assert any(re.fullmatch(f"filmcolor: {expected}.*", line) for line in lines), expected
    assert re.search(r"^2 of 7 pictures in colour, 5 failed: .*short\.png", err, re.M)
    events = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert [event["event"] for event in events].count("failed") == 5
    logged = {event["film"]: event["output"] for event in events if event["event"] == "finished"}
    assert logged == {"album/a.png": results[0], "album/z.png": results[1]}


def test_a_long_list_of_failures_is_summarized(typed: Type, empty: Callable[..., None]) -> None:
    empty(*(f"{n}.png" for n in range(8)))
    code, out, err = typed("*.png", "-q")
    assert (code, out, len(err.splitlines())) == (1, "", 8)
    *lines, summary = typed("*.png")[2].splitlines()
    assert len(lines) == 8
    assert summary == (
        "0 of 8 pictures in colour, 8 failed: 0.png, 1.png, 2.png, 3.png, 4.png and 3 more"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_on_a_full_disk_no_part_of_a_result_is_left(
    save: Save, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a.png", "b.png")
    save_image = Image.Image.save

    def save_half(image: Image.Image, path: Path, *args: Any, **more: Any) -> None:
        save_image(image, path, *args, **more)
        if path.name.startswith(".a."):
            save_image(image, Path("/dev/full"), *args, **more)

    monkeypatch.setattr(Image.Image, "save", save_half)
    first, second = colorize_photos(["a.png", "b.png"], "out", options=options)
    assert str(first.error) == (
        "out/a.color.png cannot be written (No space left on device); the disk is full: make room"
    )
    assert second.error is None
    assert files("out") == {"b.color.png"}


def test_what_no_picture_can_do_without_stops_them_all(
    save: Save, options: ColorOptions, tmp_path: Path
) -> None:
    pictures = save("a.png", "b.png")
    with pytest.raises(WeightsError, match="no weights 'sepia'"):
        colorize_photos(pictures, "out", options=ColorOptions(weights="sepia"))
    for output, expected in (
        ("a.png", r"a\.png is a file, and many pictures go into a folder; name another"),
        ("new.jpg", r"new\.jpg looks like a picture, and many pictures go into a folder; name"),
        ("a.png/out", r"a\.png/out cannot be made \(Not a directory\); choose another folder"),
    ):
        with pytest.raises(OutputError, match=expected):
            colorize_photos(pictures, output, options=options)
    with pytest.raises(SettingsError, match="jobs 0 must be 1 to 64"):
        colorize_photos(pictures, "out", options=options, jobs=0)
    assert files(tmp_path) == {"a.png", "b.png"}
    assert not Path("out").exists()


def test_a_single_picture_goes_where_its_name_says(typed: Type, save: Save) -> None:
    save("a.png")
    assert typed("a.png", "-o", "b.jpg") == (0, "b.jpg\n", "")
    assert typed("a.png", "-o", "new/deep") == (0, "new/deep/a.color.png\n", "")
    code, out, err = typed("gone.png", "-o", "other")
    assert (code, out) == (1, "")
    assert err == "filmcolor: gone.png: no such file; check the spelling and the folder\n"
    assert not Path("other").exists()
    code, _, err = typed("a.png", "-o", "new.gif")
    assert (code, err) == (
        1,
        "filmcolor: new.gif: name the result .jpeg, .jpg, .png, .tif, .tiff\n",
    )


# ---------------------------------------------------------------- processes, interrupts


def color_and_die(task: PhotoTask, *rest: Any) -> PhotoOutcome:
    """Colour a picture; at `fatal`, write half of it and kill this process."""
    if task.picture.stem == "fatal":
        partial_path(task.output).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return color(task, *rest)


color = PhotoTask.color


def work_and_die(pipe: Connection, settings: Any, num_workers: int) -> None:
    """A worker that `color_and_die` kills."""
    PhotoTask.color = color_and_die  # type: ignore[method-assign]
    workers.work(pipe, settings, num_workers)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_pictures_side_by_side_are_as_one_by_one_though_a_process_dies(
    save: Save, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = save("in/x.png", "in/y.jpg", "in/1910/z.tif")
    expected = color_one_by_one(pictures, options)
    save("in/fatal.png")
    Path("in/1910/broken.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(workers, "work", work_and_die)

    outcomes = colorize_photos(["in"], "out", options=options, jobs=2)

    errors = {outcome.picture.name: str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors == {
        "broken.jpg": "in/1910/broken.jpg is not a picture; give a JPEG, PNG or TIFF",
        "fatal.png": "its process died (signal 9): out of memory? try --jobs 1",
    }
    assert contents("out") == expected


def test_an_interrupt_in_this_process_leaves_whole_results(
    typed: Type, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a.png", "b.png", "c.png")
    save_image, saved = Image.Image.save, []

    def stop_within_the_second(image: Image.Image, *args: Any, **more: Any) -> None:
        save_image(image, *args, **more)
        saved.append(args)
        if len(saved) == 2:
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it may have been ignored
    monkeypatch.setattr(Image.Image, "save", stop_within_the_second)
    try:
        code, out, err = typed("?.png", "-o", "out")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, out) == (130, "out/a.color.png\n")
    assert err == (
        "filmcolor: interrupted; 1 of 3 pictures in colour; "
        "the same command with --skip-existing goes on\n"
    )
    assert files("out") == {"a.color.png"}


def test_progress_is_of_pictures(typed: Type, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    save(*(f"in/{n}.png" for n in range(4)))
    seconds = iter(range(0, 1000, 6))
    monkeypatch.setattr("filmcolor.cli.progress._clock", lambda: float(next(seconds)))
    err = typed("in", "-o", "out")[2]
    assert err == ("in: 3 of 4 pictures, 0.2 pictures/s, 0:06 left\n4 of 4 pictures in colour\n")
