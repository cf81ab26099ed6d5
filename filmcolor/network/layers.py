"""The networks' layers: the first stages of ResNet-18, EfficientNet-Lite2, and self-attention.

ResNet-18's layers equal torchvision's, with its state-dict names. torchvision itself is not
imported: that takes over a second, half of the time that a run needs to start.
"""

from torch import Tensor, nn

# Tan & Le 2019, table 1, with the widths and depths of Lite2: expansion, channels, number of
# blocks, stride of the first block, kernel size
_EFFICIENTNET_LITE2 = (
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
_LAST_OF_STRIDE = 0, 1, 2, 4, 6  # indices of the stages before each change of stride
_UNEVEN_PADDING = 96, 3, 2  # channels, kernel size and stride of the convolution that has it


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
    """An expansion, a depthwise convolution and a projection (Sandler et al. 2018).

    The input is added where the shapes agree. Without batch norms.
    """

    def __init__(
        self, num_in: int, num_out: int, expansion: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        num_hidden = num_in * expansion
        self.is_residual = stride == 1 and num_in == num_out
        self.expand = _conv_relu6(num_in, num_hidden, 1) if expansion > 1 else nn.Sequential()
        self.depthwise = _conv_relu6(num_hidden, num_hidden, kernel_size, stride, num_hidden)
        self.project = nn.Conv2d(num_hidden, num_out, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, num_out, H / stride, W / stride) of features (N, num_in, H, W)."""
        output: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + output if self.is_residual else output


class EfficientNetLite2(nn.Module):
    """EfficientNet-Lite2 (Tan & Le 2019, without squeeze-and-excitation) for one input channel.

    Batch norms are folded into the convolutions, so that the statistics of small batches cannot
    undo what was learned from a million pictures.
    """

    channels = 16, 24, 48, 120, 352  # of the outputs

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv_relu6(1, 32, 3, 2)
        stages: list[nn.Module] = []
        num_in = 32
        for expansion, num_out, num_blocks, stride, kernel_size in _EFFICIENTNET_LITE2:
            blocks = []
            for index in range(num_blocks):
                step = 1 if index else stride
                blocks.append(InvertedResidual(num_in, num_out, expansion, kernel_size, step))
                num_in = num_out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # without batch norms the variance must be kept
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, luma: Tensor) -> list[Tensor]:
        """Return features at strides 2, 4, 8, 16 and 32 of luma (N, 1, H, W) in 0..1.

        H and W are multiples of 8. From stride 16 on, sizes are rounded up.
        """
        features = self.stem((luma * 255.0 - 127.0) / 128.0)  # (N, 32, H/2, W/2)
        outputs = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in _LAST_OF_STRIDE:
                outputs.append(features)
        return outputs


class SelfAttention(nn.Module):
    """A transformer block (Vaswani et al. 2017) over the positions of a small feature map."""

    def __init__(self, num: int, num_heads: int = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.position = nn.Conv2d(num, num, 3, padding=1, groups=num)
        self.norm1, self.norm2 = nn.LayerNorm(num), nn.LayerNorm(num)
        self.qkv, self.mix = nn.Linear(num, 3 * num), nn.Linear(num, num)
        self.mlp = nn.Sequential(nn.Linear(num, 2 * num), nn.GELU(), nn.Linear(2 * num, num))

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, num, H, W) of the same shape."""
        features = features + self.position(features)
        tokens = features.flatten(2).transpose(1, 2)  # (N, H·W, num)
        num, length, width = tokens.shape
        # one by one: OpenVINO (2026.4) confuses the axes of a permuted (N, H·W, 3, num_heads, -1)
        # where H·W = num_heads
        query, key, value = (
            part.view(num, length, self.num_heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(tokens)).chunk(3, dim=2)
        )  # (N, num_heads, H·W, num/num_heads) each
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.mix(attended.transpose(1, 2).reshape(num, length, width))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(features.shape)


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


def _conv_relu6(
    num_in: int, num_out: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution and its activation.

    Padding is TensorFlow's at ImageNet's picture size, for which the weights were trained.
    """
    is_uneven = (num_in, kernel_size, stride) == _UNEVEN_PADDING
    padding = 0 if is_uneven else (kernel_size - 1) // 2
    conv = nn.Conv2d(num_in, num_out, kernel_size, stride, padding, groups=groups)
    activation = nn.ReLU6(inplace=True)
    if is_uneven:
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv, activation)
    return nn.Sequential(conv, activation)
