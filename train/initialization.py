"""The initial weights of a training run."""

from dataclasses import dataclass
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ColorNet, ContextNet
from filmcolor.train.mobilenet import load_mobilenet
from filmcolor.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Initialization:
    """Where a network's initial weights come from; what neither gives is random.

    `weights`: a shipped name or a file, for the whole network or for the tutorial's part of it.
    `mobilenet`: a quantised MobileNetV2 for the context branch; see `filmcolor.train.mobilenet`.
    """

    weights: str | Path | None = None
    mobilenet: Path | None = None

    @property
    def is_scratch(self) -> bool:
        """True when all initial weights are random."""
        return self.weights is None and self.mobilenet is None

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by the name it was given with.

        Raises WeightsError when a file is missing or cannot be read.
        """
        paths = {} if self.mobilenet is None else {str(self.mobilenet): Path(self.mobilenet)}
        if self.weights is not None:
            paths[str(self.weights)] = weights_store.find(self.weights)
        try:
            return {name: weights_store.sha256(path) for name, path in paths.items()}
        except OSError as error:
            raise WeightsError(f"{error.filename} cannot be read ({error.strerror})") from error


SCRATCH = Initialization()


def network_name(name_or_path: str | Path) -> str:
    """Return which network some weights belong to: "film" or "tutorial"."""
    return "film" if isinstance(weights_store.load(name_or_path), ContextNet) else "tutorial"


def build_network(recipe: Recipe, initialization: Initialization) -> ColorNet:
    """Return a recipe's network with its initial weights.

    Raises SettingsError when these do not fit the network, WeightsError when they are broken.
    """
    if recipe.is_start_frozen and initialization.is_scratch:
        raise SettingsError("frozen layers need initial weights: give --init WEIGHTS (film, say)")
    has_bins = recipe.loss == "bins"
    net = ContextNet(has_bins) if recipe.network == "film" else ColorNet(has_bins)
    if initialization.mobilenet is not None:
        if not isinstance(net, ContextNet):
            raise SettingsError(
                "only the film network has a context branch to initialise; leave out --teacher"
            )
        load_mobilenet(net, initialization.mobilenet)
    if initialization.weights is not None:
        _load_weights(net, initialization.weights)
    return net


def _load_weights(net: ColorNet, name_or_path: str | Path) -> None:
    given = weights_store.load(name_or_path)
    if isinstance(given, ContextNet) and not isinstance(net, ContextNet):
        raise SettingsError(
            f"{name_or_path} holds the film network's weights, and the recipe trains the "
            "tutorial's; choose --network film or other weights"
        )
    if given.bins is not None and net.bins is None:
        raise SettingsError(f"{name_or_path} chooses among bins; train it with --loss bins")
    # the tutorial network's weights fit a part of the film network, and any decoder has no bins yet
    state = {k: v for k, v in given.state_dict().items() if k in net.state_dict()}
    net.load_state_dict(state, strict=False)
