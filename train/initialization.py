"""The initial weights of a training run.

They come from a shipped name or a file, and are a whole network's, or only the film network's
encoder (`encoder.*`); the rest is then random.
"""

from pathlib import Path

from torch import Tensor

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ColorNet, FilmNet
from filmcolor.train.losses import Net, bin_centers
from filmcolor.train.recipe import Recipe

_ENCODER = "encoder."


def initial_digests(initial_weights: str | Path | None) -> dict[str, str]:
    """Return the SHA-256 of the initial weights, by the name they were given with.

    Raises WeightsError when the file is missing or cannot be read.
    """
    if initial_weights is None:
        return {}
    path = weights_store.find(initial_weights)
    try:
        return {str(initial_weights): weights_store.sha256(path)}
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})") from error


def network_name(name_or_path: str | Path) -> str:
    """Return which network some weights belong to: "film" or "tutorial"."""
    return _network_name(weights_store.load_state(weights_store.find(name_or_path)))


def _network_name(state: dict[str, Tensor]) -> str:
    return "film" if any(name.startswith(_ENCODER) for name in state) else "tutorial"


def build_network(recipe: Recipe, initial_weights: str | Path | None = None) -> Net:
    """Return a recipe's network with its initial weights.

    Raises SettingsError when these do not fit the network, WeightsError when they are broken.
    """
    if not recipe.encoder_rate and initial_weights is None:
        raise SettingsError(
            "an encoder that is not trained needs initial weights: give --init WEIGHTS "
            f"({recipe.network}, say), or --encoder-rate 1 to train it too"
        )
    net = FilmNet() if recipe.network == "film" else ColorNet()
    if isinstance(net, FilmNet):
        net.centers.copy_(bin_centers())
    if initial_weights is not None:
        _load_weights(net, recipe.network, initial_weights)
    return net


def _load_weights(net: Net, network: str, name_or_path: str | Path) -> None:
    path = weights_store.find(name_or_path)
    state = weights_store.load_state(path)
    is_encoder = bool(state) and all(name.startswith(_ENCODER) for name in state)
    if not is_encoder:
        state = weights_store.load(path).state_dict()
    given = _network_name(state)
    if given != network:
        raise SettingsError(
            f"{name_or_path} holds the {given} network's weights, and the recipe trains the "
            f"{network} network; choose --network {given} or other weights"
        )
    if is_encoder and isinstance(net, FilmNet):
        _load_encoder(net, state, path)
    else:
        net.load_state_dict(state)


def _load_encoder(net: FilmNet, state: dict[str, Tensor], path: Path) -> None:
    try:
        net.encoder.load_state_dict({k.removeprefix(_ENCODER): v for k, v in state.items()})
    except RuntimeError as error:  # names or shapes
        raise WeightsError(
            f"{path} holds another encoder; give one that --export-encoder wrote"
        ) from error
