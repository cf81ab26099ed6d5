"""Tiny colorizers in ONNX with the contracts of those that people have, and colours that are known.

Each is a few operators on every pixel: ab are a linear function of the input, or R'G'B' is a tint
of it. The names, dtypes, shapes and opsets are those of the real files (`docs/models.md`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]
# slope and offset of a and b: of L in 0..100, or of luma in 0..1
ZHANG_AB = ((0.6, -20.0), (-0.3, 25.0))
DDCOLOR_AB = ((50.0, -15.0), (-35.0, 20.0))
TINT = (1.0, 0.8, 0.5)  # of R', G', B'
BLACK = 8 / 255  # an R'G'B' model makes everything below it black, as a trained one does

_IR_VERSIONS = {10: 5, 11: 6, 12: 7, 17: 8, 18: 8}  # by opset: of the ONNX releases of their time


@dataclass(frozen=True)
class Tiny:
    """A model to write. Sizes are (height, width)."""

    kind: str
    input: str = "input"
    output: str = "output"
    size: tuple[int, int] | None = None  # None: any
    opset: int = 12
    dtype: type[np.generic] = np.float32  # of inputs and outputs
    white: float = 255.0  # of an R'G'B' model
    weights: str = "float"  # "float", "float16" or "int8": how they are stored
    hints: tuple[tuple[str, int], ...] = ()  # names and channels of further inputs
    hint_size: tuple[int, int] | None = None  # where it is not that of the picture
    is_external: bool = False
    batch: int | str = 1  # 0: no such dimension
    output_shape: Shape | None = None  # as declared, where it is not as computed
    only: tuple[int, int] | None = None  # the size it takes, although it states none
    metadata: Mapping[str, str] = field(default_factory=dict)
    has_listed_weights: bool = False  # among the inputs, as exporters did until 2019
    extra: Callable[["Graph"], None] | None = None  # adds to the graph


class Graph:
    """Nodes, weights, inputs and outputs of a model that is being made."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add a weight and return its name."""
        array = np.asarray(values, dtype or self.tiny.dtype)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def kernel(self, values: Any) -> str:
        """Add the weights of a convolution, stored as the model stores them."""
        array = np.asarray(values, np.float32)
        if self.tiny.weights == "int8":
            scale = np.abs(array).max() / 127
            quantized = self.constant(np.round(array / scale), np.int8)
            zero = self.constant(0, np.int8)
            return self.add("DequantizeLinear", quantized, self.constant(scale), zero)
        if self.tiny.weights == "float16":
            return self.add("Cast", self.constant(array, np.float16), to=TensorProto.FLOAT)
        return self.constant(array)

    def tensor(self, name: str, shape: Shape, dtype: Any = None) -> Any:
        """Return the declaration of an input or output."""
        number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype or self.tiny.dtype))
        return helper.make_tensor_value_info(name, number, shape)


def save(tiny: Tiny, path: Path) -> Path:
    """Write a model and return its path."""
    graph = Graph(tiny)
    num_channels = {"zhang": (1, 2), "ddcolor": (3, 2), "deoldify": (3, 3)}[tiny.kind]
    batch: list[int | str] = [tiny.batch] if tiny.batch else []
    size: Shape = tiny.size or ("height", "width")
    graph.inputs.append(graph.tensor(tiny.input, [*batch, num_channels[0], *size]))
    value = tiny.input
    if not tiny.batch:
        value = graph.add("Reshape", value, _sizes(graph, (1, num_channels[0], *tiny.size)))
    if tiny.only:
        value = graph.add("Reshape", value, _sizes(graph, (1, num_channels[0], *tiny.only)))
    value = (_tint if tiny.kind == "deoldify" else _linear)(graph, value)
    for name, channels in tiny.hints:
        # so much of it that anything but zero would show
        hint_size: Shape = tiny.hint_size or size
        graph.inputs.append(graph.tensor(name, [1, channels, *hint_size]))
        total = graph.add("ReduceSum", name, keepdims=0)
        value = graph.add("Add", value, graph.add("Mul", total, graph.constant(1000.0)))
    if not tiny.batch:
        value = graph.add("Reshape", value, _sizes(graph, (num_channels[1], *tiny.size)))
    graph.add("Identity", value, output=tiny.output)
    shape = tiny.output_shape or [*batch, num_channels[1], *size]
    graph.outputs.append(graph.tensor(tiny.output, shape))
    if tiny.extra:
        tiny.extra(graph)
    return write(graph, path)


def write(graph: Graph, path: Path) -> Path:
    """Write a graph as a model and return its path."""
    tiny = graph.tiny
    inputs = list(graph.inputs)
    if tiny.has_listed_weights:
        inputs += [
            helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in graph.weights
        ]
    made = helper.make_graph(graph.nodes, "tiny", inputs, graph.outputs, graph.weights)
    opset = helper.make_opsetid("", tiny.opset)
    model = helper.make_model(
        made, opset_imports=[opset], ir_version=_IR_VERSIONS.get(tiny.opset, 8)
    )
    helper.set_model_props(model, dict(tiny.metadata))
    external = {}
    if tiny.is_external:
        external = {"save_as_external_data": True, "location": f"{path.stem}.data"}
    onnx.save(model, path, size_threshold=0, **external)
    return path


def _sizes(graph: Graph, shape: Sequence[int]) -> str:
    return graph.constant(shape, np.int64)


def _linear(graph: Graph, value: str) -> str:
    """Add ab as a linear function of the input: one convolution of 1×1."""
    table = np.array(ZHANG_AB if graph.tiny.kind == "zhang" else DDCOLOR_AB)
    # L is of all channels alike here: one that is not filled would show
    shares = np.array([1.0] if graph.tiny.kind == "zhang" else [0.5, 0.3, 0.2])
    kernel = (table[:, :1] * shares)[:, :, None, None]
    return graph.add("Conv", value, graph.kernel(kernel), graph.constant(table[:, 1]))


def _tint(graph: Graph, value: str) -> str:
    """Add R'G'B' as a tint of the input, black below BLACK and never above white."""
    white = graph.tiny.white
    above = graph.add("Relu", graph.add("Sub", value, graph.constant(BLACK * white)))
    tinted = graph.add("Conv", above, graph.kernel(np.diag(TINT)[:, :, None, None]))
    return graph.add("Min", tinted, graph.constant(white))


def expected_ab(kind: str, luma: NDArray[Any]) -> NDArray[np.float64]:
    """Return ab (..., 2) of a tiny model for luma in 0..1, from the definitions of its units."""
    from skimage.color import rgb2lab

    if kind == "deoldify":
        rgb = np.clip(luma[..., None] - BLACK, 0.0, 1.0) * TINT
        red, green, blue = np.moveaxis(rgb, -1, 0)
        y = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601-7
        cb, cr = (blue - y) / 1.772, (red - y) / 1.402
        joined = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb]
        return rgb2lab(np.stack(joined, axis=-1))[..., 1:]
    value = luma
    if kind == "zhang":
        value = rgb2lab(np.repeat(luma[..., None], 3, axis=-1))[..., 0]
    table = np.array(ZHANG_AB if kind == "zhang" else DDCOLOR_AB)
    return value[..., None] * table[:, 0] + table[:, 1]
