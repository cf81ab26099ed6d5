"""Runs to break: short segments, processes to kill, and the check of whatever comes out.

`benchmarks/soak.py` uses these too.
"""

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from filmcolor.errors import FilmcolorError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments.journal import Journal
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

OPTIONS = ColorOptions(weights="tutorial", size=32, device="cpu")
LOSSLESS = Encoding("master")
SEGMENT_SECONDS = Fraction(1, 3)
GOOD_RESULTS = ("whole", "damaged", "refused")  # of `attempt`
# pauses after each frame, so that the process can be hit anywhere; `limit` bytes a file at most
_SCRIPT = """
import sys, time
from fractions import Fraction
from filmcolor import ColorOptions, Encoding, FilmcolorError, colorize
from filmcolor.segments import segment
film, output, pause, limit = sys.argv[1:]
if limit != "0":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
segment._SECONDS = Fraction(1, 3)
try:
    colorize(film, output, options=ColorOptions(weights="tutorial", size=32, device="cpu"),
             encoding=Encoding("master"), progress=lambda *_: time.sleep(float(pause)))
except FilmcolorError as error:
    sys.exit(f"filmcolor: {error}")
"""
_PROGRAM = """
import time
from fractions import Fraction
from filmcolor.segments import segment
segment._SECONDS = Fraction(1, 3)
write = segment.SegmentWriter.write
def slow_write(self, frame):
    with open({frames!r}, "a") as file:
        print(frame.number, file=file)
    time.sleep({pause!r} if frame.number >= {at!r} else 0.0)
    write(self, frame)
segment.SegmentWriter.write = slow_write
from filmcolor.cli.main import main
main()
"""


def slow_program(frames: Path, pause: float, at: int = 0) -> list[str]:
    """Return a program that is `filmcolor` in segments of SEGMENT_SECONDS.

    `frames`: a file that it appends the number of each frame to. `pause`: seconds that each frame
    from number `at` on takes longer.
    """
    return [sys.executable, "-c", _PROGRAM.format(frames=str(frames), pause=pause, at=at)]


def run_command(film: Path, output: Path, pause: float = 0.0, limit: int = 0) -> list[str]:
    """Return the command of a run with OPTIONS and LOSSLESS, in segments of SEGMENT_SECONDS.

    `pause`: seconds after each frame. `limit`: bytes that a file may have, 0 for any number.
    """
    return [sys.executable, "-c", _SCRIPT, str(film), str(output), str(pause), str(limit)]


def contents(film: Path) -> list[Any]:
    """Return everything in a film: frames, their times, and the packets of sound."""
    with av.open(str(film)) as container:
        packets = [
            (packet.stream_index, packet.pts, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type != "video"
        ]
    with av.open(str(film)) as container:
        frames = [(f.pts, f.to_ndarray().tobytes()) for f in container.decode(video=0)]
    return [frames, packets]


def attempt(film: Path, output: Path, colorizer: Colorizer, seed: int = 0) -> tuple[str, str]:
    """Colour a spoiled film; return the result and its message.

    Anything but GOOD_RESULTS is a bug. The output is removed after a good result.
    """
    encoding = LOSSLESS if seed % 4 < 2 else Encoding(preset="ultrafast")
    try:
        report = colorize(film, output, colorizer=colorizer, encoding=encoding)
    except FilmcolorError as error:
        if len(str(error).splitlines()) != 1:
            return "several lines", str(error)
        if output.exists():
            return "output in spite of an error", str(error)
        return "refused", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    finally:
        Journal(output).remove()
    try:
        num_frames = verify(film, output)
    except FilmcolorError as error:
        return "not verified", str(error)
    if report.num_frames != num_frames:
        return "not verified", f"{report.num_frames} frames reported, {num_frames} are there"
    index = FrameIndex.read(probe(film))
    if report.num_frames < index.num_frames and not report.damage:
        return "silently shorter", f"{report.num_frames} frames"
    if index.num_leading and not any("cut off" in note for note in report.notes):
        return "silently shorter", f"{index.num_leading} pictures at the beginning"
    output.unlink()
    return ("damaged", "; ".join(report.damage)) if report.damage else ("whole", "")
