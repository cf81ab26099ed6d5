"""The first stages of ResNet-18, and MobileNetV2, for one input channel.

The layers equal torchvision's, with its state-dict names. torchvision itself is not imported: that
takes over a second, half of the time that a run needs to start. Training imports it.
"""

from torch import Tensor, nn

# Sandler et al. 2018, table 2: expansion, channels, number of blocks, stride of the first block
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
    """A residual block of two 3×3 convolutions (He et al. 2015)."""

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
        shortcut = features if self.downsample is None else self.downsample(features)
        inner = self.relu(self.bn1(self.conv1(features)))  # (N, num_out, H / stride, W / stride)
        output: Tensor = self.relu(self.bn2(self.conv2(inner)) + shortcut)
        return output


class InvertedResidual(nn.Module):
    """An expansion, a depthwise 3×3 convolution and a projection (Sandler et al. 2018).

    The input is added where the shapes agree.
    """

    def __init__(self, num_in: int, num_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        num_hidden = num_in * expansion
        self.is_residual = stride == 1 and num_in == num_out
        self.conv = nn.Sequential(
            *([_conv_relu6(num_in, num_hidden, 1)] if expansion > 1 else []),
            _conv_relu6(num_hidden, num_hidden, 3, stride, groups=num_hidden),
            nn.Conv2d(num_hidden, num_out, 1),
            nn.Identity(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, num_out, H / stride, W / stride) of features (N, num_in, H, W)."""
        output: Tensor = self.conv(features)
        return features + output if self.is_residual else output


def resnet18_to_layer2() -> nn.Sequential:
    """Return ResNet-18 up to its layer 2: (N, 1, H, W) to (N, 128, H/8, W/8)."""
    stages = nn.Sequential(
        nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False),  # (N, 64, H/2, W/2)
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, H/4, W/4)
        nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64)),
        nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128)),  # (N, 128, H/8, W/8)
    )
    for module in stages.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages


def mobilenet_v2_features() -> nn.Sequential:
    """Return MobileNetV2's convolutions: (N, 1, H, W) to (N, 1280, H/32, W/32).

    Batch norms are folded into the convolutions; `nn.Identity` stands in their places, so that the
    other layers keep torchvision's names.
    """
    blocks: list[nn.Module] = [_conv_relu6(1, 32, 3, 2)]
    num_in = 32
    for expansion, num_out, num_blocks, stride in _MOBILENET_V2:
        for index in range(num_blocks):
            blocks.append(InvertedResidual(num_in, num_out, 1 if index else stride, expansion))
            num_in = num_out
    features = nn.Sequential(*blocks, _conv_relu6(num_in, 1280, 1))
    for module in features.modules():
        if isinstance(module, nn.Conv2d):  # without batch norms the variance must be kept
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return features


def _conv_relu6(
    num_in: int, num_out: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = (kernel_size - 1) // 2
    conv = nn.Conv2d(num_in, num_out, kernel_size, stride, padding, groups=groups)
    return nn.Sequential(conv, nn.Identity(), nn.ReLU6(inplace=True))
