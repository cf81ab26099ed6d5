"""One server for a state folder: two would write one queue."""

from pathlib import Path

from filelock import FileLock, Timeout

from filmcolor.errors import OutputError
from filmcolor.files import make_folder
from filmcolor.studio.errors import ConflictError


def lock_state(folder: Path) -> FileLock:
    """Return the lock of a state folder, which is made if it is missing.

    Raises ConflictError while another server uses the folder, OutputError when it cannot be
    written.
    """
    make_folder(folder)
    lock = FileLock(folder / "queue.lock", blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConflictError(
            f"another studio is using {folder}; open its page, or end it first"
        ) from None
    except NotImplementedError:
        pass  # some network drives have no locks
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); check its permissions"
        ) from error
    return lock
