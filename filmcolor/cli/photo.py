"""The `photo` command."""

from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import color_options, color_options_of, force_option, quiet_option


@click.command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE|DIR", help="A folder for many."
)
@color_options
@force_option
@quiet_option
def photo(
    pictures: tuple[Path, ...], output: Path | None, force: bool, quiet: bool, **choices: Any
) -> None:
    """Colour stills: JPEG, PNG, TIFF; 16-bit stays 16-bit. NAME.color.ext by default."""
    into_folder = output is not None and output.is_dir()
    if len(pictures) > 1 and output is not None and not into_folder:
        raise click.UsageError(f"{output} is no folder, and there are {len(pictures)} pictures")
    from filmcolor.pipeline.colorizer import Colorizer
    from filmcolor.pipeline.options import ColorOptions
    from filmcolor.pipeline.photo import colorize_photo

    colorizer = Colorizer(color_options_of(choices) or ColorOptions())
    for picture in pictures:
        target = output
        if output is not None and into_folder:
            target = output / f"{picture.stem}.color{picture.suffix}"
        path = colorize_photo(picture, target, colorizer=colorizer, force=force)
        say(str(path), quiet)
