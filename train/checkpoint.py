"""Checkpoints: the complete state of a training run, in one file.

A checkpoint holds the run's settings (recipe, number of processes, SHA-256 of the initial weights)
and the fingerprint of its data, and is only resumed with the same ones.
"""

from pathlib import Path
from typing import Any

import torch

from filmcolor.errors import OutputError, SettingsError, WeightsError
from filmcolor.files import atomic_write


def save_checkpoint(
    path: Path, settings: dict[str, Any], fingerprint: str, state: dict[str, Any]
) -> None:
    """Write a checkpoint atomically.

    Raises OutputError when it cannot be written; the previous one is then kept.
    """
    try:
        with atomic_write(path) as partial:
            torch.save(state | {"recipe": settings, "data": fingerprint}, partial)
    except OutputError as error:
        raise OutputError(
            f"{error}; the previous checkpoint is whole, and the same command goes on from it"
        ) from error


def load_checkpoint(path: Path, settings: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """Return the state in a checkpoint, on the CPU.

    Raises SettingsError when it has other settings or other data, WeightsError when it cannot be
    read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved_settings, saved_fingerprint = state["recipe"], state["data"]
    except Exception as error:  # a broken archive raises anything
        raise WeightsError(
            f"{path} is broken; delete it to start again in the same folder"
        ) from error
    if saved_settings != settings:
        differing = [k for k, v in settings.items() if saved_settings.get(k) != v]
        raise SettingsError(
            f"{path} is of another recipe ({', '.join(differing)} differ); "
            "choose another folder or delete it"
        )
    if saved_fingerprint != fingerprint:
        raise SettingsError(
            f"{path} is of other data: pictures were added, removed or changed; "
            "choose another folder or delete it"
        )
    return state
