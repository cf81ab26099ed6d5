"""Shows what the library logs while it works, a line each on stderr."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBRARY = "filmcolor"  # the logger above those of all its modules


class _LineHandler(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of information; warnings and errors have their own way out."""
        if record.levelno == logging.INFO:
            self._write(f"filmcolor: {record.getMessage()}")


@contextmanager
def notices(write: Callable[[str], None]) -> Iterator[None]:
    """Pass each line of information that filmcolor logs to `write`, until the context ends."""
    logger, handler = logging.getLogger(_LIBRARY), _LineHandler(write)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
