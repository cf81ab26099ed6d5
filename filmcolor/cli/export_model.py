"""The `export-model` command: writes a network as an ONNX file."""

from pathlib import Path

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import OUTPUT, force_option, path_option, quiet_option


@command("export-model")
@click.argument("weights", metavar="NAME|PATH")
@path_option(
    "-o", "--output", required=True, metavar="FILE", section=OUTPUT, help="ONNX file to write."
)
@option(
    "--half",
    is_flag=True,
    section=OUTPUT,
    help="Store the weights as float16: half the size. Input and outputs stay float32.",
)
@force_option
@quiet_option
def export_model(weights: str, output: Path, half: bool, force: bool, quiet: bool) -> None:
    """Write a network as an ONNX file for other programs, or for --model.

    NAME|PATH are shipped weights, a .safetensors file, or the tutorial's .pth file. The input is
    luma, the first output is CIELAB a and b; the file's metadata describe both.
    """
    import filmcolor.weights as weights_store
    from filmcolor.files import check_target
    from filmcolor.network.onnx_export import check_suffix, export_onnx

    source = weights_store.find(weights)
    check_suffix(output)
    check_target(output, source, force)
    net = weights_store.load(source)
    export_onnx(net, output, weights_store.provenance(weights), half)
    num_parameters = sum(parameter.numel() for parameter in net.parameters())
    size = output.stat().st_size / 1e6
    print_line(
        f"{output}: {type(net).__name__}, {num_parameters / 1e6:.2f} M parameters, "
        f"{'float16' if half else 'float32'}, {size:.1f} MB",
        quiet,
    )
