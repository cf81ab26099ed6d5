"""Models of others in a run: loaded once in a process, and how often they run."""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filmcolor.weights as weights_store
from filmcolor.errors import OutputError
from filmcolor.files import atomic_write
from filmcolor.guidance.anchor_settings import AUTO, EVERY_ANCHOR, SHOT
from filmcolor.guidance.model_colors import is_kept
from filmcolor.guidance.model_guide import (
    KeyFrame,
    plan_key_frames,
    span_rule,
)
from filmcolor.network.onnx_net import KIND, OnnxNet
from filmcolor.network.predictor import Predictor
from filmcolor.runtime.platform import cache_folder, num_cores
from filmcolor.temporal.anchors import BLOCK
from filmcolor.types.film import FilmInfo, Part
from filmcolor.video.frame_index import FrameIndex

if TYPE_CHECKING:
    from filmcolor.network.onnx_model import OnnxColorizer
    from filmcolor.pipeline.options import ColorOptions

# a picture's seconds up to which every anchor is coloured (about 1.5 in a second of film), or a
# frame every two seconds: the model then takes no longer than a third of the film's length
_FAST, _MODERATE = 0.2, 0.7
_MODERATE_SECONDS = "2"
_KEY_FRAMES = "key-frames.json"  # in the folder of a run
_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def load_model(path: str, device: str) -> "OnnxColorizer":
    """Return a model, ready on its device; the last one is kept.

    Raises WeightsError when it cannot be loaded or is of no kind that filmcolor recognises.
    """
    from filmcolor.network.onnx_model import OnnxColorizer
    from filmcolor.runtime.threads import num_model_threads

    model = OnnxColorizer.load(path, device, num_model_threads())
    _log.info("%s", model.description)
    return model


def load_predictor(options: "ColorOptions") -> tuple[Predictor, "OnnxColorizer | None"]:
    """Return the network of some options, and the model that colours key frames, if there is one.

    A network that filmcolor exported is no such model: it takes the place of the weights.
    Raises WeightsError when one of them cannot be loaded, SettingsError without their device.
    """
    device = options.device
    model = load_model(options.model, device) if options.model else None
    if model is not None and model.kind == KIND:
        return Predictor(OnnxNet(model.session), surfaces=options.surfaces), None
    net = weights_store.load(options.weights)
    return Predictor(net, device, options.surfaces), model


def check_model(options: "ColorOptions") -> None:
    """Load the model of some options and release it again: worker processes load it themselves.

    Raises WeightsError when it cannot be loaded.
    """
    if options.model:
        load_model(options.model, options.device)
        load_model.cache_clear()


def settle(options: "ColorOptions", previous: str | None = None) -> "ColorOptions":
    """Return options that say how often their model runs, measured for "auto".

    `previous`: what an interrupted run chose.

    Raises WeightsError when the model cannot be loaded.
    """
    if not options.model or options.anchors != AUTO:
        return options
    if previous:
        return replace(options, anchors=previous)
    model = load_model(options.model, options.device)
    seconds = 0.0 if model.kind == KIND else seconds_of(model)
    if seconds <= _FAST:
        anchors = EVERY_ANCHOR
    else:
        anchors = _MODERATE_SECONDS if seconds <= _MODERATE else SHOT
    return replace(options, anchors=anchors)


def model_identity(options: "ColorOptions") -> dict[str, Any]:
    """Return what two runs must share of their models to share segments; JSON."""
    if not options.model:
        return {"model": "none"}
    model = load_model(options.model, options.device)
    identity = {"model": f"{model.path.name} {model.sha256[:16]}", "anchors": options.anchors}
    return identity | {f"model's {name}": value for name, value in model.settings.items()}


def seconds_of(model: "OnnxColorizer") -> float:
    """Return how long a model takes for a picture on this machine.

    It is measured once and kept in the user's cache: a preview must choose what the run chooses.
    """
    path = cache_folder() / "models" / f"{model.sha256[:16]}-{num_cores()}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["settings"] == json.loads(json.dumps(model.settings)):
            return float(kept["seconds"])
    seconds = model.seconds()
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps({"seconds": seconds, "settings": model.settings}))
    return seconds


def prepare_key_frames(
    info: FilmInfo,
    part: Part,
    options: "ColorOptions",
    index: FrameIndex,
    folder: Path,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[KeyFrame, ...]:
    """Return the frames of a part that a model colours; none where it colours every anchor.

    They are kept in a folder for a resumed run. `options` must be settled.
    """
    model = load_model(options.model, options.device)
    if model.kind == KIND:
        return ()
    if options.anchors == EVERY_ANCHOR:
        if part.stop is not None or index.num_frames:
            num_frames = (part.stop or index.num_frames or 0) - part.first
            seconds = num_frames / BLOCK * seconds_of(model)
            text = "%s: %s colours about one frame in %d, up to %s"
            _log.info(text, info.path, model.path.name, BLOCK, _format_duration(seconds))
        return ()
    path = folder / _KEY_FRAMES
    key_frames = _read_key_frames(path)
    if not key_frames:
        _log.info("%s: looking for frames to colour", info.path)
        rule = span_rule(options.anchors, info.frame_rate)
        key_frames = plan_key_frames(info, part, rule, index, progress)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps([astuple(k) for k in key_frames]), encoding="utf-8")
    num_missing = sum(not is_kept(folder, k.number) for k in key_frames)
    _log.info(
        "%s: %s colours %d frames, about %s",
        info.path,
        model.path.name,
        num_missing,
        _format_duration(num_missing * seconds_of(model)),
    )
    return key_frames


def _format_duration(seconds: float) -> str:
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


def _read_key_frames(path: Path) -> tuple[KeyFrame, ...]:
    with suppress(OSError, ValueError, TypeError):
        return tuple(KeyFrame(*fields) for fields in json.loads(path.read_text(encoding="utf-8")))
    return ()
