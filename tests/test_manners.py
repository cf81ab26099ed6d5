"""A call of the library leaves its host as it was: threads, environment, signals, files.

A script calls the library in a process of its own, so that nothing was changed by an earlier test,
and compares the state of that process before and after each call.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = r'''
import gc, json, locale, logging, os, random, signal, sys, threading, traceback, warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

import filmcolor
from filmcolor import ColorOptions, Encoding, FilmcolorError

for name in filmcolor.__all__:
    getattr(filmcolor, name)  # whatever an import changes is not a call's doing

folder, weights = Path(sys.argv[1]), sys.argv[2]
film, picture, color = folder / "film.mp4", folder / "picture.png", folder / "color.mp4"
options = ColorOptions(weights=weights, size=32, device="cpu")
all_frames = ColorOptions(weights=weights, size=32, device="cpu", smooth="off")
moved_while_open = set()  # files that were renamed, replaced or removed while they were open


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def handlers():
    return {int(number): str(signal.getsignal(number)) for number in signal.valid_signals()}


def state():
    values = {
        "environment": dict(os.environ),
        "OpenCV's threads": cv2.getNumThreads(),
        "PyTorch's threads": torch.get_num_threads(),
        "PyTorch's threads in a new thread": in_thread(torch.get_num_threads),
        "OpenCV's optimisations": cv2.useOptimized(),
        "PyTorch's modes": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "PyTorch's default type": str(torch.get_default_dtype()),
        "PyTorch's random state": torch.get_rng_state().tolist(),
        "random state": hash(random.getstate()),
        "NumPy's random state": np.random.get_state()[1].tolist(),
        "NumPy's errors": np.geterr(),
        "Pillow's limit": Image.MAX_IMAGE_PIXELS,
        "signal handlers": handlers(),
        "garbage collection": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "warnings": [str(item) for item in warnings.filters],
        "logging": [
            [logger.level, len(logger.handlers), logger.disabled, logger.propagate]
            for logger in (logging.getLogger(), logging.getLogger("filmcolor"))
        ],
        "standard files": [id(file) for file in (sys.stdin, sys.stdout, sys.stderr)],
        "hooks": [id(sys.excepthook), id(threading.excepthook)],
        "folder": os.getcwd(),
        "import path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "switch interval": sys.getswitchinterval(),
        "running threads": sorted(thread.name for thread in threading.enumerate()),
    }
    if hasattr(os, "getpriority"):
        values["niceness"] = os.getpriority(os.PRIO_PROCESS, 0)
        values["niceness of new threads"] = in_thread(lambda: os.getpriority(os.PRIO_PROCESS, 0))
    if hasattr(signal, "pthread_sigmask"):
        values["blocked signals"] = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    if hasattr(os, "sched_getaffinity"):
        values["cores"] = sorted(os.sched_getaffinity(0))
    values["open files"] = sorted(map(str, open_files()))
    return values


def open_files():
    """Return the files of the test's folder that this process has open, where Linux lists them."""
    targets = set()
    for link in Path("/proc/self/fd").glob("*"):
        try:
            target = Path(os.readlink(link))
        except OSError:  # the descriptor that lists the others
            continue
        if target.is_relative_to(folder):
            targets.add(target)
    return targets


def watch(event, args):
    """Record a file that is renamed, replaced or removed while this process has it open."""
    if event not in ("os.rename", "os.remove"):
        return
    descriptors = args[1:] if event == "os.remove" else args[2:]
    for path, descriptor in zip(args, descriptors):
        parent = "." if descriptor == -1 else os.readlink(f"/proc/self/fd/{descriptor}")
        path = Path(parent, os.fsdecode(path)).absolute()
        if path in open_files():
            moved_while_open.add(path.name)


def stop(done, total):
    raise RuntimeError("the host's own error")


def read_some_frames():
    colorizer = filmcolor.Colorizer(options)
    first, second = (colorizer.frames(filmcolor.probe(film)) for _ in range(2))
    next(first), next(second)
    first.close()
    next(second)


calls = {
    "colorize": lambda: filmcolor.colorize(film, color, options=options, force=True),
    "colorize with SVT-AV1": lambda: filmcolor.colorize(
        film, folder / "av1.mkv", options=options, encoding=Encoding(codec="libsvtav1")
    ),
    "colorize every frame": lambda: filmcolor.colorize(
        film, folder / "every.mkv", options=all_frames
    ),
    "the host's callback fails": lambda: filmcolor.colorize(
        film, folder / "failed.mkv", options=options, progress=stop
    ),
    "no such film": lambda: filmcolor.colorize(folder / "missing.mp4", options=options),
    "no film": lambda: filmcolor.colorize(picture.with_suffix(".txt"), options=options),
    "unknown codec": lambda: filmcolor.colorize(
        film, folder / "x.mkv", options=options, encoding=Encoding(codec="nonsense")
    ),
    "colorize_many in processes": lambda: filmcolor.colorize_many(
        [film, folder / "other.mp4"], folder / "many", jobs=2, options=options
    ),
    "frames of two generators": read_some_frames,
    "preview": lambda: filmcolor.preview(film, folder / "clip.mp4", options=options),
    "contact_sheet": lambda: filmcolor.contact_sheet(film, folder / "sheet.png", options=options),
    "colorize_photo": lambda: filmcolor.colorize_photo(
        picture, folder / "photo.png", options=options
    ),
    "colorize_photos": lambda: filmcolor.colorize_photos(
        [picture], folder / "photos", options=options
    ),
    "find_shots": lambda: filmcolor.find_shots(film),
    "export_shots": lambda: filmcolor.export_shots(film, folder / "shots", options=options),
    "verify": lambda: filmcolor.verify(film, color),
    "measure": lambda: filmcolor.measure(color),
}

if __name__ == "__main__":
    if sys.platform == "linux":
        sys.addaudithook(watch)
    torch.set_num_threads(3)
    cv2.setNumThreads(2)
    os.environ.pop("SVT_LOG", None)
    outcomes = {}
    for name, call in calls.items():
        before = state()
        try:
            call()
            error = None
        except (FilmcolorError, RuntimeError) as raised:
            error = f"{type(raised).__name__}: {raised}"
        except Exception:
            error = traceback.format_exc()
        gc.collect()
        after = state()
        changes = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
        outcomes[name] = {"error": error, "changes": changes}
    print(json.dumps({"outcomes": outcomes, "moved_while_open": sorted(moved_while_open)}))
'''
FAILING = {
    "the host's callback fails": "the host's own error",
    "no such film": "no such file",
    "no film": "not a film",
    "unknown codec": "nonsense",
}
SUCCEEDING = (
    "colorize",
    "colorize with SVT-AV1",
    "colorize every frame",
    "colorize_many in processes",
    "frames of two generators",
    "preview",
    "contact_sheet",
    "colorize_photo",
    "colorize_photos",
    "find_shots",
    "export_shots",
    "verify",
    "measure",
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory, weights_path: Path) -> dict:
    """What the script printed: the outcome of each call, and the files moved while open."""
    import media
    from PIL import Image

    folder = tmp_path_factory.mktemp("manners")
    film = media.Film(media.shoot(12) + media.shoot(12, seed=1))
    media.make(folder / "film.mp4", film)
    media.make(folder / "other.mp4", film)
    Image.fromarray(media.shoot(1, is_full_range=True)[0]).save(folder / "picture.png")
    (folder / "picture.txt").write_text("no film", encoding="utf-8")
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    completed = subprocess.run(
        [sys.executable, script, folder.resolve(), weights_path],
        check=True,
        capture_output=True,
        text=True,
    )
    return {**json.loads(completed.stdout), "stderr": completed.stderr}


@pytest.mark.parametrize("call", SUCCEEDING)
def test_a_call_changes_nothing_of_its_host(record: dict, call: str) -> None:
    assert record["outcomes"][call] == {"error": None, "changes": {}}


@pytest.mark.parametrize("call", FAILING)
def test_a_call_that_fails_changes_nothing_of_its_host(record: dict, call: str) -> None:
    assert FAILING[call] in record["outcomes"][call]["error"]
    assert record["outcomes"][call]["changes"] == {}


def test_a_call_prints_nothing(record: dict) -> None:
    assert set(record["outcomes"]) == {*SUCCEEDING, *FAILING}
    assert record["stderr"] == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's open files")
def test_no_open_file_is_replaced_or_removed(record: dict) -> None:
    """Windows forbids it. Its locks are removed when they are released: see `Journal`."""
    assert set(record["moved_while_open"]) <= {"lock"}
