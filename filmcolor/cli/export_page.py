"""The `export-page` command: writes a web page that colours photographs."""

import shlex
from pathlib import Path

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import force_option, path_option, quiet_option

CONTENTS = "Contents"
_PORT = 8000  # of Python's http.server


@command("export-page")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@option(
    "--weights",
    default="film",
    show_default=True,
    metavar="NAME|PATH",
    section=CONTENTS,
    help="Shipped weights, or a .safetensors file, of the film network.",
)
@path_option(
    "--runtime",
    metavar="FILE|DIR",
    section=CONTENTS,
    help="onnxruntime-web's npm package, as a tarball or unpacked.  [default: npm fetches it]",
)
@force_option
@quiet_option
def export_page(folder: Path, weights: str, runtime: Path | None, force: bool, quiet: bool) -> None:
    """Write a web page that colours photographs on the phone or computer that opens it.

    Any web server can serve DIR, GitHub Pages too. The page runs the network in the browser, works
    without the internet after the first visit, and uploads nothing. npm, a part of Node.js,
    fetches one package, unless --runtime names it. With --force, DIR gets the page anew; files
    that are not of the page stay.
    """
    from filmcolor.photo_page.export import export_page as write_page

    report = write_page(folder, weights=weights, runtime=runtime, force=force)
    address = f"http://localhost:{_PORT}"
    for line in (
        f"{report.folder}: {report.num_files} files, {report.num_bytes / 1e6:.1f} MB, "
        f"version {report.version}",
        f"a first visit loads {report.first_load_bytes / 1e6:.1f} MB, "
        f"{report.network_bytes / 1e6:.1f} MB of them the network",
        f"to look at it: python -m http.server -d {shlex.quote(str(folder))}, then {address}",
        "phones need https; GitHub Pages has it",
    ):
        print_line(line, quiet)
