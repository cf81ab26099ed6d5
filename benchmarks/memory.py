"""Does memory grow with length? Peak memory of `filmcolor run` on a short and a long film.

    python benchmarks/memory.py [--seconds 60 --times 10 --width 1920 --height 1080]

Makes two films of a moving texture, one `--times` as long as the other, and colours each in a new
process. Prints both peaks and their ratio.
"""

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np

RATE = 24


def make_film(path: Path, seconds: int, width: int, height: int) -> None:
    """Write a film of a drifting texture, H.264 in MP4."""
    rng = np.random.default_rng(0)
    texture = rng.integers(40, 200, (height // 8, width // 8), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as target:
        options = {"preset": "ultrafast", "crf": "24"}
        stream = target.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        chroma = np.full((height // 2, width), 128, np.uint8)
        for number in range(seconds * RATE):
            luma = np.roll(texture, 3 * number, axis=1)
            frame = av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def peak_mebibytes(film: Path) -> float:
    """Return the peak resident memory of colouring a film, in MiB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    program = str(Path(sys.executable).with_name("filmcolor"))
    run = [program, "run", str(film), "--force", "--quiet", "--preset", "ultrafast"]
    printed = subprocess.run([sys.executable, "-c", code, *run], check=True, capture_output=True)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return int(printed.stdout) * unit / 2**20


@click.command()
@click.option("--seconds", type=int, default=60, show_default=True)
@click.option("--times", type=int, default=10, show_default=True)
@click.option("--width", type=int, default=1920, show_default=True)
@click.option("--height", type=int, default=1080, show_default=True)
def main(seconds: int, times: int, width: int, height: int) -> None:
    """Compare the peak memory of a short film with that of a long one."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for length in (seconds, seconds * times):
            film = Path(folder) / f"film-{length}.mp4"
            make_film(film, length, width, height)
            peaks.append(peak_mebibytes(film))
            click.echo(f"{length} s at {width}×{height}: {peaks[-1]:.0f} MiB")
        click.echo(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
