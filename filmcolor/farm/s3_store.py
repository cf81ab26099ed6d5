"""Objects in S3 and what is compatible with it: read by range, written whole, tried again.

Addresses, keys and the rest come from the usual environment and files: AWS_ENDPOINT_URL,
AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; settings of s3fs from FSSPEC_S3,
in JSON. No message holds any of them.

botocore tries a request again by itself, AWS_MAX_ATTEMPTS times. What it gives up on, and what it
does not see, such as an answer that is cut short, is tried again here with growing waits.
"""

import errno
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import botocore.exceptions
import s3fs

from filmcolor.errors import FilmcolorError, InputError, OutputError, StorageError

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between tries, each up to a half longer
# HTTP statuses and codes of errors that another try may not meet
_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429})
_TEMPORARY_CODES = frozenset(
    {"BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "XAmzContentSHA256Mismatch"}
)
_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.TokenRetrievalError,
    PermissionError,
)
_ERRORS = (
    *(OSError, ValueError, FilmcolorError),
    *(aiohttp.ClientError, HTTPException),
    *(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError),
)
_TIMEOUTS = (
    TimeoutError,
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ReadTimeoutError,
)

NUM_AT_ONCE = 8  # objects that are fetched or removed
PART_BYTES = 32 << 20  # of an object that is written in parts; each is in memory
_NUM_PARTS_AT_ONCE, _MAX_PARTS = 4, 10_000
_NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

Result = TypeVar("Result")


class MissingError(InputError):
    """There is no object, or no bucket, of that name."""


class ChangedError(InputError):
    """An object is no longer the one that was opened."""


class TruncatedError(OSError):
    """Fewer bytes came than an object has."""


class Store:
    """S3, as the environment describes it. Its methods may be called from several threads.

    Addresses are complete: "s3://bucket/key". Every method raises StorageError when another try may
    succeed later, else MissingError, ChangedError, InputError or OutputError.
    """

    def __init__(self) -> None:
        """Set up a client; nothing is sent yet."""
        # Cloudflare's R2 wants parts of one size
        self._files = s3fs.S3FileSystem(use_listings_cache=False, fixed_upload_size=True)
        self._files.retries = 1  # a failed request is tried again here: see the module

    def info(self, address: str) -> Mapping[str, Any]:
        """Return an object's "size", "ETag" and "type"; a "directory" is a prefix of others."""
        result: Mapping[str, Any] = _try(address, InputError, lambda: self._files.info(address))
        return result

    def exists(self, address: str) -> bool:
        """Return whether there is an object."""
        try:
            return bool(self.info(address)["type"] == "file")
        except MissingError:
            return False

    def names(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects in a folder, by name, none if there is no such folder."""

        def read() -> list[Mapping[str, Any]]:
            try:
                return list(self._files.ls(prefix, detail=True, refresh=True))
            except FileNotFoundError as error:
                if _answer(error)[0] is not None:  # there is no such bucket
                    raise
                return []

        entries = _try(prefix, InputError, read)
        return {e["name"].rpartition("/")[2]: e["size"] for e in entries if e["type"] == "file"}

    def open(self, address: str) -> "RemoteObject":
        """Return an object that is read by range as long as it stays the same."""
        file = _try(address, InputError, lambda: self._files.open(address, "rb", cache_type="none"))
        return RemoteObject(address, file)

    def read_json(self, address: str) -> dict[str, Any]:
        """Return the content of a small object; {} if it is no JSON object."""
        data = _try(address, InputError, lambda: self._files.cat_file(address, max_concurrency=1))
        try:
            content = json.loads(data)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def write_json(self, address: str, content: Mapping[str, Any]) -> None:
        """Write a small object."""
        data = json.dumps(content, indent=1).encode() + b"\n"
        _try(address, OutputError, lambda: self._files.pipe_file(address, data))

    def upload(self, path: Path, address: str) -> None:
        """Write a file as one object, which appears whole or not at all; parts if it is large."""

        def write() -> None:
            self._files.put_file(
                os.fspath(path),
                address,
                chunksize=max(PART_BYTES, -(-path.stat().st_size // _MAX_PARTS)),
                max_concurrency=_NUM_PARTS_AT_ONCE,
            )
            if self._files.info(address)["size"] != path.stat().st_size:
                raise TruncatedError

        _try(address, OutputError, write)

    def download(self, address: str, path: Path, size: int, sha256: str) -> None:
        """Write an object to a file; raises ChangedError when it has not that size and hash.

        That is found only after several tries, so that it is not the way here that breaks it.
        """

        def read() -> None:
            self._files.get_file(address, os.fspath(path))
            if path.stat().st_size < size == self._files.info(address)["size"]:
                raise TruncatedError
            if (path.stat().st_size, file_sha256(path)) != (size, sha256):
                raise ChangedError(f"{address} is not what was written there")

        _try(address, InputError, read)

    def remove(self, addresses: list[str]) -> None:
        """Remove objects, those that exist."""

        def remove(address: str) -> None:  # one by one: not every server can remove several at once
            _try(address, OutputError, lambda: self._files.rm_file(address))

        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            list(pool.map(remove, addresses))  # raises their errors


class RemoteObject:
    """An open object, which is read by range."""

    def __init__(self, address: str, file: Any) -> None:
        self.address = address
        self.size: int = file.size
        self._file = file

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop`; raises ChangedError once the object is another one.

        Not from several threads at once.
        """

        def read() -> bytes:
            self._file.seek(start)
            data: bytes = self._file.read(stop - start)
            if len(data) != stop - start:
                raise TruncatedError
            return data

        return _try(f"{self.address}, bytes {start} to {stop}", InputError, read)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _try(name: str, kind: type[FilmcolorError], action: Callable[[], Result]) -> Result:
    """Return the result of an action on the object `name`, which is tried several times.

    `kind`: of the error that is raised where another try is of no use.
    """
    for wait in (*WAITS, None):
        try:
            return action()
        except _ERRORS as error:
            lasting = _lasting_error(name, kind, error)
            if lasting is not None and (wait is None or not isinstance(error, ChangedError)):
                raise lasting from error
            if wait is None:
                raise StorageError(
                    f"{name}: {_reason(error)}, {len(WAITS) + 1} times; try again later"
                ) from error
            time.sleep(wait * random.uniform(1, 1.5))
    raise AssertionError


def _lasting_error(
    name: str, kind: type[FilmcolorError], error: Exception
) -> FilmcolorError | None:
    """Return the error to raise for one that another try meets again; None for another."""
    if isinstance(error, FilmcolorError):
        return error
    if getattr(error, "errno", None) in _NO_SPACE:
        return StorageError(
            f"{name}: the disk with temporary files is full; make room, or set TMPDIR to another "
            "folder"
        )
    code, status = _answer(error)
    if isinstance(error, s3fs.utils.FileExpired) or status in (412, 416):
        return ChangedError(f"{name}: the object was replaced while it was read; plan it again")
    if code in _TEMPORARY_CODES or status in _TEMPORARY_STATUSES or isinstance(error, _TIMEOUTS):
        return None
    if isinstance(error, FileNotFoundError):
        return MissingError(f"{name}: no such object; check the spelling and the bucket")
    if isinstance(error, _CREDENTIALS) or status in (401, 403):
        return kind(
            f"{name}: access is denied ({code or type(error).__name__}); check the credentials, "
            "for example AWS_PROFILE, and what they allow"
        )
    if isinstance(error, botocore.exceptions.ParamValidationError | ValueError):
        return kind(f"{name} is no address of an object; it has the form s3://bucket/name")
    if status is not None and 300 <= status < 500:
        return kind(f"{name}: refused ({code}, {status}); check the bucket and AWS_REGION")
    return None


def _answer(error: BaseException) -> tuple[str | None, int | None]:
    """Return the code and the HTTP status of S3's refusal; None without an answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, botocore.exceptions.ClientError):
            status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return cause.response.get("Error", {}).get("Code"), status
        cause = cause.__cause__
    return None, None


def _reason(error: Exception) -> str:
    """Return what went wrong, without addresses and keys."""
    code, status = _answer(error)
    if code:
        return f"the server answers {code}" if str(status) == code else f"error {code} ({status})"
    if isinstance(error, (TruncatedError, aiohttp.ClientPayloadError, HTTPException)):
        return "the answer was cut short"
    if isinstance(error, _TIMEOUTS):
        return "the server does not answer in time"
    if isinstance(error, OSError) and error.errno and error.strerror:
        return os.strerror(error.errno)
    return f"the server cannot be reached ({type(error).__name__})"
