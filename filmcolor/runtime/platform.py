"""Features that only some operating systems have, with a plain fallback for the others.

Only this module uses them; its callers need not know the system they run on. It is type-checked for
Linux, macOS and Windows.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# sent to end a process that should clean up first: by `kill`, or when its terminal is closed
if sys.platform == "win32":
    STOP_SIGNALS = (signal.SIGTERM, signal.SIGBREAK)
else:
    STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def num_cores() -> int:
    """Return the number of cores this process may run on; all of them, except on Linux."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> Path:
    """Return the user's folder for what can be made again; it may not exist."""
    try:
        home = Path.home()
    except RuntimeError:  # the user has none
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "filmcolor"


def lower_thread_priority(steps: int) -> None:
    """Make the calling thread `steps` nicer, 19 at most. Only Linux has niceness by thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # sandboxes may forbid it
            niceness = os.getpriority(os.PRIO_PROCESS, thread) + steps
            os.setpriority(os.PRIO_PROCESS, thread, min(19, niceness))


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk. Windows and some file systems cannot."""
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def block_interrupts() -> Iterator[None]:
    """Block SIGINT while spawning, so that children ignore Ctrl-C until their handlers are set.

    On Windows children may be interrupted; their parent then stops as well.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else the first spawn starts it, and it unblocks SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
