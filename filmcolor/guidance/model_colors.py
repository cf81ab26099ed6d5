"""The colours that a model gives frames of a film, computed when they are needed, and kept."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np

from filmcolor.color.upsampling import resize_ab
from filmcolor.errors import InputError, OutputError
from filmcolor.files import move_into_place, remedy_for
from filmcolor.guidance.grading import Palette
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray, LumaFrame
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.proxy import downscale, proxy_size

_NUM_HELD = 4  # key frames in memory: an anchor needs the one before it and the one after it


class Model(Protocol):
    """A colorizer of pictures; `network.onnx_model.OnnxColorizer` is one."""

    def input_size(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the (width, height) at which it takes a picture of a size."""

    def predict(self, gray: Gray, /) -> FloatPlane:
        """Return ab (h, w, 2), CIELAB, of an upright picture of 8-bit luma (H, W)."""


class ModelColors:
    """The colours that a model gives frames of one film, each computed when it is first needed.

    With a folder they are kept there, for the next process and for a resumed run.
    """

    def __init__(
        self,
        model: Model,
        info: FilmInfo,
        size: int,
        palette: Palette,
        index: FrameIndex | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take a film; `size`: short side of its proxies, pixels. `palette`: grades the colours."""
        self._model, self.info, self.index = model, info, index
        self._palette, self._folder = palette, folder
        self._reader = FrameReader(info, index)
        self._size = proxy_size(*info.display_size, size)
        self._held: dict[int, _Colored] = {}  # in order of use; a cache would keep films open

    def predict(self, frame: LumaFrame) -> FloatPlane:
        """Return the ab (h/2, w/2, 2) of a frame, at the size of its guide, not graded.

        Raises WeightsError when the model fails, or answers with no colours.
        """
        turns = self.info.quarter_turns
        size = self.info.display_size[:: -1 if turns % 2 else 1]
        width, height = self._model.input_size(*map(round, size))
        coded_size = (height, width) if turns % 2 else (width, height)
        gray = downscale(frame.luma, coded_size, self.info.coding)
        ab = self._model.predict(np.ascontiguousarray(np.rot90(gray, turns)))
        ab = np.ascontiguousarray(np.rot90(ab, -turns))
        return resize_ab(ab, (self._size[0] // 2, self._size[1] // 2))

    def of_frame(self, number: int) -> "_Colored":
        """Return a frame by its number, with its colours, not graded.

        Raises InputError when it cannot be decoded, OutputError when it cannot be kept, and what
        `predict` raises.
        """
        colored = self._held.pop(number, None) or self._read(number)
        self._held[number] = colored
        if len(self._held) > _NUM_HELD:
            del self._held[next(iter(self._held))]
        return colored

    def ab_of(self, number: int) -> FloatPlane:
        """Return the ab (h/2, w/2, 2) of a frame by its number, not graded; see `of_frame`."""
        return self.of_frame(number).ab

    def grade(self, number: int, ab: FloatPlane) -> FloatPlane:
        """Return the ab of a frame, graded as its number asks for."""
        return self._palette.grade_of(number).apply(ab)

    def _read(self, number: int) -> "_Colored":
        path = None if self._folder is None else _path_of(self._folder, number)
        if path is None or not (kept := _load(path)):
            frame = self._reader.read(number)
            if frame is None:
                raise InputError(
                    f"{self.info.path}: frame {number} can no longer be decoded; has it changed?"
                )
            luma = downscale(frame.luma, self._size, self.info.coding)
            # half precision, also where nothing is kept: a resumed run must not differ
            kept = _Colored(luma, self.predict(frame).astype(np.float16).astype(np.float32))
            if path is not None and path.parent.is_dir():
                _save(path, kept)
        return kept


def is_kept(folder: Path, number: int) -> bool:
    """Return whether a folder keeps the colours of a frame."""
    return _path_of(folder, number).is_file()


def _path_of(folder: Path, number: int) -> Path:
    return folder / f"model-{number:06}.npz"


@dataclass(frozen=True, slots=True, eq=False)
class _Colored:
    """A key frame in colour."""

    luma: Gray  # (h, w), its proxy
    ab: FloatPlane  # (h/2, w/2, 2)


def _save(path: Path, colored: _Colored) -> None:
    """Write a key frame; processes that write the same one do not disturb each other."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, luma=colored.luma, ab=colored.ab.astype(np.float16))
        move_into_place(partial, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); {remedy_for(error)}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> _Colored | None:
    """Return a kept key frame, None without one."""
    errors = OSError, EOFError, ValueError, KeyError, BadZipFile
    with suppress(*errors), np.load(path, allow_pickle=False) as arrays:
        return _Colored(arrays["luma"], arrays["ab"].astype(np.float32))
    return None
