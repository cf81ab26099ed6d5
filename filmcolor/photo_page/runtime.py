"""onnxruntime-web, which runs the network in a browser: three files of its npm package.

The package stays outside of this project. It is fetched when a page is exported, in one version
whose hash is pinned here, and only its build for the processor (WebAssembly) is taken.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from filmcolor.errors import FilmcolorError, InputError, SettingsError, StorageError

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
# SHA-512 of the package's tarball: npm view onnxruntime-web@1.30.0 dist.integrity
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZ"
    "ClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
WASM = "ort-wasm-simd-threaded.wasm"
MODULES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs")
_DIST = "dist"  # the package's folder of builds
_ROOT = "package"  # every npm tarball's only folder


def load_runtime(source: Path | None = None) -> dict[str, bytes]:
    """Return the files of onnxruntime-web by name: MODULES and WASM.

    `source` is the package's tarball, or a folder that holds the unpacked package; None fetches
    the tarball with npm. A tarball must have the pinned hash. A folder is checked by the version
    in its package.json only, so that it may hold a build of your own, with fewer operators.
    Raises SettingsError without npm, StorageError when npm fails, and InputError for another
    package or version.
    """
    if source is None:
        with tempfile.TemporaryDirectory(prefix="filmcolor-") as folder:
            return _read_tarball(_fetch(Path(folder)), StorageError)
    if source.is_dir():
        return _read_folder(source)
    return _read_tarball(source, InputError)


def _fetch(folder: Path) -> Path:
    """Return the tarball that npm writes into a folder."""
    npm = shutil.which("npm")
    name = f"{PACKAGE}@{VERSION}"
    if npm is None:
        raise SettingsError(
            f"npm, which fetches {name}, is not installed; install Node.js (https://nodejs.org), "
            "or name the package with --runtime"
        )
    # a version never changes, so npm's cache is as good as the registry
    words = [npm, "pack", name, "--json", "--prefer-offline", "--ignore-scripts"]
    done = subprocess.run(words, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL)
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode or not tarballs:
        raise StorageError(
            f"npm cannot fetch {name} ({_reason(done.stdout, done.stderr)}); check the network, "
            "or name the package with --runtime"
        )
    return tarballs[0]


def _reason(stdout: bytes, stderr: bytes) -> str:
    """Return why npm failed, in one line."""
    try:
        summary = str(json.loads(stdout)["error"]["summary"])
    except (ValueError, LookupError, TypeError):
        summary = stderr.decode(errors="replace")
    lines = [line for line in map(str.strip, summary.splitlines()) if line]
    return lines[-1] if lines else "no reason given"


def _read_tarball(path: Path, error_type: type[FilmcolorError]) -> dict[str, bytes]:
    """Return the files of a tarball with the pinned hash; another raises `error_type`."""
    remedy = f"give the tarball that `npm pack {PACKAGE}@{VERSION}` writes"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
            integrity = f"sha512-{base64.b64encode(digest).decode()}"
            if integrity != INTEGRITY:
                raise error_type(
                    f"{path.name} is not {PACKAGE} {VERSION} (its hash is {integrity[:19]}…, not "
                    f"{INTEGRITY[:19]}…); {remedy}"
                )
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                return {name: _extract(archive, name, path) for name in (*MODULES, WASM)}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error


def _extract(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    try:
        member = archive.extractfile(f"{_ROOT}/{_DIST}/{name}")
    except KeyError:
        member = None
    if member is None:
        raise InputError(f"{path} holds no {_ROOT}/{_DIST}/{name}; it is damaged, fetch it again")
    return member.read()


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of an unpacked package."""
    remedy = f"name the folder of {PACKAGE} {VERSION} that holds package.json"
    try:
        package = json.loads((folder / "package.json").read_bytes())
        name, version = package["name"], package["version"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder} is no unpacked npm package; {remedy}") from error
    if (name, version) != (PACKAGE, VERSION):
        raise InputError(
            f"{folder} holds {name} {version}, and the page needs {PACKAGE} {VERSION}; {remedy}"
        )
    files = {}
    for file in (*MODULES, WASM):
        path = folder / _DIST / file
        try:
            files[file] = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    return files
