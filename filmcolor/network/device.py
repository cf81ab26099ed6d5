"""The device and the dtype that the network runs on."""

import torch

from filmcolor.errors import SettingsError


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises SettingsError when this machine has no such device.
    """
    num_devices = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if name == "auto":
        name = "cuda" if num_devices["cuda"] else "mps" if num_devices["mps"] else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"no device {name!r}: choose auto, cpu, cuda or mps") from error
    if device.type not in num_devices:  # PyTorch accepts many that these networks do not run on
        raise SettingsError(f"no device {name!r}: choose auto, cpu, cuda or mps")
    if (device.index or 0) >= num_devices[device.type]:
        raise SettingsError(f"this machine has no {name} device; use --device auto or cpu")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest dtype of a device: a 16-bit float where it is native, else float32.

    CUDA computes in bfloat16, or in float16 without it; CPUs in bfloat16 only with AVX-512 BF16,
    because they emulate it slowly otherwise.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu":
        flags = torch.backends.cpu.get_cpu_capability()
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if has_bf16 and "AVX512" in flags else torch.float32
    return torch.float32
