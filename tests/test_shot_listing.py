"""The list of shots: as data, as a table, as JSON and CSV, and as one picture."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import shoot

import filmcolor
from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, RangeError
from filmcolor.previews import shot_sheet as shot_sheet_module
from filmcolor.previews.shot_sheet import shot_sheet
from filmcolor.shots.listing import Shot, find_shots
from filmcolor.types.film import TimeRange

MakeFilm = Callable[..., Path]
LENGTHS = 20, 12, 18  # frames
FIELDS = ["number", "first", "stop", "start_seconds", "end_seconds", "start", "end", "kind"]


def lumas(*lengths: int) -> list[np.ndarray]:
    return [luma for seed, length in enumerate(lengths) for luma in shoot(length, seed=seed)]


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    return make_film(lumas=lumas(*LENGTHS))


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["filmcolor", "shots", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capfd.readouterr()

    return run


Typed = Callable[..., tuple[int, str, str]]


# ---------------------------------------------------------------- the list


def test_shots_follow_each_other_from_the_first_frame_to_the_last(film: Path) -> None:
    times = [Fraction(n, 24) for n in (0, 20, 32, 50)]
    assert filmcolor.find_shots(film) == [
        Shot(1, 0, 20, times[0], times[1], "start"),
        Shot(2, 20, 32, times[1], times[2], "cut"),
        Shot(3, 32, 50, times[2], times[3], "cut"),
    ]


def test_seconds_count_from_the_first_frame(make_film: MakeFilm) -> None:
    film = make_film(lumas=lumas(*LENGTHS), start=Fraction(3))
    assert [s.start_seconds for s in find_shots(film)] == [0, Fraction(20, 24), Fraction(32, 24)]


def test_variable_frame_rates_keep_their_times(make_film: MakeFilm) -> None:
    pts = [1000 * n + 3000 * (n >= 10) for n in range(40)]
    film = make_film("film.mkv", lumas=lumas(20, 20), codec="ffv1", pts=pts)
    assert float(find_shots(film)[1].start_seconds) == pytest.approx(pts[20] / 24000, abs=0.001)


@pytest.mark.parametrize(
    ("time_range", "expected"),
    [
        (TimeRange(first=10, stop=25), [(10, 20, "start"), (20, 25, "cut")]),
        (TimeRange(first=20, stop=32), [(20, 32, "start")]),
        (TimeRange(first=19, stop=33), [(19, 20, "start"), (20, 32, "cut"), (32, 33, "cut")]),
        (TimeRange(start_seconds=Fraction(1)), [(24, 32, "start"), (32, 50, "cut")]),
    ],
)
def test_a_part_has_the_cuts_of_the_whole(
    film: Path, time_range: TimeRange, expected: list[tuple[int, int, str]]
) -> None:
    assert [
        (s.first, s.stop, s.transition) for s in find_shots(film, time_range=time_range)
    ] == expected


def test_a_dissolve_is_listed(make_film: MakeFilm) -> None:
    first, second = ([shoot(1, seed=seed)[0]] * 40 for seed in (0, 1))
    mixes = np.arange(1, 13) / 13
    middle = [
        np.rint((1 - m) * a + m * b).astype(np.uint8)
        for m, a, b in zip(mixes, first[-12:], second[:12])
    ]
    film = make_film(lumas=first[:-12] + middle + second[12:])
    (_, shot) = find_shots(film)
    assert shot.transition == "dissolve"
    assert 30 <= shot.first <= 38


def test_a_film_of_one_frame_is_one_shot(make_film: MakeFilm) -> None:
    (shot,) = find_shots(make_film(lumas=shoot(1)))
    assert (shot.first, shot.stop, shot.transition) == (0, 1, "start")
    assert shot.end_seconds == Fraction(1, 24)


def test_progress_is_reported(film: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    find_shots(film, time_range=TimeRange(first=5, stop=15), progress=lambda *p: calls.append(p))
    assert calls == [(n, 10) for n in range(1, 11)]


def test_errors(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_shots(tmp_path / "gone.mp4")
    with pytest.raises(RangeError, match="frames 0 to 49"):
        find_shots(film, time_range=TimeRange(first=99))
    with pytest.raises(OutputError, match=r"name it \.png"):
        shot_sheet(film, tmp_path / "a.jpg")
    assert [p.name for p in tmp_path.iterdir()] == [film.name]


# ---------------------------------------------------------------- the command


def test_the_table_has_a_line_for_each_shot(film: Path, typed: Typed) -> None:
    code, out, err = typed(film)
    assert code == 0
    heading, *lines = out.splitlines()
    assert heading.split()[:3] == ["shot", "first", "frames"]
    assert [line.split() for line in lines] == [
        ["1", "0", "20", "00:00:00.000", "00:00:00.833", "0.833", "start"],
        ["2", "20", "12", "00:00:00.833", "00:00:01.333", "0.500", "cut"],
        ["3", "32", "18", "00:00:01.333", "00:00:02.083", "0.750", "cut"],
    ]
    assert err == ""  # no bar without a terminal


def test_json_and_csv_agree(film: Path, typed: Typed) -> None:
    code, out, err = typed(film, "--json", "-q")
    assert (code, err) == (0, "")
    shots = json.loads(out)
    assert [list(shot) for shot in shots] == [FIELDS] * 3
    assert shots[1] == {
        "number": 2,
        "first": 20,
        "stop": 32,
        "start_seconds": 20 / 24,
        "end_seconds": 32 / 24,
        "start": "00:00:00.833",
        "end": "00:00:01.333",
        "kind": "cut",
    }
    code, out, err = typed(film, "--csv", "-q")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows == [{name: str(value) for name, value in shot.items()} for shot in shots]


def test_a_range_is_taken(film: Path, typed: Typed) -> None:
    _, out, _ = typed(film, "--from", "0.5", "--to", "1", "--json", "-q")
    assert [(s["first"], s["stop"]) for s in json.loads(out)] == [(12, 20), (20, 24)]


def test_wrong_options_are_an_error_in_one_line(film: Path, typed: Typed, tmp_path: Path) -> None:
    code, out, err = typed(film, "--json", "--csv")
    assert (code, out) == (2, "")
    assert "choose --json or --csv, not both; see filmcolor shots --help" in err
    sheet = tmp_path / "a.png"
    sheet.write_bytes(b"what was there")
    code, out, err = typed(film, "--sheet", sheet, "-q")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"filmcolor: .*a\.png exists;.*--force\n", err)
    assert sheet.read_bytes() == b"what was there"
    assert typed(film, "--sheet", sheet, "-q", "--force")[0] == 0
    assert cv2.imread(str(sheet)) is not None


def test_the_command_needs_no_torch(film: Path) -> None:
    code = (
        "import sys; from filmcolor.cli.main import cli\n"
        f"cli.main(['shots', {str(film)!r}, '-q'], standalone_mode=False)\n"
        f"cli.main(['shots', {str(film)!r}, '-q', '--sheet', {str(film) + '.png'!r}],"
        " standalone_mode=False)\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# ---------------------------------------------------------------- the sheet


def placed(sheet: np.ndarray, column: int, row: int, height: int) -> np.ndarray:
    """Return a picture on a sheet, at its place in the documented layout."""
    left, top = 8 + column * 208, 30 + row * (height + 30)
    return sheet[top : top + height, left : left + 200]


def test_a_sheet_shows_the_first_frame_of_each_shot(
    make_film: MakeFilm, typed: Typed, tmp_path: Path
) -> None:
    frames = lumas(*LENGTHS)
    film = make_film("film.mkv", lumas=frames, codec="ffv1")
    target = tmp_path / "shots.png"
    _, out, _ = typed(film, "--sheet", target)
    assert out.splitlines()[-1] == str(target)
    sheet = cv2.imread(str(target), cv2.IMREAD_GRAYSCALE)
    height = round(200 * media.SIZE[1] / media.SIZE[0])
    for position, number in enumerate((0, 20, 32)):
        row, column = divmod(position, 2)
        expected = cv2.resize(frames[number].astype(np.float32), (200, height))
        expected = ((expected - 16) * 255 / 219).clip(0, 255)
        shown = placed(sheet, column, row, height).astype(np.float32)
        assert np.abs(shown - expected).mean() < 3


def test_a_sheet_shows_some_of_many_shots(
    make_film: MakeFilm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shot_sheet_module, "_MAX_PICTURES", 4)
    film = make_film(lumas=lumas(*[9] * 11))
    target = tmp_path / "shots.png"
    assert len(shot_sheet(film, target)) == 11
    sheet = cv2.imread(str(target))
    assert sheet.shape[1] == 2 * 208 + 8  # shots 1, 5 and 9


def test_a_sheet_of_a_turned_film_is_upright(make_film: MakeFilm, tmp_path: Path) -> None:
    target = tmp_path / "shots.png"
    shot_sheet(make_film(rotation=90), target)
    height = cv2.imread(str(target)).shape[0]
    assert height == 22 + 8 + 200 + 22 + 8
