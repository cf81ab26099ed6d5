"""Frozen encoders: pooled features of pictures, from weights of several kinds."""

from pathlib import Path

import torch
from torch import Tensor, nn

import filmcolor.weights as weights_store
from filmcolor.errors import WeightsError
from filmcolor.network.layers import EfficientNetLite2, resnet18_to_layer2
from filmcolor.train.export import ENCODER, NUM_RGB, TORCHVISION_NAMES, TRUNK

# kinds: the film network's encoder, and the tutorial network's, which ends at layer 2
EFFICIENTNET, RESNET = "EfficientNet-Lite2", "ResNet-18"

_NUM_POOLED = 2  # outputs of EfficientNet-Lite2 that are pooled: strides 16 and 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of ImageNet's R'G'B'


class PooledEncoder(nn.Module):
    """An encoder in evaluation mode, followed by the means over all positions."""

    def __init__(self, kind: str, encoder: nn.Module) -> None:
        super().__init__()
        self.kind, self.encoder = kind, encoder
        self.eval().requires_grad_(False)

    def forward(self, luma: Tensor) -> Tensor:
        """Return features (N, C) of luma (N, 1, H, W) in 0..1.

        C is 120 + 352 for EfficientNet-Lite2 (strides 16 and 32), 128 for ResNet-18 (stride 8).
        """
        outputs = self.encoder(luma)
        pooled = outputs[-_NUM_POOLED:] if isinstance(outputs, list) else [outputs]
        return torch.cat([output.mean(dim=(2, 3)) for output in pooled], dim=1)


class _ImageNetInput(nn.Module):
    """Luma as normalised R'G'B', which torchvision's classifiers were trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, NUM_RGB, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, NUM_RGB, 1, 1))

    def forward(self, luma: Tensor) -> Tensor:
        """Return (N, 3, H, W) of luma (N, 1, H, W) in 0..1."""
        return (luma - self.mean) / self.std


def random_encoder(kind: str, seed: int = 0) -> PooledEncoder:
    """Return an encoder with random weights; `kind`: EFFICIENTNET or RESNET."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        encoder = EfficientNetLite2() if kind == EFFICIENTNET else resnet18_to_layer2()
    return PooledEncoder(kind, encoder)


def load_encoder(name_or_path: str | Path) -> PooledEncoder:
    """Return the encoder of a shipped name or a file, in float32 on the CPU.

    Files may hold a whole network, the encoder alone, or a ResNet-18 with torchvision's names. A
    first convolution that treats R', G' and B' alike sees luma in 0..1, as here. Any other is
    taken to be an ImageNet classifier's, and sees luma normalised as torchvision does.
    Raises WeightsError when the file is missing, broken or of another kind.
    """
    path = weights_store.find(name_or_path)
    film, trunk = _split_state(weights_store.load_state(path))
    try:
        with torch.random.fork_rng(devices=()):  # new layers are random; the host's state stays
            if film:
                encoder = EfficientNetLite2()
                encoder.load_state_dict(film)
                return PooledEncoder(EFFICIENTNET, encoder)
            return PooledEncoder(RESNET, _load_trunk(trunk))
    except (KeyError, IndexError, RuntimeError) as error:  # names, dimensions or shapes
        raise WeightsError(
            f"{path} holds no encoder; give weights of the film or the tutorial network, or a "
            "ResNet-18 with torchvision's names"
        ) from error


def _split_state(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of EfficientNet-Lite2 and of the trunk, under the names of the layers."""
    indices = {name: index for index, name in TORCHVISION_NAMES.items()}
    film, trunk = {}, {}
    for name, tensor in state.items():
        module, _, rest = name.partition(".")
        if name.startswith(ENCODER):
            film[name.removeprefix(ENCODER)] = tensor
        elif name.startswith(TRUNK):
            trunk[name.removeprefix(TRUNK)] = tensor
        elif module in indices:
            trunk[f"{indices[module]}.{rest}"] = tensor
    return film, trunk


def _load_trunk(state: dict[str, Tensor]) -> nn.Module:
    """Return ResNet-18 up to layer 2 for luma; raises KeyError, IndexError or RuntimeError."""
    trunk = resnet18_to_layer2()
    # old checkpoints lack the counters, which a frozen network does not use
    counters = {k: v for k, v in trunk.state_dict().items() if k.endswith("num_batches_tracked")}
    state = counters | state
    weight = state["0.weight"]
    if weight.shape[1] != NUM_RGB or _is_equal_for_rgb(weight):
        trunk.load_state_dict(state | {"0.weight": weight.sum(dim=1, keepdim=True)})
        return trunk
    trunk[0] = nn.Conv2d(NUM_RGB, 64, 7, stride=2, padding=3, bias=False)
    trunk.load_state_dict(state)
    return nn.Sequential(_ImageNetInput(), trunk)


def _is_equal_for_rgb(weight: Tensor) -> bool:
    return bool((weight == weight[:, :1]).all())
