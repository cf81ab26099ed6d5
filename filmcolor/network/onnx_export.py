"""Writes a network as an ONNX file, which any runtime can run: luma in, ab out.

The graph has the Gaussian that `Predictor` denoises luma with, so that other programs need nothing
but luma. Its first output is ab; the others, logits and layers, are for `OnnxNet`.

PyTorch's older exporter writes it: it needs the package onnx only, takes half a second, and exists
from PyTorch 2.4 on. The newer one (`dynamo=True`) needs two more packages, takes 27 s for the film
network, and changed its interface between versions; the files that both write are as fast.
"""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from filmcolor.errors import OutputError, SettingsError, WeightsError
from filmcolor.files import atomic_write, make_folder
from filmcolor.network.model import ColorNet, FilmNet, decode_ab
from filmcolor.network.onnx_net import AB, CONTRACT, KEYS, KIND, LAYER, LOGITS, LUMA
from filmcolor.network.predictor import DENOISING_SIGMA
from filmcolor.version import __version__
from filmcolor.video.proxy import DEFAULT_SIZE, STRIDE

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"
_OPSET = 17  # the first with LayerNormalization; runtimes since 2022 have it
_TRACED_SIZE = 64, 96  # height and width of the picture that the exporter follows
_MAX_GAUSSIAN = 4.0  # standard deviations on each side: what cv2.GaussianBlur takes of floats
_LEAST_HALVED = 1024  # values: smaller tensors, such as the Gaussian, stay float32


def export_onnx(
    net: ColorNet | FilmNet,
    output: Path,
    provenance: Mapping[str, str] | None = None,
    is_half: bool = False,
) -> None:
    """Write a network to an ONNX file, whole or not at all; an existing file is replaced.

    The input is float32 luma (N, 1, H, W), black 0 to white 1, with sides that are multiples of 8.
    The first output is ab (N, 2, H/2, W/2) in CIELAB units: for the film network the mean of each
    pixel's distribution. `provenance` becomes metadata, with "filmcolor." before each key. With
    `is_half` the weights are stored as float16, which halves the file; inputs, outputs and
    computation stay float32.
    Raises SettingsError when the package onnx is missing, WeightsError when the network's output is
    not a number, OutputError when the file cannot be written.
    """
    check_suffix(output)
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(
            f"{output} needs the package onnx: pip install 'filmcolor[onnx]'"
        ) from error
    num_heads = 1 if isinstance(net, ColorNet) else 2
    module = _LumaToAb(net)
    model = onnx.load_from_string(trace(module, [AB, LOGITS][:num_heads]))
    if is_half:
        halve_weights(model)
    model.producer_name, model.producer_version = KIND, __version__
    model.doc_string = "Colours of black-and-white pictures: luma in, CIELAB a and b out."
    onnx.helper.set_model_props(model, _metadata(net, provenance or {}, is_half))
    onnx.checker.check_model(model, full_check=True)
    make_folder(output.parent)
    with atomic_write(output) as partial:
        partial.write_bytes(model.SerializeToString())


def check_suffix(output: Path) -> None:
    """Raise OutputError when a file's name does not end as that of an ONNX file."""
    if output.suffix.lower() != SUFFIX:
        raise OutputError(f"{output} would hold an ONNX model; name a file that ends in {SUFFIX}")


class DenoisingNet(nn.Module):
    """A network with the Gaussian before it, in float32 on the CPU: what graphs are made of."""

    kernel: Tensor  # (1, 1, 1, taps), a Gaussian

    def __init__(self, net: ColorNet | FilmNet) -> None:
        super().__init__()
        self.net = deepcopy(net).float().cpu().eval()
        _spell_out_batch_norms(self.net)
        num_taps = 2 * round(_MAX_GAUSSIAN * DENOISING_SIGMA) + 1
        taps = cv2.getGaussianKernel(num_taps, DENOISING_SIGMA, cv2.CV_32F)
        self.register_buffer("kernel", torch.from_numpy(taps).reshape(1, 1, 1, -1))

    def denoise(self, luma: Tensor) -> Tensor:
        """Return luma as `predictor.denoise` does."""
        margin = self.kernel.shape[3] // 2
        padded = functional.pad(luma, (margin,) * 4, mode="reflect")
        rows = functional.conv2d(padded, self.kernel)
        return functional.conv2d(rows, self.kernel.transpose(2, 3))


class _LumaToAb(DenoisingNet):
    """A network with everything between luma and ab."""

    def forward(self, luma: Tensor) -> tuple[Tensor, ...]:
        """Return ab (N, 2, H/2, W/2), logits if the network has them, and its layers."""
        layers = self.net.layers(self.denoise(luma))
        if isinstance(self.net, ColorNet):
            return decode_ab(self.net.decode_half(layers[0])), *layers
        logits = self.net.logits(layers[0])  # (N, bins, H/4, W/4)
        points = self.net.centers.T[:, :, None, None]  # as a 1×1 convolution
        ab = functional.conv2d(logits.softmax(dim=1), points)  # (N, 2, H/4, W/4)
        ab = functional.interpolate(ab, scale_factor=2.0, mode="bilinear", align_corners=False)
        return ab, logits, *layers


class _ChannelScale(nn.Module):
    """A batch norm in evaluation mode, as a product and a sum.

    PyTorch's exporter would fold it into the convolution before it. Float16 then rounds other
    weights than those that were trained, and stored, in float16: 0.2 ab for the tutorial's network.
    Runtimes fold it as well, when they open the file.
    """

    scale: Tensor  # (1, C, 1, 1), as is `shift`
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        self.register_buffer("scale", scale.detach().reshape(1, -1, 1, 1))
        self.register_buffer("shift", shift.detach().reshape(1, -1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features (N, C, H, W)."""
        return features * self.scale + self.shift


def _spell_out_batch_norms(net: nn.Module) -> None:
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(net, name, _ChannelScale(child))
        else:
            _spell_out_batch_norms(child)


def trace(module: nn.Module, heads: Sequence[str], has_channels_last: bool = False) -> bytes:
    """Return the graph of a module from luma (N, 1, H, W) as a serialised ONNX model.

    `heads`: names of the first outputs; those after them are layers. Outputs are (N, C, h, w), or
    (N, h, w, C) with `has_channels_last`.
    Raises WeightsError when an output is not a number.
    """
    height, width = _TRACED_SIZE
    luma = torch.linspace(0.0, 1.0, 2 * height * width).reshape(2, 1, height, width)
    with torch.inference_mode():
        outputs = module(luma)
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise WeightsError("the network's output is not a number: its weights are broken")
    names = [*heads, *(f"{LAYER}{n}" for n in range(len(outputs) - len(heads)))]
    axes = {LUMA: {0: "N", 2: "H", 3: "W"}}
    rows = 1 if has_channels_last else 2  # axis of an output
    for name, output in zip(names, outputs, strict=True):
        stride = height // output.shape[rows]
        axes[name] = {0: "N", rows: f"H/{stride}", rows + 1: f"W/{stride}"}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the older exporter, and shapes that it does follow
        torch.onnx.export(
            module,
            (luma,),
            cast(Any, file),
            dynamo=False,
            opset_version=_OPSET,
            input_names=[LUMA],
            output_names=names,
            dynamic_axes=axes,
        )
    return file.getvalue()


def halve_weights(model: "onnx.ModelProto") -> None:
    """Store a model's large tensors as float16; a cast to float32 follows each."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LEAST_HALVED:
            continue
        with np.errstate(over="ignore"):  # becomes infinite
            name, half = tensor.name, values.astype(np.float16)
        if not np.isfinite(half).all():
            raise WeightsError("the weights need more range than float16 has; leave out --half")
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _metadata(
    net: ColorNet | FilmNet, provenance: Mapping[str, str], is_half: bool
) -> dict[str, str]:
    facts = {
        "version": __version__,
        "network": type(net).__name__,
        "weights_dtype": "float16" if is_half else "float32",
        "input": f"{LUMA}: luma (N, 1, H, W), gamma-coded, black 0 to white 1, not denoised",
        "output": f"{AB}: CIELAB a, b (N, 2, H/2, W/2) for illuminant D65, not scaled",
        "multiple": str(STRIDE),  # of H and W
        "size": str(DEFAULT_SIZE),  # short side that suits the network, pixels
        **provenance,
    }
    contract = {KEYS.kind: KIND, KEYS.contract: str(CONTRACT)}
    if isinstance(net, FilmNet):
        contract[KEYS.centers] = json.dumps(net.centers.tolist())
    return contract | {f"{KIND}.{key}": value for key, value in facts.items()}
