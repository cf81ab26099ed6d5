"""Help texts in sections, for commands with many options and for the list of commands."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from filmcolor.cli.inputs import is_film_name, is_picture_name

GENERAL = "General"  # the last section; "Options" where a command has no other
_MAX_TERM = 30  # characters: longer options get a line of their own
_MAX_WORDS = 8  # of the user's words that a suggestion repeats


class SectionOption(click.Option):
    """An option that --help lists in a section."""

    def __init__(self, *args: Any, section: str = GENERAL, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class SectionCommand(click.Command):
    """A command that lists its options by section: sections in order of use, GENERAL last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if isinstance(param, click.Option) and record is not None:
                sections.setdefault(getattr(param, "section", GENERAL), []).append(record)
        general = sections.pop(GENERAL, [])
        sections[GENERAL if sections else "Options"] = general
        _write_sections(formatter, sections)


class SectionGroup(click.Group):
    """A group that lists its commands by section, and suggests one for a film without a command."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[click.Command]], **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self._sections = sections
        for commands in sections.values():
            for command in commands:
                self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of commands, each with the first sentence of its help."""
        longest = max(map(len, self.list_commands(ctx)))
        _write_sections(
            formatter,
            {
                heading: [
                    (command.name or "", command.get_short_help_str(formatter.width - longest - 6))
                    for command in commands
                ]
                for heading, commands in self._sections.items()
            },
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return (name, command, other arguments); raises MissingCommandError for a film's name."""
        word = args[0]
        if not ctx.resilient_parsing and self.get_command(ctx, word) is None:
            if is_picture_name(word):
                raise MissingCommandError("photo", args, ctx)
            if is_film_name(word):
                raise MissingCommandError("run", args, ctx)
        return super().resolve_command(ctx, args)


class MissingCommandError(click.UsageError):
    """A file is named where a command belongs."""

    def __init__(self, command: str, args: Sequence[str], ctx: click.Context) -> None:
        words = _quote(args[:_MAX_WORDS]) + (" …" if len(args) > _MAX_WORDS else "")
        suggestion = f"{ctx.command_path} {command} {words}"
        super().__init__(f"no command {args[0]!r}; did you mean: {suggestion}", ctx)


def option(
    *declarations: str, section: str = GENERAL, **attributes: Any
) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Return a decorator that adds an option; --help lists it in `section`."""
    return click.option(*declarations, cls=SectionOption, section=section, **attributes)


command = partial(click.command, cls=SectionCommand)


def _quote(words: Sequence[str]) -> str:
    """Return words as they are typed in the system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _write_sections(
    formatter: click.HelpFormatter, sections: Mapping[str, Iterable[tuple[str, str]]]
) -> None:
    """Write definition lists under headings, with columns of one width in all of them."""
    longest = max(len(term) for rows in sections.values() for term, _ in rows)
    width = min(longest, _MAX_TERM)
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl([(term.ljust(width), text) for term, text in rows], _MAX_TERM)
