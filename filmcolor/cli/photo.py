"""The `photo` command: photographs in colour."""

from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command
from filmcolor.cli.options import (
    OUTPUT,
    color_options,
    force_option,
    make_color_options,
    path_option,
    quiet_option,
)


@command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@path_option(
    "-o",
    "--output",
    metavar="FILE|DIR",
    section=OUTPUT,
    help="File to write; for several pictures an existing folder.",
)
@force_option
@color_options
@quiet_option
def photo(
    pictures: tuple[Path, ...], output: Path | None, force: bool, quiet: bool, **params: Any
) -> None:
    """Colour photographs: JPEG, PNG, TIFF, AVIF, HEIC and others.

    The result is beside the picture as NAME.color.ext, unless -o is given; pictures that are not
    JPEG, PNG or TIFF become PNG. 16-bit pictures stay 16-bit.
    """
    is_folder = output is not None and output.is_dir()
    if len(pictures) > 1 and output is not None and not is_folder:
        raise click.UsageError(f"{output} is no folder, and there are {len(pictures)} pictures")
    from filmcolor.pipeline.colorizer import Colorizer
    from filmcolor.pipeline.photo import colorize_photo, photo_path

    colorizer = Colorizer(make_color_options(params))
    for picture in pictures:
        target = output
        if output is not None and is_folder:
            target = photo_path(picture, output)
        path = colorize_photo(picture, target, colorizer=colorizer, force=force)
        print_line(str(path), quiet)
