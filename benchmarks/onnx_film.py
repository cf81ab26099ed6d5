"""Are exported networks equal to PyTorch's, and is another runtime faster?

    python benchmarks/onnx_film.py STILLS [--num 50] [--rounds 15]

Exports the shipped networks in float32 and float16. The first table compares ab of STILLS with
PyTorch's in float32: the network's own, features, and with surfaces. The second is the time of the
network alone on random pictures of 344×256; with PyTorch in the dtype that it chooses here, and in
float32, which processors without AVX512-BF16 get. All take turns; ratios to the first are medians
over the rounds, of processor time and of wall time.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from unittest import mock

import click
import cv2
import numpy as np
import openvino
import torch

import filmcolor.weights as weights_store
from filmcolor.color.spaces import luma_from_rgb
from filmcolor.images.image_file import find_images, read_photo
from filmcolor.network import predictor as predictor_module
from filmcolor.network.device import choose_dtype
from filmcolor.network.onnx_export import export_onnx
from filmcolor.network.onnx_net import OnnxNet
from filmcolor.network.predictor import Predictor
from filmcolor.types.frames import Gray
from filmcolor.video.proxy import DEFAULT_SIZE, proxy_size

RUNTIMES = "openvino", "onnxruntime"
SHAPE = 256, 344  # of the timed pictures
LIMIT = 0.1  # ab, CIELAB units


def read_luma(path: Path) -> Gray:
    """Return a still's luma at the network's size."""
    rgb = read_photo(path).rgb
    scaled = rgb.astype(np.float32) / np.iinfo(rgb.dtype).max
    luma = np.rint(luma_from_rgb(*np.moveaxis(scaled, 2, 0)) * 255.0).astype(np.uint8)
    shape = proxy_size(rgb.shape[1], rgb.shape[0], DEFAULT_SIZE)
    return cv2.resize(luma, shape, interpolation=cv2.INTER_AREA)


def in_dtype(net: torch.nn.Module, dtype: torch.dtype, surfaces: float = 0.0) -> Predictor:
    """Return a PyTorch predictor on the CPU with a dtype."""
    with mock.patch.object(predictor_module, "choose_dtype", return_value=dtype):
        return Predictor(net, "cpu", surfaces)


def compare(name: str, files: dict[bool, Path], lumas: list[Gray]) -> None:
    """Print how far the exported files are from PyTorch in float32."""
    net = weights_store.load(name)
    exact, voted = (in_dtype(net, torch.float32, strength) for strength in (0.0, 1.0))
    expected = [(*exact.predict_with_features(p[None]), voted.predict(p[None])) for p in lumas]
    fast = choose_dtype(torch.device("cpu"))
    rows = {f"PyTorch {fast}": [in_dtype(net, fast, strength) for strength in (0.0, 1.0)]}
    for runtime, (is_half, path) in product(RUNTIMES, files.items()):
        exported = OnnxNet.open(path, "cpu", 1, runtime)
        key = f"{runtime} {'float16' if is_half else 'float32'}"
        rows[key] = [Predictor(exported, surfaces=strength) for strength in (0.0, 1.0)]
    for key, (plain, surfaces) in rows.items():
        own, of_features, of_surfaces = [], [], []
        for picture, (ab, features, voted_ab) in zip(lumas, expected):
            result, result_features = plain.predict_with_features(picture[None])
            own.append(np.abs(result - ab).ravel())
            of_features.append(np.abs(result_features - features).max())
            of_surfaces.append(np.abs(surfaces.predict(picture[None]) - voted_ab).ravel())
        all_own, all_voted = np.concatenate(own), np.concatenate(of_surfaces)
        click.echo(
            f"{name:9} {key:22} ab max {all_own.max():.5f} mean {all_own.mean():.6f}, "
            f"features max {max(of_features):.5f}, with surfaces max {all_voted.max():.5f} "
            f"mean {all_voted.mean():.6f}, {100 * np.mean(all_voted > LIMIT):.3f} % over {LIMIT}"
        )


def pytorch_run(name: str, luma: Gray, dtype: torch.dtype) -> Callable[[], object]:
    """Return a function that computes the network's output for luma (N, h, w) with PyTorch."""
    predictor = in_dtype(weights_store.load(name), dtype)
    batch = torch.from_numpy(luma)[:, None].to(dtype) / 255.0

    @torch.inference_mode()
    def run() -> object:
        return predictor._run_net(luma, batch, has_features=False)

    return run


def runs_of(name: str, path: Path, luma: Gray, num_threads: int) -> dict[str, Callable[[], object]]:
    """Return functions that compute the network's output for luma (N, h, w)."""
    runs: dict[str, Callable[[], object]] = {}
    for dtype in dict.fromkeys((choose_dtype(torch.device("cpu")), torch.float32)):
        runs[f"PyTorch {dtype}"] = pytorch_run(name, luma, dtype)
    for runtime in RUNTIMES:
        exported = OnnxNet.open(path, "cpu", num_threads, runtime)
        runs[f"{runtime}, one by one"] = lambda net=exported: net.run(luma, has_layers=False)
    core, values = openvino.Core(), luma[:, None] / np.float32(255.0)
    for precision in ("f32", "bf16"):
        model = core.read_model(path)
        model.reshape({0: list(values.shape)})
        kept = {"ab", "layer0"} if name == "tutorial" else {"logits", "layer0"}
        results = [r for r in model.get_results() if r.output(0).get_names() & kept]
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": num_threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        pruned = openvino.Model(results, model.get_parameters())
        request = core.compile_model(pruned, "CPU", settings).create_infer_request()
        runs[f"openvino {precision}, two outputs"] = lambda r=request: r.infer([values])
    return runs


def measure(runs: dict[str, Callable[[], object]], num_rounds: int) -> dict[str, np.ndarray]:
    """Return seconds (num_rounds, 2) of processor and wall time of functions that take turns."""
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
    for number in range(num_rounds + 2):
        for key, run in runs.items():
            started = time.process_time(), time.perf_counter()
            run()
            if number >= 2:
                times[key].append(
                    (time.process_time() - started[0], time.perf_counter() - started[1])
                )
    return {key: np.array(values) for key, values in times.items()}


@click.command()
@click.argument("stills", type=click.Path(path_type=Path, exists=True))
@click.option("--num", default=50, show_default=True, help="Stills to compare.")
@click.option("--threads", multiple=True, default=[1, 2], show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Of the timed runs.")
def main(stills: Path, num: int, threads: tuple[int, ...], rounds: int) -> None:
    """Compare exported networks with PyTorch on STILLS, and measure their time."""
    paths = find_images(stills)
    lumas = [read_luma(path) for path in paths[:: max(1, len(paths) // max(1, num))][:num]]
    with tempfile.TemporaryDirectory() as folder:
        for name in weights_store.shipped():
            files = {}
            for is_half in (False, True):
                files[is_half] = Path(folder) / f"{name}-{is_half}.onnx"
                export_onnx(weights_store.load(name), files[is_half], is_half=is_half)
            torch.set_num_threads(1)
            if lumas:
                compare(name, files, lumas)
            for num_threads, batch_size in product(threads, (1, 4)):
                torch.set_num_threads(num_threads)
                luma = np.random.default_rng(0).integers(0, 256, (batch_size, *SHAPE), np.uint8)
                times = measure(runs_of(name, files[False], luma, num_threads), rounds)
                first = next(iter(times.values()))
                for key, seconds in times.items():
                    ratios = np.median(seconds / first, axis=0)
                    milliseconds = 1000.0 * np.median(seconds, axis=0) / batch_size
                    click.echo(
                        f"{name:9} {num_threads} threads, batch {batch_size}, {key:26} "
                        f"{milliseconds[0]:6.1f} ms of processor time (×{ratios[0]:.2f}), "
                        f"{milliseconds[1]:6.1f} ms of wall time (×{ratios[1]:.2f})"
                    )


if __name__ == "__main__":
    main()
