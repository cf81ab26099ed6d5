"""The photographs of the studio: handed over, looked at, painted on, graded, and saved.

The network runs once for a picture. Strokes and sliders then cost the finished picture alone: a
tenth of a second at 1024 pixels. What is shown is made from the same low-res colours as the result
at full size, which `colorize_photo` makes, so that its bytes are those of `filmcolor photo`.
"""

import hashlib
import json
import secrets
import shlex
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import cv2
import numpy as np

from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.guidance.grading import RANGES
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_photo, photo_path
from filmcolor.runtime.byte_cache import ByteCache
from filmcolor.studio import photo_store
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.photo_store import Edit, StoredPhoto
from filmcolor.studio.photo_strokes import draw_on_photo
from filmcolor.studio.photo_view import LARGEST, PhotoView
from filmcolor.studio.pictures import COLOR, GREY, SIDES
from filmcolor.studio.swatches import FIXED, colors_of
from filmcolor.version import __version__

MAX_PICTURE_BYTES = 1 << 29  # a 16-bit TIFF of 85 megapixels
MAX_PHOTOS = 200
MAX_TOTAL_BYTES = 8 << 30
DEFAULT_SIZE = 2048  # pixels, long side of what is shown
_NUM_VIEWS = 4  # photographs whose colours are kept, 16 MB each
_CACHE_BYTES = 32 << 20  # of JPEGs
_SWATCHES_SIZE = 640  # pixels, long side: what the page shows of all photographs


class PhotoDesk:
    """The photographs in a state folder. All methods are safe to call from threads.

    `base`: options that all photographs share; their grade is where sliders begin. `colorizer`:
    returns the loaded weights of these options. Methods that return a photo object raise
    NotFoundError for an id that is not there.
    """

    def __init__(
        self, folder: Path, base: ColorOptions, colorizer: Callable[[], Colorizer]
    ) -> None:
        """Take up the photographs that the folder holds; it is made when the first one comes."""
        self._folder, self._base, self._colorizer = folder, base, colorizer
        stored = sorted(photo_store.load_photos(folder), key=lambda photo: photo.added)
        self._photos = {photo.id: photo for photo in stored}
        self._views: OrderedDict[str, PhotoView] = OrderedDict()
        self._jpegs = ByteCache[Any, bytes](_CACHE_BYTES)
        self._changing = RLock()  # the photographs and their edits
        self._computing = Lock()  # one picture at a time: it may take gigabytes

    def photos(self) -> dict[str, Any]:
        """Return `{"photos": [photo object, ...]}` in the order in which they came."""
        with self._changing:
            return {"photos": [self._describe(photo) for photo in self._photos.values()]}

    def photo(self, photo_id: str) -> dict[str, Any]:
        """Return a photo object."""
        with self._changing:
            return self._describe(self._find(photo_id))

    def add(self, name: str, data: bytes) -> dict[str, Any]:
        """Take a picture in, given its file's name and bytes, and return its photo object.

        Raises InputError when it is no picture, or too large, or when the desk is full.
        """
        self._check_room(len(data))
        photo = photo_store.new_photo(self._folder / secrets.token_hex(6), name, data)
        try:
            with self._computing, _plain_names(photo):
                view = PhotoView.read(photo.picture, self._colorizer())
                self._keep(photo.id, view)
            with self._changing:
                self._check_room(len(data))  # others may have come meanwhile
                photo.settle(view.size)
                self._photos[photo.id] = photo
                return self._describe(photo)
        except BaseException:
            photo.remove()
            raise

    def remove(self, photo_id: str) -> dict[str, Any]:
        """Remove a photograph with all that belongs to it; returns those that are left."""
        with self._changing:
            photo = self._find(photo_id)
            del self._photos[photo_id]
            self._views.pop(photo_id, None)
            photo.remove()
            return self.photos()

    def image(self, photo_id: str, side: str = COLOR, size: int = DEFAULT_SIZE) -> bytes:
        """Return a JPEG of a photograph, at most `size` pixels a side, "grey" or in "color"."""
        if side not in SIDES:
            raise SettingsError(f"side {side!r} must be {' or '.join(SIDES)}")
        if size < 1:
            raise SettingsError(f"size {size} must be at least 1 pixel")
        with self._changing:
            photo = self._find(photo_id)
            edit = photo.edit
        size = min(size, LARGEST)
        key = photo_id, self._version(edit) if side == COLOR else GREY, size
        data = self._jpegs.get(key)
        if data is None:
            with self._computing:
                data = self._jpegs.get(key) or self._render(photo, edit, side, size)
                self._jpegs.put(key, data, len(data))
        return data

    def strokes(self, photo_id: str) -> bytes:
        """Return the strokes as a transparent PNG, 2048 pixels a side at most."""
        with self._changing:
            photo = self._find(photo_id)
            data = photo.read_strokes(photo.edit)
        if data is None:
            raise NotFoundError(f"{photo.name} has no strokes")
        return data

    def swatches(self, photo_id: str) -> dict[str, list[str]]:
        """Return colours to paint with, as "#rrggbb": of the photograph, skin, sky and foliage."""
        data = np.frombuffer(self.image(photo_id, COLOR, _SWATCHES_SIZE), np.uint8)
        picture = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return {"photo": colors_of(picture), **FIXED}

    def draw(self, photo_id: str, strokes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Draw more strokes, in pixels of the picture; returns the photo object."""
        with self._changing:
            photo = self._find(photo_id)
            old = photo.read_strokes(photo.edit)
            size = photo.width, photo.height
            new = draw_on_photo(old, strokes, size, self._base.size)
            if new != old:
                photo.change("strokes", new, photo.edit.grade)
            return self._describe(photo)

    def clear_strokes(self, photo_id: str) -> dict[str, Any]:
        """Remove all strokes; returns the photo object."""
        with self._changing:
            photo = self._find(photo_id)
            if photo.edit.strokes:
                photo.change("removed strokes", None, photo.edit.grade)
            return self._describe(photo)

    def set_grade(self, photo_id: str, grade: Mapping[str, float | None]) -> dict[str, Any]:
        """Set some values of the grade, None back to the default; returns the photo object.

        Raises SettingsError for names that are no values of a grade, and values out of range.
        """
        with self._changing:
            photo = self._find(photo_id)
            changed = {**photo.edit.grade, **_check_grade(grade)}
            values = {name: value for name, value in changed.items() if value is not None}
            _ = self._options(values).grade  # checks their ranges
            if values != photo.edit.grade:
                names = ", ".join(name.replace("_", " ") for name in RANGES if name in grade)
                photo.change(names, photo.read_strokes(photo.edit), values)
            return self._describe(photo)

    def undo(self, photo_id: str) -> dict[str, Any]:
        """Take the last change back; returns the photo object."""
        return self._step(photo_id, -1)

    def redo(self, photo_id: str) -> dict[str, Any]:
        """Make the change again that was taken back; returns the photo object."""
        return self._step(photo_id, 1)

    def download(self, photo_id: str) -> Path:
        """Return the file of the coloured photograph at full size, as `filmcolor photo` names it.

        Its bytes are those that the photo object's command gives.
        """
        with self._changing:
            photo = self._find(photo_id)
            edit, hints = photo.edit, photo.strokes_path
            strokes = photo.read_strokes(edit)
            result = photo.result_path(self._version(edit), photo_path(photo.picture).name)
        with self._computing:
            if result.is_file():
                return result
            if strokes is not None:  # those of this edit: another tab may be painting
                hints = result.with_name("strokes.png")
                hints.write_bytes(strokes)
            options = self._options(edit.grade)
            with _plain_names(photo):
                colorize_photo(
                    photo.picture,
                    result,
                    options=options,
                    colorizer=self._colorizer(),
                    hints=hints,
                    force=True,
                )
        return result

    def _step(self, photo_id: str, steps: int) -> dict[str, Any]:
        with self._changing:
            photo = self._find(photo_id)
            photo.step(steps)
            return self._describe(photo)

    def _find(self, photo_id: str) -> StoredPhoto:
        photo = self._photos.get(photo_id)
        if photo is None:
            raise NotFoundError("this photograph is not in the studio any more; drop it again")
        return photo

    def _check_room(self, num_bytes: int) -> None:
        if num_bytes > MAX_PICTURE_BYTES:
            raise InputError(
                f"the picture has {num_bytes >> 20} MB, and the studio takes "
                f"{MAX_PICTURE_BYTES >> 20}; colour it with: filmcolor photo"
            )
        with self._changing:
            total = sum(photo.num_bytes for photo in self._photos.values())
            num_photos = len(self._photos)
        if num_photos >= MAX_PHOTOS or total + num_bytes > MAX_TOTAL_BYTES:
            raise InputError(
                f"the studio holds {num_photos} photographs of {total >> 20} MB, and no more fit; "
                "remove some, or colour folders with: filmcolor photo DIR"
            )

    def _options(self, grade: Mapping[str, float]) -> ColorOptions:
        changes: dict[str, Any] = dict(grade)
        return replace(self._base, **changes)

    def _version(self, edit: Edit) -> str:
        """Return a digest of what decides the colours: it is equal again after an undo."""
        parts = [edit.strokes, sorted(edit.grade.items()), repr(self._base), __version__]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _describe(self, photo: StoredPhoto) -> dict[str, Any]:
        edit = photo.edit
        return {
            "id": photo.id,
            "name": photo.name,
            "width": photo.width,
            "height": photo.height,
            "version": self._version(edit),
            "grade": asdict(self._options(edit.grade).grade),
            "has_strokes": bool(edit.strokes),
            "undo": photo.undo,
            "redo": photo.redo,
            "command": self._command(photo),
            "error": "",
        }

    def _command(self, photo: StoredPhoto) -> str:
        """Return the command that gives the same picture in a terminal."""
        words = ["filmcolor", "photo", str(photo.picture)]
        if photo.strokes_path:
            words += ["--hints", str(photo.strokes_path)]
        options = self._options(photo.edit.grade)
        for name in _OPTIONS:
            value = getattr(options, name)
            if value != _DEFAULTS[name]:
                text = f"{value:g}" if isinstance(value, float) else str(value)
                words += [f"--{name.replace('_', '-')}", text]
        return shlex.join([*words, "-o", photo_path(photo.picture).name])

    def _render(self, photo: StoredPhoto, edit: Edit, side: str, size: int) -> bytes:
        with _plain_names(photo):
            view = self._views.get(photo.id) or PhotoView.read(photo.picture, self._colorizer())
            if side == COLOR and view.strokes != edit.strokes:
                path = photo.kept_strokes(edit) if edit.strokes else None
                view = view.with_strokes(path, edit.strokes)
        self._keep(photo.id, view)
        return view.render(side, size, self._options(edit.grade).grade)

    def _keep(self, photo_id: str, view: PhotoView) -> None:
        self._views.pop(photo_id, None)
        self._views[photo_id] = view  # at the end
        while len(self._views) > _NUM_VIEWS:
            self._views.popitem(last=False)


# of ColorOptions, the options of `filmcolor photo`
_OPTIONS = (
    "weights",
    "model",
    "size",
    "saturation",
    "warmth",
    "skin_protect",
    "surfaces",
    "cast",
    "device",
)
_DEFAULTS = {f.name: f.default for f in fields(ColorOptions) if f.default is not MISSING}


def _check_grade(grade: Mapping[str, Any]) -> dict[str, float | None]:
    for name, value in grade.items():
        if name not in RANGES:
            raise SettingsError(f"{name} is no setting; choose from {', '.join(RANGES)}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise SettingsError(f"{name} must be a number, not {value!r}")
    return {name: None if value is None else float(value) for name, value in grade.items()}


@contextmanager
def _plain_names(photo: StoredPhoto) -> Iterator[None]:
    """Let errors name the picture as its owner does, not by a path of the studio."""
    try:
        yield
    except FilmcolorError as error:
        raise type(error)(str(error).replace(str(photo.picture), photo.name)) from error
