"""The `probe` command: facts about a film."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import print_json
from filmcolor.cli.help import command
from filmcolor.cli.options import film_argument, json_option, pop_source_options, rate_options
from filmcolor.errors import FilmcolorError

if TYPE_CHECKING:
    from filmcolor.types.film import FilmInfo


@command("probe")
@film_argument
@rate_options
@json_option
def probe_command(film: Path, as_json: bool, **params: Any) -> None:
    """Print facts about FILM and the fate of each stream.

    It also names the file that run would write."""
    from filmcolor.pipeline.report import describe_times
    from filmcolor.video.frame_index import FrameIndex
    from filmcolor.video.probe import probe

    info = pop_source_options(params).apply(probe(film))
    index = FrameIndex.read(info)
    output, notes, stream_plan = _plan_run(info)
    facts = {
        "num_frames": index.num_frames,
        "is_vfr": index.is_vfr,
        "output": output,
        "notes": [*notes, *describe_times(info, index)],
        "stream_plan": stream_plan,
    }
    if as_json:
        print_json({**asdict(info), **facts})
    else:
        click.echo("\n".join(_format(info, facts)))


def _plan_run(info: "FilmInfo") -> tuple[str, list[str], dict[int, str]]:
    """Return a run's output, notes, and the fate of each stream by its index.

    Where a run would refuse the film, the output is "" and the only note is the reason.
    """
    from filmcolor.output.options import Encoding
    from filmcolor.output.plan import plan_output

    problem = ""
    try:
        plan = plan_output(info, None, Encoding())
    except FilmcolorError as error:
        problem = str(error)
        try:
            plan = plan_output(info, None, Encoding(drop_unsupported=True))
        except FilmcolorError:
            return "", [problem], {stream.index: "cannot be kept" for stream in info.streams}
    stream_plan = {s.index: "cannot be kept" if problem else "left out" for s in info.streams}
    stream_plan |= {s.index: "copied" for s in plan.stream_plan.copied}
    stream_plan |= {i: f"converted to {codec}" for i, codec in plan.stream_plan.conversions.items()}
    stream_plan |= {s.index: "kept as a tag" for s in info.streams if s.is_timecode}
    stream_plan[info.video_index] = "coloured"
    return (
        ("", [problem], stream_plan) if problem else (str(plan.path), list(plan.notes), stream_plan)
    )


def _format(info: "FilmInfo", facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about a film."""
    from filmcolor.types.film import BOTTOM_FIRST

    coding = info.coding
    rate = "variable frame rate, mean" if facts["is_vfr"] else "constant frame rate"
    seconds = float(info.duration_seconds or facts["num_frames"] / info.frame_rate)
    tagged = "" if info.is_matrix_tagged else ", not tagged"
    yield f"{info.path}: {info.container}, {seconds:.3f} s"
    yield (
        f"  picture   {info.codec}, {info.width}×{info.height}, pixels {info.sar}, "
        f"{info.pix_fmt}, {coding.bit_depth} bits"
    )
    yield (
        f"  colour    {'full' if coding.is_full_range else 'limited'} range, "
        f"matrix {coding.matrix}{tagged} (H.273)"
    )
    yield f"  time      {facts['num_frames']} frames, {rate} {float(info.frame_rate):.3f}/s"
    first = "bottom" if info.field_order == BOTTOM_FIRST else "top"
    scan = f"interlaced, {first} field first" if info.is_interlaced else "progressive"
    yield f"  scan      {scan}"
    if info.orientation.matrix:
        yield f"  shown     {info.orientation}"
    for chapter in info.chapters:
        yield f"  chapter   {float(chapter.start):.3f} s  {chapter.metadata.get('title', '')}"
    for stream in info.streams:
        yield f"  {stream.name} {stream.detail}: {facts['stream_plan'][stream.index]}"
    if facts["output"]:
        yield f"  run writes {facts['output']}"
    for note in facts["notes"]:
        yield f"  note: {note}"
