"""Films that are elsewhere: this machine holds what has been read of them.

The path of such a film is that of an empty file. While the film is registered here, everything that
reads films in this process, FFmpeg too, reads it by that path as if it were whole: missing blocks
are loaded as they are asked for, once each. Whatever reads the path by itself, another process for
example, finds an empty file, never one with holes.

A block that cannot be had must not end the film early: FFmpeg takes many a failed read for the end
of the file. So the first failure stays, every later read fails with it, and `read_packets` raises
it.
"""

import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from filmcolor.errors import StorageError
from filmcolor.files import media_url, remedy_for

BLOCK_BYTES = 4 << 20  # loaded at once: a request for each, and a piece reads about 10 to 100 MB
BUFFER_BYTES = 1 << 18  # that FFmpeg asks Python for at once

Item = TypeVar("Item")


class PartialFilm:
    """A film of `num_bytes` bytes, kept in a temporary file as far as it has been read.

    `load(start, stop)` returns those bytes of the film; it raises a FilmcolorError when they cannot
    be had. Reading is safe from several threads.
    """

    def __init__(self, num_bytes: int, load: Callable[[int, int], bytes]) -> None:
        self.num_bytes = num_bytes
        self._load = load
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115  # without a name: it ends with this process
        self._is_kept = bytearray(-(-num_bytes // BLOCK_BYTES))
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def close(self) -> None:
        """Remove what has been loaded."""
        with self._lock:
            self._kept.close()

    def check(self) -> None:
        """Raise the error of the first read that failed, if one has."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # it grows with each raise

    def checked(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what is made of the film; raises the error of a failed read at once."""
        try:
            for item in items:
                self.check()
                yield item
        except StorageError:
            self.check()  # an interrupt, which FFmpeg cannot pass on
            raise
        self.check()

    @property
    def has_failed(self) -> bool:
        """Whether a part of it could not be had."""
        return self._failure is not None

    def open(self, name: str) -> "FilmFile":
        """Return a file for FFmpeg; it guesses formats by the name."""
        return FilmFile(self, name, ends_with_failure=True)

    def read(self, start: int, num: int) -> bytes:
        """Return `num` bytes from position `start`, fewer at the film's end only."""
        stop = min(start + num, self.num_bytes)
        if stop <= start:
            return b""
        with self._lock:
            self.check()
            try:
                for block in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
                    if not self._is_kept[block]:
                        self._keep(block)
                self._kept.seek(start)
                data = self._kept.read(stop - start)
                if len(data) != stop - start:
                    raise OSError("a temporary file was cut short")
                return data
            except OSError as error:
                reason = error.strerror or error
                self._failure = StorageError(
                    f"{tempfile.gettempdir()}: what is read of the film cannot be kept there "
                    f"({reason}); {remedy_for(error)}, or set TMPDIR to another folder"
                )
                raise self._failure from error
            except Exception as error:
                self._failure = error
                raise
            except BaseException as error:  # an interrupt: PyAV passes only Exceptions on
                self._failure = error
                raise StorageError("reading the film was interrupted; start it again") from error

    def _keep(self, block: int) -> None:
        start = block * BLOCK_BYTES
        stop = min(start + BLOCK_BYTES, self.num_bytes)
        data = self._load(start, stop)
        if len(data) != stop - start:
            raise StorageError(f"{len(data)} bytes of {stop - start} of the film came; try again")
        self._kept.seek(start)
        self._kept.write(data)
        self._kept.flush()
        self._is_kept[block] = True


class FilmFile(io.RawIOBase):
    """An open film that is elsewhere, with a position of its own.

    `ends_with_failure`: raise the error of a failed read once, then read as if the file ended. PyAV
    raises one error only, at the end of a call of FFmpeg's that reads several times; it prints the
    others.
    """

    def __init__(self, film: PartialFilm, name: str, ends_with_failure: bool = False) -> None:
        self.name = name
        self._film = film
        self._position = 0
        self._ends_with_failure = ends_with_failure

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._film.num_bytes}
        position = origin[whence] + offset
        if position < 0:
            raise ValueError("a position before the file")
        self._position = position
        return position

    def read(self, num: int = -1) -> bytes:
        """Return `num` bytes, all that are left if negative."""
        if self._ends_with_failure and self._film.has_failed:
            return b""
        data = self._film.read(self._position, self._film.num_bytes if num < 0 else num)
        self._position += len(data)
        return data

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        """Fill a buffer; return the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_films: dict[str, PartialFilm] = {}  # by absolute path


@contextmanager
def registered(path: Path, film: PartialFilm) -> Iterator[None]:
    """Let everything in this process that opens the file at `path` read a film instead.

    Leaving the context raises the error of a failed read, if there was one, unless another
    FilmcolorError is on its way that is not due to it.
    """
    key = os.fspath(path.absolute())
    _films[key] = film
    try:
        yield
    except Exception:
        film.check()  # what follows from a failed read is not the film's fault
        raise
    finally:
        del _films[key]
        film.close()
    film.check()


def check_reads() -> None:
    """Raise the error of a failed read of any film that is registered now."""
    for film in [*_films.values()]:
        film.check()


def find_partial(path: str | Path) -> PartialFilm | None:
    """Return the film that is registered for a path or FFmpeg's URL of it, None without one."""
    if not _films:
        return None
    return _films.get(os.path.abspath(os.fspath(path).removeprefix("file:")))  # noqa: PTH100


def open_bytes(path: Path) -> BinaryIO:
    """Open a film's file, here or elsewhere, to read its bytes. Raises OSError like open()."""
    film = find_partial(path)
    if film is None:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(FilmFile(film, media_url(path)), BUFFER_BYTES))


def num_bytes(path: Path) -> int:
    """Return the size of a film's file, here or elsewhere. Raises OSError without one."""
    film = find_partial(path)
    return path.stat().st_size if film is None else film.num_bytes
