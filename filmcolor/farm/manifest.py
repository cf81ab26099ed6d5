"""The books of an archive: an SQLite file in the output folder, with a row for each film.

    OUT/
        filmcolor-archive.sqlite    the books
        filmcolor-archive.lock      held by the run that writes them
        1910/fire.color.mp4         an output, at the place that its film has in the source folder

`films` holds what is true now, `attempts` all that was done to a film, `runs` the calls of the
command, `settings` the options and versions that outputs were made with, once each.

The journal mode is DELETE, SQLite's oldest: WAL needs memory that all readers share, which network
drives do not have, and the books are written a few times for each film only. Each change is on the
disk before the run goes on (`synchronous=EXTRA`), so a power cut leaves the books before it or
after it. Names that are no UTF-8 are BLOBs of their bytes.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from filmcolor.errors import InputError, OutputError
from filmcolor.farm.archive_records import FORMAT, SCHEMA, FilmRecord, Source

_LOCK_SECONDS = 1.0
MANIFEST, LOCK = "filmcolor-archive.sqlite", "filmcolor-archive.lock"
_APPLICATION_ID = 0x46434152  # "FCAR", for the program `file`
_PATIENCE_SECONDS = 30.0  # for another process to finish its change

_FILM_COLUMNS = ", ".join(field.name for field in fields(FilmRecord))


def now() -> str:
    """Return the time in UTC, by ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Manifest:
    """The open books of an archive; its methods may be called from several threads.

    Every method raises OutputError, with a remedy, when the file cannot be read or written.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        """Take an open connection; see `write` and `read`."""
        self.folder = folder
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._depth = 0  # of transactions

    @classmethod
    @contextmanager
    def write(cls, folder: Path) -> Iterator["Manifest"]:
        """Open the books of a folder for the one run that may write them; make them if missing.

        Raises OutputError while another run holds them.
        """
        with _locked(folder):
            with _translated(folder):
                manifest = cls(folder, _connect(folder / MANIFEST, "rwc"))
            try:
                with _translated(folder):
                    manifest._prepare()
                yield manifest
            finally:
                manifest._connection.close()

    @classmethod
    @contextmanager
    def read(cls, folder: Path) -> Iterator["Manifest"]:
        """Open the books of a folder to read them, also while a run writes them.

        Raises InputError where there are none.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(
                f"{folder} holds no archive ({MANIFEST}); name the folder that was given to "
                "`filmcolor archive` with -o"
            )
        with _translated(folder):
            try:
                connection = _connect(path, "rw")  # a journal that a power cut left is rolled back
            except sqlite3.OperationalError:
                connection = _connect(path, "ro")
            manifest = cls(folder, connection)
        try:
            with _translated(folder):
                manifest._check_format()
            yield manifest
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block one: on the disk at its end, or none of them."""
        with self._lock, _translated(self.folder):
            is_outer = self._depth == 0
            self._depth += 1
            try:
                if is_outer:
                    self._connection.execute("BEGIN IMMEDIATE")
                yield
                if is_outer:
                    self._connection.execute("COMMIT")
            except BaseException:
                if is_outer and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    # ------------------------------------------------------------ rows

    def sources(self) -> list[Source]:
        """Return the folders of films, in the order in which they were added."""
        return [
            Source(
                row["id"],
                Path(_text(row["path"])),
                _text(row["subfolder"]),
                row["looked_at"],
                json.loads(row["left_out"]),
            )
            for row in self._select("SELECT * FROM sources ORDER BY id")
        ]

    def films(self) -> list[FilmRecord]:
        """Return all films, by source and path."""
        rows = self._select(f"SELECT {_FILM_COLUMNS} FROM films ORDER BY source_id, path")
        return [_film(row) for row in rows]

    def film(self, film_id: int) -> FilmRecord:
        """Return a film."""
        rows = self._select(f"SELECT {_FILM_COLUMNS} FROM films WHERE id = ?", film_id)
        return _film(rows[0])

    def settings(self) -> dict[int, dict[str, Any]]:
        """Return the settings of all runs, by their numbers."""
        rows = self._select("SELECT * FROM settings")
        return {row["id"]: json.loads(row["content"]) for row in rows}

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, the latest one last."""
        rows = [dict(row) for row in self._select("SELECT * FROM runs ORDER BY id")]
        return [row | {"machine": json.loads(row["machine"])} for row in rows]

    def attempts(self) -> list[dict[str, Any]]:
        """Return everything that was done to films, in order."""
        rows = self._select("SELECT * FROM attempts ORDER BY id")
        return [{name: _text(value) for name, value in dict(row).items()} for row in rows]

    def insert(self, table: str, **values: Any) -> int:
        """Add a row; return its number."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self.transaction():
            cursor = self._connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({marks})",
                tuple(map(_column, values.values())),
            )
        return cursor.lastrowid or 0

    def update(self, table: str, row_id: int, **values: Any) -> None:
        """Change values of a row."""
        changes = ", ".join(f"{name} = ?" for name in values)
        with self.transaction():
            self._connection.execute(
                f"UPDATE {table} SET {changes} WHERE id = ?",
                (*map(_column, values.values()), row_id),
            )

    def update_last_attempt(self, film_id: int, **values: Any) -> None:
        """Change values of the last attempt at a film, if there was one."""
        for row in self._select("SELECT max(id) AS id FROM attempts WHERE film_id = ?", film_id):
            if row["id"] is not None:
                self.update("attempts", row["id"], **values)

    def settings_id(self, content: Mapping[str, Any]) -> int:
        """Return the number of settings, which are added when they are new."""
        text = json.dumps(content, default=str, sort_keys=True)
        with self.transaction():
            for row in self._select("SELECT id FROM settings WHERE content = ?", text):
                return int(row["id"])
            return self.insert("settings", content=text)

    def _select(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, _translated(self.folder):
            return self._connection.execute(statement, values).fetchall()

    # ------------------------------------------------------------ the file

    def _prepare(self) -> None:
        """Set how the file is written, and make its tables if it is new."""
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("PRAGMA synchronous = EXTRA")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._connection.executescript(
                f"BEGIN; {SCHEMA}; PRAGMA application_id = {_APPLICATION_ID}; "
                f"PRAGMA user_version = {FORMAT}; COMMIT;"
            )
        self._check_format()

    def _check_format(self) -> None:
        number = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if number != FORMAT:
            raise OutputError(
                f"{self.folder / MANIFEST} has format {number}, this version of filmcolor reads "
                f"{FORMAT}; use the version that wrote it"
            )


def is_being_written(folder: Path) -> bool:
    """Return whether an archive run holds the books of a folder now."""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, blocking=False):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # a folder that only others may write to, or no locks
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=_LOCK_SECONDS)  # `status` holds it for a moment
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another archive run is writing {folder}; `filmcolor archive status` shows how far "
            "it is; wait for it, or choose another folder"
        ) from None
    except NotImplementedError:  # some network drives have no locks
        pass
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); check the folder's permissions"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file; mode "rwc" makes it, "rw" and "ro" do not."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_PATIENCE_SECONDS,
        isolation_level=None,  # transactions are begun and ended by `transaction`
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Raise OutputError for errors of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        remedy = "check the disk that it is on, and the folder's permissions"
        if "malformed" in reason or "not a database" in reason:
            remedy = (
                "it is broken: put back a copy, or move it away, and the films are checked anew"
            )
        elif "locked" in reason:
            remedy = "another program holds it: close that"
        elif "full" in reason:
            remedy = "the disk is full: make room"
        raise OutputError(f"{folder / MANIFEST}: {reason}; {remedy}") from error


def _film(row: sqlite3.Row) -> FilmRecord:
    values = {name: _text(value) for name, value in dict(row).items()}
    for name in ("notes", "damage"):
        values[name] = tuple(json.loads(values[name]))
    return FilmRecord(**values)


def _column(value: Any) -> Any:
    """Return a value as SQLite stores it: lists as JSON, names that are no UTF-8 as bytes."""
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
        return os.fsencode(value)
    if isinstance(value, tuple | list | dict):
        return json.dumps(value)
    return value


def _text(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, bytes) else value
