"""How should the page's network store its weights? Bytes, accuracy, and colours like Python's.

    python benchmarks/photo_page_network.py STILLS [--old DIR] [--num 47] [--layers]

STILLS are colour pictures that no training has seen; DIR has old photographs. For each scheme the
table has the size of the weights after gzip; the ab RMSE below that of grey, in percent of it, on
all STILLS; and the distances of ab from those of the shipped weights in float32 after the vote of
surfaces, on some STILLS and on all old photographs: mean and 99th percentile over all pixels, and
the mean of the worst picture. With --layers, a second table has the distances when only one part
of the network is int8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from filmcolor.guidance.grading import SATURATION
from filmcolor.images.image_file import find_images
from filmcolor.network.predictor import denoise
from filmcolor.network.surfaces import SURFACES, surface_ab
from filmcolor.photo_page import network
from filmcolor.photo_page.contents import pack
from filmcolor.photo_page.network import LEAST_SPLIT, load_page_net, page_graph, page_network
from filmcolor.train.data.dataset import read_resized
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.train.validation import predict_full_size
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.proxy import DEFAULT_SIZE, STRIDE

LEAST_STORED = 1024  # values: smaller tensors stay float32
PARTS = (
    *("stem", *(f"stages.{n}." for n in range(1, 7))),
    *("top", "MatMul", "skips", "ups.0", "ups.1", "ups.2", "bins"),
)

Array = NDArray[np.float32]
# what is stored of weights, and the weights that this gives; channels are rows
Scheme = Callable[[Array], tuple[list[NDArray[np.generic]], Array]]


def float16(weight: Array) -> tuple[list[NDArray[np.generic]], Array]:
    """Store weights as float16."""
    half = weight.astype(np.float16)
    return [half], half.astype(np.float32)


def short_float16(num_bits: int) -> Scheme:
    """Store weights as float16 with a mantissa of fewer bits, bytes apart."""

    def store(weight: Array) -> tuple[list[NDArray[np.generic]], Array]:
        dropped = 10 - num_bits
        bits = weight.astype(np.float16).view(np.uint16).astype(np.uint32)
        bits = ((bits + (1 << dropped >> 1)) >> dropped << dropped).astype(np.uint16)
        planes = [(bits >> 8).astype(np.uint8), (bits & 255).astype(np.uint8)]
        return list(planes), bits.view(np.float16).astype(np.float32)

    return store


def int8(is_fitted: bool = False, least: int = 0) -> Scheme:
    """Store weights as int8 per channel, tensors of fewer than `least` values as float16.

    `is_fitted`: with the scale of the least squared error, not that of the largest weight.
    """

    def store(weight: Array) -> tuple[list[NDArray[np.generic]], Array]:
        if weight.size < least:
            return float16(weight)
        largest = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-12) / 127.0
        best = largest
        least_error = np.full_like(largest, np.inf)
        for share in np.linspace(0.6, 1.0, 21) if is_fitted else (1.0,):
            step = (largest * share).astype(np.float32)
            error = ((_quantize(weight, step) * step - weight) ** 2).sum(axis=1, keepdims=True)
            best = np.where(error < least_error, step, best)
            least_error = np.minimum(error, least_error)
        codes = _quantize(weight, best)
        return [codes.astype(np.int8), best], codes * best

    return store


def _quantize(weight: Array, step: Array) -> Array:
    return np.rint(weight / step).clip(-127, 127)


def apply(graph: bytes, scheme: Scheme, part: str = "") -> tuple[bytes, int]:
    """Return a float32 graph with the weights of a scheme, and the bytes of these after gzip.

    `part`: of the names of weights; the others are stored as float16.
    """
    model = onnx.load_from_string(graph)
    operators = {name: node.op_type for node in model.graph.node for name in node.input}
    stored = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_STORED:
            stored.append(values.tobytes())
            continue
        axis = -1 if operators[tensor.name] == "MatMul" else 0
        moved = np.moveaxis(values, axis, 0)
        store = scheme if part in tensor.name else float16
        planes, rows = store(moved.reshape(len(moved), -1))
        stored += [plane.tobytes() for plane in planes]
        changed = np.moveaxis(rows.reshape(moved.shape), 0, axis).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), tensor.name))
    return model.SerializeToString(), len(pack(b"".join(stored)))


class PageNet:
    """A file of the page's network, with the vote of surfaces."""

    def __init__(self, file: bytes, centers: torch.Tensor) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(file, options)
        self._centers = centers

    def predict(self, luma: Gray) -> FloatPlane:
        """Return ab (1, h/2, w/2, 2) of 8-bit luma (1, h, w)."""
        feed = {"luma": luma[None].astype(np.float32) * np.float32(1.0 / 255.0)}
        outputs = self._session.run([network.LOGITS, network.VALUES], feed)
        logits, values = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in outputs)
        ab = surface_ab(logits, self._centers, denoise(luma[0])[None], values[:, 1:], SURFACES)
        return cv2.resize(ab[0], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[None]


@dataclass
class Picture:
    """A picture at the network's size."""

    luma: FloatPlane  # (H, W) in 0..1
    ab: FloatPlane  # (H, W, 2), the true colours

    @classmethod
    def read(cls, path: Path) -> "Picture":
        """Read a picture as `filmcolor evaluate` does."""
        luma, ab = luma_and_ab(read_resized(path, DEFAULT_SIZE, STRIDE)[None])
        return cls(luma[0, 0].numpy(), ab[0].permute(1, 2, 0).numpy())


def colors_of(net: PageNet, pictures: list[Picture]) -> list[FloatPlane]:
    """Return ab (H, W, 2) of pictures at the default saturation."""
    return [predict_full_size(net, p.luma) * np.float32(SATURATION) for p in pictures]


def points(colors: list[FloatPlane], pictures: list[Picture]) -> float:
    """Return how far the ab RMSE lies below that of grey, percent."""
    error = sum(float(((ab - p.ab) ** 2).sum()) for ab, p in zip(colors, pictures, strict=True))
    return float(100.0 * (1.0 - (error / sum(float((p.ab**2).sum()) for p in pictures)) ** 0.5))


def distances(colors: list[FloatPlane], wanted: list[FloatPlane]) -> str:
    """Return columns: mean, 99th percentile, mean of the worst picture."""
    found = [np.linalg.norm(a - b, axis=2).ravel() for a, b in zip(colors, wanted, strict=True)]
    every, worst = np.concatenate(found), max(float(d.mean()) for d in found)
    return f"{every.mean():.2f} | {np.percentile(every, 99):.2f} | {worst:.2f}"


@click.command()
@click.argument("stills", type=click.Path(exists=True, path_type=Path))
@click.option("--old", type=click.Path(exists=True, path_type=Path), help="Old photographs.")
@click.option("--num", default=47, help="Stills to compare colours on.")
@click.option("--layers", is_flag=True, help="Rank the parts of the network.")
def main(stills: Path, old: Path | None, num: int, layers: bool) -> None:
    """Print the tables."""
    center = load_page_net("film").centers
    graph = page_graph(load_page_net("film"))
    every = [Picture.read(path) for path in find_images(stills)]
    step = max(1, len(every) // num)
    olds = [Picture.read(path) for path in find_images(old)] if old else []
    exact = PageNet(graph, center)
    wanted, wanted_old = colors_of(exact, every), colors_of(exact, olds)
    click.echo(f"float32: {points(wanted, every):.2f} points")
    heads = "mean | 99th | worst"
    click.echo(f"| weights | MB | points | {heads} | old: {heads} |\n|---|" + "---|" * 8)
    schemes: dict[str, Scheme] = {
        "float16": float16,
        "float16, mantissa of 6 bits": short_float16(6),
        "int8, largest weight": int8(),
        "int8, least squares": int8(is_fitted=True),
        "int8, small ones float16": int8(least=LEAST_SPLIT),
    }
    files = {name: apply(graph, scheme) for name, scheme in schemes.items()}
    page = page_network("film")
    files[network.DTYPE] = page, len(pack(page))
    for name, (file, size) in files.items():
        net = PageNet(file, center)
        colors = colors_of(net, every)
        row = f"{points(colors, every):.2f} | {distances(colors[::step], wanted[::step])}"
        if olds:
            row += f" | {distances(colors_of(net, olds), wanted_old)}"
        click.echo(f"| {name} | {size / 1e6:.2f} | {row} |")
    if not layers:
        return
    click.echo(f"\n| int8 only in | values | {heads} |\n|---|---|---|---|---|")
    for part in PARTS:
        counts = [
            np.prod(t.dims)
            for t in onnx.load_from_string(graph).graph.initializer
            if part in t.name
        ]
        net = PageNet(apply(graph, int8(), part)[0], center)
        colors = colors_of(net, every[::step])
        click.echo(f"| {part} | {sum(counts) / 1e6:.2f} M | {distances(colors, wanted[::step])} |")


if __name__ == "__main__":
    main()
