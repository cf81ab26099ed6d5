"""What the documents say can be typed, and does what they say."""

import inspect
import re
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from media import Sound, shoot

import filmcolor
from filmcolor.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
BLOCKS = [
    (page, language, text)
    for page, content in PAGES.items()
    for language, text in re.findall(r"```(\w+)\n(.*?)```", content, re.S)
]
COMMANDS = sorted(
    {
        line
        for _, language, text in BLOCKS
        if language == "console"
        for line in text.strip().splitlines()
    }
)


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("filmcolor")])
def test_the_commands_of_the_documents_can_be_typed(line: str) -> None:
    _, name, *words = shlex.split(line)
    with cli.make_context("filmcolor", [name]) as parent:  # click keeps what --help is called
        context = cli.commands[name].make_context(name, words, parent=parent)
    assert context.params


def test_make_has_the_targets_of_the_readme() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [line.split()[1] for line in COMMANDS if line.startswith("make ")]
    assert {"demo", "test"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_every_command_is_in_the_documents() -> None:
    text = "\n".join(PAGES.values())
    assert all(f"filmcolor {name}" in text for name in cli.commands)


def test_the_python_example_runs(
    make_film: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = (text for kind, text in BLOCKS if kind == "python")
    assert len([line for line in example.splitlines() if line]) == 5
    make_film(lumas=shoot(12), sounds=[Sound()])
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith("24\n1 12\n")
    assert "12 frames" in said.splitlines()[-1]
    assert (tmp_path / "colour.mp4").exists()


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "weights/README.md"])
def test_files_that_are_named_exist(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+[\w.-]+\.(?:py|md|json|mp4))`", text)
    assert named or path == "weights/README.md"
    assert [n for n in named if not (ROOT / n).exists()] == []


@pytest.mark.parametrize("name", filmcolor.__all__)
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(filmcolor, name)
    assert inspect.getdoc(thing)
    assert name in README or name in ("Report", "FilmInfo", "verify")


def public_functions() -> list[tuple[str, str]]:
    """Every public class and function with the module that defines it."""
    paths = [(p, ROOT) for p in (ROOT / "filmcolor").rglob("*.py")]
    paths += [(p, ROOT) for folder in ("train", "weights") for p in (ROOT / folder).rglob("*.py")]
    found = []
    for path, root in sorted(paths):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts if parts[0] == "filmcolor" else ("filmcolor", *parts)
        module = ".".join(part for part in parts if part != "__init__")
        if module.endswith("__main__"):
            continue
        for name, thing in vars(import_module(module)).items():
            is_own = getattr(thing, "__module__", None) == module
            is_public = not name.startswith("_")
            if is_own and is_public and (inspect.isclass(thing) or inspect.isfunction(thing)):
                found.append((module, name))
    return found


def test_public_functions_are_found() -> None:
    assert len(public_functions()) > 300


@pytest.mark.parametrize(("module", "name"), public_functions())
def test_every_public_thing_has_its_sentence(module: str, name: str) -> None:
    text = inspect.getdoc(getattr(import_module(module), name))
    assert text
    assert text.splitlines()[0].rstrip().endswith((".", ":", ";"))
