"""The wheel: all of filmcolor, the weights inside, and it works outside the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from filmcolor.kernels import ops

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"), os.environ)


def built(target: Path, environment: Mapping[str, str]) -> Path:
    """Return a wheel made from a copy of what it is made of."""
    source = target / "source"
    for folder in ("filmcolor", "train", "weights"):
        ignored = shutil.ignore_patterns("__pycache__", "_compiled*.so")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", target]
    subprocess.run([sys.executable, *words, source], check=True, env=environment)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's content; what filmcolor depends on is shared."""
    folder = tmp_path_factory.mktemp("installed")
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel]
    subprocess.run([sys.executable, *words], check=True)
    return folder


def test_it_holds_code_weights_and_licence_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "filmcolor/cli.py",
        "filmcolor/py.typed",
        "filmcolor/train/fit.py",
        "filmcolor/cli_training.py",
        "filmcolor/weights/__init__.py",
        "filmcolor/weights/tutorial.safetensors",
        "filmcolor/weights/tutorial.json",
    } <= names
    assert any(name.endswith("LICENSE") for name in names)
    folders = {name.split("/")[0] for name in names}
    assert {f for f in folders if not f.endswith(".dist-info")} == {"filmcolor"}


def compiled_in(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd"))]


@pytest.mark.skipif(not ops.is_compiled(), reason="no C compiler at installation")
def test_loops_are_compiled(wheel: Path) -> None:
    (name,) = compiled_in(wheel)
    assert name.startswith("filmcolor/kernels/_compiled.")


def test_it_is_built_without_a_compiler_too(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-compiler")
    path = built(tmp_path, {**os.environ, "CC": missing, "LDSHARED": missing})
    assert compiled_in(path) == []
    assert "filmcolor/ops.py" in zipfile.ZipFile(path).namelist()


def test_it_colors_a_film_from_another_folder(
    installed: Path, make_film: Callable[..., Path], tmp_path: Path
) -> None:
    film = make_film()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def run(*words: object) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    where = run("-c", "import filmcolor.weights; print(filmcolor.weights.FOLDER)")
    assert Path(where.strip()).is_relative_to(installed)
    said = run(installed / "bin" / "filmcolor", "run", film, "--size", "32")
    assert said.startswith("12 frames")
    assert film.with_name("film.color.mp4").exists()
    assert "Train a network" in run(installed / "bin" / "filmcolor", "train", "--help")
