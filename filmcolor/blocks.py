"""The beginnings of ResNet-18 and MobileNetV2, of one channel, named as torchvision names them.

They are torchvision's own networks; but importing torchvision takes a second, which every
film and every photograph would wait for.
"""

from torch import Tensor, nn

# Sandler et al. 2018, table 2: expansion, channels, blocks, stride of the first of them
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a way around them (He et al. 2015)."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_out)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or num_in != num_out:
            shortcut = nn.Conv2d(num_in, num_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(num_out))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, num_out, H / stride, W / stride) of features (N, num_in, H, W)."""
        around = features if self.downsample is None else self.downsample(features)
        inner = self.relu(self.bn1(self.conv1(features)))
        outcome: Tensor = self.relu(self.bn2(self.conv2(inner)) + around)
        return outcome


class InvertedResidual(nn.Module):
    """Widens, looks at each channel alone, and narrows (Sandler et al. 2018)."""

    def __init__(self, num_in: int, num_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = num_in * expansion
        self.is_residual = stride == 1 and num_in == num_out
        self.conv = nn.Sequential(
            *([_conv_relu6(num_in, wide, 1)] if expansion > 1 else []),
            _conv_relu6(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, num_out, 1),
            nn.Identity(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, num_out, H / stride, W / stride) of features (N, num_in, H, W)."""
        outcome: Tensor = self.conv(features)
        return features + outcome if self.is_residual else outcome


def resnet18_to_layer2() -> nn.Sequential:
    """Return ResNet-18 up to its second layer: (N, 1, H, W) to (N, 128, H/8, W/8)."""
    start = nn.Sequential(
        nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64)),
        nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128)),
    )
    for module in start.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return start


def mobilenet_v2_features() -> nn.Sequential:
    """Return MobileNetV2's convolutions, (N, 1, H, W) to (N, 1280, H/32, W/32).

    Its batch norms are folded: where they were is nothing.
    """
    blocks: list[nn.Module] = [_conv_relu6(1, 32, 3, 2)]
    num_in = 32
    for expansion, num_out, num_blocks, stride in _MOBILENET_V2:
        for place in range(num_blocks):
            blocks.append(InvertedResidual(num_in, num_out, 1 if place else stride, expansion))
            num_in = num_out
    features = nn.Sequential(*blocks, _conv_relu6(num_in, 1280, 1))
    for module in features.modules():
        if isinstance(module, nn.Conv2d):  # without norms, what comes in must keep its size
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return features


def _conv_relu6(
    num_in: int, num_out: int, side: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = (side - 1) // 2
    conv = nn.Conv2d(num_in, num_out, side, stride, padding, groups=groups)
    return nn.Sequential(conv, nn.Identity(), nn.ReLU6(inplace=True))
