"""Which runtime is faster for ONNX models, takes less memory, and do both give the same colours?

    python benchmarks/onnx_runtime.py MODEL... [--picture FILE] [--rounds 5] [--threads 2]

For each model the runtimes take turns on one picture, so that other programs slow down all alike.
Prints the median seconds of a picture, their ratio to ONNX Runtime's, the time to load (with the
first picture), the peak of memory (each of a process of its own), and the greatest and the mean
difference of ab from ONNX Runtime's.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from itertools import product
from pathlib import Path

import click
import cv2
import numpy as np

from filmcolor.network.onnx_contract import recognize
from filmcolor.network.onnx_file import read_outline
from filmcolor.network.onnx_overrides import read_overrides
from filmcolor.network.onnx_session import BFLOAT16, FLOAT32, OnnxSession
from filmcolor.types.frames import Gray

CANDIDATES = {
    "ONNX Runtime float32": ("onnxruntime", FLOAT32),
    "OpenVINO float32": ("openvino", FLOAT32),
    "OpenVINO bfloat16": ("openvino", BFLOAT16),
}


class Candidate:
    """A model in a runtime."""

    def __init__(self, path: Path, name: str, num_threads: int) -> None:
        runtime, precision = CANDIDATES[name]
        file = read_outline(path)
        self.session = OnnxSession.open(file, "cpu", num_threads, runtime, precision)
        self.contract = recognize(self.session, read_overrides(file))

    def ab(self, gray: Gray) -> np.ndarray:
        """Return ab of a picture, not checked: random weights give any."""
        width, height = self.contract.size.apply(*gray.shape[::-1])
        picture = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        answers = self.session.run(self.contract.feeds(picture), [self.contract.output])
        return self.contract.ab(answers[self.contract.output], picture)


def cost(path: Path, name: str, num_threads: int, gray: Gray) -> tuple[float, float]:
    """Return seconds until the first picture is coloured, and MB of memory at the peak."""
    before, start = peak_megabytes(), time.perf_counter()
    Candidate(path, name, num_threads).ab(gray)
    return time.perf_counter() - start, peak_megabytes() - before


def peak_megabytes() -> float:
    """Return the most memory that this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--picture", type=click.Path(path_type=Path, exists=True), help="else a ramp")
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(models: tuple[Path, ...], picture: Path | None, rounds: int, threads: int) -> None:
    """Compare the runtimes on MODELS."""
    gray = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    if picture:
        gray = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    costs = {}  # first: a process inherits its parent's peak of memory
    for path, name in product(models, CANDIDATES):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs[path, name] = pool.apply(cost, (path, name, threads, gray))
    for path in models:
        candidates = {name: Candidate(path, name, threads) for name in CANDIDATES}
        print(f"{path.name}: {next(iter(candidates.values())).contract.kind}")
        colors = {name: candidate.ab(gray) for name, candidate in candidates.items()}
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(rounds):
            for name, candidate in candidates.items():
                start = time.perf_counter()
                candidate.ab(gray)
                times[name].append(time.perf_counter() - start)
        first = next(iter(candidates))
        for name in candidates:
            load_seconds, megabytes = costs[path, name]
            seconds = statistics.median(times[name])
            ratio = statistics.median(a / b for a, b in zip(times[name], times[first]))
            difference = np.abs(colors[name] - colors[first])
            print(
                f"  {name:21} {seconds:6.2f} s  {ratio:.2f}  load {load_seconds:5.1f} s  "
                f"{megabytes:5.0f} MB  ab differ by {difference.max():.3f}, "
                f"mean {difference.mean():.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
