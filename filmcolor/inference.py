"""A trained network made ready to answer fast; what it answers stays the same.

Networks are changed in place and must be in evaluation mode.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from filmcolor import native
from filmcolor.blocks import BasicBlock, InvertedResidual
from filmcolor.model import AB_OFFSET, AB_SCALE, ColorNet

# what oneDNN does to a convolution's result before it leaves the cache: name, limits, variant
_Activation = tuple[str, list[float], str]
_OPERATORS = (
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
)
_NOTHING: _Activation = ("none", [], "")
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


def answer_in_ab(net: ColorNet) -> None:
    """Let a network answer in CIELAB units instead of coded ab.

    Coded, neutral is near ½, where bfloat16 steps by one whole unit of ab; in units it
    steps by a hundredth of the colour.
    """
    if net.bins is None:
        last = net.upsample[-2]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        with torch.no_grad():
            last.weight *= AB_SCALE
            last.bias.copy_(last.bias * AB_SCALE - AB_OFFSET)


def merge_doublings(net: ColorNet) -> None:
    """Merge each doubling of a network with the 3×3 convolution behind it.

    Of four neighbours that are copies of one pixel, such a convolution adds up weights at
    each of the four places differently, and that can be done beforehand: a transposed
    convolution of 4×4 takes 4 products a pixel instead of 9. The network must have no
    batch norms left.
    """
    layers = list(net.upsample)
    for place, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Upsample) and isinstance(second, nn.Conv2d):
            net.upsample[place] = nn.Identity()
            net.upsample[place + 1] = _doubling(second)


def fuse_activations(net: nn.Module) -> None:
    """Let oneDNN compute activations and sums along with the convolutions before them.

    Alone they cost more than the convolutions on processors with AMX, as each goes through
    all of the memory again. Their weights are laid out once as oneDNN wants them, which it
    would do at every call. Nothing is done where PyTorch has no oneDNN. The network must have
    no batch norms left, and be on the processor, of its final dtype and memory format.
    """
    operators = torch.ops.mkldnn
    if torch.backends.mkldnn.is_available() and all(hasattr(operators, n) for n in _OPERATORS):
        _fuse(net)


def _fuse(net: nn.Module) -> None:
    if isinstance(net, nn.Sequential):
        places = [n for n, layer in enumerate(net) if not isinstance(layer, nn.Identity)]
        for first, second in reversed(list(pairwise(places))):
            layer, following = net[first], net[second]
            activation = _ACTIVATIONS.get(type(following))
            if isinstance(layer, nn.ReLU) and isinstance(following, nn.MaxPool2d):
                net[second] = _Pool(following)
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and activation:
                net[first], net[second] = _Fused(layer, activation), nn.Identity()
    for name, module in list(net.named_children()):
        if isinstance(module, BasicBlock):
            net.add_module(name, _FusedBasicBlock(module))
        elif isinstance(module, InvertedResidual) and module.is_residual:
            net.add_module(name, _FusedInvertedResidual(module))
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            net.add_module(name, _Fused(module))
        else:
            _fuse(module)


class _Fused(nn.Module):
    """A convolution, transposed or not, with what is done to its result."""

    def __init__(
        self, conv: nn.Conv2d | nn.ConvTranspose2d, activation: _Activation = _NOTHING
    ) -> None:
        super().__init__()
        self._activation, self.bias = activation, conv.bias
        geometry = (conv.stride, conv.dilation, conv.groups)
        self._operator = torch.ops.mkldnn._convolution_pointwise
        self._arguments: tuple[Any, ...] = (conv.padding, *geometry)
        laid_out = torch.ops.mkldnn._reorder_convolution_weight
        if isinstance(conv, nn.ConvTranspose2d):
            self._operator = torch.ops.mkldnn._convolution_transpose_pointwise
            self._arguments = (conv.padding, conv.output_padding, *geometry)
            laid_out = torch.ops.mkldnn._reorder_convolution_transpose_weight
        self._weight = laid_out(conv.weight.detach(), *self._arguments)

    def forward(self, features: Tensor) -> Tensor:
        """Return what the convolution and the activation make of features (N, C, H, W)."""
        outcome: Tensor = self._operator(
            features, self._weight, self.bias, *self._arguments, *self._activation
        )
        return outcome


class _Pool(nn.Module):
    """Max pooling of what is not below 0, by our own loops where they are faster."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self._pool = pool
        geometry = pool.kernel_size, pool.stride, pool.padding
        self._has_loops = native.is_built() and geometry == (3, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return what the pooling makes of features (N, C, H, W)."""
        if not self._has_loops or features.dtype != torch.bfloat16:
            outcome: Tensor = self._pool(features)
            return outcome
        maps = features.permute(0, 2, 3, 1).contiguous().view(torch.int16)
        pooled = torch.from_numpy(native.pool(maps.numpy()))
        return pooled.view(torch.bfloat16).permute(0, 3, 1, 2)


class _FusedSum(nn.Module):
    """A convolution to whose result something is added before the activation, if any."""

    def __init__(self, conv: nn.Conv2d, activation: _Activation | None) -> None:
        super().__init__()
        self.bias, self._after = conv.bias, ("add", 1.0, *(activation or (None, [], None)))
        self._arguments = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), *self._arguments
        )

    def forward(self, features: Tensor, other: Tensor) -> Tensor:
        """Return a sum (N, num_out, H, W) of features (N, C, H, W) convolved, and of `other`."""
        outcome: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            features, other, self._weight, self.bias, *self._arguments, *self._after
        )
        return outcome


class _FusedBasicBlock(nn.Module):
    """A `BasicBlock` without batch norms."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        relu = _ACTIVATIONS[nn.ReLU]
        self.conv1, self.conv2 = _Fused(block.conv1, relu), _FusedSum(block.conv2, relu)
        self.downsample = block.downsample
        if self.downsample is not None:
            _fuse(self.downsample)

    def forward(self, features: Tensor) -> Tensor:
        """Return what the block does."""
        around = features if self.downsample is None else self.downsample(features)
        outcome: Tensor = self.conv2(self.conv1(features), around)
        return outcome


class _FusedInvertedResidual(nn.Module):
    """An `InvertedResidual` with a way around it."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        *first, last, _ = block.conv
        assert isinstance(last, nn.Conv2d)
        self.widened, self.narrowed = nn.Sequential(*first), _FusedSum(last, None)
        _fuse(self.widened)

    def forward(self, features: Tensor) -> Tensor:
        """Return what the block does."""
        outcome: Tensor = self.narrowed(self.widened(features), features)
        return outcome


def _doubling(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """Return what a 3×3 convolution is to features that were doubled by repeating them."""
    assert conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.bias is not None
    doubling = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    assert doubling.bias is not None
    with torch.no_grad():
        weight = conv.weight.transpose(0, 1)  # (num_in, num_out, 3, 3)
        doubling.weight.copy_(_spread(_spread(weight, 2), 3))
        doubling.bias.copy_(conv.bias)
    return doubling


def _spread(weight: Tensor, axis: int) -> Tensor:
    """Return weights of three places as those of four, for a transposed convolution."""
    first, second, third = weight.unbind(axis)
    return torch.stack((third, second + third, first + second, first), axis)
