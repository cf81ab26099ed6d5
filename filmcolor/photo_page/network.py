"""The network as the page runs it: an ONNX file of luma in, logits and surfaces' values out.

Large weights are stored as 12-bit integers in two tensors, high bits and low bits, which gzip makes
smaller than float16; small ones stay float16. That costs no accuracy: ab RMSE stays 20.6 % below
grey, where int8 per channel loses 0.4 points. Surfaces are found by thresholds, so that a small
error of weights moves some of them to other colours: 1 % of the pixels are at least 1.8 units of ab
away from Python's colours, and 4.3 with int8. `benchmarks/photo_page_network.py` compares the
schemes. The encoder's first blocks and the skips are the most sensitive, and small.

DequantizeLinear, once for each half, gives float32 again. onnxruntime-web leaves that for each
picture, where it takes 4 % of the time; computed when it opens the file
(session.disable_quant_qdq), the session would need 107 MB instead of 51, and twice the time to
open.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import FilmNet
from filmcolor.network.onnx_export import DenoisingNet, halve_weights, trace
from filmcolor.network.onnx_net import KIND, LUMA
from filmcolor.network.surfaces import FEATURE_LEVELS
from filmcolor.version import __version__
from filmcolor.video.proxy import DEFAULT_SIZE, STRIDE

if TYPE_CHECKING:
    import onnx

LOGITS, VALUES = "logits", "values"  # outputs
DTYPE = "float16, large weights 12-bit integers"
LEAST_SPLIT = 40_000  # values: smaller tensors stay float16
STEPS = 250.0  # of a root mean square; 200 to 400 move about as many surfaces
_LOW_BITS = 4
_BASE = 1 << _LOW_BITS
_MOST = 128 * _BASE - 1  # steps: the high bits are an int8
_OUTPUT_AXES = {"Conv": 0, "MatMul": -1}  # of weights: the axis of output channels
_KIND = f"{KIND}-page"
_STRIDE = 4  # of the outputs
_WHITE = 255.0  # levels of luma


def load_page_net(weights: str | Path) -> FilmNet:
    """Return the network of weights that the page can use; raises WeightsError for others."""
    net = weights_store.load(weights_store.find(weights))
    if not isinstance(net, FilmNet):
        raise WeightsError(
            f"{weights} holds the tutorial's network; the page needs weights of the film network"
        )
    return net


def page_network(weights: str | Path) -> bytes:
    """Return the ONNX file of weights, for luma float32 (1, 1, H, W) in 0..1, not denoised.

    H and W are multiples of 8. Outputs: "logits" (1, H/4, W/4, bins), and "values"
    (1, H/4, W/4, 1 + C), what `surfaces` finds segments in.
    Raises SettingsError when the package onnx is missing, WeightsError for weights of another kind.
    """
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(
            "the page's network needs the package onnx: pip install 'filmcolor[onnx]'"
        ) from error
    net = load_page_net(weights)
    model = onnx.load_from_string(page_graph(net))
    halve_weights(model)
    split_weights(model)
    model.producer_name, model.producer_version = KIND, __version__
    model.doc_string = "Colours of black-and-white photographs: luma in, distributions out."
    onnx.helper.set_model_props(model, _metadata(net, weights))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def page_graph(net: FilmNet) -> bytes:
    """Return the graph of `page_network`, with float32 weights."""
    return trace(_PageNet(net), [LOGITS, VALUES], has_channels_last=True)


class _PageNet(DenoisingNet):
    """A network whose outputs are what the page decodes colours from."""

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, h, w, bins) and values (N, h, w, 1 + C)."""
        assert isinstance(self.net, FilmNet)
        denoised = self.denoise(luma)
        features = self.net.layers(denoised)[0]
        levels = _WHITE * functional.avg_pool2d(denoised, _STRIDE)
        unit = FEATURE_LEVELS * functional.normalize(features, dim=1)
        values = torch.cat([levels, unit], dim=1)
        logits = self.net.logits(features)
        return logits.permute(0, 2, 3, 1), values.permute(0, 2, 3, 1)


def split_weights(model: "onnx.ModelProto") -> None:
    """Store a model's large float16 weights as 12-bit integers; nodes give float32 of them.

    `model`: as of `halve_weights`, whose casts are replaced.
    """
    from onnx import TensorProto, helper, numpy_helper

    operators = {name: node.op_type for node in model.graph.node for name in node.input}
    halves = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16 and np.prod(tensor.dims) >= LEAST_SPLIT
    }
    added: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        half = halves.get(node.input[0]) if node.op_type == "Cast" else None
        if half is None or operators.get(node.output[0]) not in _OUTPUT_AXES:
            nodes.append(node)
            continue
        name = node.output[0]
        weight = numpy_helper.to_array(half).astype(np.float32)
        axis = _OUTPUT_AXES[operators[name]]
        high, low, step = split(weight, axis)
        model.graph.initializer.remove(half)
        for part, values, scale in (("high", high, _BASE * step), ("low", low, step)):
            inputs = [f"{name}.{part}", f"{name}.{part}.step"]
            added += map(numpy_helper.from_array, (values, scale.ravel()), inputs)
            nodes.append(
                helper.make_node("DequantizeLinear", inputs, [f"{name}.{part}32"], axis=axis)
            )
        nodes.append(helper.make_node("Add", [f"{name}.high32", f"{name}.low32"], [name]))
    model.graph.initializer.extend(added)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def split(
    weight: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.float32]]:
    """Return high bits, low bits and step: weight is about (16 high + low) step.

    `axis`: that of output channels, each of which has its step. High bits compress well, low bits
    (0 to 15) do not.
    """
    others = tuple(n for n in range(weight.ndim) if n != axis % weight.ndim)
    spread = np.sqrt(np.mean(np.square(weight), axis=others, keepdims=True))
    largest = np.abs(weight).max(axis=others, keepdims=True)
    step = np.maximum(spread / np.float32(STEPS), largest / np.float32(_MOST))
    step[step == 0.0] = 1.0  # of a channel without weights
    whole = np.rint(weight / step).clip(-_MOST, _MOST).astype(np.int16)
    return (whole >> _LOW_BITS).astype(np.int8), (whole & 15).astype(np.uint8), step


def _metadata(net: FilmNet, weights: str | Path) -> dict[str, str]:
    facts = {
        "kind": _KIND,
        "version": __version__,
        "network": type(net).__name__,
        "weights_dtype": DTYPE,
        "input": f"{LUMA}: luma (1, 1, H, W), gamma-coded, black 0 to white 1, not denoised",
        "output": f"{LOGITS} (1, H/4, W/4, bins); {VALUES} (1, H/4, W/4, 1 + C), in levels of luma",
        "multiple": str(STRIDE),  # of H and W
        "size": str(DEFAULT_SIZE),  # short side that suits the network, pixels
        **weights_store.provenance(weights),
    }
    return {f"{KIND}.{key}": value for key, value in facts.items()}
