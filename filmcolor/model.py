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


def encode_ab(ab: Tensor) -> Tensor:
    """Return CIELAB ab as the network codes it: about 0..1, neutral at 128/255."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(coded: Tensor) -> Tensor:
    """Return CIELAB ab from the network's output; the inverse of `encode_ab`."""
    return coded.to(torch.float32) * AB_SCALE - AB_OFFSET
