"""Films of which only what is read is on this machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import media
import pytest

from filmcolor.errors import InputError, StorageError
from filmcolor.segments.journal import identify_source
from filmcolor.video import partial_films
from filmcolor.video.decoder import read_luma
from filmcolor.video.demux import open_film, read_packets
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.matroska import read_details
from filmcolor.video.partial_films import PartialFilm, find_partial, open_bytes, registered
from filmcolor.video.probe import probe
from filmcolor.video.track_header import read_cropped_size

BLOCK = 1 << 12
NAMES = ["film.mp4", "film.mkv", "film.ts", "film.avi"]
CODECS = {".mkv": "libx264", ".mp4": "libx264", ".ts": "libx264", ".avi": "mpeg4"}


@dataclass
class Source:
    """The bytes of a film that is elsewhere. `broken`: the block that raises `error`."""

    data: bytes
    broken: int = -1
    error: BaseException = field(default_factory=lambda: StorageError("block 7 is out of reach"))
    loaded: list[int] = field(default_factory=list)

    def load(self, start: int, stop: int) -> bytes:
        assert start % BLOCK == 0
        self.loaded.append(start // BLOCK)
        if start // BLOCK == self.broken:
            raise self.error
        return self.data[start:stop]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_films, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(partial_films, "BUFFER_BYTES", BLOCK)


@pytest.fixture
def shoot_film(make_film: Callable[..., Path]) -> Callable[[str], Path]:
    """Write a film with sound where its container takes it."""

    def shoot(name: str) -> Path:
        sounds = [] if name.endswith(".avi") else [media.Sound("mp2" if ".ts" in name else "aac")]
        return make_film(
            name, lumas=media.shoot(24), codec=CODECS[Path(name).suffix], sounds=sounds
        )

    return shoot


@contextmanager
def elsewhere(path: Path, source: Source) -> Iterator[Path]:
    """Yield a path in another folder that reads as the film."""
    folder = path.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    empty = folder / path.name
    empty.touch()
    with registered(empty, PartialFilm(len(source.data), source.load)):
        yield empty


def packets(path: Path) -> list[Any]:
    with open_film(path) as film:
        streams = list(film.streams)
        return [
            (p.stream_index, p.pts, p.dts, bytes(p)) for p in read_packets(film, streams) if p.size
        ]


@pytest.mark.parametrize("name", NAMES)
def test_a_film_elsewhere_reads_like_a_film_here(
    shoot_film: Callable[[str], Path], name: str
) -> None:
    path = shoot_film(name)
    source = Source(path.read_bytes())
    with elsewhere(path, source) as empty:
        assert empty.stat().st_size == 0
        there, here = probe(empty), probe(path)
        assert there.path == empty
        assert (there.streams, there.num_bytes) == (here.streams, path.stat().st_size)
        assert packets(empty) == packets(path)
        assert FrameIndex.read(there).pts == FrameIndex.read(here).pts
        assert read_details(there) == read_details(here)
        assert read_cropped_size(there) == read_cropped_size(here)
        assert identify_source(empty) == identify_source(path)
        with open_bytes(empty) as file:
            assert file.read() == source.data
    assert sorted(source.loaded) == list(range(-(-len(source.data) // BLOCK)))  # once each
    assert find_partial(empty) is None


def test_frames_in_the_middle_need_a_part_of_the_film(make_film: Callable[..., Path]) -> None:
    options = {"g": "12", "qp": "4"}
    path = make_film("long.mp4", lumas=media.shoot(480, step=0.5), options=options)
    source = Source(path.read_bytes())
    info = probe(path)
    index = FrameIndex.read(info)
    with elsewhere(path, source) as empty:
        frames = list(read_luma(replace(info, path=empty), 240, 252, index))
        wanted = list(read_luma(info, 240, 252, index))
        assert [frame.luma.tobytes() for frame in frames] == [f.luma.tobytes() for f in wanted]
    assert 0 < len(source.loaded) * BLOCK < 0.4 * len(source.data)


@pytest.mark.parametrize("error", [StorageError("out of reach"), InputError("another film")])
@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_cannot_be_had_never_makes_a_film_shorter(
    shoot_film: Callable[[str], Path], name: str, error: Exception
) -> None:
    path = shoot_film(name)
    data = path.read_bytes()
    for broken in range(-(-len(data) // BLOCK)):
        outcomes = []
        with (
            pytest.raises(type(error), match=str(error)),
            elsewhere(path, Source(data, broken, error)) as empty,
        ):
            with pytest.raises(type(error), match=str(error)):
                outcomes.append(packets(empty))
            with pytest.raises(type(error), match=str(error)):
                identify_source(empty)  # a failure stays
        assert not outcomes


def test_an_interrupt_while_ffmpeg_reads_is_not_lost(shoot_film: Callable[[str], Path]) -> None:
    path = shoot_film("film.mkv")
    data = path.read_bytes()
    for broken in (0, len(data) // BLOCK // 2):
        source = Source(data, broken, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt), elsewhere(path, source) as empty:
            packets(empty)


def test_too_few_bytes_are_an_error(shoot_film: Callable[[str], Path]) -> None:
    path = shoot_film("film.mp4")
    source = Source(path.read_bytes())
    film = PartialFilm(len(source.data), lambda start, stop: source.load(start, stop)[:-1])
    with pytest.raises(StorageError, match="4095 bytes of 4096"):
        film.read(0, 10)
    film.close()


def test_without_room_for_what_is_read_there_is_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = PartialFilm(10, lambda start, stop: bytes(stop - start))
    monkeypatch.setattr(film, "_kept", _FullFile())
    with pytest.raises(StorageError, match="disk is full: make room, or set TMPDIR"):
        film.read(0, 10)


class _FullFile:
    def seek(self, *_: int) -> None: ...
    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")


def test_several_threads_read_one_film(shoot_film: Callable[[str], Path]) -> None:
    path = shoot_film("film.mkv")
    source = Source(path.read_bytes())
    results: list[Any] = []
    with elsewhere(path, source) as empty:
        threads = [threading.Thread(target=lambda: results.append(packets(empty))) for _ in "1234"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 4
    assert all(result == packets(path) for result in results)
    assert len(source.loaded) == len(set(source.loaded))


def test_whoever_cannot_load_finds_an_empty_file(shoot_film: Callable[[str], Path]) -> None:
    path = shoot_film("film.mp4")
    with elsewhere(path, Source(path.read_bytes())) as empty:
        assert empty.read_bytes() == b""
    with pytest.raises(InputError, match="is not a film that can be opened"):
        open_film(empty)
