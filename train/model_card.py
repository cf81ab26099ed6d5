"""Model cards of trained weights: data, recipe, hardware and scores."""

import hashlib
import json
import platform
import shlex
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch

from filmcolor.files import atomic_write
from filmcolor.train.data.dataset import Split
from filmcolor.train.recipe import Recipe
from filmcolor.version import __version__


def write_card(
    weights: Path, split: Split, recipe: Recipe, device: torch.device, **facts: Any
) -> Path:
    """Write NAME.json beside NAME.safetensors and return its path.

    `facts`: further entries, such as the run's steps and its best score. `limits` stays empty: a
    person adds what the weights get wrong. Raises OutputError when the card cannot be written.
    """
    card = {
        "name": weights.stem,
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "trained": date.today().isoformat(),
        "filmcolor": __version__,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "recipe": asdict(recipe),
        "hardware": hardware(device),
        "data": {
            "num_pictures": len(split.training),
            "num_held_back": len(split.validation),
            "pictures": count_by_folder(split.training, split.folder),
        },
        **facts,
        "limits": [],
    }
    path = weights.with_suffix(".json")
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def hardware(device: torch.device) -> str:
    """Return a description of the hardware that a process computes on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} CPU threads ({platform.machine()}, {capability})"


def count_by_folder(paths: list[Path], folder: Path) -> dict[str, int]:
    """Return the number of pictures in each sub-folder, by its name."""
    counts = Counter(
        path.relative_to(folder).parent.as_posix() if path.is_relative_to(folder) else "elsewhere"
        for path in paths
    )
    return dict(sorted(counts.items()))
