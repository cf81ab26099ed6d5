"""Optimises a trained network for inference on the CPU and the GPU; its outputs stay the same.

All functions change networks in place, in evaluation mode. `Predictor` applies them in this order:
`fold_batch_norms`, then `decode_output` and `merge_upsampling` for the tutorial's network, and, on
a CPU, `fuse_activations`.

Alternatives, measured with an earlier film network, in turns with this one on one core with AMX,
for a picture of 344×256: this 13.7 ms;
OpenVINO in bf16 9.3; `torch.compile` 12.6, after compiling for 21 s with a compiler that must be
installed; ONNX Runtime, which has no bf16 on CPUs, 45. OpenVINO would save 3 % of a run's time for
180 MB to install and a second implementation to keep right. `benchmarks/onnx_film.py` has the
present network's figures without AMX: 0.8 to 0.9 of this time in bf16. int8 was not tried.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from filmcolor.kernels import ops
from filmcolor.network.layers import BasicBlock, InvertedResidual
from filmcolor.network.model import AB_OFFSET, AB_SCALE, ColorNet

# an activation as oneDNN takes it: name, parameters, variant
_Activation = tuple[str, list[float], str]
# PyTorch's own operators, made for its compiler: where one is missing nothing is fused
_OPERATORS = (
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
)
_NO_ACTIVATION: _Activation = ("none", [], "")
_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: ("relu", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
}


def fold_batch_norms(net: nn.Module) -> None:
    """Fold each batch norm of a network into the convolution before it."""
    fused = nn.utils.fusion.fuse_conv_bn_eval
    for module in list(net.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fused(conv, norm))
                setattr(module, second, nn.Identity())


def decode_output(net: ColorNet) -> None:
    """Scale a network's last convolution, so that it outputs CIELAB ab instead of coded ab.

    Coded, neutral is near ½, where bfloat16 values are a whole unit of ab apart; in CIELAB units
    they are a hundredth of the colour apart.
    """
    last = net.upsample[-2]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():
        last.weight *= AB_SCALE
        last.bias.copy_(last.bias * AB_SCALE - AB_OFFSET)


def merge_upsampling(net: ColorNet) -> None:
    """Merge each nearest-neighbour upsampling with the 3×3 convolution after it.

    The convolution meets copies of the same pixel, so its weights for these can be summed
    beforehand. The result is a 4×4 transposed convolution, which takes 4 products per pixel instead
    of 9. The network must have no batch norms left.
    """
    layers = list(net.upsample)
    for index, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Upsample) and isinstance(second, nn.Conv2d):
            net.upsample[index] = nn.Identity()
            net.upsample[index + 1] = _merge_with_upsampling(second)


def fuse_activations(net: nn.Module) -> None:
    """Let oneDNN compute activations and residual sums within the convolutions before them.

    On a CPU with AMX, separate passes over memory for these took half of an earlier film network's
    time. Weights are laid out once in oneDNN's format for the size of the features, instead of at
    every call (5 %), and max pooling is a compiled kernel (7 %); both give identical bits. Does
    nothing where PyTorch has no oneDNN. The network must have no batch norms left, and be on the
    CPU in its final dtype and memory format.
    """
    operators = torch.ops.mkldnn
    if torch.backends.mkldnn.is_available() and all(hasattr(operators, n) for n in _OPERATORS):
        _fuse(net)


def _fuse(net: nn.Module) -> None:
    if isinstance(net, nn.Sequential):
        indices = [n for n, layer in enumerate(net) if not isinstance(layer, nn.Identity)]
        for first, second in reversed(list(pairwise(indices))):
            layer, following = net[first], net[second]
            activation = _ACTIVATIONS.get(type(following))
            if isinstance(layer, nn.ReLU) and isinstance(following, nn.MaxPool2d):
                net[second] = _MaxPool(following)
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and activation:
                net[first], net[second] = _FusedConv(layer, activation), nn.Identity()
    for name, module in list(net.named_children()):
        if isinstance(module, BasicBlock):
            net.add_module(name, _FusedBasicBlock(module))
        elif isinstance(module, InvertedResidual) and module.is_residual:
            net.add_module(name, _FusedInvertedResidual(module))
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            net.add_module(name, _FusedConv(module))
        else:
            _fuse(module)


class _Weight:
    """A convolution's weight, laid out in oneDNN's format for the size of its input.

    Without the size oneDNN assumes another one and lays the weight out again at every call, which
    can take a hundred times as long as the convolution itself: 33 ms instead of 0.36 ms for a 1×1
    convolution from 320 to 1,280 channels, on a processor without AMX. The layout is the same for
    every batch size, so that a picture's colours do not depend on the pictures beside it.
    """

    def __init__(self, weight: Tensor, arguments: Sequence[Any], is_transposed: bool) -> None:
        self._plain, self._arguments = weight.detach(), arguments
        operators = torch.ops.mkldnn
        self._reorder = operators._reorder_convolution_weight
        if is_transposed:
            self._reorder = operators._reorder_convolution_transpose_weight
        self._laid_out: tuple[torch.Size, Tensor] | None = None

    def for_input(self, features: Tensor) -> Tensor:
        """Return the weight for features (N, C, H, W)."""
        size = features.shape[1:]
        laid_out = self._laid_out
        if laid_out is None or laid_out[0] != size:
            laid_out = size, self._reorder(self._plain, *self._arguments, [1, *size])
            self._laid_out = laid_out
        return laid_out[1]


class _FusedConv(nn.Module):
    """A convolution, transposed or not, fused with the activation after it."""

    def __init__(
        self, conv: nn.Conv2d | nn.ConvTranspose2d, activation: _Activation = _NO_ACTIVATION
    ) -> None:
        super().__init__()
        self._activation, self.bias = activation, conv.bias
        geometry = (conv.stride, conv.dilation, conv.groups)
        self._operator = torch.ops.mkldnn._convolution_pointwise
        self._arguments: tuple[Any, ...] = (conv.padding, *geometry)
        is_transposed = isinstance(conv, nn.ConvTranspose2d)
        if isinstance(conv, nn.ConvTranspose2d):
            self._operator = torch.ops.mkldnn._convolution_transpose_pointwise
            self._arguments = (conv.padding, conv.output_padding, *geometry)
        self._weight = _Weight(conv.weight, self._arguments, is_transposed)

    def forward(self, features: Tensor) -> Tensor:
        """Return activations (N, num_out, h, w) of features (N, num_in, H, W)."""
        weight = self._weight.for_input(features)
        output: Tensor = self._operator(
            features, weight, self.bias, *self._arguments, *self._activation
        )
        return output


class _MaxPool(nn.Module):
    """Max pooling of activations, by `ops.max_pool` where it applies.

    PyTorch's pooling takes bfloat16 value by value.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self._pool = pool
        geometry = pool.kernel_size, pool.stride, pool.padding
        self._has_kernel = geometry == (3, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return pooled features (N, C, H/2, W/2) of features (N, C, H, W)."""
        is_even = not (features.shape[2] % 2 or features.shape[3] % 2)
        if not (self._has_kernel and is_even) or features.dtype != torch.bfloat16:
            output: Tensor = self._pool(features)
            return output
        maps = features.permute(0, 2, 3, 1).contiguous().view(torch.int16)  # (N, H, W, C)
        pooled = torch.from_numpy(ops.max_pool(maps.numpy()))  # (N, H/2, W/2, C)
        return pooled.view(torch.bfloat16).permute(0, 3, 1, 2)


class _FusedSum(nn.Module):
    """A convolution fused with a sum and the activation after it, if there is one."""

    def __init__(self, conv: nn.Conv2d, activation: _Activation | None) -> None:
        super().__init__()
        self.bias, self._sum = conv.bias, ("add", 1.0, *(activation or (None, [], None)))
        self._arguments = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self._weight = _Weight(conv.weight, self._arguments, is_transposed=False)

    def forward(self, features: Tensor, other: Tensor) -> Tensor:
        """Return the sum of convolved features (N, num_in, H, W) and `other` (N, num_out, h, w)."""
        weight = self._weight.for_input(features)
        output: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            features, other, weight, self.bias, *self._arguments, *self._sum
        )
        return output


class _FusedBasicBlock(nn.Module):
    """A `BasicBlock` without batch norms."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        relu = _ACTIVATIONS[nn.ReLU]
        self.conv1, self.conv2 = _FusedConv(block.conv1, relu), _FusedSum(block.conv2, relu)
        self.downsample = block.downsample
        if self.downsample is not None:
            _fuse(self.downsample)

    def forward(self, features: Tensor) -> Tensor:
        """Return what `BasicBlock.forward` does."""
        shortcut = features if self.downsample is None else self.downsample(features)
        output: Tensor = self.conv2(self.conv1(features), shortcut)
        return output


class _FusedInvertedResidual(nn.Module):
    """An `InvertedResidual` with a residual connection."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.hidden = nn.Sequential(*block.expand, *block.depthwise)
        self.project = _FusedSum(block.project, None)
        _fuse(self.hidden)

    def forward(self, features: Tensor) -> Tensor:
        """Return what `InvertedResidual.forward` does."""
        output: Tensor = self.project(self.hidden(features), features)
        return output


def _merge_with_upsampling(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """Return a 3×3 convolution of nearest-neighbour upsampled features as one layer."""
    assert conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.bias is not None
    with torch.random.fork_rng(devices=()):  # new layers are random; the host's state stays
        merged = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    assert merged.bias is not None
    with torch.no_grad():
        weight = conv.weight.transpose(0, 1)  # (num_in, num_out, 3, 3)
        merged.weight.copy_(_widen_kernel(_widen_kernel(weight, 2), 3))  # (num_in, num_out, 4, 4)
        merged.bias.copy_(conv.bias)
    return merged


def _widen_kernel(weight: Tensor, axis: int) -> Tensor:
    """Return a kernel of 3 taps along an axis as the 4 taps of the transposed convolution."""
    first, second, third = weight.unbind(axis)
    return torch.stack((third, second + third, first + second, first), axis)
