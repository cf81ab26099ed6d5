"""The documents: their commands parse, their Python runs, the files that they name exist."""

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
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
BLOCKS = [
    (page, language, text)
    for page, content in PAGES.items()
    for language, text in re.findall(r"```(\w+)\n(.*?)```", content, re.S)
]
EXAMPLES = [(page, text) for page, language, text in BLOCKS if language == "python"]
PRINTED = (  # by each example, of a film with 12 frames
    r"12 frames \(0\.5 s\) .*colour\.mp4.*\n",
    r"24 \d+ \d+\n1 12\n(.*\n)+12 colour\.mp4\n",
    r"film\.mp4 colour/film\.color\.mp4\n",
    r"0 \(64, 96\) \(32, 48\) uint8\n(.*\n){4}5 .*\n",
    r"1 0 12 0\.0 start\nsheet\.png\n",
    r"12\n12 \d+\.\d+\n",
    r"missing\.mp4.*\n",
)
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


def test_the_documents_are_found() -> None:
    assert {"README.md", "docs/colouring.md", "docs/library.md"} <= set(PAGES)
    assert len(PAGES) >= 8
    assert len(COMMANDS) > 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "example", "printed"),
    [(*example, printed) for example, printed in zip(EXAMPLES, PRINTED, strict=True)],
    ids=[f"{page}-{number}" for number, (page, _) in enumerate(EXAMPLES)],
)
def test_the_python_examples_run(
    make_film: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    page: str,
    example: str,
    printed: str,
) -> None:
    make_film(lumas=shoot(12), sounds=[Sound()])
    monkeypatch.chdir(tmp_path)
    exec(compile(example, page, "exec"), {"__name__": "__main__"})
    assert re.fullmatch(printed, capsys.readouterr().out)
    if '"colour.mp4"' in example:
        assert (tmp_path / "colour.mp4").exists()


def test_the_example_of_the_readme_is_short() -> None:
    example = next(text for page, text in EXAMPLES if page == "README.md")
    assert len([line for line in example.splitlines() if line]) <= 5


NAMING_PAGES = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "weights/README.md", "train/LOG.md"]


@pytest.mark.parametrize("page", NAMING_PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+[\w.-]+\.(?:py|md|json|mp4))`", text)
    folders = (ROOT, ROOT / "filmcolor")  # the pages on the code leave the package's name out
    assert named or page not in ("README.md", "CONTRIBUTING.md")
    missing = [n for n in named if not any((folder / n).exists() for folder in folders)]
    assert missing == [n for n in missing if n.startswith("runs/")]  # what a command writes


def headings(page: Path) -> list[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]


@pytest.mark.parametrize("page", NAMING_PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in (t for t in targets if not t.startswith("http")):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in headings(path), target


@pytest.mark.parametrize("name", [n for n in filmcolor.__all__ if n != "__version__"])
def test_public_names_are_documented(name: str) -> None:
    assert inspect.getdoc(getattr(filmcolor, name))
    assert re.search(rf"`{name}\b", PAGES["docs/library.md"])


def test_public_names_are_plausible() -> None:
    assert len(filmcolor.__all__) > 20


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
