"""Safe file output: overwrite checks, new folders, and files that appear whole or not at all."""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filmcolor.errors import OutputError, StorageError
from filmcolor.runtime.platform import sync_folder

# of a disk or a network drive that fails, and may work again
DEVICE_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ENODEV", "ENXIO", "EHOSTDOWN", "ENOTCONN", "ESTALE", "ETIMEDOUT")
    if hasattr(errno, name)  # not all systems have all
)
MAX_NAME = 255  # bytes, on nearly all file systems
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]")  # no drive of Windows, "C:\\"


def media_url(path: Path) -> str:
    """Return a path as FFmpeg's URL of a file.

    FFmpeg takes the beginning of a bare name up to a colon for a protocol: "pipe:", "http:", or
    the first word of "Nosferatu: A Symphony of Horror".
    """
    return f"file:{path}"


def is_address(path: str | Path) -> bool:
    """Return whether a name that is no file looks like a URL: "http://host/film.mp4"."""
    return _ADDRESS.match(str(path)) is not None and not Path(path).exists()


def check_target(target: Path, source: Path, force: bool) -> None:
    """Raise OutputError when an output would replace its own source, a folder or an old file.

    `force` allows replacing an old file.
    """
    if len(os.fsencode(target.name)) > MAX_NAME:
        raise OutputError(
            f"{target.name} is longer than the {MAX_NAME} bytes that file systems allow; "
            "name the output with -o"
        )
    if target.exists() and target.resolve() == source.resolve():
        raise OutputError(f"{target} is the film itself; name another output")
    if target.is_dir():
        raise OutputError(f"{target} is a folder; name a file in it")
    if target.exists() and not force:
        raise OutputError(f"{target} exists; choose another name or add --force")


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents; raises OutputError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror}); choose another folder"
        ) from error


@contextmanager
def new_folder(folder: Path | None) -> Iterator[None]:
    """Create a folder and its parents; remove those of them that are empty afterwards."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()] if folder else []
    try:
        if folder:
            make_folder(folder)
        yield
    finally:
        for path in missing:
            with suppress(OSError):  # it is not empty
                path.rmdir()


@contextmanager
def atomic_write(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a partial path to write to, and give the finished file its name `path` afterwards.

    When the block fails, the partial file is removed and an older file at `path` stays as it was.
    `durable`: the new file survives a power cut (see `move_into_place`).
    Raises OutputError with a remedy when the file cannot be written; PyTorch reports a full disk as
    RuntimeError.
    """
    partial = partial_path(path)
    try:
        yield partial
        move_into_place(partial, path, durable)
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be written ({reason}); {remedy_for(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return the hidden path beside `path` under which a file is written until it is finished."""
    name = f".{path.name}.partial"
    if len(os.fsencode(name)) > MAX_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.partial"
    return path.with_name(name)


def move_into_place(partial: Path, path: Path, durable: bool = False) -> None:
    """Rename a finished partial file to `path`, replacing an older file; raises OSError.

    `durable`: flush the file before the rename and the folder after it, so that after a power cut
    `path` holds either the whole new file or the whole old one.
    """
    if durable:
        sync(partial)
    partial.replace(path)
    if durable:
        sync_folder(path.parent)


def remedy_for(error: Exception) -> str:
    """Return advice about a file that cannot be written."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "the disk is full: make room"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "check the folder's permissions, or choose another"
    if number == errno.ENOENT:
        return "its folder is gone: put it back, or choose another"
    if number == errno.EINVAL:
        return "its format cannot hold what the film holds: name another output, .mkv takes most"
    if number == errno.EFBIG:
        return "files may not be that large here: raise the limit, or choose another disk"
    return "check the disk it is on"


def unreadable(path: Path, error: OSError, where: str = "") -> StorageError:
    """Return the error of a file on a disk or network drive that fails."""
    return StorageError(
        f"{path} cannot be read{where} ({error.strerror}); check the disk or the network drive, "
        "and try again"
    )


def sync(path: Path) -> None:
    """Flush a file's contents to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
