"""Fixtures that many tests share: weights, small options, and films."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import media
import numpy as np
import pytest
import torch

import filmcolor.weights as weights_store
from filmcolor.cli.main import main
from filmcolor.kernels import ops
from filmcolor.network.model import NUM_BINS, ColorNet, FilmNet, encode_ab
from filmcolor.pipeline import models as pipeline
from filmcolor.pipeline.options import ColorOptions

_AB_SPREAD = 30.0  # CIELAB units: colours strong enough that a test sees them differ


@pytest.fixture(scope="session")
def weights_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a fixed seed that give every picture different colours."""
    torch.manual_seed(0)
    net = ColorNet()
    pictures = torch.from_numpy(
        np.stack([media.shoot(1, (64, 48), is_full_range=True, seed=s)[0] for s in range(4)])
    )[:, None].float()
    with torch.no_grad():
        _settle(net, pictures / 255.0)
    path = tmp_path_factory.mktemp("weights") / "seed0.safetensors"
    weights_store.save(net.state_dict(), path)
    return path


def _settle(net: ColorNet, pictures: torch.Tensor) -> None:
    """Set the norms to the statistics of pictures, and the output's mean to neutral."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all batches
    net.train()(pictures)
    net.eval()
    last = next(m for m in reversed(net.upsample) if isinstance(m, torch.nn.Conv2d))
    coded = net(pictures)
    wanted = encode_ab(torch.tensor([-_AB_SPREAD, 0.0, _AB_SPREAD]))
    gain = (wanted[2] - wanted[1]) / coded.std(dim=(0, 2, 3))
    last.weight *= gain[:, None, None, None]
    last.bias.copy_((last.bias - coded.mean(dim=(0, 2, 3))) * gain + wanted[1])


@pytest.fixture(scope="session")
def film_net() -> FilmNet:
    """A film network with random weights, and batch norms as after training.

    Tests must not change it.
    """
    torch.manual_seed(0)
    net = FilmNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.running_var.uniform_(0.5, 1.5)
        net.bins.weight *= 20.0  # colours strong enough that a test sees them differ
        angles = torch.arange(NUM_BINS) * 2.4
        net.centers.copy_(torch.stack([angles.cos(), angles.sin()], dim=1) * 50.0)
    return net.eval()


@pytest.fixture(scope="session")
def options(weights_path: Path) -> ColorOptions:
    """The smallest options: a network input with a short side of 32 pixels."""
    return ColorOptions(weights=str(weights_path), size=32, device="cpu")


@pytest.fixture(scope="session")
def film_options(film_net: FilmNet, tmp_path_factory: pytest.TempPathFactory) -> ColorOptions:
    """Options with a film network of random weights."""
    path = tmp_path_factory.mktemp("film weights") / "film.safetensors"
    weights_store.save(film_net.state_dict(), path)
    return ColorOptions(weights=str(path), size=64, device="cpu")


@pytest.fixture(scope="session", autouse=True)
def _load_once() -> Iterator[None]:
    """Load each network once, which takes longer than colouring one of these films."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights_store, "load", cache(weights_store.load))
        patch.setattr(pipeline, "Predictor", cache(pipeline.Predictor))
        yield


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests with the compiled loops and with the NumPy fallback."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(ops, "_compiled", None)
        elif not ops.is_compiled():
            pytest.skip("no C compiler where this was installed")
        yield


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """Write a film of twelve frames, or another film, into the test's folder."""

    def make(name: str = "film.mp4", base: media.Film | None = None, **changes: object) -> Path:
        film = base or media.Film(media.shoot(12))
        return media.make(tmp_path / name, replace(film, **changes))

    return make


@pytest.fixture
def type_command(
    options: ColorOptions, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command of filmcolor in this process; return (exit code, stdout, stderr)."""

    def run(command: str, *words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        size = str(options.size)
        all_options = ["--weights", options.weights, "--size", size, "--device", options.device]
        monkeypatch.setattr(sys, "argv", ["filmcolor", command, *map(str, words), *all_options])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capfd.readouterr())

    return run
