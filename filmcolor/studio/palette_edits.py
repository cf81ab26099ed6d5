"""Changes tables of a palette file, and leaves the rest of it as it was: order, comments, layout.

Palettes are edited line by line, because a person's comments stand between the tables: TOML writers
move or drop those. Where a file has its tables in another form (inline, or with dotted keys),
tomlkit changes it.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filmcolor.errors import SettingsError
from filmcolor.guidance.palette_file import FILM, Table, parse_tables

Address = tuple[str, str]  # (kind, name) of a table; ("film", "") of the film's
Settings = Mapping[str, float]
_Edit = Callable[[str, Mapping[Address, Settings | None], Mapping[Address, str]], str]

_ENTRY = re.compile(r"""(\s*(?:"[^"]*"|'[^']*'|[\w-]+)\s*=\s*)([^#\n]*?)(\s*(?:\#.*)?)$""")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def edit_tables(
    text: str,
    changes: Mapping[Address, Settings | None],
    path: Path,
    comments: Mapping[Address, str] | None = None,
) -> str:
    """Return a palette's text with other settings in some tables; None removes a table.

    `comments`: of tables that are new. `path` is named in errors. Raises SettingsError when the
    text is no palette, or cannot be changed.
    """
    edited = _verified(_edit_lines, text, changes, path, comments or {})
    if edited is not None:
        return edited
    for address, settings in changes.items():  # each in the form that its table has
        one = {address: settings}
        for edit in (_edit_lines, _edit_document):
            edited = _verified(edit, text, one, path, comments or {})
            if edited is not None:
                break
        else:
            raise SettingsError(
                f"{path} is laid out in a way that cannot be changed here; give each table a line "
                "of its own: [shots.3]"
            )
        text = edited or ""
    return text


def _verified(
    edit: _Edit,
    text: str,
    changes: Mapping[Address, Settings | None],
    path: Path,
    comments: Mapping[Address, str],
) -> str | None:
    """Return an edited text, None if it does not hold just the settings that it should."""
    wanted = {address: dict(t.settings) for address, t in addresses(parse_tables(text, path))}
    for address, settings in changes.items():
        wanted.pop(address, None)
        if settings is not None:
            wanted[address] = dict(settings)
    edited = edit(text, changes, comments)
    try:
        found = {address: t.settings for address, t in addresses(parse_tables(edited, path))}
    except SettingsError:
        return None
    return edited if found == wanted else None


def addresses(tables: Sequence[Table]) -> Iterator[tuple[Address, Table]]:
    """Yield tables with their addresses."""
    return (((table.kind, table.name), table) for table in tables)


@dataclass(slots=True, eq=False)
class _Block:
    """The lines of a table, its header first, up to the next header."""

    address: Address | None  # None before the first header, or for another table
    lines: list[str]  # without their ends

    @property
    def num_own(self) -> int:
        """How many lines belong to it; the comments after them belong to what follows."""
        entries = [n for n, line in enumerate(self.lines) if _ENTRY.match(line)]
        return 1 + max(entries, default=0)


def _edit_lines(
    text: str, changes: Mapping[Address, Settings | None], comments: Mapping[Address, str]
) -> str:
    blocks = _split(text)
    for address, settings in changes.items():
        block = next((b for b in blocks if b.address == address), None)
        if settings is None:
            if block is not None:
                _remove(block, blocks)
        elif block is not None:
            _set(block, settings)
        else:
            _append(blocks, address, settings, comments.get(address, ""))
    lines = [line for block in blocks for line in block.lines]
    while lines and not lines[-1].strip():
        lines.pop()
    ending = "\r\n" if "\r\n" in text else "\n"
    return "".join(line + ending for line in lines)


def _split(text: str) -> list[_Block]:
    blocks = [_Block(None, [])]
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            blocks.append(_Block(_address_of(line), []))
        blocks[-1].lines.append(line)
    return blocks


def _address_of(header: str) -> Address | None:
    try:
        document: Any = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        return None
    if document == {FILM: {}}:
        return FILM, ""
    for kind, content in document.items():
        for name, settings in content.items() if isinstance(content, dict) else ():
            if settings == {}:
                return kind, name
    return None


def _remove(block: _Block, blocks: list[_Block]) -> None:
    """Remove a table's lines; comments after them stay."""
    rest = block.lines[block.num_own :]
    before = blocks[blocks.index(block) - 1].lines
    if not before or not before[-1].strip():
        while rest and not rest[0].strip():
            del rest[0]
    block.address, block.lines = None, rest


def _set(block: _Block, settings: Settings) -> None:
    left = dict(settings)
    lines = []
    for position, line in enumerate(block.lines):
        found = _ENTRY.match(line) if position else None
        if found is None:
            lines.append(line)
            continue
        (key,) = tomllib.loads(f"{found[1]}0")
        if key in left:
            value = left.pop(key)
            is_same = tomllib.loads(line)[key] == value
            lines.append(line if is_same else found[1] + _number(value) + found[3])
    block.lines = lines
    entries = [f"{key} = {_number(value)}" for key, value in left.items()]
    lines[block.num_own : block.num_own] = entries


def _append(blocks: list[_Block], address: Address, settings: Settings, comment: str) -> None:
    last = blocks[-1].lines
    if last and last[-1].strip():
        last.append("")
    kind, name = address
    header = f"[{kind}.{_key(name)}]" if name else f"[{kind}]"
    lines = [f"{header}  # {comment}" if comment else header]
    lines += [f"{key} = {_number(value)}" for key, value in settings.items()]
    blocks.append(_Block(address, lines))


def _edit_document(
    text: str, changes: Mapping[Address, Settings | None], comments: Mapping[Address, str]
) -> str:
    """Return what `_edit_lines` does for tables in any form; some comments may move."""
    import tomlkit

    document: Any = tomlkit.parse(text)
    for address, settings in changes.items():
        kind, name = address
        content = document.get(kind)
        if settings is None:
            if not name:
                document.pop(kind, None)
            elif content is not None:
                content.pop(name, None)
                if not content:
                    document.pop(kind)
            continue
        if name and content is None:
            document[kind] = tomlkit.table(is_super_table=True)
            content = document[kind]
        parent, key = (content, name) if name else (document, kind)
        if key not in parent:
            table = tomlkit.table()
            if comment := comments.get(address, ""):
                table.comment(comment)
            parent[key] = table
        table = parent[key]
        for old in [k for k in table if k not in settings]:
            del table[old]
        for setting, value in settings.items():
            if table.get(setting) != value:
                table[setting] = float(value)
    return tomlkit.dumps(document)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else f'"{name}"'


def _number(value: float) -> str:
    """Return a number as people write it, and exactly."""
    text = repr(float(value))
    return text.removesuffix(".0")
