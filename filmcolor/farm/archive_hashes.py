"""SHA-256 of whole films and outputs, for fixity checks; computed beside the colouring.

One thread with low priority hashes a film and its output once it is verified, when both are likely
to be in the system's cache still. That takes about a second for each GB, where colouring takes
minutes, and nothing waits for it until the run's end. What an interrupted run has not hashed, the
next one does.
"""

import hashlib
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filmcolor.errors import InputError, OutputError
from filmcolor.farm.archive_files import FileFacts, look_again
from filmcolor.farm.archive_records import VERIFIED
from filmcolor.farm.archive_review import film_facts, output_facts
from filmcolor.farm.manifest import Manifest
from filmcolor.runtime.platform import lower_thread_priority
from filmcolor.video.sequence_names import find_sequence

_CHUNK = 1 << 20  # bytes
_NICENESS = 10
_QUIET_SECONDS = 2.0  # before a line says what is still done
_log = logging.getLogger(__name__)


def full_sha256(path: Path, is_stopped: Callable[[], bool] = lambda: False) -> str | None:
    """Return the SHA-256 of a file, in hexadecimal; None when stopped.

    Of an image sequence that of the list that `sha256sum` prints for its images, in their order.
    Raises InputError when it cannot be read.
    """
    try:
        files = find_sequence(path)
        if files is None:
            return _hash_file(path, is_stopped)
        lines = hashlib.sha256()
        for number, name in enumerate(files.names):
            digest = _hash_file(files.path(number), is_stopped)
            if digest is None:
                return None
            lines.update(f"{digest}  {name}\n".encode(errors="surrogateescape"))
        return lines.hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); is it still there?") from error


def _hash_file(path: Path, is_stopped: Callable[[], bool]) -> str | None:
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
            if is_stopped():
                return None
    return digest.hexdigest()


class Hasher:
    """Adds the hashes of verified films to the books, in a thread, until its context ends."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._queue: queue.SimpleQueue[tuple[int, Path] | None] = queue.SimpleQueue()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hashes", daemon=True)
        self._error: OutputError | None = None

    def __enter__(self) -> "Hasher":
        self._thread.start()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None:
            self._is_stopped.set()
        self._queue.put(None)
        try:
            self._thread.join(_QUIET_SECONDS)
            if self._thread.is_alive():
                _log.info(
                    "reading the last films once more for their SHA-256; Ctrl-C leaves it out"
                )
            self._thread.join()
        except KeyboardInterrupt:
            self._is_stopped.set()
            self._thread.join()
            raise
        if self._error is not None and error is None:
            raise self._error

    def add(self, film_id: int, path: Path) -> None:
        """Hash a verified film and its output, soon; those that the books have are left out."""
        self._queue.put((film_id, path))

    def _run(self) -> None:
        lower_thread_priority(_NICENESS)
        try:
            while (item := self._queue.get()) is not None and not self._is_stopped.is_set():
                self._hash(*item)
        except OutputError as error:  # of the books
            self._error = error

    def _hash(self, film_id: int, path: Path) -> None:
        film = self._manifest.film(film_id)
        if film.state != VERIFIED or film.output is None:
            return
        hashes: dict[str, str] = {}
        for column, file, facts in (
            ("sha256", path, film_facts(film)),
            ("output_sha256", self._manifest.folder / film.output, output_facts(film)),
        ):
            if getattr(film, column) is None and facts is not None:
                with suppress(InputError):  # the next look at the folders says that it is gone
                    digest = self._hash_unchanged(file, facts)
                    hashes |= {column: digest} if digest else {}
        if hashes:
            with self._manifest.transaction():
                self._manifest.update("films", film_id, **hashes)
                self._manifest.update_last_attempt(film_id, **hashes)

    def _hash_unchanged(self, path: Path, facts: FileFacts) -> str | None:
        """Return the hash of a file that is still the one in the books, None for another."""
        if look_again(path, facts) != facts:
            return None
        digest = full_sha256(path, self._is_stopped.is_set)
        return digest if look_again(path, facts) == facts else None
