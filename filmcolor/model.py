"""The ResNet-gray colour networks: pure modules, no I/O, no device.

`ColorNet` is Luke Melas-Kyriazi's colourisation tutorial's (2018): ResNet-18 (He et al.
2015) cut after layer 2, its first convolution taking one channel, then an upsampling
decoder. The state-dict names (``midlevel_resnet.*``, ``upsample.*``) are the tutorial's, so
its checkpoints load. `ContextNet` is its sibling: the same network, which is also told
what a MobileNetV2 (Sandler et al. 2018) of one channel sees in the picture as a whole.

Either may answer with a choice among `NUM_BINS` colours instead of one colour (Zhang et
al. 2016): then its state dict has ``bins.*``.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from filmcolor.blocks import mobilenet_v2_features, resnet18_to_layer2

AB_OFFSET = 128.0  # target = (ab + AB_OFFSET) / AB_SCALE, the tutorial's coding of ab
AB_SCALE = 255.0
NUM_BINS = 313  # Zhang et al. 2016: colours of the sRGB gamut, ab rounded to tens
ANNEALING = 0.38  # the same: temperature between the mode (0) and the mean (1)


class ColorNet(nn.Module):
    """Predicts the ab channels of a picture from its luma."""

    def __init__(self, has_bins: bool = False) -> None:
        super().__init__()
        self.midlevel_resnet = resnet18_to_layer2()
        self.upsample = nn.Sequential(
            *_conv_bn_relu(128, 128),
            nn.Upsample(scale_factor=2),
            *_conv_bn_relu(128, 64),
            *_conv_bn_relu(64, 64),
            nn.Upsample(scale_factor=2),
            *_conv_bn_relu(64, 32),
            nn.Conv2d(32, 2, 3, padding=1),
            nn.Upsample(scale_factor=2),
        )
        self.bins = Bins(64) if has_bins else None

    def forward(self, luma: Tensor) -> Tensor:
        """Return coded ab, (N, 2, H, W), of luma (N, 1, H, W) in 0..1; see `decode_ab`."""
        return self.upsample[-1](self.forward_half(luma))

    def forward_half(self, luma: Tensor) -> Tensor:
        """Return coded ab before the last, nearest-neighbour doubling: (N, 2, H/2, W/2)."""
        return self.color_half(self.features(luma))

    def color_half(self, features: Tensor) -> Tensor:
        """Return what `forward_half` does, of `features` (N, 128, H/8, W/8)."""
        if self.bins is None:
            return self.upsample[:-1](features)
        quarter: Tensor = self.bins.colors(self.logits_of(features))  # (N, 2, H/4, W/4)
        return self.upsample[-1](quarter)

    def features(self, luma: Tensor) -> Tensor:
        """Return what the decoder colours from: (N, 128, H/8, W/8)."""
        return self.layers(luma)[0]

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return `features`, and then the layers by which things are told apart.

        Each is (N, C, h, w), of sizes between H/4 and H/16.
        """
        trunk = self.midlevel_resnet(luma)
        return [trunk, trunk]

    def logits_of(self, features: Tensor) -> Tensor:
        """Return logits (N, NUM_BINS, H/4, W/4) over the bins, of a network that has them."""
        assert self.bins is not None
        logits: Tensor = self.bins.choose(self.upsample[:10](features))
        return logits


class ContextNet(ColorNet):
    """The tutorial's network with a light branch that sees the picture as a whole.

    The branch adds to the trunk's features before the decoder. It has no batch norms
    (those of its start are folded into its convolutions), so that what it learned from a
    million pictures is not lost in the statistics of small batches.
    """

    def __init__(self, has_bins: bool = False) -> None:
        super().__init__(has_bins)
        self.context = mobilenet_v2_features()
        self.context_top = nn.Sequential(
            nn.Conv2d(1280, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU()
        )
        self.context_mid = nn.Conv2d(96, 128, 1)
        self.context_mix = nn.Sequential(
            nn.Conv2d(128, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.ReLU()
        )
        self.context_out = nn.Conv2d(128, 128, 1)
        for parameter in self.context_out.parameters():
            nn.init.zeros_(parameter)  # at first it is the tutorial's network

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return `features`, and then the layers by which things are told apart."""
        trunk = self.midlevel_resnet(luma)  # (N, 128, H/8, W/8)
        early = self.context[:4](luma * 2.0 - 1.0)  # (N, 24, H/4, W/4)
        middle = self.context[4:14](early)  # (N, 96, H/16, W/16), rounded up
        top = self.context_top(self.context[14:](middle))  # (N, 128, H/32, W/32)
        mixed = self.context_mix(self.context_mid(middle) + _doubled(top, middle))
        features = trunk + _doubled(self.context_out(mixed), trunk)
        return [features, trunk, middle, early]


class Bins(nn.Module):
    """Chooses among the colours of the gamut, and makes one colour of the choice.

    `num_in`: feature channels. The annealed mean (Zhang et al. 2016, equation 5) with
    `temperature` 1 is the mean of the distribution, toward 0 its mode.
    """

    temperature: Tensor
    centers: Tensor  # (NUM_BINS, 2), CIELAB ab

    def __init__(self, num_in: int, temperature: float = ANNEALING) -> None:
        super().__init__()
        self.choose = nn.Conv2d(num_in, NUM_BINS, 1)
        self.register_buffer("temperature", torch.tensor(temperature))
        self.register_buffer("centers", torch.full((NUM_BINS, 2), math.nan))

    def colors(self, logits: Tensor) -> Tensor:
        """Return coded ab (N, 2, H, W), float32, of logits (N, NUM_BINS, H, W)."""
        with torch.autocast(logits.device.type, enabled=False):
            shares = (logits.float() / self.temperature.float()).softmax(dim=1)
            ab = torch.einsum("nqhw,qc->nchw", shares, self.centers.float())
            return encode_ab(ab)


def _conv_bn_relu(num_in: int, num_out: int) -> list[nn.Module]:
    return [nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU()]


def _doubled(features: Tensor, like: Tensor) -> Tensor:
    """Return features (N, C, h, w) doubled, at the size of `like` (N, C, 2h or less, …)."""
    doubled = nn.functional.interpolate(features, scale_factor=2.0)
    return doubled[..., : like.shape[2], : like.shape[3]]


def fold_batch_norms(net: nn.Module) -> None:
    """Fold each batch norm of a network, in place, into the convolution before it.

    `net` must be in evaluation mode; its answers stay the same.
    """
    fused = nn.utils.fusion.fuse_conv_bn_eval
    for module in list(net.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fused(conv, norm))
                setattr(module, second, nn.Identity())


def answer_in_ab(net: ColorNet) -> None:
    """Let a network, in place, answer in CIELAB units instead of coded ab.

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
    """Merge each doubling of a network, in place, with the 3×3 convolution behind it.

    Of four neighbours that are copies of one pixel, such a convolution adds up weights at
    each of the four places differently, and that can be done beforehand: it takes four
    convolutions of 2×2 on the small features instead of one of 3×3 on the large, 16
    products a pixel instead of 36. The network must have no batch norms left.
    """
    layers = list(net.upsample)
    for place, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Upsample) and isinstance(second, nn.Conv2d):
            net.upsample[place] = nn.Identity()
            net.upsample[place + 1] = _DoublingConv(second)


class _DoublingConv(nn.Module):
    """A 3×3 convolution of features that are doubled by repeating them."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.bias is not None
        phases = [
            _summed(_summed(conv.weight.detach(), 2, down), 3, right)
            for down in (0, 1)
            for right in (0, 1)
        ]
        self.weight = nn.Parameter(torch.cat(phases), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach().repeat(4), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, num_out, 2H, 2W) of features (N, num_in, H, W)."""
        corners = nn.functional.conv2d(features, self.weight, self.bias, padding=1)
        num, _, height, width = features.shape
        doubled = torch.empty(
            (num, len(self.bias) // 4, 2 * height, 2 * width),
            dtype=features.dtype,
            device=features.device,
            memory_format=torch.channels_last,
        )
        for phase, part in enumerate(corners.chunk(4, dim=1)):
            down, right = divmod(phase, 2)
            doubled[:, :, down::2, right::2] = part[
                :, :, down : down + height, right : right + width
            ]
        return doubled


def _summed(weight: Tensor, axis: int, phase: int) -> Tensor:
    """Return weights of three places as those of two, of which one is seen twice."""
    first, second, third = weight.unbind(axis)
    pair = (first + second, third) if phase else (first, second + third)
    return torch.stack(pair, axis)


def encode_ab(ab: Tensor) -> Tensor:
    """Return CIELAB ab as the network codes it: about 0..1, neutral at 128/255."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(coded: Tensor) -> Tensor:
    """Return CIELAB ab from the network's output; the inverse of `encode_ab`."""
    return coded.to(torch.float32) * AB_SCALE - AB_OFFSET
