"""Find, verify, load and save weights. The files that ship stand beside this module.

Each shipped `NAME.safetensors` has a card `NAME.json` that says what it was trained on
and holds its SHA-256.
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
from filmcolor.network.model import ColorNet, ContextNet

FOLDER = Path(__file__).parent
DEFAULT = "film"


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
    """Return the card of shipped weights: data, command, figures, SHA-256."""
    text = find(name).with_suffix(".json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the float32 tensors of a .safetensors file or a .pth state dict, on the CPU.

    A .pth file is read with `weights_only=True`: code inside it is never run.
    Raises WeightsError when the file is broken, or holds something else.
    """
    advice = "give a .safetensors file or a .pth state dict"
    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old pickles, which are read all the same
                state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror or error}); {advice}"
        ) from error
    except Exception as error:
        # A broken pickle ends in anything: KeyError, IndexError, struct.error, ... PyTorch's own
        # words are not repeated: they advise to trust the file and run the code in it.
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
    """Write a state dict as float16 safetensors, whole or not at all; raises OutputError."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in state.items()
    }
    with atomic_write(path) as partial:
        partial.write_bytes(serialize(tensors))  # save_file would hide it from other users


def load(name_or_path: str | os.PathLike[str]) -> ColorNet:
    """Return the network with its weights, in float32 on the CPU, ready to predict.

    The names in the file tell which of the networks it is. Raises WeightsError when the
    weights are missing, broken or another network's.
    """
    path = find(name_or_path)
    state = load_state(path)
    has_bins = any(name.startswith("bins.") for name in state)
    is_film = any(name.startswith("context.") for name in state)
    net = ContextNet(has_bins) if is_film else ColorNet(has_bins)
    wanted = net.state_dict()
    # tutorial-era checkpoints may lack the counters, which prediction does not use
    counters = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")}
    state = counters | state
    strange = sorted(set(state) ^ set(wanted))
    strange += [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if strange:
        raise WeightsError(
            f"{path} holds another network's weights (first difference: {strange[0]}); "
            "filmcolor loads midlevel_resnet.* and upsample.* of the tutorial's network, "
            "and its own with context.*"
        )
    net.load_state_dict(state)
    return net.eval()
