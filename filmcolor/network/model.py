"""The two colour networks: pure modules, without I/O or devices.

`ColorNet` is the network of Luke Melas-Kyriazi's colourisation tutorial (2018): ResNet-18 (He et
al. 2015) cut after layer 2, with one input channel, and an upsampling decoder. The state-dict names
(``midlevel_resnet.*``, ``upsample.*``) are the tutorial's, so its checkpoints load.

`ContextNet`, the film network, adds a light context branch: MobileNetV2 (Sandler et al. 2018) for
one channel, whose features of the whole picture are added to the trunk's before the decoder. The
branch can be initialised with an image classifier's convolutions, which were trained on a million
pictures; that gained more than everything else that was tried (`train/LOG.md`). A whole ResNet-18
was the alternative: 11 M parameters, more than the 16 MB allowed, and untrained.

Both can predict a distribution over `NUM_BINS` colours instead of one colour (Zhang et al. 2016);
their state dict then has ``bins.*``. `filmcolor.weights.load` recognises networks by these names.
"""

import math

import torch
from torch import Tensor, nn

from filmcolor.network.layers import mobilenet_v2_features, resnet18_to_layer2

AB_OFFSET = 128.0  # coded ab = (ab + AB_OFFSET) / AB_SCALE, as in the tutorial
AB_SCALE = 255.0
NUM_BINS = 313  # Zhang et al. 2016: colours of the sRGB gamut, ab rounded to tens
ANNEALING = 0.38  # Zhang et al. 2016: temperature between the mode (0) and the mean (1)
NUM_SHARED_LAYERS = 10  # of the decoder, to H/4: the later ones are not used with bins


class ColorNet(nn.Module):
    """The tutorial's network: predicts the ab channels of a picture from its luma."""

    def __init__(self, has_bins: bool = False) -> None:
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
        self.bins = Bins(64) if has_bins else None

    def forward(self, luma: Tensor) -> Tensor:
        """Return coded ab (N, 2, H, W) of luma (N, 1, H, W) in 0..1; see `decode_ab`."""
        return self.upsample[-1](self.forward_half(luma))

    def forward_half(self, luma: Tensor) -> Tensor:
        """Return coded ab (N, 2, H/2, W/2), before the last, nearest-neighbour upsampling."""
        return self.color_half(self.features(luma))

    def color_half(self, features: Tensor) -> Tensor:
        """Return what `forward_half` does, from `features` (N, 128, H/8, W/8)."""
        if self.bins is None:
            return self.upsample[:-1](features)
        quarter: Tensor = self.bins.colors(self.logits_of(features))  # (N, 2, H/4, W/4)
        return self.upsample[-1](quarter)

    def features(self, luma: Tensor) -> Tensor:
        """Return the decoder's input (N, 128, H/8, W/8)."""
        return self.layers(luma)[0]

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return `features`, followed by the layers whose values tell objects apart.

        Each is (N, C, h, w), with sizes between H/4 and H/16.
        """
        trunk = self.midlevel_resnet(luma)  # (N, 128, H/8, W/8)
        return [trunk, trunk]

    def logits_of(self, features: Tensor) -> Tensor:
        """Return logits (N, NUM_BINS, H/4, W/4) over the bins, for a network that has them."""
        assert self.bins is not None
        logits: Tensor = self.bins.choose(self.upsample[:NUM_SHARED_LAYERS](features))
        return logits


class ContextNet(ColorNet):
    """The film network: the tutorial's with a context branch that sees the whole picture.

    The branch has no batch norms: those of its initial weights are folded into the convolutions,
    so that the statistics of small batches cannot undo what was learned from a million pictures.
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
            nn.init.zeros_(parameter)  # initially the outputs are the tutorial network's

    def layers(self, luma: Tensor) -> list[Tensor]:
        """Return `features`, followed by the layers whose values tell objects apart."""
        trunk = self.midlevel_resnet(luma)  # (N, 128, H/8, W/8)
        early = self.context[:4](luma * 2.0 - 1.0)  # (N, 24, H/4, W/4)
        middle = self.context[4:14](early)  # (N, 96, H/16, W/16), rounded up
        top = self.context_top(self.context[14:](middle))  # (N, 128, H/32, W/32)
        mixed = self.context_mid(middle) + _upsample(top, middle)  # (N, 128, H/16, W/16)
        context = self.context_out(self.context_mix(mixed))  # (N, 128, H/16, W/16)
        features = trunk + _upsample(context, trunk)  # (N, 128, H/8, W/8)
        return [features, trunk, middle, early]


class Bins(nn.Module):
    """Predicts a distribution over the colours of the gamut, and reduces it to one colour.

    `num_in`: feature channels. `temperature`: of the annealed mean (Zhang et al. 2016, equation 5):
    1 gives the mean of the distribution, values toward 0 its mode.
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
            probabilities = (logits.float() / self.temperature.float()).softmax(dim=1)
            ab = torch.einsum("nqhw,qc->nchw", probabilities, self.centers.float())
            return encode_ab(ab)


def _conv_bn_relu(num_in: int, num_out: int) -> list[nn.Module]:
    return [nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU()]


def _upsample(features: Tensor, like: Tensor) -> Tensor:
    """Return features (N, C, h, w) at twice their size, cropped to that of `like`."""
    doubled = nn.functional.interpolate(features, scale_factor=2.0)  # (N, C, 2h, 2w)
    return doubled[..., : like.shape[2], : like.shape[3]]


def encode_ab(ab: Tensor) -> Tensor:
    """Return CIELAB ab as the network codes it: about 0..1, neutral at 128/255."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(coded: Tensor) -> Tensor:
    """Return CIELAB ab, float32, of the network's output; the inverse of `encode_ab`."""
    return coded.to(torch.float32) * AB_SCALE - AB_OFFSET
