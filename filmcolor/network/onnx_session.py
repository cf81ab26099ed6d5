"""Runs an ONNX model on OpenVINO, or on ONNX Runtime where a graphics card should compute.

Both are imported when a model is opened, never before. On two cores, with networks of the size and
structure of siggraph17, DeOldify and DDColor (`benchmarks/onnx_runtime.py`), OpenVINO took 0.85 to
0.87 of ONNX Runtime's time and 0.5 to 0.9 of its memory; their ab differed by at most 0.02.
It installs 180 MB, ONNX Runtime 78 MB.

Models compute in float32: the same colours on every machine, with any number of threads. bfloat16
took 0.41 to 0.55 of ONNX Runtime's time, but changed ab of the trained film network by 0.44 on
average and 9 at most, so it must be asked for.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.device import choose_device
from filmcolor.network.onnx_file import ModelFile, read_outline
from filmcolor.runtime.platform import num_cores

Tensors = dict[str, NDArray[Any]]
FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRECISIONS = FLOAT32, BFLOAT16

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
_CPU_PROVIDER = "CPUExecutionProvider"
_import_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]  # None: any size; () also where the rank is not stated

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


class _Backend(Protocol):
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    runtime: str

    def run(self, feeds: Tensors, names: Sequence[str]) -> Tensors: ...


_Opener = Callable[[ModelFile, int, str], _Backend]  # of a file, with threads and a precision


class OnnxSession:
    """An opened model. `run` may be called from several threads; it computes one call at a time."""

    def __init__(self, file: ModelFile, backend: _Backend) -> None:
        """Use `OnnxSession.open`."""
        self.file = file
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self.metadata = file.metadata
        self.runtime = backend.runtime  # name, version, device and precision, for printing
        self._backend = backend
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | ModelFile,
        device: str = "auto",
        num_threads: int | None = None,
        runtime: str = "auto",
        precision: str = FLOAT32,
    ) -> "OnnxSession":
        """Open an ONNX file, with files of external data beside it, or an OpenVINO IR.

        `device`: "auto", "cpu", "cuda" or "mps". `num_threads`: of the CPU; None means all cores
        that this process may use. `runtime`: "auto", "openvino" or "onnxruntime". `precision`: what
        OpenVINO computes in; a CPU without bfloat16 computes in float32.
        Raises WeightsError when the file is missing, broken, needs a missing file or an operator
        that the runtime lacks, or when no runtime is installed; SettingsError for a device that
        this machine lacks.
        """
        file = path if isinstance(path, ModelFile) else read_outline(Path(path))
        opener = _choose_backend(device, runtime)
        try:
            backend = opener(file, num_threads or num_cores(), precision)
        except Exception as error:  # the runtimes raise RuntimeError and many of their own
            raise WeightsError(f"{file.path} cannot be opened: {_reason(error)}") from error
        return cls(file, backend)

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> Tensors:
        """Return the outputs by name: all of them, or those named.

        `feeds`: an array for each input, by its name, of its shape.
        Raises WeightsError when the model fails on them.
        """
        arrays = {t.name: np.ascontiguousarray(feeds[t.name], t.dtype) for t in self.inputs}
        names = [t.name for t in self.outputs] if outputs is None else outputs
        with self._lock:
            try:
                return self._backend.run(arrays, names)
            except Exception as error:
                raise WeightsError(
                    f"{self.file.path} fails in {self.runtime}: {_reason(error)}"
                ) from error


def _choose_backend(device: str, runtime: str) -> _Opener:
    kind = choose_device(device).type
    if kind == "mps" and device == "auto":
        kind = "cpu"  # CoreML computes only some operators, and those in float16
    if kind != "cpu" and runtime != "openvino":
        if _PROVIDERS[kind] in _onnxruntime_providers():
            return lambda file, num, _: _OrtBackend(file, num, _PROVIDERS[kind])
        if device != "auto":
            package = "onnxruntime-gpu" if kind == "cuda" else "onnxruntime"
            raise SettingsError(
                f"ONNX models need {package} for {kind}: pip install {package}, or use --device cpu"
            )
    if runtime != "onnxruntime" and _import_openvino() is not None:
        return _OpenVinoBackend
    if runtime != "openvino" and _onnxruntime_providers():
        return lambda file, num, _: _OrtBackend(file, num, _CPU_PROVIDER)
    raise WeightsError(
        "ONNX models need a runtime that is not installed: pip install 'filmcolor[onnx]'"
    )


def _import_openvino() -> Any:
    """Return the module `openvino`, or None where it is not installed.

    While it is imported, `openvino.tools.ovc` sends a message to its makers through the package
    openvino_telemetry and writes files to the home folder, without asking. It has a stub for where
    that package is missing, so the package is hidden from it.
    """
    name = "openvino_telemetry"
    with _import_lock:
        is_hidden = "openvino" not in sys.modules and name not in sys.modules
        if is_hidden:
            sys.modules[name] = None  # type: ignore[assignment]
        try:
            import openvino
        except ImportError:
            return None
        finally:
            if is_hidden:
                del sys.modules[name]
        return openvino


def _onnxruntime_providers() -> Sequence[str]:
    """Return the execution providers of ONNX Runtime, none where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return ()
    onnxruntime.disable_telemetry_events()
    providers: Sequence[str] = onnxruntime.get_available_providers()
    return providers


@cache
def _openvino_core() -> Any:
    """Return the process's only Core, which is never freed.

    Its CPU plugin gives signals a stack of its own. When the last Core is freed, so is that stack,
    and the next signal, a Ctrl-C for example, ends the process by a segmentation fault.
    """
    return _import_openvino().Core()


class _OpenVinoBackend:
    """OpenVINO on the CPU, compiled for the shapes that it was fed last."""

    def __init__(self, file: ModelFile, num_threads: int, precision: str) -> None:
        openvino = _import_openvino()
        self._core = _openvino_core()
        self._model = self._core.read_model(file.path)
        self.inputs = tuple(map(_openvino_tensor, self._model.inputs))
        self.outputs = tuple(map(_openvino_tensor, self._model.outputs))
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            precision = FLOAT32
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == BFLOAT16 else "f32",
            "INFERENCE_NUM_THREADS": num_threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the other stages and processes use the same cores
        }
        version = openvino.__version__.split("-")[0]
        self.runtime = f"OpenVINO {version} (cpu, {precision})"
        self._request: Any = None
        self._shapes: list[tuple[int, ...]] = []

    def run(self, feeds: Tensors, names: Sequence[str]) -> Tensors:
        arrays = [feeds[tensor.name] for tensor in self.inputs]
        shapes = [array.shape for array in arrays]
        if self._request is None or shapes != self._shapes:
            self._request = None  # frees its memory first
            # for fixed shapes, which takes less time and memory than for any
            self._model.reshape(dict(enumerate(map(list, shapes))))
            compiled = self._core.compile_model(self._model, "CPU", self._config)
            self._request, self._shapes = compiled.create_infer_request(), shapes
        self._request.infer(dict(enumerate(arrays)), share_inputs=True)
        indices = {tensor.name: index for index, tensor in enumerate(self.outputs)}
        return {name: self._request.get_output_tensor(indices[name]).data.copy() for name in names}


def _openvino_tensor(port: Any) -> TensorInfo:
    shape = port.get_partial_shape()
    sizes = () if shape.rank.is_dynamic else shape
    return TensorInfo(
        port.get_any_name(),
        np.dtype(port.get_element_type().to_dtype()),
        tuple(size.get_length() if size.is_static else None for size in sizes),
    )


class _OrtBackend:
    """ONNX Runtime with one execution provider, and the CPU for what that one lacks."""

    def __init__(self, file: ModelFile, num_threads: int, provider: str) -> None:
        import onnxruntime

        if provider == _PROVIDERS["cuda"] and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # PyTorch's own CUDA libraries
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised, too
        providers = list(dict.fromkeys([provider, _CPU_PROVIDER]))
        self._session = onnxruntime.InferenceSession(file.path, options, providers=providers)
        self.inputs = tuple(map(_onnxruntime_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_onnxruntime_tensor, self._session.get_outputs()))
        name = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        # it computes in the file's own precision, and has no bfloat16 on CPUs
        self.runtime = f"ONNX Runtime {onnxruntime.__version__} ({name})"

    def run(self, feeds: Tensors, names: Sequence[str]) -> Tensors:
        return dict(zip(names, self._session.run(list(names), feeds)))


_ORT_DTYPES = {"float": "float32", "double": "float64"}


def _onnxruntime_tensor(argument: Any) -> TensorInfo:
    name = argument.type.removeprefix("tensor(").removesuffix(")")
    return TensorInfo(
        argument.name,
        np.dtype(_ORT_DTYPES.get(name, name)),
        tuple(size if isinstance(size, int) else None for size in argument.shape),
    )


_NOISE = ("Exception from", "Check '", "FrontEnd API", "Model wasn", "Summary:")
_MAX_REASON = 300  # characters


def _reason(error: Exception) -> str:
    """Return what a runtime's message gives as the reason, in one line."""
    lines = [line.strip(" -") for line in str(error).splitlines()]
    useful = [line for line in lines if line and not line.startswith(_NOISE)]
    text = " ".join(useful or lines)
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."
