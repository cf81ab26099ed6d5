"""Photographs in the studio's state folder: the picture, its strokes, its grade, all its changes.

    photos/ID/picture/NAME.jpg    the picture as it was handed over
    photos/ID/strokes.png         its strokes now, as `filmcolor photo --hints` takes them
    photos/ID/strokes/DIGEST.png  strokes that undo and redo go back to
    photos/ID/photo.json          sizes, and the list of changes
    photos/ID/result/VERSION/     the coloured picture, once someone has asked for it

A change is written before it is answered, so that a crash loses none.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filmcolor.files import atomic_write, make_folder
from filmcolor.studio.file_names import safe_name

MAX_CHANGES = 100  # that undo goes back
_STATE = "photo.json"
_KEPT_RESULTS = 2  # another tab may be saving the one before


@dataclass(frozen=True, slots=True)
class Edit:
    """What decides a photograph's colours, and the change that led to it, in words."""

    strokes: str = ""  # a digest, "" for none
    grade: Mapping[str, float] = field(default_factory=dict)  # only the values that were set
    change: str = ""


@dataclass(slots=True)
class StoredPhoto:
    """A photograph and its edits; callers see to it that one thread at a time changes it."""

    folder: Path
    name: str
    width: int  # upright, pixels
    height: int
    added: int  # nanoseconds since 1970: the order in which they are shown
    edits: list[Edit] = field(default_factory=lambda: [Edit()])
    position: int = 0  # of the edit that is shown

    @classmethod
    def load(cls, folder: Path) -> "StoredPhoto | None":
        """Return the photograph in a folder; None if it was not kept whole."""
        with suppress(OSError, ValueError, TypeError, KeyError, IndexError):
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            edits = [Edit(**edit) for edit in state.pop("edits")]
            photo = cls(folder, edits=edits, **state)
            if photo.picture.is_file() and photo.edit:
                return photo
        return None

    @property
    def id(self) -> str:
        """Its address."""
        return self.folder.name

    @property
    def picture(self) -> Path:
        """The picture's file."""
        return self.folder / "picture" / self.name

    @property
    def num_bytes(self) -> int:
        """Size of the picture's file."""
        return self.picture.stat().st_size

    @property
    def edit(self) -> Edit:
        """What is shown."""
        return self.edits[self.position]

    @property
    def strokes_path(self) -> Path | None:
        """The picture of its strokes, under the name that commands use; None without strokes."""
        return self.folder / "strokes.png" if self.edit.strokes else None

    @property
    def undo(self) -> str:
        """What the next undo takes back, in words; "" for nothing."""
        return self.edit.change if self.position else ""

    @property
    def redo(self) -> str:
        """What the next redo makes again, in words; "" for nothing."""
        later = self.edits[self.position + 1 :]
        return later[0].change if later else ""

    def read_strokes(self, edit: Edit) -> bytes | None:
        """Return the strokes of one of its edits as PNG, None without any."""
        return self.kept_strokes(edit).read_bytes() if edit.strokes else None

    def change(self, change: str, strokes: bytes | None, grade: Mapping[str, float]) -> None:
        """Show other strokes and another grade, and write them down; later edits are dropped."""
        digest = hashlib.sha256(strokes).hexdigest()[:32] if strokes else ""
        edit = Edit(digest, dict(grade), change)
        if strokes and not self.kept_strokes(edit).exists():
            make_folder(self.kept_strokes(edit).parent)
            with atomic_write(self.kept_strokes(edit)) as partial:
                partial.write_bytes(strokes)
        edits = [*self.edits[: self.position + 1], edit][-MAX_CHANGES - 1 :]
        self._save(edits, len(edits) - 1)

    def settle(self, size: tuple[int, int]) -> None:
        """Give a new photograph its (width, height), and keep it from now on."""
        self.width, self.height = size
        self._save(self.edits, self.position)

    def step(self, steps: int) -> bool:
        """Go back (-1) or forward (1) in the edits; False where there is none."""
        position = self.position + steps
        if not 0 <= position < len(self.edits):
            return False
        self._save(self.edits, position)
        return True

    def result_path(self, version: str, name: str) -> Path:
        """Return where the coloured picture of a version belongs, in a folder that exists."""
        path = self.folder / "result" / version / name
        make_folder(path.parent)
        results = sorted(path.parent.parent.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in [p for p in results if p != path.parent][: 1 - _KEPT_RESULTS]:
            shutil.rmtree(old, ignore_errors=True)
        return path

    def remove(self) -> None:
        """Remove the photograph and all that belongs to it."""
        (self.folder / _STATE).unlink(missing_ok=True)  # first: it is no photograph any more
        shutil.rmtree(self.folder, ignore_errors=True)

    def kept_strokes(self, edit: Edit) -> Path:
        """Return the file of an edit's strokes, as long as undo or redo can go to it."""
        return self.folder / "strokes" / f"{edit.strokes}.png"

    def _save(self, edits: list[Edit], position: int) -> None:
        """Write edits down, then show the one at `position`."""
        edit = edits[position]
        current = self.folder / "strokes.png"
        if edit.strokes:
            with atomic_write(current) as partial:
                shutil.copyfile(self.kept_strokes(edit), partial)
        else:
            current.unlink(missing_ok=True)
        state = {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "added": self.added,
            "edits": [asdict(e) for e in edits],
            "position": position,
        }
        with atomic_write(self.folder / _STATE) as partial:
            partial.write_text(json.dumps(state, indent=1), encoding="utf-8")
        self.edits, self.position = edits, position
        used = {f"{e.strokes}.png" for e in edits}
        for path in (self.folder / "strokes").glob("*.png"):
            if path.name not in used:
                path.unlink(missing_ok=True)


def new_photo(folder: Path, name: str, data: bytes) -> StoredPhoto:
    """Write a picture into a new folder; it is kept once its size is known: see `settle`."""
    photo = StoredPhoto(folder, safe_name(name, "photograph"), 0, 0, time.time_ns())
    make_folder(photo.picture.parent)
    with atomic_write(photo.picture) as partial:
        partial.write_bytes(data)
    return photo


def load_photos(folder: Path) -> Iterator[StoredPhoto]:
    """Yield the photographs of a state folder; remove what an interrupted upload left."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        photo = StoredPhoto.load(path) if path.is_dir() else None
        if photo is not None:
            yield photo
        elif path.is_dir() and not (path / _STATE).exists():
            shutil.rmtree(path, ignore_errors=True)
