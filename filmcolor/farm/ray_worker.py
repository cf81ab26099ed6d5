"""What runs on the nodes of a Ray cluster: an actor that colours pieces and joins films."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import FilmcolorError, OtherMachineError, error_of, without_traceback
from filmcolor.farm.work import is_temporary
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run
from filmcolor.pipeline.saved_run import open_run
from filmcolor.runtime.platform import num_cores
from filmcolor.runtime.threads import set_num_processes

_PROGRESS_SECONDS = 0.5  # at least, between two messages
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """The last message of a job.

    `num_frames`: that were coloured, 0 if that was done before. `is_refused`: this node cannot
    work for the run at all. `is_temporary`: see `farm.work.is_temporary`.
    """

    num_frames: int = 0
    report: Report | None = None
    error: FilmcolorError | None = None
    is_refused: bool = False
    is_temporary: bool = False


class RayWorker:
    """Colours pieces and joins films on a node. It holds the weights of the last film.

    Its methods are generators of messages: numbers of frames, and then a `Done`.
    """

    def __init__(self, cores: int) -> None:
        """Take the number of cores that this worker may use."""
        set_num_processes(max(1, num_cores() // max(1, cores)))
        self._opened: tuple[Path, Run] | None = None
        self._loaded: tuple[ColorOptions, PieceColorizer] | None = None

    def start(self) -> Iterator[Done]:
        """Yield a message once the worker is there."""
        yield Done()

    def color(self, folder: Path, number: int, last: int) -> Iterator[int | Done]:
        """Colour a piece of the run in a folder; see `PieceColorizer`.

        Yields how many of its frames are done, now and then. Stops between two frames when the
        call is cancelled.
        """
        try:
            run, pieces = self._open(folder)
        except FilmcolorError as error:
            yield Done(error=without_traceback(error), is_refused=True)
            return
        due, num_done = 0.0, 0
        try:
            numbers = pieces.coloring(run, run.segment(number), run.segment(last))
            with closing(numbers):
                for num_done in numbers:
                    now = time.monotonic()
                    if now < due:
                        continue
                    due = now + _PROGRESS_SECONDS
                    if _is_cancelled():
                        return
                    yield num_done
        except Exception as error:
            yield _failed(error, folder)
            return
        yield Done(num_done)

    def join(self, folder: Path) -> Iterator[Done]:
        """Join the run in a folder, whose pieces are all finished; the folder stays."""
        self._stop()
        try:
            run = open_run(folder)
        except FilmcolorError as error:
            yield Done(error=without_traceback(error), is_refused=True)
            return
        try:
            report = run.finish()
        except Exception as error:
            yield _failed(error, folder)
            return
        yield Done(report=report)

    def _open(self, folder: Path) -> tuple[Run, PieceColorizer]:
        """Return the run in a folder and what colours it, those of the last piece if they fit."""
        if self._opened is None or self._opened[0] != folder:
            self._stop()
            run = open_run(folder)
            digest = weights_store.sha256(weights_store.find(run.options.weights))
            key = replace(run.options, weights=digest)  # each run may have a copy of its own
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None  # two networks need not fit into memory
                self._loaded = key, PieceColorizer(Colorizer(run.options))
            self._opened = folder, run
        assert self._loaded is not None
        return self._opened[1], self._loaded[1]

    def _stop(self) -> None:
        """End what runs ahead of the last piece."""
        self._opened = None
        if self._loaded is not None:
            self._loaded[1].close()


def _failed(error: Exception, folder: Path) -> Done:
    """Return the message of a job that failed; the traceback of a bug goes to the worker's log."""
    if isinstance(error, FilmcolorError):
        return Done(
            error=without_traceback(error),
            is_refused=isinstance(error, OtherMachineError),
            is_temporary=is_temporary(error),
        )
    _log.exception("%s", folder)
    lasting = error_of(error, "the traceback is in the logs of Ray's workers")
    return Done(error=lasting, is_temporary=is_temporary(error))


def _is_cancelled() -> bool:
    """Return whether the driver has cancelled the call; Ray 2.52 does not say, and kills later."""
    import ray

    context = ray.get_runtime_context()
    return hasattr(context, "is_canceled") and bool(context.is_canceled())
