"""Features that only some operating systems have, with a plain fallback for the others.

Only this module uses them; its callers need not know the system they run on. It is type-checked for
Linux, macOS and Windows.
"""

import ctypes
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_M_ARENA_MAX = -8  # of glibc's malloc.h
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
    return _user_folder("XDG_CACHE_HOME", ".cache", "Caches")


def state_folder() -> Path:
    """Return the user's folder for what is kept between two starts; it may not exist."""
    return _user_folder("XDG_STATE_HOME", ".local/state", "Application Support")


def _user_folder(variable: str, linux: str, mac: str) -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # the user has none
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / mac
    else:
        base = os.environ.get(variable) or home / linux
    return Path(base) / "filmcolor"


def lower_thread_priority(steps: int) -> None:
    """Make the calling thread `steps` nicer, 19 at most. Only Linux has niceness by thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # sandboxes may forbid it
            niceness = os.getpriority(os.PRIO_PROCESS, thread) + steps
            os.setpriority(os.PRIO_PROCESS, thread, min(19, niceness))


@contextmanager
def no_realtime_threads() -> Iterator[None]:
    """Undo at the end what the block does to priorities: no thread of this process is real-time.

    SVT-AV1 as root gives its threads, and the one that opens it, the highest real-time priority:
    other programs stand still, and processes that are started later inherit it. Linux only.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has just ended
                if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                    os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))


def lower_process_priority(pid: int, steps: int) -> None:
    """Make a process that has just been started `steps` nicer, and what it will start.

    Windows has its priorities set at the start: see `background_process_options`.
    """
    if sys.platform != "win32":
        with suppress(OSError):  # sandboxes may forbid it, or it has ended
            niceness = os.getpriority(os.PRIO_PROCESS, pid) + steps
            os.setpriority(os.PRIO_PROCESS, pid, min(19, niceness))


def background_process_options() -> dict[str, Any]:
    """Return the options of `subprocess.Popen` for a process that its parent alone interrupts.

    It has a process group of its own: Ctrl-C in the terminal does not reach it. (In a session of
    its own, Linux would share the processor fairly between both, whatever their niceness.)
    """
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return {"creationflags": flags}
    return {"process_group": 0}


def interrupt_process(process: "subprocess.Popen[Any]") -> None:
    """Ask a process of `background_process_options` to clean up and end."""
    with suppress(OSError):  # it has ended
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:  # SIGINT may be ignored: a shell starts its background jobs, and theirs, like that
            process.send_signal(signal.SIGTERM)


def stop_without_reader(descriptor: int) -> None:
    """Send this process SIGTERM once nobody reads from the pipe that it writes to.

    A write would find out too, but may be minutes away; on Windows only a write does.
    """
    if sys.platform == "win32" or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return
    threading.Thread(target=_wait_for_reader_end, args=(descriptor,), daemon=True).start()


def _wait_for_reader_end(descriptor: int) -> None:
    if sys.platform != "win32":
        poll = select.poll()
        poll.register(descriptor, 0)  # no event but an error or the end
        poll.poll()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def limit_memory_arenas(num: int) -> None:
    """Let all threads of this process share `num` pools of memory; only glibc has such pools.

    By default it has eight for each core, and what many threads have freed stays in theirs: in the
    studio 0.6 GB of 1.7 GB.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, num)


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
