"""What a network begins from."""

from dataclasses import dataclass
from pathlib import Path

from filmcolor import weights
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import ColorNet, ContextNet
from filmcolor.train.mobilenet import teach_context
from filmcolor.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Start:
    """What a network begins from: weights, a classifier's context, or neither."""

    init: str | Path | None = None  # a shipped name, or a file of weights
    teacher: Path | None = None  # a quantised MobileNetV2, see `teacher`

    @property
    def is_scratch(self) -> bool:
        """True when there is nothing but chance."""
        return self.init is None and self.teacher is None

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of what is begun from, by its name."""
        paths = {} if self.teacher is None else {str(self.teacher): Path(self.teacher)}
        if self.init is not None:
            paths[str(self.init)] = weights.find(self.init)
        try:
            return {name: weights.sha256(path) for name, path in paths.items()}
        except OSError as error:
            raise WeightsError(f"{error.filename} cannot be read ({error.strerror})") from error


SCRATCH = Start()


def network_of(init: str | Path) -> str:
    """Return the name of the network that weights are of: "film" or "tutorial"."""
    return "film" if isinstance(weights.load(init), ContextNet) else "tutorial"


def build_network(recipe: Recipe, start: Start) -> ColorNet:
    """Return a recipe's network at its beginning: given weights, a teacher's, or chance.

    Raises SettingsError where they do not fit the network, WeightsError when they are broken.
    """
    if recipe.is_start_frozen and start.is_scratch:
        raise SettingsError(
            "a frozen start must begin from something: give --init WEIGHTS (film, say)"
        )
    has_bins = recipe.loss == "bins"
    net = ContextNet(has_bins) if recipe.network == "film" else ColorNet(has_bins)
    if start.teacher is not None:
        if not isinstance(net, ContextNet):
            raise SettingsError("only the film network has a context that a teacher can begin")
        teach_context(net, start.teacher)
    if start.init is not None:
        given = weights.load(start.init)
        if isinstance(given, ContextNet) and not isinstance(net, ContextNet):
            raise SettingsError(
                f"{start.init} holds the film network's weights, and the recipe trains the "
                "tutorial's; choose --network film or other weights"
            )
        if given.bins is not None and not has_bins:
            raise SettingsError(f"{start.init} chooses among bins; train it with --loss bins")
        # the smaller network's weights begin the larger one, colours begin bins
        state = {k: v for k, v in given.state_dict().items() if k in net.state_dict()}
        net.load_state_dict(state, strict=False)
    return net
