"""Find, verify, load and save weights. The shipped files are next to this module.

Each shipped `NAME.safetensors` has a model card `NAME.json`: training data, command, figures and
the SHA-256 of the weights. The code is in this folder because a package and a module of the same
name cannot both be `filmcolor.weights`.
"""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import Tensor

from filmcolor.errors import WeightsError
from filmcolor.files import atomic_write
from filmcolor.network.model import ColorNet, FilmNet

FOLDER = Path(__file__).parent
DEFAULT = "film"
LICENSES = {  # of the shipped weights
    "film": "MIT; its encoder is that of EfficientNet-Lite2 (Google), Apache-2.0",
    "tutorial": "MIT",
}


def shipped() -> list[str]:
    """Return the names of the weights inside the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of a shipped name, or of a path.

    Raises WeightsError when there is no such file.
    """
    name = os.fspath(name_or_path)
    if name in shipped():
        return FOLDER / f"{name}.safetensors"
    path = Path(name)
    if path.is_file():
        return path
    raise WeightsError(
        f"no weights {name!r}: neither a file nor a shipped name ({', '.join(shipped())})"
    )


def card(name: str) -> dict[str, Any]:
    """Return the model card of shipped weights: data, command, figures, SHA-256."""
    text = find(name).with_suffix(".json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def provenance(name_or_path: str | os.PathLike[str]) -> dict[str, str]:
    """Return facts for the metadata of a file made of weights: name, SHA-256, licence if known.

    Raises WeightsError when there are no such weights.
    """
    name, path = os.fspath(name_or_path), find(name_or_path)
    facts = {
        "weights": name if name in shipped() else path.name,
        "weights_sha256": sha256(path),
    }
    if name in LICENSES:
        facts["license"] = LICENSES[name]
    return facts


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the float32 tensors of a .safetensors file or a .pth state dict, on the CPU.

    A .pth file is read with `weights_only=True`, so code inside it never runs.
    Raises WeightsError when the file is broken or holds something else.
    """
    advice = "give a .safetensors file or a .pth state dict"
    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about old pickles, which can be read
                state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror or error}); {advice}"
        ) from error
    except Exception as error:
        # A broken pickle raises anything: KeyError, IndexError, struct.error, ... PyTorch's message
        # is left out, because it advises to trust the file and to run the code in it.
        raise WeightsError(f"{path} is broken, or holds more than tensors; {advice}") from error
    if not _is_state_dict(state):
        raise WeightsError(
            f"{path} holds no state dict; save it with torch.save(model.state_dict(), path)"
        )
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def _is_state_dict(state: Any) -> bool:
    return isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout is torch.strided
        for name, value in state.items()
    )


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as float16 safetensors; an existing file is replaced atomically.

    Raises OutputError when the file cannot be written.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in state.items()
    }
    with atomic_write(path) as partial:
        # `save_file` would make the file unreadable for other users
        partial.write_bytes(serialize(tensors))


def load(name_or_path: str | os.PathLike[str]) -> ColorNet | FilmNet:
    """Return the network with its weights, in float32 on the CPU, in evaluation mode.

    The tensor names decide which of the networks it is. Raises WeightsError when the weights are
    missing, broken or of another network.
    """
    path = find(name_or_path)
    state = load_state(path)
    is_film = any(name.startswith("encoder.") for name in state)
    with torch.random.fork_rng(devices=()):  # new layers are random; the host's state stays
        net = FilmNet() if is_film else ColorNet()
    expected = net.state_dict()
    # checkpoints of the tutorial's time may lack the counters, which prediction does not use
    counters = {k: v for k, v in expected.items() if k.endswith("num_batches_tracked")}
    state = counters | state
    mismatches = sorted(set(state) ^ set(expected))
    mismatches += [k for k in expected if k in state and state[k].shape != expected[k].shape]
    if mismatches:
        raise WeightsError(
            f"{path} holds another network's weights (first difference: {mismatches[0]}); "
            "filmcolor loads midlevel_resnet.* and upsample.* of the tutorial's network, "
            "and encoder.* with its decoder of the film network"
        )
    net.load_state_dict(state)
    return net.eval()
