"""Films, pieces and outputs in S3, on a server that fails."""

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import media
import pytest
import runs
import s3fs
from s3_server import KINDS, S3Server, random_faults

from filmcolor.cli.main import main
from filmcolor.errors import (
    FilmcolorError,
    InputError,
    OutputError,
    PlanError,
    StorageError,
    VerifyError,
)
from filmcolor.farm import s3_store, storage
from filmcolor.farm.s3_store import Store
from filmcolor.farm.work import color_piece, join_film, plan_film
from filmcolor.pipeline import join
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import RunSettings
from filmcolor.segments import segment
from filmcolor.video import partial_films
from filmcolor.video.demux import open_film, read_packets

FILM, WORK, OUTPUT = "s3://archive/films/fire.mp4", "s3://archive/work/fire", "s3://archive/out.mkv"
SECRET = "0123456789-secret"
NUM_PIECES, NUM_FRAMES = 2, 16


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with an empty bucket, `archive`, and clients that try again soon."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # the waits between botocore's own tries are long
    monkeypatch.setattr(s3_store, "WAITS", (0.01,) * 7)
    monkeypatch.setattr(partial_films, "BLOCK_BYTES", 1 << 12)
    s3fs.S3FileSystem.clear_instance_cache()
    running.clear()
    files = Store()._files
    files.mkdir("archive")
    running.clear()
    yield running
    running.clear()
    files.rm("archive", recursive=True)


@pytest.fixture
def film(make_film: Callable[..., Path]) -> Path:
    return make_film("fire.mp4", lumas=media.shoot(NUM_FRAMES), sounds=[media.Sound()])


@pytest.fixture
def settings(options: ColorOptions, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(NUM_FRAMES // NUM_PIECES, 24))
    return RunSettings(options, runs.LOSSLESS)


@pytest.fixture
def wanted(film: Path, settings: RunSettings, tmp_path: Path) -> list[Any]:
    """What a run on this machine makes of the film."""
    output = tmp_path / "wanted.mkv"
    colorize(film, output, options=settings.options, encoding=settings.encoding)
    return everything(output)


@pytest.fixture
def type_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command of filmcolor in this process; return its exit code and what it prints."""

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["filmcolor", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), "".join(capfd.readouterr()).strip()

    return run


def everything(path: Path) -> list[Any]:
    with open_film(path) as opened:
        streams = list(opened.streams)
        return [
            (p.stream_index, p.pts, p.dts, p.duration, bytes(p))
            for p in read_packets(opened, streams)
        ]


def plan(settings: RunSettings) -> None:
    plan_film(FILM, OUTPUT, work=WORK, options=settings.options, encoding=settings.encoding)


def put(path: Path, address: str = FILM) -> None:
    Store().upload(path, address)


def get(address: str, path: Path) -> Path:
    Store()._files.get_file(address, str(path))
    return path


def names() -> set[str]:
    return set(Store().names(WORK))


# ---------------------------------------------------------------- plan, pieces, join


def test_a_film_in_s3_comes_out_like_one_here(
    server: S3Server,
    film: Path,
    wanted: list[Any],
    tmp_path: Path,
    type_command: Callable[..., tuple[int, str, str]],
    type_words: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(film)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    words = "plan", FILM, "-o", OUTPUT, "--work", WORK, "--codec", "ffv1", "--json"
    code, out, errors = type_command(*words)
    assert code == 0, errors
    planned = json.loads(out)
    assert (planned["num_pieces"], planned["num_frames"]) == (NUM_PIECES, NUM_FRAMES)
    commands = Store()._files.cat_file(f"{WORK}/commands.txt").decode().splitlines()
    assert commands == [f"filmcolor piece {WORK} {n}" for n in range(NUM_PIECES)]
    server.clear()
    assert "are missing: 0 to 1;" in type_words("join", WORK)[1]
    for line in reversed(commands):
        assert type_words(*line.split()[1:])[0] == 0
    assert "is done already" in type_words("piece", WORK, "1")[1]
    uploads = [r.name for r in server.requests if r.method == "PUT"]
    assert len(uploads) == len(set(uploads)) == 4 * NUM_PIECES  # objects and marks, once each
    sizes = Store().names(WORK)
    for name in (n for n in sizes if n.endswith(".nut")):
        assert Store().read_json(f"{WORK}/{name}.done")["size"] == sizes[name]
    code, message = type_words("join", WORK)
    assert code == 0
    assert message.startswith(f"{NUM_FRAMES} frames → {OUTPUT}")
    assert sorted(tmp_path.iterdir()) == before
    assert everything(get(OUTPUT, tmp_path / "out.mkv")) == wanted
    assert names() == {"joined.json", "joined.json.done"}
    joined = join_film(WORK)
    assert joined["output"] == OUTPUT
    assert joined["size"] == Path(tmp_path, "out.mkv").stat().st_size
    assert not color_piece(WORK, 0)


def test_a_run_on_a_failing_server_ends_right(
    server: S3Server,
    film: Path,
    settings: RunSettings,
    wanted: list[Any],
    tmp_path: Path,
) -> None:
    put(film)
    server.fault = random_faults(2, 0.15, ("500", "503", "cut", "short"))
    plan(settings)
    for number in range(NUM_PIECES):
        color_piece(WORK, number)
    join_film(WORK)
    assert set(server.faults) == {"500", "503", "cut", "short"}
    server.fault = lambda request: None
    assert everything(get(OUTPUT, tmp_path / "out.mkv")) == wanted


def test_answers_that_do_not_come_are_asked_for_again(
    server: S3Server, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(film)
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.7)
    s3fs.S3FileSystem.clear_instance_cache()
    server.fault = lambda r: "hang" if r.range and not r.num_before and r.range[6] == "4" else None
    with storage.film_at(FILM) as path:
        assert everything(path) == everything(film)
    assert server.faults["hang"]


def test_what_stays_out_of_reach_is_named(
    server: S3Server,
    film: Path,
    settings: RunSettings,
    type_words: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(film)
    plan(settings)
    before = names()
    monkeypatch.setattr(s3_store, "WAITS", (0.01,))
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.7)
    s3fs.S3FileSystem.clear_instance_cache()
    middle = film.stat().st_size // 2 // partial_films.BLOCK_BYTES * partial_films.BLOCK_BYTES
    for kind in KINDS:
        start = f"bytes={middle}-"
        server.fault = lambda r, kind=kind, start=start: kind if start in r.range else None
        code, message = type_words("piece", WORK, "1", "-q")
        assert code == 75
        words = rf"filmcolor: {FILM}, bytes {middle} to \d+: .*; try again( later)?"
        assert re.fullmatch(words, message)
        assert SECRET not in message
        assert server.url not in message
    server.fault = lambda request: None
    assert names() == before


def test_a_plan_is_worth_another_try_while_the_storage_is_out_of_reach(
    server: S3Server,
    film: Path,
    type_words: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(film)
    monkeypatch.setattr(s3_store, "WAITS", (0.01,))
    words = "plan", FILM, "-o", OUTPUT, "--work", WORK, "--codec", "ffv1"
    for name in ("films/fire.mp4", "work/fire"):
        server.fault = lambda r, name=name: "503" if name in r.path.replace("%2F", "/") else None
        code, message = type_words(*words)
        assert (code, f"filmcolor: s3://archive/{name}" in message) == (75, True), message
        assert "try again later" in message
    server.fault = lambda request: None
    assert type_words(*words)[0] == 0
    code, message = type_words(*words[:3], "s3://archive/films/fire.mp4", *words[4:])
    assert (code, "exists; choose another name" in message) == (1, True)


# ---------------------------------------------------------------- work folders


@pytest.fixture
def planned(server: S3Server, film: Path, settings: RunSettings) -> S3Server:
    """The server, with a planned film."""
    put(film)
    plan(settings)
    server.clear()
    return server


def test_two_machines_may_colour_one_piece(
    planned: S3Server, film: Path, wanted: list[Any], tmp_path: Path
) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(NUM_PIECES):
                color_piece(WORK, number)
        except BaseException as error:  # for the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    join_film(WORK)
    assert everything(get(OUTPUT, tmp_path / "out.mkv")) == wanted


def test_a_piece_is_done_when_all_of_it_is_there(planned: S3Server) -> None:
    planned.fault = lambda r: "500" if r.method == "PUT" and ".json.done" in r.name else None
    with pytest.raises(StorageError, match=r"000001\.json\.done: .*InternalError"):
        color_piece(WORK, 1)
    planned.clear()
    assert {"000001.nut", "000001.nut.done", "000001.json"} <= names()
    assert "000001.json.done" not in names()
    with pytest.raises(PlanError, match=r"are missing: 0 to 1"):
        join_film(WORK)
    assert color_piece(WORK, 1)
    with pytest.raises(PlanError, match=r"are missing: 0;"):
        join_film(WORK)


def test_a_broken_piece_is_made_again(planned: S3Server, wanted: list[Any], tmp_path: Path) -> None:
    for number in range(NUM_PIECES):
        color_piece(WORK, number)
    break_object(f"{WORK}/000001.nut", "bytes")
    with pytest.raises(StorageError, match=r"000001\.nut.* have it made again"):
        join_film(WORK)
    with pytest.raises(PlanError, match=r"are missing: 1;"):
        join_film(WORK)
    assert color_piece(WORK, 1)
    join_film(WORK)
    assert everything(get(OUTPUT, tmp_path / "out.mkv")) == wanted


@pytest.mark.parametrize("change", ["bytes", "size", "mark"])
def test_what_differs_from_its_mark_counts_as_missing(server: S3Server, change: str) -> None:
    names = "000000.nut", "000000.json", "000001.json"
    with (
        storage.open_work(WORK, create=True) as here,
        storage.open_work(WORK, create=True) as there,
    ):
        for name in names:
            Path(here.folder, name).write_bytes(bytes(99))
            here.publish(name)
        break_object(f"{WORK}/000000.nut", change)
        with pytest.raises(StorageError, match=r"000000\.nut.* have it made again"):
            there.fetch("000000.nut")
        assert there.published() == {"000001.json"}
        assert not Path(there.folder, "000000.nut").exists()


def break_object(address: str, change: str) -> None:
    store = Store()
    data = bytearray(store._files.cat_file(address))
    data[len(data) // 2] ^= 1
    if change == "mark":
        store.write_json(f"{address}.done", {"size": "?"})
    else:
        store._files.pipe_file(address, bytes(data if change == "bytes" else data[:-9]))


def test_files_are_published_whole_and_once(server: S3Server, tmp_path: Path) -> None:
    with (
        storage.open_work(WORK, create=True) as one,
        storage.open_work(f"{WORK}/", create=True) as two,
    ):
        for number, name in enumerate(["000000.nut", "000000.json"]):
            Path(one.folder, name).write_bytes(bytes(99) + bytes([number]))
        assert one.published() == set()
        one.publish("000000.nut", "000000.json")
        server.clear()
        one.publish("000000.nut", "000000.json")
        assert {r.method for r in server.requests} <= {"GET", "HEAD"}
        assert two.published() == {"000000.nut", "000000.json"}
        two.fetch("000000.nut", "000000.json")
        assert Path(two.folder, "000000.json").read_bytes() == bytes(99) + b"\1"
        Path(two.folder, "000000.json").write_bytes(b"{}")
        two.publish("000000.nut", "000000.json")
        one.fetch("000000.json")
        assert Path(one.folder, "000000.json").read_bytes() == b"{}"
        with pytest.raises(InputError, match=r"000009\.nut is gone"):
            one.fetch("000009.nut")
        one.unpublish("000000.nut")
        assert Path(one.folder, "000000.nut").exists()
        one.remove("000000.json", "000007.json")
        assert names() == set()
        folders = [one.folder, two.folder]
    assert not any(folder.exists() for folder in folders)
    with pytest.raises(InputError, match="no such folder; `filmcolor plan` makes it"):
        storage.open_work(WORK).__enter__()


# ---------------------------------------------------------------- films and outputs


def test_an_output_in_the_way_is_found_by_the_plan(
    server: S3Server, film: Path, settings: RunSettings
) -> None:
    put(film)
    put(film, OUTPUT)
    with pytest.raises(OutputError, match=r"out\.mkv exists; choose another name or add --force"):
        plan(settings)
    with pytest.raises(OutputError, match="image sequences are written to folders"):
        storage.check_free("s3://archive/out/%06d.png", force=True)
    storage.check_free(OUTPUT, force=True)


def test_a_film_that_cannot_be_verified_is_kept(
    planned: S3Server, wanted: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise VerifyError("frame 3 differs")

    for number in range(NUM_PIECES):
        color_piece(WORK, number)
    monkeypatch.setattr(join, "verify_output", fail)
    kept = "s3://archive/out.unverified.mkv"
    with pytest.raises(VerifyError, match=f"frame 3 differs; the coloured film is kept as {kept}"):
        join_film(WORK)
    assert everything(get(kept, tmp_path / "out.mkv")) == wanted
    assert not Store().exists(OUTPUT)


def test_a_film_that_is_replaced_is_noticed(
    planned: S3Server, film: Path, make_film: Callable[..., Path]
) -> None:
    other = make_film("other.mp4", lumas=media.shoot(NUM_FRAMES, seed=5), sounds=[media.Sound()])
    with (
        pytest.raises(InputError, match=rf"{FILM}.*was replaced while it was read; plan it again"),
        storage.film_at(FILM) as path,
    ):
        put(other)
        everything(path)
    with pytest.raises(PlanError, match="is not the film"):
        color_piece(WORK, 0)
    put(film)
    assert color_piece(WORK, 0)


def test_large_files_go_in_parts(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 << 20)  # the least that S3 takes
    path = tmp_path / "out.mkv"
    path.write_bytes(os.urandom(11 << 20))
    server.fault = lambda r: "503" if "partNumber=2" in r.path and not server.faults else None
    folder = path.parent / "finished"
    folder.mkdir()
    path = path.rename(folder / path.name)
    storage.deliver_folder(folder, OUTPUT)
    assert server.faults["503"] == 1
    assert Store()._files.cat_file(OUTPUT) == path.read_bytes()
    with pytest.raises(OutputError, match="exists; choose another name or add --force"):
        storage.check_free(OUTPUT, force=False)
    storage.check_free(OUTPUT, force=True)
    path.write_bytes(b"short")
    storage.deliver_folder(folder, OUTPUT)
    assert Store()._files.cat_file(OUTPUT) == b"short"
    puts = [h for r, h in zip(server.requests, server.headers) if r.method == "PUT"]
    assert all(len(h["HTTP_X_AMZ_CONTENT_SHA256"]) == 64 for h in puts)  # the server compares it


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://archive/films/none.mp4", "none.mp4: no such object; check the spelling"),
        ("s3://nobody/films/fire.mp4", "no such object; check the spelling and the bucket"),
        ("s3://archive/films", "is a folder; name one film in it"),
        ("s3://archive/films/empty.mp4", "is empty; is it complete"),
        ("s3://archive/frames/0001.png", "image sequences are read from folders: copy it to one"),
        ("s3://archive/frames/%04d.tif", "image sequences are read from folders: copy it to one"),
        ("s3://archive", "is a folder; name one film in it"),
        ("gs://archive/fire.mp4", "from folders and s3:// only"),
    ],
)
def test_what_is_no_film_is_named(server: S3Server, film: Path, address: str, message: str) -> None:
    put(film)
    Store()._files.pipe_file("s3://archive/films/empty.mp4", b"")
    with pytest.raises(InputError, match=message), storage.film_at(address):
        pass


def test_keys_that_are_refused_are_not_shown(
    server: S3Server, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(OutputError, match=r"access is denied.*check the credentials") as error:
        put(film)
    assert "example AWS_PROFILE" in str(error.value)


def test_s3_needs_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named 's3fs' ({name})", name="s3fs")

    monkeypatch.setattr(storage, "import_module", import_module)
    with pytest.raises(FilmcolorError, match=r"not installed \(s3fs\).*'filmcolor\[s3\]'"):
        storage.film_at(FILM)


# ---------------------------------------------------------------- folders


def test_a_shared_folder_is_used_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"), storage.open_work(tmp_path / "work"):
        pass
    with storage.open_work(tmp_path / "work", create=True) as work:
        assert work.folder == tmp_path / "work"
        Path(work.folder, "plan.json").write_text("{}")
        Path(work.folder, "plan.json.1.partial").write_text("{")
        work.publish("plan.json")
        work.fetch("plan.json")
        assert work.published() == {"plan.json"}
        for action in (work.fetch, work.publish):
            with pytest.raises(FilmcolorError, match=r"plan\.npz is gone"):
                action("plan.npz")
        work.unpublish("plan.json")
        assert work.published() == {"plan.json"}
        work.remove("plan.json", "plan.npz")
        assert work.published() == set()
    film = tmp_path / "film.mkv"
    film.write_bytes(b"film")
    with storage.film_at(film) as path:
        assert path == film


def test_a_path_keeps_an_address_apart_from_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert storage.is_remote("s3://a/b")
    assert storage.is_remote(Path("s3://a/b"))  # which has one slash
    assert not storage.is_remote("s3/a/b")
    monkeypatch.chdir(tmp_path)
    Path("s3:", "a").mkdir(parents=True)
    assert not storage.is_remote("s3:/a")
