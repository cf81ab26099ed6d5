"""Signals that end a command as Ctrl-C does, and what an interrupted batch prints."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from filmcolor.cli.console import escape_controls
from filmcolor.cli.event_log import EventLog
from filmcolor.runtime.platform import STOP_SIGNALS


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM and a closed terminal into KeyboardInterrupt, so that a run cleans up.

    A signal that is ignored, by nohup for example, stays ignored.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [number for number in STOP_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def report_interrupt(log: EventLog, summary: str) -> None:
    """Log and print that a batch was interrupted, what it has done, and how to go on."""
    log.interrupted(summary=summary)
    remedy = "the same command with --skip-existing goes on"
    click.echo(escape_controls(f"filmcolor: interrupted; {summary}; {remedy}"), err=True)
