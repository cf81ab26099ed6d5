"""The `studio` command: a local page to look at films, correct them and colour them."""

import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import escape_controls
from filmcolor.cli.help import command, option
from filmcolor.cli.inputs import list_films
from filmcolor.cli.interrupts import signals_as_interrupt
from filmcolor.cli.options import (
    color_options,
    guidance_options,
    make_color_options,
    path_option,
    rate_options,
    source_options,
)
from filmcolor.errors import FilmcolorError, InputError, SettingsError

if TYPE_CHECKING:
    from filmcolor.studio.library import Library
    from filmcolor.studio.studio import Studio

FILES, SERVER = "Files", "Server"
_MIN_TOKEN = 16  # characters
_LOOPBACK = "127.0.0.1"
_NUM_ARENAS = 2  # of memory, for all threads
_STATE = "studio"  # below the user's folder of states


@command("studio")
@click.argument("films", nargs=-1, type=click.Path(path_type=Path), metavar="[FILM...]")
@path_option(
    "--folder",
    "folders",
    multiple=True,
    metavar="DIR",
    section=FILES,
    help="A folder whose films can be opened. Repeatable.  [default: the current folder and your "
    "home folder]",
)
@path_option(
    "--uploads",
    metavar="DIR",
    section=FILES,
    help="Where films that are dropped on the page go.  [default: the first folder]",
)
@path_option(
    "--corrections",
    metavar="DIR",
    section=FILES,
    help="Where the corrections of the one FILM are.  [default: FILM.corrections beside it]",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    section=SERVER,
    help="Port to listen at; 0 is any free one.  [default: 8517, or a free one]",
)
@option(
    "--host",
    default=_LOOPBACK,
    show_default=True,
    metavar="NAME",
    section=SERVER,
    help="Address to listen at. With another than the default, other machines can reach the page.",
)
@option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    section=SERVER,
    help="Another name of this server, behind a proxy for example. Repeatable.",
)
@option(
    "--token",
    metavar="TEXT",
    section=SERVER,
    help="The token of the address, 16 characters or more.  [default: a random one]",
)
@path_option(
    "--token-file",
    metavar="FILE",
    section=SERVER,
    help="A file that holds the token: other users of this machine can read a command line.",
)
@option("--no-browser", is_flag=True, section=SERVER, help="Print the address, but do not open it.")
@color_options
@guidance_options
@source_options
@rate_options
def studio(
    films: tuple[Path, ...],
    folders: tuple[Path, ...],
    uploads: Path | None,
    corrections: Path | None,
    port: int | None,
    host: str,
    allowed_hosts: tuple[str, ...],
    token: str | None,
    token_file: Path | None,
    no_browser: bool,
    **params: Any,
) -> None:
    """Open a page in the browser, to look at films, correct their colours and colour them.

    The page is served by this machine, and nothing leaves it. FILM is opened at once; other films
    are chosen on the page. The address on stdout holds a token: whoever has it can use the studio.
    Ctrl-C ends it; unfinished runs go on the next time.
    """
    if corrections is not None and len(films) != 1:
        raise click.UsageError("--corrections is the folder of one film; name that film alone")
    if token is not None and token_file is not None:
        raise click.UsageError("choose --token or --token-file, not both")
    _check_extra()
    films = list_films(films).films
    for film in films:
        _check_film(film)
    token = _make_token(token, token_file)

    with signals_as_interrupt(), suppress(KeyboardInterrupt):
        from filmcolor.runtime.platform import limit_memory_arenas, state_folder
        from filmcolor.studio.address import address_of, bind
        from filmcolor.studio.state_lock import lock_state

        limit_memory_arenas(_NUM_ARENAS)
        state = state_folder() / _STATE
        lock_state(state).release()  # before the browser is opened
        library = _make_library(films, folders, uploads, host, state)
        with bind(host, port) as listener:
            address = address_of(listener, host, token)
            _warn_about_host(host)
            click.echo(address)
            if not no_browser:
                _open_browser(address)
            from filmcolor.studio.server import serve  # slow: the browser starts meanwhile
            from filmcolor.studio.studio import Studio

            opened = Studio(
                library,
                state,
                options=make_color_options(params),
                corrections_folders={} if corrections is None else {films[0]: corrections},
            )
            try:
                opened.warm_up()
                _open_in_background(opened, films)
                serve(opened, listener, host=host, token=token, more_hosts=allowed_hosts)
            finally:
                opened.close()
    _end_process()


def _make_library(
    films: Sequence[Path],
    folders: Sequence[Path],
    uploads: Path | None,
    host: str,
    state: Path,
) -> "Library":
    from filmcolor.studio.library import Library
    from filmcolor.studio.security import is_loopback

    if not folders and is_loopback(host):
        folders = _usual_folders()
    upload_folder = uploads or (folders[0] if folders else state / "films")
    return Library(folders, upload_folder, state, films)


def _open_in_background(opened: "Studio", films: Sequence[Path]) -> None:
    """Open films in the order of the command line; print what is wrong with those that fail."""

    def open_all() -> None:
        for film in films:
            try:
                opened.open_film(film)
            except FilmcolorError as error:
                click.echo(escape_controls(f"filmcolor: {error}"), err=True)

    threading.Thread(target=open_all, name="films", daemon=True).start()


def _end_process() -> None:
    """End at once: threads inside PyTorch would abort the process when Python ends."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _usual_folders() -> list[Path]:
    folders = [Path.cwd()]
    with suppress(RuntimeError):  # the user has no home
        folders.append(Path.home())
    return [folder for folder in folders if folder.is_dir()]


def _check_film(film: Path) -> None:
    from filmcolor.video.sequence_names import find_sequence

    if not film.exists() and find_sequence(film) is None:
        raise InputError(f"{film} does not exist; check the name")


def _check_extra() -> None:
    """Raise SettingsError when the packages of the studio are missing."""
    try:
        import starlette
        import tomlkit
        import uvicorn
    except ImportError as error:
        raise SettingsError("filmcolor studio needs: pip install 'filmcolor[studio]'") from error
    del starlette, tomlkit, uvicorn


def _make_token(token: str | None, token_file: Path | None) -> str:
    """Return the token that was given, or a random one of 256 bits."""
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise InputError(
                f"{token_file} cannot be read ({error}); check --token-file"
            ) from error
    if token is None:
        return secrets.token_urlsafe(32)
    if len(token) < _MIN_TOKEN or not all(
        c.isascii() and (c.isalnum() or c in "-_") for c in token
    ):
        raise SettingsError(
            f"a token has at least {_MIN_TOKEN} letters, digits, - and _; leave it out for a "
            "random one"
        )
    return token


def _warn_about_host(host: str) -> None:
    from filmcolor.studio.security import is_loopback

    if not is_loopback(host):
        click.echo(
            f"filmcolor: warning: other machines can reach this page at {host}; whoever has the "
            "address with its token can read and write in its folders, and the connection is not "
            "encrypted",
            err=True,
        )


def _open_browser(address: str) -> None:
    """Open the address in the background: some browsers return only when they are closed."""

    def show() -> None:
        with suppress(Exception):  # the address is printed
            webbrowser.open(address)

    threading.Thread(target=show, name="browser", daemon=True).start()
