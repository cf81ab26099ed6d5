"""Writes changes of files that can be taken back and made again.

A step is undone by writing the earlier bytes. Where a file no longer holds what the step left, some
other program has changed it: then nothing is overwritten.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.files import atomic_write, make_folder
from filmcolor.studio.errors import ConflictError

_MAX_BYTES = 256 << 20  # of the contents of files that are kept


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """A file's bytes before and after a step; None where there was none."""

    path: Path
    before: bytes | None
    after: bytes | None

    @property
    def reverse(self) -> "_Change":
        return _Change(self.path, self.after, self.before)

    @property
    def num_bytes(self) -> int:
        return len(self.before or b"") + len(self.after or b"")


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    label: str
    changes: tuple[_Change, ...]


class History:
    """The steps of a session; callers see to it that one thread at a time uses it."""

    def __init__(self, own_folders: Sequence[Path] = (), max_bytes: int = _MAX_BYTES) -> None:
        """`own_folders`: removed when the last file in them is, inner ones first.

        `max_bytes`: of all that is kept; the earliest steps are forgotten first.
        """
        self._own_folders, self._max_bytes = own_folders, max_bytes
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def undo_label(self) -> str:
        """What `undo` would take back, "" for nothing."""
        return self._done[-1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        """What `redo` would make again, "" for nothing."""
        return self._undone[-1].label if self._undone else ""

    def write(self, label: str, contents: Mapping[Path, bytes | None]) -> bool:
        """Write files, None to remove one, all or none; return whether any of them changed.

        Raises OutputError when one cannot be written.
        """
        changes = [_Change(path, _read(path), after) for path, after in contents.items()]
        changes = [change for change in changes if change.before != change.after]
        if not changes:
            return False
        self._make(changes)
        self._done.append(_Step(label, tuple(changes)))
        self._undone.clear()
        while len(self._done) > 1 and sum(map(_num_bytes, self._done)) > self._max_bytes:
            del self._done[0]
        return True

    def undo(self) -> None:
        """Take the last step back, if there is one.

        Raises ConflictError where another program has changed a file since.
        """
        if self._done:
            step = self._done[-1]
            self._check([change.after for change in step.changes], self._done)
            self._make([change.reverse for change in step.changes])
            self._undone.append(self._done.pop())

    def redo(self) -> None:
        """Make the step again that was taken back last, if there is one.

        Raises ConflictError where another program has changed a file since.
        """
        if self._undone:
            step = self._undone[-1]
            self._check([change.before for change in step.changes], self._undone)
            self._make(step.changes)
            self._done.append(self._undone.pop())

    def _check(self, expected: Sequence[bytes | None], steps: list[_Step]) -> None:
        """Raise ConflictError, and forget the steps, where a file is not what the last one left."""
        step = steps[-1]
        for change, content in zip(step.changes, expected, strict=True):
            if _read(change.path) != content:
                steps.clear()
                raise ConflictError(
                    f"{change.path} was changed by another program and is left as it is; "
                    f"earlier steps ({step.label}) can no longer be restored"
                )

    def _make(self, changes: Sequence[_Change]) -> None:
        made: list[_Change] = []
        try:
            # files are removed last: a crash in between leaves too many, not too few
            for change in sorted(changes, key=lambda change: change.after is None):
                _write(change.path, change.after)
                made.append(change)
        except BaseException:
            for change in reversed(made):
                _write(change.path, change.before)
            raise
        finally:
            for folder in self._own_folders:
                with suppress(OSError):  # it is not empty, or not there
                    folder.rmdir()


def _num_bytes(step: _Step) -> int:
    return sum(change.num_bytes for change in step.changes)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its owner") from error


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    make_folder(path.parent)
    with atomic_write(path) as partial:
        partial.write_bytes(content)
