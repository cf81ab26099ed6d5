"""What coloured a piece of a film: the kind of processor, and the versions of what computes.

Pieces of one film may be coloured on machines of several kinds. Kernels add in other orders and in
other precisions, so their colours differ a little (see `docs/farm.md` for how much).
"""

import os
import platform
from collections.abc import Mapping

import cv2
import numpy as np
import torch

from filmcolor.kernels.ops import is_compiled
from filmcolor.network.device import choose_device, choose_dtype

KERNELS = "kernels"
_ARM = frozenset({"aarch64", "arm64"})
_CPU_KERNELS = {"AVX512": "AVX-512", "AVX2": "AVX2", "DEFAULT": "baseline"}
_LIMIT = "ONEDNN_MAX_CPU_ISA"  # an environment variable that lowers the kernels of convolutions


def machine_record(device_name: str) -> dict[str, str]:
    """Return what makes the colours of this machine: kernels, loops and versions, by name.

    `device_name`: as in ColorOptions. "kernels" is "AMX", "AVX-512 BF16", "AVX-512", "AVX2",
    "NEON", "MPS" or "CUDA" with the card's name. Raises SettingsError without that device.
    """
    return {
        KERNELS: _kernels(choose_device(device_name)),
        "loops": "compiled" if is_compiled() else "NumPy",
        "PyTorch": torch.__version__,
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
    }


def differences(record: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return what differs between two records: "AVX2 (not AMX)", "PyTorch 2.9 (not 2.14)"."""
    lines = []
    for name in sorted({*record, *other}, key=lambda name: (name != KERNELS, name)):
        this, that = record.get(name, "unknown"), other.get(name, "unknown")
        if this != that:
            lines.append(f"{'' if name == KERNELS else f'{name} '}{this} (not {that})")
    return lines


def _kernels(device: torch.device) -> str:
    """Return the class of kernels that the network runs on."""
    if device.type == "cuda":
        return f"CUDA {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "MPS"
    if platform.machine().lower() in _ARM:
        name = "NEON"
    elif choose_dtype(device) == torch.bfloat16:
        has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        name = "AMX" if has_amx else "AVX-512 BF16"
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        name = _CPU_KERNELS.get(capability, capability)
    limit = os.environ.get(_LIMIT)
    return f"{name}, {_LIMIT}={limit}" if limit else name
