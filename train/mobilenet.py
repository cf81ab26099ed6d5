"""Initialises the context branch with the convolutions of an image classifier.

The file is a quantised MobileNetV2 in TensorFlow Lite's format, as Google published it (Apache-2.0,
1.0_224, ImageNet). Its convolutions become those of `ContextNet.context`. The weights of the first
one, for three colour channels, are summed to one for luma, as the tutorial does with ResNet's. The
package `ai-edge-litert` reads the file; filmcolor does not need it otherwise.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ContextNet

_NUM_CONVOLUTIONS = 52
_NUM_BLOCKS = 17


def load_mobilenet(net: ContextNet, path: Path) -> None:
    """Copy a classifier's convolutions into the context branch of a network, in place.

    Raises SettingsError where `ai-edge-litert` is not installed, WeightsError when the file
    is no quantised MobileNetV2.
    """
    layers = _read_convolutions(path)
    convolutions = [m for m in net.context.modules() if isinstance(m, nn.Conv2d)]
    if len(layers) != _NUM_CONVOLUTIONS or len(convolutions) != _NUM_CONVOLUTIONS:
        raise WeightsError(f"{path} has {len(layers)} convolutions, not MobileNetV2's 52")
    with torch.no_grad():
        for index, (convolution, (weight, bias)) in enumerate(zip(convolutions, layers)):
            if index == 0 and weight.ndim == 4:
                weight = weight.sum(dim=1, keepdim=True)  # grey has equal red, green and blue
            if weight.shape != convolution.weight.shape:
                raise WeightsError(f"{path}: convolution {index} is no MobileNetV2's")
            convolution.weight.copy_(weight)
            assert convolution.bias is not None
            convolution.bias.copy_(bias)


def _read_convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Return the dequantised (weight, bias) of each convolution, in the network's order."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise SettingsError(
            "reading a MobileNetV2 needs ai-edge-litert: pip install 'filmcolor[teacher]'"
        ) from error
    try:
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        details = {d["name"]: d for d in interpreter.get_tensor_details()}
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path} is no TensorFlow Lite model that can be read") from error

    def tensor(scope: str, suffix: str) -> Tensor:
        names = [n for n in details if n.startswith(f"{scope}/") and n.endswith(suffix)]
        if len(names) != 1:
            raise WeightsError(f"{path} is no quantised MobileNetV2: {scope} is missing")
        scale, zero_point = details[names[0]]["quantization"]
        values = torch.from_numpy(interpreter.get_tensor(details[names[0]]["index"]).copy())
        return (values.float() - zero_point) * scale

    layers = []
    for scope in _scopes():
        weight, bias = tensor(scope, "FakeQuantWithMinMaxVars"), tensor(scope, "Fold_bias")
        if "depthwise" in scope:
            bias = tensor(scope, "depthwise_Fold_bias")
            weight = weight.permute(3, 0, 1, 2)  # (C, 1, 3, 3)
        else:
            weight = weight.permute(0, 3, 1, 2)  # (out, in, k, k)
        layers.append((weight, bias))
    return layers


def _scopes() -> list[str]:
    """Return the names of the convolutions in Google's file, in the network's order."""
    scopes = ["MobilenetV2/Conv"]
    for block in range(_NUM_BLOCKS):
        name = "MobilenetV2/expanded_conv" + (f"_{block}" if block else "")
        steps = ("expand", "depthwise", "project") if block else ("depthwise", "project")
        scopes += [f"{name}/{step}" for step in steps]
    return [*scopes, "MobilenetV2/Conv_1"]
