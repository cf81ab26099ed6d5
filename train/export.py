"""Exports what training taught an encoder, under the names that other programs use.

The tutorial network's trunk gets the names of torchvision's ResNet-18, whose first layers it is:

    net = torchvision.models.resnet18()
    net.load_state_dict(safetensors.torch.load_file("trunk.safetensors"), strict=False)

Its first convolution gets three equal input channels, each with a third of the weights: of grey
R'G'B' in 0..1, without the ImageNet normalisation, the network computes what the trunk computed of
the luma. The film network's encoder keeps its names, `encoder.*`; `filmcolor train --init` reads
it.
"""

from pathlib import Path

from torch import Tensor

import filmcolor.weights as weights_store
from filmcolor.errors import OutputError
from filmcolor.files import check_target, make_folder
from filmcolor.network.model import ColorNet, FilmNet

ENCODER = "encoder."  # prefix of the film network's encoder
TRUNK = "midlevel_resnet."  # prefix of the tutorial network's
# torchvision's names of the trunk's modules; between them lie activations and a pooling
TORCHVISION_NAMES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2"}
NUM_RGB = 3
_SUFFIX = ".safetensors"


def export_encoder(weights: str | Path, output: Path, force: bool = False) -> int:
    """Write the encoder of some weights to a .safetensors file; return its number of parameters.

    `weights`: a shipped name or a file. `force` allows replacing an old file. Raises WeightsError
    when they are neither network's, OutputError when the file cannot be written.
    """
    source = weights_store.find(weights)
    check_export(output, source, force)
    net = weights_store.load(source)
    make_folder(output.parent)
    weights_store.save(encoder_state(net), output)
    encoder = net.encoder if isinstance(net, FilmNet) else net.midlevel_resnet
    return sum(parameter.numel() for parameter in encoder.parameters())


def check_export(output: Path, source: Path, force: bool) -> None:
    """Raise OutputError when an encoder cannot be written to a file.

    `source`: the weights that it comes from, which need not exist yet.
    """
    if output.suffix.lower() != _SUFFIX:
        raise OutputError(f"{output} would hold an encoder; name a file that ends in {_SUFFIX}")
    if output.resolve() == source.resolve():
        raise OutputError(f"{output} holds the whole network's weights; name another file")
    check_target(output, source, force)


def encoder_state(net: ColorNet | FilmNet) -> dict[str, Tensor]:
    """Return the state dict of a network's encoder, under the names of the exported file."""
    prefix = ENCODER if isinstance(net, FilmNet) else TRUNK
    state = {name: v for name, v in net.state_dict().items() if name.startswith(prefix)}
    return state if isinstance(net, FilmNet) else _torchvision_state(state)


def _torchvision_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        index, _, rest = name.removeprefix(TRUNK).partition(".")
        renamed[f"{TORCHVISION_NAMES[index]}.{rest}"] = tensor
    renamed["conv1.weight"] = renamed["conv1.weight"].expand(-1, NUM_RGB, -1, -1) / NUM_RGB
    return renamed
