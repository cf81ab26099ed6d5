"""Writes the page's folder, so that a server serves the old page or the new one."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filmcolor.errors import OutputError
from filmcolor.files import make_folder, partial_path, remedy_for
from filmcolor.photo_page.contents import (
    LIST,
    WORKER,
    PageContents,
    compressed_size,
    page_contents,
)

_INDEX = "index.html"
_PARTIAL = partial_path(Path("page")).name  # of a page that is being written into a folder
# of a repository that a page is published from: these stay, and need no --force
_REPOSITORY = frozenset(
    {
        ".DS_Store",
        ".git",
        ".gitattributes",
        ".github",
        ".gitignore",
        ".nojekyll",
        "CNAME",
        "LICENSE",
        "README.md",
    }
)


@dataclass(frozen=True, slots=True)
class PageReport:
    """What `export_page` wrote: sizes in bytes, and the version that visitors get."""

    folder: Path
    num_files: int
    num_bytes: int
    first_load_bytes: int  # of a first visit, from a server that compresses text with gzip
    network_bytes: int  # of them, those of the network
    version: str


def export_page(
    folder: str | Path,
    *,
    weights: str = "film",
    runtime: str | Path | None = None,
    force: bool = False,
) -> PageReport:
    """Write a page that colours photographs in the browser, and return what was written.

    `folder` is served by any web server; the page needs nothing else of it. `weights` are shipped
    weights or a .safetensors file, of the film network. `runtime` is onnxruntime-web's npm package,
    as a tarball or unpacked; None fetches it with npm. `force` replaces a page that an earlier call
    wrote; other files of the folder stay.
    Raises OutputError for a folder that holds other things, and the errors of `page_contents`.
    """
    folder = Path(folder)
    with _named_errors(folder):
        old_names = _check_folder(folder, force)
    contents = page_contents(weights, None if runtime is None else Path(runtime))
    with _named_errors(folder):
        if folder.exists():
            _update(folder, contents.files, old_names)
        else:
            _create(folder, contents.files)
    return _report(folder, contents)


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    """Raise OutputError, which names a folder and a remedy, for errors of the system."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{folder} cannot be written ({error.strerror or error}); {remedy_for(error)}"
        ) from error


def _check_folder(folder: Path, force: bool) -> frozenset[str]:
    """Return the files of an earlier page in a folder; raises OutputError for other things."""
    if not folder.exists():
        return frozenset()
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    old_names = _written_files(folder)
    if old_names:
        if not force:
            raise OutputError(
                f"{folder} holds a page already; choose another folder or add --force"
            )
        return old_names
    others = sorted({path.name for path in folder.iterdir()} - _REPOSITORY - {_PARTIAL})
    if others:
        raise OutputError(
            f"{folder} holds other files ({others[0]}); name an empty folder, "
            f"{folder / 'photo'} for example"
        )
    return frozenset()


def _written_files(folder: Path) -> frozenset[str]:
    """Return what an earlier export wrote into a folder: none if that was not this command."""
    try:
        listed: Any = json.loads((folder / LIST).read_bytes())
        names = listed["files"]
        is_page = {"version", "network", "runtime"} <= set(listed) and WORKER in names
    except (OSError, ValueError, LookupError, TypeError):
        return frozenset()
    return frozenset(filter(_is_inside, names)) if is_page else frozenset()


def _is_inside(name: object) -> bool:
    """Return whether a listed name leads to a file in the folder."""
    if not isinstance(name, str) or "\\" in name or ":" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _create(folder: Path, files: dict[str, bytes]) -> None:
    """Write a new folder beside its place, and move it there."""
    make_folder(folder.parent)
    partial = partial_path(folder)
    shutil.rmtree(partial, ignore_errors=True)  # of a call that was killed
    try:
        _write(partial, files)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _update(folder: Path, files: dict[str, bytes], old_names: frozenset[str]) -> None:
    """Write files into a folder that exists: each whole, and those that name others last."""
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(partial, files)
        if not old_names:  # from now on the folder is known for a page, also if this call is killed
            (partial / LIST).replace(folder / LIST)
        for name in sorted(files, key=_rank):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _holds(target, files[name]):
                (partial / name).replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for name in old_names - files.keys():
        path = folder / name
        path.unlink(missing_ok=True)
        if path.parent != folder:
            with suppress(OSError):  # it is not empty
                path.parent.rmdir()


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file is as it should be: it keeps its time, by which servers compare."""
    return path.is_file() and path.read_bytes() == content


def _rank(name: str) -> tuple[int, str]:
    """Sort the service worker last: it names the hashes of all files, which must be there."""
    last = (_INDEX, LIST, WORKER)
    return (last.index(name) + 1 if name in last else 0, name)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _report(folder: Path, contents: PageContents) -> PageReport:
    files = contents.files
    return PageReport(
        folder=folder,
        num_files=len(files),
        num_bytes=sum(map(len, files.values())),
        first_load_bytes=sum(compressed_size(name, content) for name, content in files.items()),
        network_bytes=len(files[contents.network]),
        version=contents.version,
    )
