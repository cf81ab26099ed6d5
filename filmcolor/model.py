"""The ResNet-gray colour network: a pure module, no I/O, no device.

Source: Luke Melas-Kyriazi's colourisation tutorial (2018); the trunk is ResNet-18
(He et al. 2015) cut after layer 2, its first convolution taking one channel. The
state-dict names (``midlevel_resnet.*``, ``upsample.*``) are the tutorial's, so its
checkpoints load.
"""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

STRIDE = 8  # the trunk halves the picture three times: sides must be multiples of this
AB_OFFSET = 128.0  # target = (ab + AB_OFFSET) / AB_SCALE, the tutorial's coding of ab
AB_SCALE = 255.0


class ColorNet(nn.Module):
    """Predicts the ab channels of a picture from its luma."""

    def __init__(self) -> None:
        super().__init__()
        trunk = list(resnet18(num_classes=1).children())[:6]
        trunk[0] = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.midlevel_resnet = nn.Sequential(*trunk)
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

    def forward(self, luma: Tensor) -> Tensor:
        """Return coded ab, (N, 2, H, W), of luma (N, 1, H, W) in 0..1; see `decode_ab`."""
        return self.upsample[-1](self.forward_half(luma))

    def forward_half(self, luma: Tensor) -> Tensor:
        """Return coded ab before the last, nearest-neighbour doubling: (N, 2, H/2, W/2)."""
        features = self.midlevel_resnet(luma)  # (N, 128, H/8, W/8)
        return self.upsample[:-1](features)


def _conv_bn_relu(num_in: int, num_out: int) -> list[nn.Module]:
    return [nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU()]


def encode_ab(ab: Tensor) -> Tensor:
    """Return CIELAB ab as the network codes it: about 0..1, neutral at 128/255."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(coded: Tensor) -> Tensor:
    """Return CIELAB ab from the network's output; the inverse of `encode_ab`."""
    return coded.to(torch.float32) * AB_SCALE - AB_OFFSET
