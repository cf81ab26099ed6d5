"""Pieces of one film on machines of several kinds."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import media
import pytest

from filmcolor.errors import OtherMachineError, OutputError
from filmcolor.farm.work import color_piece, is_temporary, join_film, plan_film
from filmcolor.network.machine import KERNELS, differences, machine_record
from filmcolor.output.options import Encoding
from filmcolor.pipeline import run as runs
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import describe_machines
from filmcolor.segments import segment
from filmcolor.segments.journal import Journal, Segment

OTHER = {KERNELS: "Abacus", "loops": "wooden"}


@pytest.fixture
def film(make_film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a film of three pieces."""
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 3))
    return make_film("film.mkv", lumas=media.shoot(24))


def test_a_record_has_kernels_and_versions() -> None:
    record = machine_record("cpu")
    assert set(record) == {KERNELS, "loops", "PyTorch", "OpenCV", "NumPy"}
    assert all(record.values())
    assert record == machine_record("cpu")


@pytest.mark.slow
def test_lowered_kernels_are_another_kind() -> None:
    command = "from filmcolor.network.machine import machine_record; print(machine_record('cpu'))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "SSE41"}
    printed = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert "SSE41" in printed.stdout
    assert printed.stdout.strip() != str(machine_record("cpu"))


def test_differences_name_both_sides() -> None:
    record = {KERNELS: "AMX", "PyTorch": "2.14", "NumPy": "2.1"}
    assert differences(record, record) == []
    other = {KERNELS: "AVX2", "PyTorch": "2.14", "OpenCV": "5"}
    assert differences(record, other) == [
        "AMX (not AVX2)",
        "NumPy 2.1 (not unknown)",
        "OpenCV unknown (not 5)",
    ]


def test_a_piece_records_its_machine(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    work = tmp_path / "work"
    plan_film(film, tmp_path / "out.mkv", work=work, options=options)
    color_piece(work, 1)
    content = Journal(tmp_path / "out.mkv", work).finished()[1]
    assert content.machine == machine_record("cpu")


def test_mixed_machines_are_reported(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    arguments: dict[str, Any] = {"options": options, "encoding": Encoding("master")}
    plan_film(film, tmp_path / "out.mkv", work=work, **arguments)
    color_piece(work, 0)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "machine_record", lambda _: OTHER)
        color_piece(work, 1)
    color_piece(work, 2)
    notes = join_film(work)["report"]["notes"]
    kernels = machine_record("cpu")[KERNELS]
    counts = sorted([f"{kernels}: 2", "Abacus: 1"])
    assert any(f"machines of 2 kinds ({', '.join(counts)});" in note for note in notes)
    report = colorize(film, tmp_path / "alone.mkv", **arguments)
    assert not any("machines" in note for note in report.notes)


def test_several_versions_are_reported() -> None:
    old, new = ({KERNELS: "AMX", "PyTorch": version} for version in ("2.4", "2.14"))
    assert describe_machines([old, old]) == ()
    (line,) = describe_machines([old, new])
    assert "several versions of libraries" in line


def test_strict_equal_refuses_another_kind_of_machine(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, output = tmp_path / "work", tmp_path / "out.mkv"
    plan_film(film, output, work=work, options=options, strict_equal=True)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "machine_record", lambda _: OTHER)
        with pytest.raises(OtherMachineError, match=r"this machine has Abacus \(not ") as error:
            color_piece(work, 0)
        assert is_temporary(error.value)  # on a machine of the plan's kind
    assert not Journal(output, work).is_finished(Segment(0, 0, None))
    assert color_piece(work, 0)


def test_a_strict_run_does_not_resume_on_another_kind(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = runs.RunSettings(options, Encoding(), strict_equal=True)
    run = runs.Run.prepare(film, tmp_path / "out.mp4", settings)
    from filmcolor.pipeline.colorizer import Colorizer
    from filmcolor.pipeline.pieces import PieceColorizer

    with run.locked(), PieceColorizer(Colorizer(options)) as pieces:
        pieces.color(run, run.segment(0))
    monkeypatch.setattr(runs, "machine_record", lambda _: OTHER)
    again = runs.Run.prepare(film, tmp_path / "out.mp4", settings)
    with pytest.raises(OutputError, match=r"machines like .*now Abacus, wooden"), again.locked():
        pass
    anywhere = replace(settings, strict_equal=False, restart=True)
    with runs.Run.prepare(film, tmp_path / "out.mp4", anywhere).locked():
        pass
