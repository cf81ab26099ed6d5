"""What does colour cost? The wall time of `filmcolor run` over that of a plain transcode.

    python benchmarks/transcode.py FILM [--height 480] [--preset veryfast] [--pairs 5]

Both decode the same film and encode it with the same encoder, preset and crf; they take
turns in one run, so that the machine's drift falls on both. A film whose height is not
`--height` is first scaled to it. Prints the median ratio with its spread, and the extra
processor time per frame.

`--ready` compares with itself a plain transcode which is handed the finished chroma: what
the encoder alone takes for colours, that no way of making them can be below.
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
    """Decode and encode the picture, copy nothing else, as a program without filmcolor would.

    `chroma`: finished (Cb, Cr) of each frame to encode in place of the film's, see `made_ready`.
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
                rows[:, : plane.width] = values  # of what the decoder may look at: chroma alone
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def made_ready(film: Path, path: Path) -> None:
    """Save the chroma (N, 2, H/2, W/2) that filmcolor gives a film."""
    from filmcolor.pipeline.colorizer import Colorizer
    from filmcolor.pipeline.options import ColorOptions
    from filmcolor.video.probe import probe

    colored = Colorizer(ColorOptions(recolor=True)).frames(probe(film))
    np.save(path, np.stack([np.stack([frame.cb, frame.cr]) for frame in colored]))


def scaled(film: Path, height: int, folder: Path, num_frames: int) -> Path:
    """Return the film's first frames, looped to `num_frames`, at a height, nearly lossless."""
    path = folder / f"scaled-{height}.mp4"
    with av.open(str(path), "w") as target:
        stream = None
        written = 0
        while written < num_frames:
            with av.open(str(film)) as source:
                video = source.streams.video[0]
                for frame in source.decode(video):
                    if written == num_frames:
                        break
                    if stream is None:
                        width = 2 * round(video.width * height / video.height / 2)
                        options = {"crf": "10", "preset": "veryfast"}
                        stream = target.add_stream("libx264", rate=24, options=options)
                        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                    picture = frame.reformat(stream.width, height, "yuv420p")
                    picture.pts, picture.time_base = written, Fraction(1, 24)
                    picture.pict_type = 0
                    target.mux(stream.encode(picture))
                    written += 1
        target.mux(stream.encode(None))
    return path


def timed(command: list[str]) -> tuple[float, float]:
    """Return (wall, processor) seconds of a command, whole process."""
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
@click.option("--ready", is_flag=True, help="Compare with what the encoder takes for colours.")
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
        source = scaled(film, height, Path(folder), num_frames)
        target = Path(folder) / "out.mp4"
        script = [sys.executable, __file__, str(source), "--preset", preset, "--plain", str(target)]
        program = str(Path(sys.executable).with_name("filmcolor"))
        run = [program, "run", str(source), "-o", str(target), "--force", "--quiet", "--recolor"]
        run += ["--codec", "libx264", "--crf", CRF, "--preset", preset]
        if ready:
            chroma = Path(folder) / "chroma.npy"
            made_ready(source, chroma)
            run = [*script, "--chroma", str(chroma)]
        what = "chroma handed over" if ready else "colour"
        ratios, added, plain_cpu = [], [], []
        for _ in range(pairs):
            base_wall, base_cpu = timed(script)
            wall, cpu = timed(run)
            ratios.append(wall / base_wall)
            added.append((cpu - base_cpu) / num_frames * 1000)
            plain_cpu.append(base_cpu / num_frames * 1000)
            click.echo(f"  plain {base_wall:6.2f} s   {what} {wall:6.2f} s   {ratios[-1]:.2f}")
        click.echo(
            f"{film.name} {height}p {preset}, {what}: ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), "
            f"{statistics.median(added):.1f} ms of processor time added to "
            f"{statistics.median(plain_cpu):.1f} a frame"
        )


if __name__ == "__main__":
    main()
