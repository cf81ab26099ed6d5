"""The `probe` command."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.options import film_argument
from filmcolor.errors import FilmcolorError
from filmcolor.types.film import FilmInfo


@click.command("probe")
@film_argument
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def probe_command(film: Path, as_json: bool) -> None:
    """Print what is known of FILM, and what run would do with each stream."""
    from filmcolor.video.frame_index import FrameIndex
    from filmcolor.video.probe import probe

    info = probe(film)
    index = FrameIndex(info)
    target, notes, stream_plan = _foretold(info)
    facts = {
        "num_frames": len(index.pts),
        "is_vfr": index.is_vfr,
        "output": target,
        "notes": notes,
        "fates": stream_plan,
    }
    if as_json:
        click.echo(json.dumps({**asdict(info), **facts}, default=str, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_described(info, facts)))


def _foretold(info: FilmInfo) -> tuple[str, list[str], dict[int, str]]:
    """Return what a run would write, "" for nothing, with its notes and each stream's fate."""
    from filmcolor.output.options import Encoding
    from filmcolor.output.plan import plan_output

    lost, problem = "cannot be kept", ""
    stream_plan = {stream.index: lost for stream in info.streams}
    try:
        plan = plan_output(info, None, Encoding())
        lost = "left out"
    except FilmcolorError as error:
        problem = str(error)
        try:
            plan = plan_output(info, None, Encoding(drop_unsupported=True))
        except FilmcolorError:
            return "", [problem], stream_plan
    kept = {s.index: "copied" for s in plan.stream_plan.copied}
    kept |= {
        index: f"converted to {codec}" for index, codec in plan.stream_plan.conversions.items()
    }
    kept |= {s.index: "kept as a tag" for s in info.streams if s.is_timecode}
    kept[info.video_index] = "coloured"
    stream_plan = {s.index: kept.get(s.index, lost) for s in info.streams}
    return (
        ("", [problem], stream_plan) if problem else (str(plan.path), list(plan.notes), stream_plan)
    )


def _described(info: FilmInfo, facts: dict[str, Any]) -> Iterator[str]:
    from filmcolor.video.interlacing import is_bottom_first

    coding = info.coding
    rate = "variable frame rate, mean" if facts["is_vfr"] else "constant frame rate"
    seconds = float(info.duration_seconds or 0)
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
    first = "bottom" if is_bottom_first(info.field_order) else "top"
    scan = f"interlaced, {first} field first" if info.is_interlaced else "progressive"
    yield f"  scan      {scan}"
    if info.rotation:
        yield f"  rotation  {info.rotation}°"
    for chapter in info.chapters:
        yield f"  chapter   {float(chapter.start):.3f} s  {chapter.metadata.get('title', '')}"
    for stream in info.streams:
        yield f"  {stream.name} {stream.detail}: {facts['fates'][stream.index]}"
    if facts["output"]:
        yield f"  run writes {facts['output']}"
    for note in facts["notes"]:
        yield f"  note: {note}"
