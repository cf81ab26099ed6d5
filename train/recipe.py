"""Recipes: the hyperparameters of a training run, and the named sets of them."""

from dataclasses import dataclass, replace

from filmcolor.errors import SettingsError
from filmcolor.video.proxy import STRIDE

NETWORKS = ("tutorial", "film")
SCHEDULES = ("constant", "one-cycle")

_MIN_BATCH = 2  # the film network's batch norms at stride 32 see one position of a small picture


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of a training run on `num_pictures` crops, from one seed.

    The defaults are the film recipe's; `RECIPES` holds the others. The network decides the loss
    (`filmcolor.train.losses`). Raises SettingsError for values that have no meaning. Field names
    are also the keys of checkpoints and model cards.

    `encoder_rate` 0 holds the encoder still: what a million pictures taught it stays, and the film
    network's prototype trained on 89 crops a second on two cores, against 32 when its encoder was
    trained from stride 8 on, and 25 when all of it was.

    `consistency` gives an eighth of each batch a second time, as another simulation of old film
    stock, which costs an eighth of the speed. Its effect was within the noise of short runs
    (`train/LOG.md`).
    """

    network: str = "film"
    rarity: float = 0.0  # strength of the weights of rare colours: 0 none, 1 as Zhang et al. 2016
    num_pictures: int = 250_000
    batch_size: int = 64  # per process
    sizes: tuple[int, ...] = (160,)  # pixels, of the square crops; one per batch
    smallest_crop: float = 0.25  # share of a picture's area
    old_stock: float = 0.4  # share of pictures that are shown as old film stock
    consistency: float = 0.0  # weight of the difference between two simulations of one still
    learning_rate: float = 1.5e-3  # the highest of the schedule
    encoder_rate: float = 0.0  # of the learning rate, for the encoder; 0: it is not trained
    weight_decay: float = 0.01
    schedule: str = "one-cycle"
    ema_decay: float = 0.998  # 0: no averaged weights
    is_flip_averaged: bool = True  # at validation
    validate_every: int = 500  # steps; 0: once per epoch
    is_kept_by_epoch: bool = False  # improved weights also under the tutorial's names
    patience: int = 0  # validations without improvement before it stops; 0: no limit
    seed: int = 0

    def __post_init__(self) -> None:
        for size in self.sizes:
            if size % STRIDE or size < 4 * STRIDE:
                raise SettingsError(f"size {size} must be a multiple of {STRIDE}, 32 or more")
        if not self.sizes:
            raise SettingsError("sizes must name at least one size")
        if self.network not in NETWORKS:
            raise SettingsError(f"network {self.network!r} must be {' or '.join(NETWORKS)}")
        if self.schedule not in SCHEDULES:
            raise SettingsError(f"schedule {self.schedule!r} must be {' or '.join(SCHEDULES)}")
        if self.batch_size < _MIN_BATCH:
            raise SettingsError(f"batch size {self.batch_size} must be {_MIN_BATCH} or more")
        if self.learning_rate <= 0.0:
            raise SettingsError(f"learning rate {self.learning_rate} must be above 0")
        if self.num_pictures < self.batch_size:
            raise SettingsError("num_pictures must be at least one batch")
        for name in ("rarity", "old_stock", "ema_decay", "smallest_crop"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} {getattr(self, name)} must be 0 to 1")
        for name in ("consistency", "encoder_rate", "weight_decay", "validate_every", "patience"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} {getattr(self, name)} must be 0 or more")
        if not 0 <= self.seed < 2**31:
            raise SettingsError(f"seed {self.seed} must be 0 to {2**31 - 1}")


RECIPES = {
    "film": Recipe(),
    # Luke Melas-Kyriazi's tutorial (2018), with its batch size and number of epochs
    "tutorial": Recipe(
        network="tutorial",
        sizes=(224,),
        smallest_crop=0.08,
        old_stock=0.0,
        learning_rate=1e-2,
        encoder_rate=1.0,
        weight_decay=0.0,
        schedule="constant",
        ema_decay=0.0,
        is_flip_averaged=False,
        validate_every=0,
        is_kept_by_epoch=True,
    ),
    # fine-tunes given weights on the stills of one film, in minutes
    "adapt": Recipe(
        num_pictures=6_000,
        batch_size=32,
        smallest_crop=0.3,
        old_stock=0.25,
        learning_rate=4e-4,
        ema_decay=0.98,
        validate_every=60,
    ),
}
_NUM_EPOCHS = 100  # of the tutorial recipe


def get_recipe(name: str, num_stills: int, **changes: object) -> Recipe:
    """Return a named recipe with some fields changed.

    `num_stills`: training stills, which decide the length of the tutorial recipe.
    Raises SettingsError for an unknown name or a value that has no meaning.
    """
    if name not in RECIPES:
        raise SettingsError(f"recipe {name!r} must be one of {', '.join(RECIPES)}")
    recipe = replace(RECIPES[name], **changes)  # type: ignore[arg-type]
    if name == "tutorial" and "num_pictures" not in changes:
        num_steps = _NUM_EPOCHS * max(1, round(num_stills / recipe.batch_size))
        recipe = replace(recipe, num_pictures=num_steps * recipe.batch_size)
    return recipe
