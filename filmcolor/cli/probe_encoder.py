"""The `probe-encoder` command: measures what an encoder knows about labelled pictures."""

from dataclasses import asdict
from pathlib import Path

import click

from filmcolor.cli.console import print_json, summarize_names, table
from filmcolor.cli.help import command, option
from filmcolor.cli.options import json_option, quiet_option
from filmcolor.cli.progress import progress_bar

# (heading, field of train.evaluation.probe.ProbeRow, format)
_COLUMNS = (
    ("weights", "name", "{}"),
    ("encoder", "encoder", "{}"),
    ("features", "num_features", "{}"),
    ("accuracy", "accuracy", "{:.1f} %"),
    ("error", "standard_error", "± {:.1f}"),
)


@command("probe-encoder")
@click.argument("data", type=click.Path(path_type=Path), metavar="DIR")
@option(
    "--weights",
    default=("film",),
    multiple=True,
    metavar="NAME|PATH",
    help="Weights of a network or of an encoder, or torchvision's ResNet-18. Repeatable.  "
    "[default: film]",
)
@option(
    "--size",
    type=int,
    default=256,
    show_default=True,
    metavar="PIXELS",
    help="Short side of the pictures that the encoders see.",
)
@option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda or mps.")
@json_option
@quiet_option
def probe_encoder(
    data: Path,
    weights: tuple[str, ...],
    size: int,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure what an encoder knows about the pictures in DIR/CLASS/.

    A linear classifier learns the classes from the frozen encoder's features, and is judged by a
    fifth of the pictures, held back. Encoders see no colours. Rows for the most frequent class
    (chance) and for random weights stand beside those of the weights.
    """
    with progress_bar(quiet, data, unit="picture") as progress:
        from filmcolor.train.evaluation.probe import probe_encoders

        result = probe_encoders(data, weights, size=size, device=device, progress=progress)
    if result.unreadable:
        names = summarize_names(result.unreadable)
        click.echo(f"filmcolor: left out, as they cannot be read: {names}", err=True)
    if as_json:
        print_json(asdict(result))
        return
    click.echo(
        f"{result.data}: {len(result.classes)} classes, {result.num_training} pictures to learn "
        f"from, {result.num_held_back} held back"
    )
    click.echo("\n".join(table(_COLUMNS, [asdict(row) for row in result.rows])))
