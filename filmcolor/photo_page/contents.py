"""The files of the page: their bytes, their hashes, and the two that visitors load compressed."""

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.photo_page.network import load_page_net, page_network
from filmcolor.photo_page.parameters import page_parameters
from filmcolor.photo_page.runtime import MODULES, WASM, load_runtime
from filmcolor.version import __version__

SITE = Path(__file__).parent / "site"
LIST = "files.json"  # what the page loads, and every file's name
WORKER = "sw.js"  # the service worker, which holds every other file's hash
NO_JEKYLL = ".nojekyll"  # GitHub Pages serves the files as they are
_VERSIONED = "js/offline.js"  # holds the version of the page it was loaded with
_TEXT = frozenset({".css", ".html", ".js", ".json", ".svg", ".txt", ".webmanifest"})
_HASH_DIGITS = 12  # in names and versions


@dataclass(frozen=True, slots=True)
class PageContents:
    """All files of a page, by their paths with slashes, and the names of the compressed ones."""

    version: str
    files: dict[str, bytes]
    network: str
    runtime: str


def page_contents(weights: str, runtime_source: Path | None = None) -> PageContents:
    """Return the files of a page that colours with some weights.

    `runtime_source`: see `load_runtime`. The same inputs give the same bytes.
    Raises WeightsError for weights that no page can hold.
    """
    net = load_page_net(weights)
    runtime = load_runtime(runtime_source)
    files = _site_files()
    # nginx serves .mjs as application/octet-stream, which no browser runs
    files |= {f"ort/{Path(name).stem}.js": runtime[name] for name in MODULES}
    files["parameters.json"] = _json(page_parameters(net))
    files["licenses/weights.txt"] = _weights_license(weights)
    unpacked = {}
    described = []
    for stem, content in (("network", page_network(weights)), ("runtime", runtime[WASM])):
        packed = pack(content)
        name = f"{stem}-{sha256(packed)[:_HASH_DIGITS]}.bin"
        files[name] = packed
        unpacked[name] = sha256(content)
        described.append(_describe(name, packed, content))
    network, runtime_file = described
    version = f"{__version__}+{_digest(files)}"
    files[_VERSIONED] = _fill_in(files[_VERSIONED], "VERSION", version)
    files[NO_JEKYLL] = b""
    files[LIST] = _json(
        {
            "version": version,
            "network": network,
            "runtime": runtime_file,
            "files": sorted([*files, LIST]),
        }
    )
    shown = {name: sha256(files[name]) for name in sorted(files) if name not in (WORKER, NO_JEKYLL)}
    page = {"version": version, "files": shown, "unpacked": unpacked}
    files[WORKER] = _fill_in(files[WORKER], "PAGE", page)
    return PageContents(version, files, *unpacked)


def pack(content: bytes) -> bytes:
    """Return some bytes as a gzip file, the smaller of two.

    Of short matches, which the low bits of weights have by chance, one of them makes no use: then
    the network is 0.4 MB smaller, and the runtime larger.
    """
    return min((_pack(content, s) for s in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED)), key=len)


def _pack(content: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16, zlib.DEF_MEM_LEVEL, strategy)
    return packer.compress(content) + packer.flush()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def compressed_size(name: str, content: bytes) -> int:
    """Return how many bytes a file has when a server compresses text with gzip."""
    is_text = Path(name).suffix in _TEXT
    return len(gzip.compress(content, mtime=0)) if is_text else len(content)


def _site_files() -> dict[str, bytes]:
    """Return the files that are the same in every page.

    Lines end with LF: a checkout on Windows may have others, and a repository that the page is
    published from changes them.
    """
    files = {}
    for path in sorted(SITE.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            content = path.read_bytes()
            if path.suffix in _TEXT:
                content = content.replace(b"\r\n", b"\n")
            files[path.relative_to(SITE).as_posix()] = content
    return files


def _weights_license(weights: str) -> bytes:
    terms = weights_store.LICENSES.get(weights)
    if terms is None:
        text = (
            f"The weights of this page's network are {Path(weights).name}; ask whoever made this "
            "page for their terms.\n"
        )
    else:
        text = f"The weights of this page's network, {weights} of filmcolor: {terms}.\n"
    return text.encode()


def _describe(name: str, packed: bytes, content: bytes) -> dict[str, str | int]:
    return {
        "url": name,
        "bytes": len(packed),
        "sha256": sha256(packed),
        "unpacked": len(content),  # bytes
    }


def _digest(files: dict[str, bytes]) -> str:
    """Return digits that change whenever a file does."""
    lines = "".join(f"{sha256(content)} {name}\n" for name, content in sorted(files.items()))
    return sha256(lines.encode())[:_HASH_DIGITS]


def _fill_in(script: bytes, constant: str, value: object) -> bytes:
    """Return a script whose line `const NAME = …` has a value."""
    head = f"const {constant} = "
    lines = script.decode().splitlines(keepends=True)
    (index,) = (i for i, line in enumerate(lines) if line.startswith(head))
    lines[index] = f"{head}{json.dumps(value)};\n"
    return "".join(lines).encode()


def _json(value: object) -> bytes:
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()
