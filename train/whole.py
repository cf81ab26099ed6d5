"""Files that appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filmcolor.errors import OutputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there in the end gets its name, whole.

    Raises OutputError, and leaves neither part nor change, when the disk is full or the folder
    may not be written: PyTorch's own writer says so with a RuntimeError.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); what was "
            "saved before is whole: make room, and the same command goes on"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
