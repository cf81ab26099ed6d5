"""The wheel holds all of filmcolor and the weights, and works outside the checkout."""

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
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"), os.environ)


def build_wheel(target: Path, environment: Mapping[str, str]) -> Path:
    """Return a wheel made from a copy of the sources."""
    source = target / "source"
    for folder in ("filmcolor", "train", "weights"):
        ignored = shutil.ignore_patterns("__pycache__", "_compiled*.so", "_compiled*.pyd")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "-w", str(target), str(source)]
    subprocess.run(command, check=True, env=environment)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel; the packages it depends on are shared."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, wheel], check=True)
    return folder


def test_it_holds_code_weights_and_licence_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "filmcolor/cli/main.py",
        "filmcolor/py.typed",
        "filmcolor/train/fit.py",
        "filmcolor/color/blue_noise.npy",
        "filmcolor/__init__.pyi",
        "filmcolor/cli/train.py",
        "filmcolor/weights/__init__.py",
        "filmcolor/weights/tutorial.safetensors",
        "filmcolor/weights/tutorial.json",
    } <= names
    assert any(name.endswith("LICENSE") for name in names)
    folders = {name.split("/")[0] for name in names}
    assert {f for f in folders if not f.endswith(".dist-info")} == {"filmcolor"}


def compiled_files(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd"))]


def test_every_folder_of_the_sources_is_in_the_wheel(wheel: Path) -> None:
    """A package that is missing in setup.cfg is missing in the wheel only."""
    modules = {
        Path(
            "filmcolor" if top == "filmcolor" else f"filmcolor/{top}", path.relative_to(ROOT / top)
        )
        for top in ("filmcolor", "train", "weights")
        for path in (ROOT / top).rglob("*.py")
    }
    assert len(modules) > 100
    assert {module.as_posix() for module in modules} <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.skipif(not ops.is_compiled(), reason="no C compiler at installation")
def test_kernels_are_compiled(wheel: Path) -> None:
    (name,) = compiled_files(wheel)
    assert name.startswith("filmcolor/kernels/_compiled.")


def test_it_is_built_without_a_compiler_too(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-compiler")
    path = build_wheel(tmp_path, {**os.environ, "CC": missing, "LDSHARED": missing})
    assert compiled_files(path) == []
    assert "filmcolor/kernels/ops.py" in zipfile.ZipFile(path).namelist()


def test_it_colors_a_film_from_another_folder(
    installed: Path, make_film: Callable[..., Path], tmp_path: Path
) -> None:
    film = make_film()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def run(*args: object) -> str:
        completed = subprocess.run(
            list(map(str, args)),
            cwd=elsewhere,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return completed.stdout

    weights_folder = run(
        sys.executable, "-c", "import filmcolor.weights; print(filmcolor.weights.FOLDER)"
    )
    assert Path(weights_folder.strip()).is_relative_to(installed)
    script = shutil.which("filmcolor", path=installed / "bin")
    output = run(script, "run", film, "--size", "32")
    assert output.startswith("12 frames")
    assert film.with_name("film.color.mp4").exists()
    assert "Train a network" in run(sys.executable, "-m", "filmcolor", "train", "--help")
