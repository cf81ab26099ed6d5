"""What a network begins from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filmcolor import weights
from filmcolor.errors import SettingsError
from filmcolor.model import ColorNet, ContextNet
from filmcolor.train.recipe import Recipe
from filmcolor.train.teacher import teach_context


@dataclass(frozen=True, slots=True)
class Start:
    """What a network begins from: weights, a classifier's context, or neither."""

    init: str | Path | None = None  # a shipped name, or a file of weights
    teacher: Path | None = None  # a quantised MobileNetV2, see `teacher`

    def __iter__(self) -> Iterator[str]:
        """Yield what there is, the teacher first, for it may be overruled."""
        return (str(name) for name in (self.teacher, self.init) if name is not None)


SCRATCH = Start()


def build_network(recipe: Recipe, start: Start) -> ColorNet:
    """Return a recipe's network at its beginning: given weights, a teacher's, or chance.

    Raises SettingsError where they do not fit the network, WeightsError when they are broken.
    """
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
        # the smaller network's weights begin the larger one, colours begin bins
        state = {k: v for k, v in given.state_dict().items() if k in net.state_dict()}
        net.load_state_dict(state, strict=False)
    return net
