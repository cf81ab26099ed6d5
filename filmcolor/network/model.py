"""The two colour networks: pure modules, without I/O or devices.

`ColorNet` is the network of Luke Melas-Kyriazi's colourisation tutorial (2018): ResNet-18 (He et
al. 2015) cut after layer 2, with one input channel, and an upsampling decoder that outputs ab.
The state-dict names (``midlevel_resnet.*``, ``upsample.*``) are the tutorial's: its checkpoints
load.

`FilmNet` predicts a distribution over ab bins instead of one colour (Zhang et al. 2016). Its
encoder is EfficientNet-Lite2, whose initial weights are an image classifier's: these gained more
than everything else that was tried (`train/LOG.md`). Self-attention at stride 32 lets every part of
the picture see every other, and a U-Net decoder leads back to stride 4.

`filmcolor.weights.load` recognises the networks by the names in their state dicts.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from filmcolor.network.layers import EfficientNetLite2, SelfAttention, resnet18_to_layer2

AB_OFFSET = 128.0  # coded ab = (ab + AB_OFFSET) / AB_SCALE, as in the tutorial
AB_SCALE = 255.0
NUM_BINS = 295  # of FilmNet: the corners of the cells that hold colours of sRGB

_DECODER_CHANNELS = 160, 128, 96, 64  # of FilmNet, at strides 32, 16, 8 and 4


class ColorNet(nn.Module):
    """The tutorial's network: predicts the ab channels of a picture from its luma."""

    def __init__(self) -> None:
        super().__init__()
        self.midlevel_resnet = resnet18_to_layer2()
        self.upsample = nn.Sequential(
            *_conv_bn_relu(128, 128),
            nn.Upsample(scale_factor=2),  # (N, 128, H/4, W/4)
            *_conv_bn_relu(128, 64),
            *_conv_bn_relu(64, 64),
            nn.Upsample(scale_factor=2),  # (N, 64, H/2, W/2)
            *_conv_bn_relu(64, 32),
            nn.Conv2d(32, 2, 3, padding=1),  # (N, 2, H/2, W/2)
            nn.Upsample(scale_factor=2),  # (N, 2, H, W)
        )

    def forward(self, luma: Tensor) -> Tensor:
        """Return coded ab (N, 2, H, W) of luma (N, 1, H, W) in 0..1; see `decode_ab`."""
        return cast(Tensor, self.upsample(self.layers(luma)[0]))

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return the layers whose values tell objects apart, the decoder's input (N, C, h, w)."""
        return [self.midlevel_resnet(luma)]  # (N, 128, H/8, W/8)

    def decode_half(self, features: Tensor) -> Tensor:
        """Return coded ab (N, 2, H/2, W/2) of the first of `layers`."""
        return cast(Tensor, self.upsample[:-1](features))


class FilmNet(nn.Module):
    """The film network: predicts a distribution over the colours of sRGB at stride 4."""

    centers: Tensor  # (NUM_BINS, 2), CIELAB ab of the bins

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNetLite2()
        *channels, num_top = self.encoder.channels[1:]  # at strides 4, 8 and 16, and 32
        widths = _DECODER_CHANNELS
        self.top = nn.Sequential(*_conv_bn_relu(num_top, widths[0], 1))
        self.attention = nn.Sequential(SelfAttention(widths[0]), SelfAttention(widths[0]))
        self.skips = nn.ModuleList(
            nn.Sequential(*_conv_bn_relu(num, width, 1))
            for num, width in zip(reversed(channels), widths[1:], strict=True)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(*_conv_bn_relu(num_in + num_out, num_out))
            for num_in, num_out in pairwise(widths)
        )
        self.bins = nn.Conv2d(widths[-1], NUM_BINS, 1)
        self.register_buffer("centers", torch.zeros(NUM_BINS, 2))

    def forward(self, luma: Tensor) -> Tensor:
        """Return logits (N, NUM_BINS, H/4, W/4) over the bins, of luma (N, 1, H, W) in 0..1."""
        return self.logits(self.layers(luma)[0])

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return the layers whose values tell objects apart, each (N, C, h, w).

        The first is what `logits` takes; the others are the encoder's at strides 16, 8 and 4.
        """
        _, *skips, top = self.encoder(luma)
        features = self.attention(self.top(top))  # (N, 160, H/32, W/32)
        skips.reverse()
        for reduce, up, skip in zip(self.skips, self.ups, skips, strict=True):
            upsampled = nn.functional.interpolate(features, skip.shape[2:])
            features = up(torch.cat([upsampled, reduce(skip)], dim=1))
        return [features, *skips]  # features: (N, 64, H/4, W/4)

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (N, NUM_BINS, H/4, W/4) of the first of `layers`."""
        return cast(Tensor, self.bins(features))

    def mean_ab(self, logits: Tensor) -> Tensor:
        """Return the mean ab (N, 2, h, w) in CIELAB, float32, of logits (N, NUM_BINS, h, w)."""
        with torch.autocast(logits.device.type, enabled=False):
            return torch.einsum("nqhw,qc->nchw", logits.float().softmax(dim=1), self.centers)


def _conv_bn_relu(num_in: int, num_out: int, kernel_size: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(num_in, num_out, kernel_size, padding=kernel_size // 2)
    return [conv, nn.BatchNorm2d(num_out), nn.ReLU()]


def encode_ab(ab: Tensor) -> Tensor:
    """Return CIELAB ab as the tutorial's network codes it: about 0..1, neutral at 128/255."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(coded: Tensor) -> Tensor:
    """Return CIELAB ab, float32, of the tutorial's coding; the inverse of `encode_ab`."""
    return coded.to(torch.float32) * AB_SCALE - AB_OFFSET
