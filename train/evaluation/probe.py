"""A linear probe of frozen encoders: what do their features know about the classes of pictures?

The measure of Zhang et al. 2016 and Larsson et al. 2017 for what colourisation teaches: multinomial
logistic regression on the pooled features of an encoder that is not trained any further. All
encoders see luma only. A fifth of each class is held back: the pictures whose names have the
lowest hashes, so figures do not depend on the machine or on the order of files.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from filmcolor.errors import InputError, SettingsError
from filmcolor.network.device import choose_device
from filmcolor.network.predictor import check_batch_shape
from filmcolor.train.data.dataset import find_stills, read_resized
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.train.encoders import PooledEncoder, load_encoder, random_encoder
from filmcolor.video.proxy import DEFAULT_SIZE, STRIDE

CHANCE, RANDOM = "chance", "random"  # rows beside those of the weights

_HELD_BACK = 5  # one of so many pictures of each class
_DECAY = 1e-2  # of the squared weights, beside the mean cross entropy of standardised features
_MAX_ITERATIONS = 500  # of L-BFGS
_MIN_STD = 1e-6  # of a feature
_MIN_CLASSES = 2
_MIN_PICTURES = 2  # of a class: one to learn from, one to judge by

Progress = Callable[[int, int | None], None]  # pictures done, total


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The accuracy of a linear classifier on features of one encoder."""

    name: str  # of the weights as the caller gave it, or CHANCE or RANDOM
    encoder: str | None  # its kind, see `filmcolor.train.encoders`
    num_features: int | None
    accuracy: float  # of the held-back pictures, percent
    standard_error: float  # of the accuracy, percentage points


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a linear probe."""

    data: Path
    classes: tuple[str, ...]
    num_training: int  # pictures
    num_held_back: int  # pictures
    rows: list[ProbeRow]
    unreadable: tuple[str, ...] = ()  # names of pictures that were left out


@dataclass(frozen=True, slots=True)
class _Labels:
    """The class of each of P pictures, and which of them are held back."""

    classes: Tensor  # (P,), int64
    is_held: Tensor  # (P,), boolean
    num_classes: int


def probe_encoders(
    folder: Path,
    weights: Sequence[str],
    *,
    size: int = DEFAULT_SIZE,
    device: str = "auto",
    progress: Progress | None = None,
) -> Probe:
    """Return how well a linear classifier tells pictures apart by features of frozen encoders.

    `folder`: DIR/CLASS/PICTURE. `weights`: see `load_encoder`. `size`: short side of the pictures,
    pixels. The first row is the most frequent class; then come one row per kind of encoder with
    random weights, and the weights. Raises InputError for too few classes or pictures,
    WeightsError for weights without an encoder, SettingsError for a size or a device that cannot
    be, or without any weights.
    """
    check_batch_shape(size, 1)
    if not weights:
        raise SettingsError("a probe needs weights; name at least one")
    chosen = choose_device(device)
    paths = _find_labelled(folder)
    _check_classes(folder, [_class_of(path, folder) for path in paths])
    loaded = {name: load_encoder(name) for name in dict.fromkeys(map(str, weights))}
    kinds = dict.fromkeys(encoder.kind for encoder in loaded.values())
    encoders = [(RANDOM, random_encoder(kind)) for kind in kinds] + list(loaded.items())
    for _, encoder in encoders:
        encoder.to(chosen)
    readable, unreadable, features = [], [], []
    for index, path in enumerate(paths):
        try:
            features.append(_features(path, size, [e for _, e in encoders], chosen))
            readable.append(path)
        except InputError:
            unreadable.append(path.relative_to(folder).as_posix())
        if progress:
            progress(index + 1, len(paths))
    classes = [_class_of(path, folder) for path in readable]
    _check_classes(folder, classes)
    labels = _label(readable, classes)
    rows = [_row(CHANCE, None, None, _is_most_frequent(labels))]
    for (name, encoder), columns in zip(encoders, zip(*features, strict=True), strict=True):
        table = torch.stack(columns)  # (P, C)
        rows.append(_row(name, encoder.kind, table.shape[1], _is_correct(table, labels)))
    num_held = int(labels.is_held.sum())
    return Probe(
        folder,
        tuple(sorted(set(classes))),
        len(readable) - num_held,
        num_held,
        rows,
        tuple(unreadable),
    )


def _find_labelled(folder: Path) -> list[Path]:
    """Return the pictures in sub-folders, which are the classes."""
    return [p for p in find_stills(folder) if len(p.relative_to(folder).parts) > 1]


def _class_of(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]


def _check_classes(folder: Path, classes: Sequence[str]) -> None:
    """Raise InputError when there is nothing to tell apart, to learn from or to judge by."""
    counts = Counter(classes)
    if len(counts) < _MIN_CLASSES:
        raise InputError(
            f"{folder} needs pictures of at least {_MIN_CLASSES} classes, and has "
            f"{len(counts)}; give each class a sub-folder of its own"
        )
    for name, num in sorted(counts.items()):
        if num < _MIN_PICTURES:
            raise InputError(
                f"{folder / name} needs at least {_MIN_PICTURES} pictures, one to learn from and "
                f"one to judge by, and has {num}; add some"
            )


def _features(
    path: Path, size: int, encoders: Sequence[PooledEncoder], device: torch.device
) -> list[Tensor]:
    """Return the features (C,) of a picture from each encoder, float64 on the CPU."""
    luma, _ = luma_and_ab(read_resized(path, size, STRIDE)[None])
    luma = luma.float().to(device)
    with torch.inference_mode():
        return [encoder(luma)[0].cpu().double() for encoder in encoders]


def _label(paths: Sequence[Path], classes: Sequence[str]) -> _Labels:
    names = sorted(set(classes))
    held: set[Path] = set()
    for name in names:
        members = [path for path, label in zip(paths, classes, strict=True) if label == name]
        members.sort(key=_hash_of_name)
        held.update(members[: max(1, round(len(members) / _HELD_BACK))])
    return _Labels(
        torch.tensor([names.index(name) for name in classes]),
        torch.tensor([path in held for path in paths]),
        len(names),
    )


def _hash_of_name(path: Path) -> bytes:
    return sha256(os.fsencode(path.name)).digest()


def _is_most_frequent(labels: _Labels) -> Tensor:
    """Return which held-back pictures (Q,) belong to the most frequent class of the others."""
    counts = labels.classes[~labels.is_held].bincount()
    return labels.classes[labels.is_held] == counts.argmax()


def _is_correct(features: Tensor, labels: _Labels) -> Tensor:
    """Return which held-back pictures (Q,) a linear classifier of features (P, C) gets right."""
    training = features[~labels.is_held]
    mean, std = training.mean(dim=0), training.std(dim=0, correction=0).clamp_min(_MIN_STD)
    weights = _fit((training - mean) / std, labels.classes[~labels.is_held], labels.num_classes)
    logits = _logits((features[labels.is_held] - mean) / std, weights)
    return logits.argmax(dim=1) == labels.classes[labels.is_held]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: matrices of this size took 66 times as long on two busy cores.

    The sums then do not depend on the number of cores either.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@_one_thread()
def _fit(features: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Return the weights (num_classes, C + 1) of a classifier, the bias last, by L-BFGS."""
    weights = features.new_zeros(num_classes, features.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(_logits(features, weights), classes)
        loss = loss + 0.5 * _DECAY * weights[:, :-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def _logits(features: Tensor, weights: Tensor) -> Tensor:
    return features @ weights[:, :-1].T + weights[:, -1]


def _row(name: str, encoder: str | None, num_features: int | None, is_correct: Tensor) -> ProbeRow:
    share = float(is_correct.double().mean())
    error = (share * (1.0 - share) / len(is_correct)) ** 0.5
    return ProbeRow(name, encoder, num_features, 100.0 * share, 100.0 * error)
