"""How much does fine-tuning on the first half of a film improve its second half?

    python benchmarks/adapt.py --film CLIP [--weights film]

Picks stills from the first half of a film in colour, fine-tunes the weights on them (recipe
`adapt`), and colours the second half from its luma with both. Prints both PSNRs, that of grey, and
the time of the fine-tuning.
"""

import tempfile
import time
from pathlib import Path

import click

from filmcolor import TimeRange, probe
from filmcolor.train.evaluation.evaluate import evaluate
from filmcolor.train.evaluation.options import EvaluationOptions
from filmcolor.train.fit import fit
from filmcolor.train.initialization import network_name
from filmcolor.train.recipe import get_recipe
from filmcolor.train.stills.pick import PickOptions, pick_stills
from filmcolor.video.frame_index import FrameIndex


@click.command()
@click.option("--film", type=click.Path(path_type=Path), required=True, metavar="CLIP")
@click.option("--weights", default="film", show_default=True, metavar="NAME|PATH")
@click.option("--stills", default=200, show_default=True, metavar="N", help="At most, per shot.")
def main(film: Path, weights: str, stills: int) -> None:
    """Compare the second half of a film before and after fine-tuning on the first."""
    half = len(FrameIndex.read(probe(film)).pts) // 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = pick_stills(
            [film],
            folder / "stills",
            options=PickOptions(per_shot=stills),
            time_range=TimeRange(stop=half),
        )
        started = time.monotonic()
        recipe = get_recipe("adapt", report.num_kept, network=network_name(weights))
        adapted = fit(folder / "stills", folder / "run", recipe, initial_weights=weights)
        seconds = time.monotonic() - started
        options = EvaluationOptions((weights, str(adapted)))
        rows = evaluate(film, options, time_range=TimeRange(first=half)).rows
    psnr = {row.name: row.psnr for row in rows}
    grey, before, after = (psnr[key] for key in ("grey", weights, str(adapted)))
    assert grey is not None and before is not None and after is not None
    print(
        f"{film.name}: {report.num_kept} stills of frames 0 to {half - 1}, {seconds:.0f} s; "
        f"second half grey {grey:.2f} dB, {weights} {before:.2f} dB, adapted {after:.2f} dB "
        f"({after - before:+.2f})"
    )


if __name__ == "__main__":
    main()
