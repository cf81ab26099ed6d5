"""Writes the plan of a run to a folder and reads it back, on this machine or another.

    plan.json       {"format": 1, "versions": {...}, "sha256": of plan and arrays, "plan": {...}}
    plan.npz        the arrays of the plan, by the names that plan.json has for them

The plan is made of frozen dataclasses. JSON holds them as {"class", "fields"}, and other types by a
name of their own. Nothing that a file names is run: only dataclasses of filmcolor are made from it.
"""

import dataclasses
import hashlib
import importlib
import io
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from filmcolor.errors import PlanError, StorageError
from filmcolor.files import atomic_write
from filmcolor.output.encoder import av_versions
from filmcolor.version import __version__

PLAN_FILES = PLAN, ARRAYS = "plan.json", "plan.npz"
_FORMAT = 1
_MIN_ARRAY = 64  # integers in a list: as long ones are smaller and faster as an array
_PACKAGE = "filmcolor."


def versions() -> dict[str, str]:
    """Return the versions that the machines of one film must share, by name."""
    return {
        "filmcolor": __version__,
        "libavcodec": ".".join(map(str, av_versions()["libavcodec"])),
    }


def write_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write the values of a plan to a folder; raises OutputError when that fails."""
    arrays: dict[str, np.ndarray] = {}
    encoded = _encode(dict(plan), arrays)
    with atomic_write(folder / ARRAYS, durable=True) as partial:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        digest = _digest(encoded, partial.read_bytes())
    content = {"format": _FORMAT, "versions": versions(), "sha256": digest, "plan": encoded}
    with atomic_write(folder / PLAN, durable=True) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the values of the plan in a folder.

    Raises PlanError when there is none, when it is damaged, or of other versions.
    """
    try:
        content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        planned = content["versions"]
    except FileNotFoundError as error:
        raise PlanError(f"{folder} holds no plan; make one with `filmcolor plan`") from error
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder) from error
    changes = [
        f"{name} {planned.get(name)} (here {version})"
        for name, version in versions().items()
        if planned.get(name) != version
    ]
    if changes or content.get("format") != _FORMAT:
        raise PlanError(
            f"{folder} was planned with {', '.join(changes) or 'another format'}; "
            "install the same on all machines, or plan again"
        )
    try:
        packed = (folder / ARRAYS).read_bytes()
        if content["sha256"] != _digest(content["plan"], packed):
            raise _damaged(folder)
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            values: dict[str, Any] = _decode(content["plan"], arrays)
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise _damaged(folder) from error
    return values


def _digest(encoded: Any, packed: bytes) -> str:
    """Return the SHA-256 of a plan: of its JSON and its file of arrays."""
    return hashlib.sha256(json.dumps(encoded).encode() + packed).hexdigest()


def _unreadable(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"the plan in {folder} cannot be read now ({error.strerror}); try again")


def _damaged(folder: Path) -> PlanError:
    return PlanError(f"the plan in {folder} cannot be read; plan again")


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON; arrays go into `arrays`. Raises TypeError for an unknown type."""
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, bytes)) or _is_long(value):
        name = f"a{len(arrays)}"
        is_bytes = isinstance(value, bytes)
        arrays[name] = np.frombuffer(value, np.uint8) if is_bytes else np.asarray(value)
        kind = "array" if isinstance(value, np.ndarray) else type(value).__name__
        return {"type": kind, "array": name}
    if dataclasses.is_dataclass(value):
        cls = type(value)
        fields = {
            field.name: _encode(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
            if field.init
        }
        return {"type": "class", "class": f"{cls.__module__}:{cls.__qualname__}", "fields": fields}
    if isinstance(value, Mapping):
        pairs = [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]
        return {"type": "dict", "items": pairs}
    if isinstance(value, (list, tuple, frozenset)):
        kind = next(k for k in (list, tuple, frozenset) if isinstance(value, k)).__name__
        return {"type": kind, "items": [_encode(item, arrays) for item in value]}
    if isinstance(value, Fraction):
        return {"type": "fraction", "value": str(value)}
    if isinstance(value, Path):
        return {"type": "path", "value": str(value)}
    raise TypeError(f"a plan cannot hold {type(value).__name__}")


def _is_long(value: Any) -> bool:
    """Return whether a value is a list or tuple of many 64-bit integers."""
    return (
        isinstance(value, (list, tuple))
        and len(value) >= _MIN_ARRAY
        and all(type(item) is int and -(1 << 63) <= item < 1 << 63 for item in value)
    )


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the value of JSON that `_encode` made."""
    if not isinstance(value, dict):
        return value
    kind = value["type"]
    if "array" in value:
        array = arrays[value["array"]]
        if kind == "array":
            return array
        return array.tobytes() if kind == "bytes" else _SEQUENCES[kind](array.tolist())
    if kind == "class":
        fields = {name: _decode(field, arrays) for name, field in value["fields"].items()}
        return _find_class(value["class"])(**fields)
    if kind == "dict":
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["items"]}
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](_decode(item, arrays) for item in value["items"])
    return {"fraction": Fraction, "path": Path}[kind](value["value"])


_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "frozenset": frozenset}


def _find_class(name: str) -> Any:
    """Return a dataclass of filmcolor by "module:name"; raises ValueError for anything else."""
    module, _, qualname = name.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(name)
    found = getattr(importlib.import_module(module), qualname)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(name)
    return found
