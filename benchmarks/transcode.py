"""What does colour cost? The wall time of `filmcolor run` over that of a plain transcode.

    python benchmarks/transcode.py FILM [--height 480] [--preset veryfast] [--pairs 5]

Both decode the same film and encode it with the same encoder, preset and crf. They alternate, so
that drift of the machine affects both. The film is first scaled to `--height`. Prints the median
ratio with its range, and the added processor time per frame.

`--ready` instead compares a plain transcode with one that is given the finished chroma: the cost of
encoding colours, which is a lower bound for every way of making them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np

CRF = "20"


def plain_transcode(film: Path, output: Path, preset: str, chroma: Path | None = None) -> None:
    """Decode and encode the picture without filmcolor; copy nothing else.

    `chroma`: finished (Cb, Cr) of each frame to encode instead of the film's, from `save_chroma`.
    """
    ready = None if chroma is None else np.load(chroma, mmap_mode="r")  # (N, 2, H/2, W/2)
    with av.open(str(film)) as source, av.open(str(output), "w") as target:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        options = {"crf": CRF, "preset": preset}
        stream = target.add_stream("libx264", rate=video.average_rate, options=options)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.time_base = Fraction(video.time_base)
        for number, frame in enumerate(source.decode(video)):
            frame.pict_type = 0
            for plane, values in zip(frame.planes[1:], () if ready is None else ready[number]):
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                # chroma alone: the decoder may still read this luma
                rows[:, : plane.width] = values
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def save_chroma(film: Path, path: Path) -> None:
    """Save the chroma (N, 2, H/2, W/2) that filmcolor makes for a film."""
    from filmcolor.pipeline.colorizer import Colorizer
    from filmcolor.pipeline.options import ColorOptions
    from filmcolor.video.probe import probe

    colored = Colorizer(ColorOptions(recolor=True)).frames(probe(film))
    np.save(path, np.stack([np.stack([frame.cb, frame.cr]) for frame in colored]))


def scale(film: Path, height: int, folder: Path, num_frames: int) -> Path:
    """Write the film's first frames, looped to `num_frames`, at a height; return the path."""
    path = folder / f"scaled-{height}.mp4"
    with av.open(str(path), "w") as target:
        stream = None
        num_written = 0
        while num_written < num_frames:
            with av.open(str(film)) as source:
                video = source.streams.video[0]
                for frame in source.decode(video):
                    if num_written == num_frames:
                        break
                    if stream is None:
                        width = 2 * round(video.width * height / video.height / 2)
                        options = {"crf": "10", "preset": "veryfast"}
                        stream = target.add_stream("libx264", rate=24, options=options)
                        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                    picture = frame.reformat(stream.width, height, "yuv420p")
                    picture.pts, picture.time_base = num_written, Fraction(1, 24)
                    picture.pict_type = 0
                    target.mux(stream.encode(picture))
                    num_written += 1
        target.mux(stream.encode(None))
    return path


def run_timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its (wall, processor) seconds."""
    before, started = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, os.times()
    spent = after.children_user - before.children_user
    return wall, spent + after.children_system - before.children_system


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--height", type=int, default=480, show_default=True)
@click.option("--preset", default="veryfast", show_default=True)
@click.option("--pairs", type=int, default=5, show_default=True)
@click.option("--num-frames", type=int, default=300, show_default=True)
@click.option("--ready", is_flag=True, help="Measure the cost of encoding colours alone.")
@click.option("--plain", type=click.Path(path_type=Path), hidden=True)
@click.option("--chroma", type=click.Path(path_type=Path), hidden=True)
def main(
    film: Path,
    height: int,
    preset: str,
    pairs: int,
    num_frames: int,
    ready: bool,
    plain: Path | None,
    chroma: Path | None,
) -> None:
    """Compare filmcolor run on FILM with a plain transcode of it."""
    if plain:
        plain_transcode(film, plain, preset, chroma)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = scale(film, height, Path(folder), num_frames)
        target = Path(folder) / "out.mp4"
        script = [sys.executable, __file__, str(source), "--preset", preset, "--plain", str(target)]
        program = str(Path(sys.executable).with_name("filmcolor"))
        run = [program, "run", str(source), "-o", str(target), "--force", "--quiet", "--recolor"]
        run += ["--codec", "libx264", "--crf", CRF, "--preset", preset]
        if ready:
            chroma = Path(folder) / "chroma.npy"
            save_chroma(source, chroma)
            run = [*script, "--chroma", str(chroma)]
        label = "given chroma" if ready else "colour"
        ratios, added, plain_cpu = [], [], []
        for _ in range(pairs):
            base_wall, base_cpu = run_timed(script)
            wall, cpu = run_timed(run)
            ratios.append(wall / base_wall)
            added.append((cpu - base_cpu) / num_frames * 1000)
            plain_cpu.append(base_cpu / num_frames * 1000)
            click.echo(f"  plain {base_wall:6.2f} s   {label} {wall:6.2f} s   {ratios[-1]:.2f}")
        click.echo(
            f"{film.name} {height}p {preset}, {label}: ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), "
            f"{statistics.median(added):.1f} ms of processor time added to "
            f"{statistics.median(plain_cpu):.1f} per frame"
        )


if __name__ == "__main__":
    main()
