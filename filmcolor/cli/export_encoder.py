"""The `export-encoder` command: writes the encoder of some weights to a file of its own."""

from pathlib import Path

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command
from filmcolor.cli.options import OUTPUT, force_option, path_option, quiet_option


@command("export-encoder")
@click.argument("weights", metavar="WEIGHTS")
@path_option("-o", "--output", required=True, metavar="FILE", section=OUTPUT, help="File to write.")
@force_option
@quiet_option
def export_encoder(weights: str, output: Path, force: bool, quiet: bool) -> None:
    """Write the encoder of WEIGHTS to a .safetensors file of its own.

    WEIGHTS are a shipped name or a file. The tutorial network's encoder gets the names of
    torchvision's ResNet-18, the film network's keeps its own.
    """
    from filmcolor.train.export import export_encoder as export

    num_parameters = export(weights, output, force)
    print_line(f"{output}: {num_parameters / 1e6:.2f} M parameters", quiet)
