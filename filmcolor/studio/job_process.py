"""A run in a process of its own, which prints its progress as events."""

import json
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filmcolor.errors import OutputError
from filmcolor.runtime.platform import (
    background_process_options,
    interrupt_process,
    lower_process_priority,
)

# -P: a folder named filmcolor where the server was started is not what is run
PROGRAM = (sys.executable, "-P", "-m", "filmcolor")
_NICENESS = 10  # the page stays quick while a film is coloured
_NUM_LINES = 20  # of stderr that are kept
_PATIENCE_SECONDS = 20.0  # for an interrupted run to clean up before it is killed
_EXIT_INTERRUPTED = 130
_STDERR_PREFIX = "filmcolor: "


class RunProcess:
    """A process of `filmcolor run ARGUMENTS --progress json`.

    It stops as if interrupted when this process dies, whatever way: nobody reads its events then.
    """

    def __init__(self, program: Sequence[str], arguments: Sequence[str], log: Path) -> None:
        """Start it. `log`: keeps the events that outlast this process. Raises OutputError."""
        command = [*program, "run", *arguments, "--progress", "json", "--log", str(log)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                **background_process_options(),
            )
        except OSError as error:
            raise OutputError(
                f"{command[0]} cannot be started ({error.strerror}); close other programs and "
                "resume the film"
            ) from error
        lower_process_priority(self._process.pid, _NICENESS)
        self._lines: deque[str] = deque(maxlen=_NUM_LINES)  # of stderr
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._killer: threading.Timer | None = None

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the run, to its last."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event

    def end(self) -> None:
        """Wait for the process to end; without a reader of its events it does so soon."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()
        self._reader.join()
        if self._killer is not None:
            self._killer.cancel()

    def interrupt(self) -> None:
        """Let the run end; it keeps its finished segments."""
        interrupt_process(self._process)
        if self._killer is None:
            self._killer = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
            self._killer.daemon = True
            self._killer.start()

    @property
    def is_interrupted(self) -> bool:
        """Whether the process ended because it was interrupted."""
        return self._process.returncode in (_EXIT_INTERRUPTED, -signal.SIGTERM, -signal.SIGINT)

    def explain(self) -> str:
        """Return, in a line, why a process ended that has printed no reason."""
        code = self._process.returncode
        if code < 0:
            name = next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
            return (
                f"the run was killed ({name}): out of memory? resume it, it goes on after its last "
                "finished segment"
            )
        last = next((line for line in reversed(self._lines) if line.strip()), "")
        if last.startswith(_STDERR_PREFIX):
            return last.removeprefix(_STDERR_PREFIX)
        return f"the run ended with exit code {code}; {last or 'it printed no reason'}"

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.rstrip("\n"))
        self._process.stderr.close()


def finished_event(log: Path) -> dict[str, Any] | None:
    """Return the event of the run that finished last in a log; None if a later one has begun."""
    finished = None
    with suppress(OSError):
        for line in log.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                event = json.loads(line)
                finished = event if event["event"] == "finished" else None
    return finished
