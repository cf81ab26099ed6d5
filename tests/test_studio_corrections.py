"""The studio's corrections: files that commands know, changed step by step, and taken back."""

import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import cv2
import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

from filmcolor.cli.options import make_color_options, pop_time_range
from filmcolor.cli.run import run as run_click
from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.palette_file import read_palette
from filmcolor.guidance.references import digest_of
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.shots.listing import Shot, iter_shots
from filmcolor.studio import corrected_film
from filmcolor.studio import corrections as module
from filmcolor.studio.command import run_arguments, run_command, timecode
from filmcolor.studio.corrections import Corrections
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.studio.history import History
from filmcolor.studio.palette_edits import edit_tables
from filmcolor.studio.strokes import draw, read_canvas
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.source_options import SourceOptions

LENGTHS = 20, 12, 18  # frames
RED, BLUE = "#c82010", "#2830a0"


def stroke(
    *points: tuple[float, float], color: str | None = RED, width: float = 10.0, pressure: float = 1
) -> dict[str, Any]:
    return {"color": color, "width": width, "points": [[x, y, pressure] for x, y in points]}


LINE = stroke((30, 20), (60, 24))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for seed, n in enumerate(LENGTHS) for luma in shoot(n, seed=seed)]
    return media.make(tmp_path_factory.mktemp("film") / "it's a film.mkv", _ffv1(lumas))


def _ffv1(lumas: Sequence[np.ndarray], **changes: Any) -> media.Film:
    return media.Film(lumas, codec="ffv1", **changes)


Open = Callable[..., Corrections]


@pytest.fixture
def open_film(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Open:
    """Open the film's corrections, or those of another film; every look is a new one."""
    monkeypatch.setattr(corrected_film, "_LOOK_SECONDS", 0.0)

    def opened(path: Path = film, base: ColorOptions = options, **changes: Any) -> Corrections:
        info = probe(path)
        index = FrameIndex.read(info)
        shots = changes.pop("shots", None) or list(iter_shots(info, index=index))
        folder = tmp_path / f"{path.name}.corrections"
        return Corrections(info, index, folder, base, lambda: shots, **changes)

    return opened


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def picture(number: int, suffix: str = "PNG", tint: tuple[float, ...] = (1.0, 0.7, 0.6)) -> bytes:
    """Return a frame of the film in colours, as a picture file."""
    lumas = [luma for seed, n in enumerate(LENGTHS) for luma in shoot(n, seed=seed)]
    grey = ((lumas[number].astype(np.float32) - 16) / 219).clip(0, 1)[..., None]
    data = BytesIO()
    Image.fromarray(np.rint(255 * grey * np.float32(tint)).astype(np.uint8)).save(data, suffix)
    return data.getvalue()


# ---------------------------------------------------------------- what a stroke looks like


def drawn(*strokes: dict[str, Any], size: tuple[int, int] = (100, 80)) -> np.ndarray:
    """Return the picture of strokes as R'G'B' and opacity, read by another library."""
    data = draw(None, strokes, size)
    assert data is not None
    return np.asarray(Image.open(BytesIO(data)))


@pytest.mark.parametrize("width", [3.0, 12.0, 31.5])
@pytest.mark.parametrize("pressure", [1.0, 0.5])
def test_a_stroke_is_as_wide_as_its_width_times_the_pressure(width: float, pressure: float) -> None:
    rgba = drawn(stroke((25, 40), (75, 40), width=width, pressure=pressure))
    profile = rgba[:, 50, 3].astype(float) / 255
    assert profile.sum() == pytest.approx(width * pressure, abs=0.05)
    assert (profile * (np.arange(80) + 0.5)).sum() / profile.sum() == pytest.approx(40, abs=0.05)
    area = rgba[..., 3].sum() / 255.0
    thick = width * pressure
    assert area == pytest.approx(50 * thick + np.pi * thick**2 / 4, rel=0.02)  # round ends


def test_a_point_is_a_disc_and_a_line_tapers_with_the_pressure() -> None:
    rgba = drawn(stroke((50, 40), width=30))
    y, x = np.mgrid[:80, :100] + 0.5
    inside = np.hypot(x - 50, y - 40)
    assert (rgba[inside < 14, 3] == 255).all()
    assert (rgba[inside > 16, 3] == 0).all()
    tapered = {"color": RED, "width": 20, "points": [[20, 40, 1.0], [80, 40, 0.2]]}
    columns = drawn(tapered)[..., 3].sum(axis=0) / 255.0
    assert columns[20] == pytest.approx(19.9, abs=0.5)
    assert columns[50] == pytest.approx(12, abs=0.5)
    assert columns[79] == pytest.approx(4.1, abs=0.5)


def test_corners_are_round_and_a_line_in_pieces_is_the_line() -> None:
    bent = drawn(stroke((20, 60), (50, 20), (80, 60), width=14))
    y, x = np.mgrid[:80, :100] + 0.5
    assert (bent[np.hypot(x - 50, y - 20) < 6, 3] == 255).all()
    whole = drawn(stroke((-500, 10), (900, 70), width=9))
    points = [(x, 10 + 60 * (x + 500) / 1400) for x in np.linspace(-500, 900, 1501)]
    assert np.abs(drawn(stroke(*points, width=9)).astype(int) - whole).max() <= 2


def test_colors_are_exact_and_edges_blend() -> None:
    rgba = drawn(LINE, stroke((45, 0), (45, 79), color=BLUE, width=8.5))
    assert tuple(rgba[22, 45]) == (0x28, 0x30, 0xA0, 255)
    assert tuple(rgba[20, 32]) == (0xC8, 0x20, 0x10, 255)
    assert not rgba[rgba[..., 3] == 0].any()
    below = rgba[36:, 38:52]  # an edge over nothing has its own colour
    assert (below[below[..., 3] > 0][:, :3] == (0x28, 0x30, 0xA0)).all()
    edge = rgba[20:24, 36:54].astype(int)  # over the other stroke, no seam shows the ground
    assert edge[..., 3].min() == 255
    assert edge[..., 0].min() >= 0x28
    assert edge[..., 0].max() <= 0xC8


def test_an_eraser_leaves_the_rest() -> None:
    rgba = drawn(LINE, stroke((60, 0), (60, 79), color=None, width=20))
    assert rgba[:, 52:68, 3].max() == 0
    np.testing.assert_array_equal(rgba[:, :49], drawn(LINE)[:, :49])
    first = draw(None, [LINE], (100, 80))
    assert draw(first, [stroke((45, 22), color=None, width=99)], (100, 80)) is None


def test_the_same_strokes_give_the_same_bytes() -> None:
    both = draw(None, [LINE, stroke((5, 5), color=BLUE)], (100, 80))
    first = draw(None, [LINE], (100, 80))
    assert draw(first, [stroke((5, 5), color=BLUE)], (100, 80)) == both
    assert draw(both, [], (100, 80)) == both
    assert draw(both, [stroke((-90, 500))], (100, 80)) == both  # beside the frame


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "16"])
def test_strokes_of_other_programs_are_drawn_on(mode: str) -> None:
    layer = Image.new("RGBA", (50, 40))
    layer.paste((40, 160, 40, 255), (10, 10, 20, 30))
    data = BytesIO()
    if mode == "16":
        values = np.asarray(layer)[..., [2, 1, 0, 3]].astype(np.uint16) * 257
        data.write(cv2.imencode(".png", values)[1].tobytes())
    else:
        (layer.quantize(8) if mode == "P" else layer.convert(mode)).save(data, "PNG")
    canvas = read_canvas(data.getvalue(), (100, 80))
    assert canvas.shape == (80, 100, 4)
    assert canvas[40, 30, 3] == 255
    assert canvas[40, 60, 3] == 0
    if mode != "LA":
        assert np.abs(canvas[40, 30, :3].astype(int) - (40, 160, 40)).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 5, "points": [[1, 2, 1]]},
        {**LINE, "points": []},
        {**LINE, "points": [[1, float("nan"), 1]]},
        {**LINE, "color": "red"},
        {**LINE, "width": 0},
    ],
)
def test_strokes_without_meaning(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="stroke"):
        draw(None, [wrong], (100, 80))


# ---------------------------------------------------------------- strokes of a film


def test_strokes_are_a_hint_that_a_run_reads(open_film: Open) -> None:
    corrections = open_film()
    before = corrections.version
    assert not corrections.folder.exists()
    state = corrections.add_strokes(7, [LINE])
    path = corrections.folder / "hints" / "frame-000007.png"
    assert state["strokes"] == [7]
    assert corrections.strokes_png(7) == path.read_bytes()
    assert Image.open(path).size == media.SIZE
    assert corrections.version != before
    (reference,) = (
        corrections.options().read_guidance(probe(Path(corrections._info.path))).references
    )
    assert reference.number == 7
    assert digest_of(corrections.guidance().references) == digest_of([reference])
    wanted = lab_from_rgb(*(np.float32([int(RED[n : n + 2], 16) / 255]) for n in (1, 3, 5)))
    assert np.abs(reference.ab[5, 11] - np.ravel(wanted[1:])).max() < 2.0


def test_undo_gives_back_the_bytes_and_the_version(open_film: Open) -> None:
    corrections = open_film()
    seen = [(corrections.version, files_of(corrections.folder))]
    changes: list[Callable[[], dict[str, Any]]] = [
        lambda: corrections.add_strokes(7, [LINE]),
        lambda: corrections.add_strokes(7, [stroke((10, 50), color=BLUE)]),
        lambda: corrections.set_reference(25, picture(25)),
        lambda: corrections.set_grades([2], {"warmth": 0.4}),
        lambda: corrections.set_grades(None, {"saturation": 1.4}),
        lambda: corrections.set_options(match_shots=True),
        lambda: corrections.set_reference(25, picture(25, "JPEG")),
        lambda: corrections.add_strokes(7, [stroke((45, 30), color=None, width=200)]),
        lambda: corrections.remove_reference(25),
        lambda: corrections.clear_strokes(7),  # there are none left: no step
    ]
    labels = []
    for change in changes:
        state = change()
        labels.append(state["undo"])
        seen.append((state["version"], files_of(corrections.folder)))
    assert len({version for version, _ in seen}) == len(changes)
    for position in range(len(changes) - 2, -1, -1):
        state = corrections.undo()
        assert (state["version"], files_of(corrections.folder)) == seen[position]
        assert state["redo"] == labels[position]
    assert not corrections.folder.exists()
    assert state["undo"] == ""
    assert corrections.undo() == state
    for position in range(1, len(changes)):
        state = corrections.redo()
        assert (state["version"], files_of(corrections.folder)) == seen[position]
    assert state["redo"] == ""
    assert "frame 25" in labels[2]
    assert "strokes on frame 7" in labels[0]


def test_a_new_change_forgets_what_was_undone(open_film: Open) -> None:
    corrections = open_film()
    corrections.add_strokes(3, [LINE])
    corrections.undo()
    assert corrections.add_strokes(4, [LINE])["redo"] == ""


def test_two_tabs_lose_no_stroke(open_film: Open) -> None:
    corrections = open_film()
    spots = [stroke((8 + 16 * n, 12 + 20 * row), width=10) for n in range(6) for row in range(3)]

    def draw_some(part: Sequence[dict[str, Any]]) -> None:
        for spot in part:
            corrections.add_strokes(7, [spot])

    threads = [threading.Thread(target=draw_some, args=(spots[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert corrections.strokes_png(7) == draw(None, spots, media.SIZE)
    for _ in spots:
        corrections.undo()
    assert not corrections.folder.exists()


def test_only_the_picture_that_changed_is_read_again(
    open_film: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    guides = {n: cv2.resize(shoot(8)[n], (24, 16)) for n in range(8)}
    corrections = open_film(guide_of=guides.get)
    for frame in (2, 5, 7):
        corrections.add_strokes(frame, [LINE])
    first = corrections.guidance().references
    monkeypatch.setattr("filmcolor.guidance.picture_reader.read_luma", None)  # no frame is decoded
    corrections.add_strokes(5, [stroke((80, 50), color=BLUE)])
    second = corrections.guidance().references
    assert [a is b for a, b in zip(first, second, strict=True)] == [True, False, True]
    corrections.undo()
    assert [a is b for a, b in zip(first, corrections.guidance().references, strict=True)] == [
        True
    ] * 3


def test_strokes_lie_over_a_reference_of_their_frame(open_film: Open) -> None:
    corrections = open_film()
    corrections.set_reference(7, picture(7))
    (below,) = corrections.guidance().references
    corrections.add_strokes(7, [LINE])
    (both,) = corrections.guidance().references
    assert both.coverage.min() == 1.0
    assert np.abs(both.ab - below.ab).max(axis=2)[4:7, 8:14].min() > 10.0
    corrections.remove_reference(7)
    (strokes,) = corrections.guidance().references
    mixed = below.ab + (strokes.ab - below.ab) * strokes.coverage[..., None]
    assert np.abs(both.ab - mixed).max() < 1e-3


@pytest.mark.parametrize(
    ("strokes", "words"),
    [
        ([stroke((30, 20), width=0.2)], "it is too thin, or outside of the frame; choose a wider"),
        ([stroke((500, 20))], "it is too thin, or outside of the frame; choose a wider"),
        ([stroke((50, 30), width=400)], "would cover the whole frame; leave more of it free"),
    ],
)
def test_strokes_that_a_run_would_refuse(
    open_film: Open, strokes: list[dict[str, Any]], words: str
) -> None:
    corrections = open_film()
    with pytest.raises(SettingsError, match=words):
        corrections.add_strokes(7, strokes)
    assert not corrections.folder.exists()
    assert corrections.state()["undo"] == ""


def test_a_turned_film_of_oblong_pixels(open_film: Open, make_film: Callable[..., Path]) -> None:
    path = make_film("t.mp4", lumas=shoot(3), rotation=90, sar=Fraction(4, 3))
    corrections = open_film(path)
    state = corrections.add_strokes(1, [stroke((32, 20), width=20)])
    assert Image.open(corrections.folder / "hints" / "frame-000001.png").size == (64, 128)
    assert state["strokes"] == [1]
    (reference,) = corrections.guidance().references
    upright = corrections._info.orientation.upright(reference.ab)
    height, width = upright.shape[:2]
    row, column = np.unravel_index(np.argmax(upright[..., 0]), (height, width))
    assert row / height == pytest.approx(20 / 128, abs=0.1)
    assert column / width == pytest.approx(0.5, abs=0.2)


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_becomes_the_reference_of_its_frame(open_film: Open, kind: str) -> None:
    corrections = open_film()
    data = picture(25, kind)
    assert corrections.set_reference(25, data)["references"] == [25]
    (path,) = (corrections.folder / "references").iterdir()
    assert path.read_bytes() == data
    (reference,) = corrections.options().read_guidance(probe(corrections._info.path)).references
    assert reference.number == 25
    found = corrections.reference_picture(25)
    assert found is not None
    assert found[1] == ("image/png" if kind == "TIFF" else f"image/{kind.lower()}")
    assert Image.open(BytesIO(found[0])).size == media.SIZE
    corrections.set_reference(25, picture(25))  # in the place of the other
    assert [p.name for p in (corrections.folder / "references").iterdir()] == ["frame-000025.png"]
    assert corrections.remove_reference(25)["references"] == []
    assert corrections.reference_picture(25) is None


def _gif() -> bytes:
    data = BytesIO()
    Image.new("RGB", media.SIZE, (90, 20, 20)).save(data, "GIF")
    return data.getvalue()


def _square() -> bytes:
    data = BytesIO()
    Image.new("RGB", (64, 64), (90, 20, 20)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture", "this is not a picture; give a JPEG"),
        (_gif(), "pictures of the format GIF are not taken; save it as PNG"),
        (_square(), "the picture is 64×64, the film is shown as 96×64"),
        (picture(3), "the picture does not look like frame 40"),
        (picture(40, tint=(1.0, 1.0, 1.0)), "the picture has no colour"),
    ],
)
def test_what_is_no_reference_is_not_written(open_film: Open, data: bytes, words: str) -> None:
    corrections = open_film()
    with pytest.raises(InputError, match=words) as raised:
        corrections.set_reference(40, data)
    assert "\n" not in str(raised.value)
    assert "frame-000040" not in str(raised.value)  # a file of nobody
    assert not corrections.folder.exists()


# ---------------------------------------------------------------- other programs


def test_changes_by_other_programs_are_noticed(open_film: Open) -> None:
    corrections = open_film()
    corrections.add_strokes(7, [LINE])
    seen = {corrections.version}
    references = corrections.folder / "references"
    references.mkdir()
    (references / "frame-000025 coat.png").write_bytes(picture(25))
    (references / "frame-000025.grey.png").write_bytes(picture(25))  # never a reference
    assert corrections.state()["references"] == [25]
    seen.add(corrections.version)
    assert [r.number for r in corrections.guidance().references] == [7, 25]
    (references / "a find.png").write_bytes(picture(40))
    assert [r.number for r in corrections.guidance().references] == [7, 25, 40]
    assert corrections.state()["references"] == [25, 40]
    seen.add(corrections.version)
    (corrections.folder / "palette.toml").write_text("[shots.2]\nwarmth = 0.5\n")
    assert corrections.state()["grades"] == [{"shots": [2], "warmth": 0.5}]
    assert corrections.guidance().palette.grade_of(20).warmth == 0.5
    seen.add(corrections.version)
    (corrections.folder / "hints" / "frame-000007.png").unlink()
    assert corrections.state()["strokes"] == []
    seen.add(corrections.version)
    assert len(seen) == 5
    assert corrections.remove_reference(40)["references"] == [25]
    assert [p.name for p in references.iterdir()].count("a find.png") == 0


def test_what_another_program_changed_is_not_overwritten(open_film: Open) -> None:
    corrections = open_film()
    corrections.add_strokes(3, [LINE])
    corrections.add_strokes(7, [LINE])
    path = corrections.folder / "hints" / "frame-000007.png"
    painted = draw(None, [stroke((50, 50), color=BLUE)], media.SIZE)
    assert painted is not None
    path.write_bytes(painted)
    with pytest.raises(ConflictError, match=r"frame-000007\.png was changed by another program"):
        corrections.undo()
    assert path.read_bytes() == painted
    assert corrections.state()["undo"] == ""
    assert corrections.state()["strokes"] == [3, 7]
    state = corrections.add_strokes(7, [LINE])  # on what the other has painted
    assert corrections.strokes_png(7) == draw(painted, [LINE], media.SIZE)
    assert state["undo"] == "strokes on frame 7"
    corrections.undo()
    assert path.read_bytes() == painted


def test_a_mistake_in_a_file_is_said_and_can_be_mended(open_film: Open) -> None:
    corrections = open_film()
    corrections.set_grades([2], {"warmth": 0.4})
    path = corrections.folder / "palette.toml"
    good = path.read_text()
    path.write_text("[shots.2]\nwarm = 1\n")
    assert "shots.2.warm is no setting" in corrections.state()["error"]
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"shots\.2\.warm is no setting"):
            corrections.guidance()
    with pytest.raises(SettingsError, match=r"shots\.2\.warm is no setting"):
        corrections.set_grades([2], {"warmth": 0.1})
    path.write_text(good)
    assert corrections.state()["error"] == ""
    assert corrections.guidance().palette.grade_of(20).warmth == 0.4


def test_a_write_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    history = History([tmp_path / "new"])
    first, second = tmp_path / "new" / "a", tmp_path / "b"
    second.mkdir()
    with pytest.raises(FilmcolorError):
        history.write("both", {first: b"1", second: b"2"})
    assert not first.parent.exists()
    assert history.undo_label == ""


def test_a_history_is_bounded(tmp_path: Path) -> None:
    history = History(max_bytes=2500)
    for n in range(10):
        history.write(f"step {n}", {tmp_path / "a": bytes([n]) * 500})
    num_undone = 0
    while history.undo_label:
        history.undo()
        num_undone += 1
    assert num_undone == 2  # each step keeps what was and what is
    assert (tmp_path / "a").read_bytes() == bytes([7]) * 500


# ---------------------------------------------------------------- grades


def graded(corrections: Corrections) -> list[float]:
    """Return the warmth of all frames, as a run reads it from the files."""
    options, info = corrections.options(), corrections._info
    palette = options.read_guidance(info).palette
    assert palette == corrections.guidance().palette
    return [palette.grade_of(n).warmth for n in range(sum(LENGTHS))]


def test_grades_of_shots_are_times_with_a_comment(open_film: Open) -> None:
    corrections = open_film()
    state = corrections.set_grades([3, 1], {"warmth": 0.4, "skin_protect": 1})
    assert state["grades"] == [{"shots": [1, 3], "warmth": 0.4, "skin_protect": 1.0}]
    text = (corrections.folder / "palette.toml").read_text()
    assert '[times."00:00:01.333-00:00:02.084"]  # shot 3\n' in text
    assert "[shots." not in text
    assert graded(corrections) == [0.4] * 20 + [0.0] * 12 + [0.4] * 18
    state = corrections.set_grades([1], {"warmth": None})
    assert state["grades"] == [
        {"shots": [1], "skin_protect": 1.0},
        {"shots": [3], "warmth": 0.4, "skin_protect": 1.0},
    ]
    corrections.set_grades([1, 3], {"warmth": None, "skin_protect": None})
    assert not corrections.folder.exists()


def test_the_grade_of_the_film_is_below_those_of_shots(
    open_film: Open, options: ColorOptions
) -> None:
    corrections = open_film(base=replace(options, saturation=1.3))
    assert corrections.state()["film_grade"] == {
        "saturation": 1.3,
        "warmth": 0.0,
        "skin_protect": 0.0,
    }
    corrections.set_grades([2], {"saturation": 0.5})
    state = corrections.set_grades(None, {"warmth": -0.2})
    assert state["film_grade"]["warmth"] == -0.2
    assert state["grades"] == [{"shots": [2], "saturation": 0.5}]
    assert graded(corrections) == [-0.2] * 50
    grades = {corrections.guidance().palette.grade_of(n).saturation for n in (0, 19, 32)}
    assert grades == {1.3}
    assert corrections.guidance().palette.grade_of(31).saturation == 0.5
    state = corrections.set_grades(None, {"warmth": None})
    assert state["film_grade"]["warmth"] == 0.0


def test_foreign_tables_and_comments_survive(open_film: Open) -> None:
    corrections = open_film()
    corrections.folder.mkdir()
    path = corrections.folder / "palette.toml"
    path.write_text(
        "# by hand\n\n[shots.1-2]  # both\nwarmth = 0.3  # cosy\n\n"
        '# the coat\n[times."1.4-1.6"]\nsaturation = 0.8\n'
    )
    assert corrections.state()["grades"] == [{"shots": [1, 2], "warmth": 0.3}]
    before = graded(corrections)
    corrections.set_grades([2], {"warmth": -0.5})
    assert graded(corrections) == [0.3] * 20 + [-0.5] * 12 + before[32:]
    text = path.read_text()
    assert text.startswith("# by hand\n")
    assert "[shots.1]\n" in text
    assert '# the coat\n[times."1.4-1.6"]\nsaturation = 0.8\n' in text
    corrections.undo()
    assert "[shots.1-2]  # both\nwarmth = 0.3  # cosy\n" in path.read_text()
    corrections.set_grades([1, 2], {"warmth": 0.7})
    assert graded(corrections)[:32] == [0.7] * 32
    corrections.undo()
    corrections.set_grades([3], {"warmth": 0.9})  # a table holds a part of it
    assert graded(corrections)[32:] == [0.9] * 18
    assert "# the coat" in path.read_text()


def test_a_table_of_the_shot_is_edited_in_place(open_film: Open) -> None:
    corrections = open_film()
    corrections.folder.mkdir()
    path = corrections.folder / "palette.toml"
    path.write_text("[shots.2]  # the garden\nwarmth = 0.3  # cosy\n\n[shots.3]\nsaturation = 2\n")
    corrections.set_grades([2], {"warmth": 0.4, "saturation": 0.9})
    assert path.read_text() == (
        "[shots.2]  # the garden\nwarmth = 0.4  # cosy\nsaturation = 0.9\n\n"
        "[shots.3]\nsaturation = 2\n"
    )


@pytest.mark.parametrize(
    "text",
    ["shots.2.warmth = 0.3\nshots.3 = {saturation = 2}\n", "shots = {2 = {warmth = 0.3}}\n"],
)
def test_palettes_in_other_forms_are_edited_too(open_film: Open, text: str) -> None:
    corrections = open_film()
    corrections.folder.mkdir()
    (corrections.folder / "palette.toml").write_text(text)
    corrections.set_grades([2], {"warmth": 0.4})
    corrections.set_grades([1], {"warmth": 0.6})
    assert graded(corrections)[:32] == [0.6] * 20 + [0.4] * 12
    corrections.set_grades([2], {"warmth": None})
    assert graded(corrections)[20:32] == [0.0] * 12


def test_edited_text_holds_what_it_should() -> None:
    third, seventh = "[shots.3]\nwarmth = 0.4\n# of 7\n", "[shots.7]\nwarmth = 1\n"
    times = '[times."1-2"]\nwarmth=0\n'
    text = f"# a\n{third}\n{seventh}\n{times}"
    path = Path("p.toml")
    assert edit_tables(text, {("shots", "7"): None}, path) == f"# a\n{third}\n{times}"
    edited = edit_tables(text, {("shots", "3"): None, ("times", "1-2"): {"warmth": 1 / 3}}, path)
    changed = times.replace("=0", "=0.3333333333333333")
    assert edited == f"# a\n# of 7\n\n{seventh}\n{changed}"
    windows = text.replace("\n", "\r\n")
    assert edit_tables(windows, {("shots", "7"): {"warmth": 1.0}}, path) == windows


@pytest.mark.parametrize(
    ("shots", "grade", "error", "words"),
    [
        ([9], {"warmth": 0.1}, NotFoundError, "the film has no shot 9; its shots are 1 to 3"),
        ([1], {"warmth": 3}, SettingsError, "warmth 3.0 must be -1 to 1"),
        (None, {"warm": 3}, SettingsError, "warm is no setting; choose from saturation"),
    ],
)
def test_grades_that_cannot_be(
    open_film: Open,
    shots: list[int] | None,
    grade: dict[str, float],
    error: type[FilmcolorError],
    words: str,
) -> None:
    corrections = open_film()
    with pytest.raises(error, match=words):
        corrections.set_grades(shots, grade)
    assert not corrections.folder.exists()


def test_each_shot_of_a_variable_frame_rate_has_its_own_frames(
    open_film: Open, tmp_path: Path, options: ColorOptions
) -> None:
    """Shots begin where frames are a third of a millisecond apart, or begin late."""
    steps = [40, 7, 90, 33, 41, 20, 300, 5] * 7
    pts = np.cumsum([0, *steps])[:50]
    pts[20:] += 1000
    pts[20] = pts[19] + 8  # 1/3 ms after the frame before
    pts[32:] += 500
    lumas = [luma for seed, n in enumerate(LENGTHS) for luma in shoot(n, seed=seed)]
    film = media.Film(lumas, pts=[int(p) for p in pts], options={"bf": "0"})
    corrections = open_film(media.make(tmp_path / "vfr.mov", film))
    assert corrections._index.is_vfr
    for number, (first, stop) in enumerate(((0, 20), (20, 32), (32, 50)), 1):
        corrections.set_grades([number], {"warmth": 0.5})
        text = (corrections.folder / "palette.toml").read_text()
        assert "[shots." not in text
        wanted = [0.5 if first <= n < stop else 0.0 for n in range(50)]
        assert graded(corrections) == wanted
        corrections.undo()


def test_tables_of_shots_wait_until_these_are_found(film: Path, open_film: Open) -> None:
    info = probe(film)
    found: list[Shot] = []
    every = list(iter_shots(info))
    corrections = open_film(shots=found or None, is_complete=lambda: len(found) == 3)
    corrections._grades._shots = corrections._shots = lambda: found
    corrections.folder.mkdir()
    (corrections.folder / "palette.toml").write_text("[shots.2]\nwarmth = 0.4\n")
    found.append(every[0])
    early = corrections.version
    assert corrections.guidance().palette.ranges == ()
    with pytest.raises(NotFoundError, match="shot 1 is not known yet; wait until"):
        corrections.set_grades([1], {"warmth": 0.2})
    found += every[1:]
    assert corrections.version != early
    assert graded(corrections) == [0.0] * 20 + [0.4] * 12 + [0.0] * 18


# ---------------------------------------------------------------- files of a command


def test_folders_of_the_command_are_edited(
    open_film: Open, options: ColorOptions, tmp_path: Path
) -> None:
    strokes, pictures, palette = tmp_path / "strokes", tmp_path / "pictures", tmp_path / "a.toml"
    strokes.mkdir()
    pictures.mkdir()
    palette.write_text("[shots.1]\nwarmth = 0.2\n")
    single = tmp_path / "coat.png"
    single.write_bytes(picture(40))
    base = replace(
        options,
        hints=(str(strokes),),
        references=(f"{single}@1.667", str(pictures)),
        palette=str(palette),
    )
    corrections = open_film(base=base)
    state = corrections.add_strokes(7, [LINE])
    corrections.set_reference(25, picture(25))
    state = corrections.set_grades([2], {"warmth": 0.4})
    assert not corrections.folder.exists()
    assert [p.name for p in strokes.iterdir()] == ["frame-000007.png"]
    assert [p.name for p in pictures.iterdir()] == ["frame-000025.png"]
    assert state["references"] == [25, 40]
    assert [r.number for r in corrections.guidance().references] == [7, 25, 40]
    with pytest.raises(SettingsError, match=r"coat\.png is of frame 40 already"):
        corrections.set_reference(40, picture(40))
    for _ in range(3):
        corrections.undo()
    assert strokes.is_dir()  # somebody else made it
    assert corrections.options() == replace(base, hints=(), references=(base.references[0],))


@pytest.mark.parametrize("name", ["hints", "references", "palette"])
def test_a_source_that_is_missing_is_named(
    open_film: Open, options: ColorOptions, tmp_path: Path, name: str
) -> None:
    path = str(tmp_path / "gone")
    with pytest.raises(InputError, match="gone"):
        open_film(base=replace(options, **{name: path if name == "palette" else (path,)}))


def parsed(arguments: Sequence[str]) -> tuple[Path, Path | None, ColorOptions, Encoding, TimeRange]:
    """Return what `filmcolor run` understands, by its real parser."""
    context = run_click.make_context("run", list(arguments))
    params = dict(context.params)
    (film,) = params.pop("films")
    names = [f.name for f in fields(Encoding)]
    encoding = Encoding(**{name: params.pop(name) for name in names})
    time_range = pop_time_range(params)
    output = params.pop("output")
    known = {f.name for f in fields(ColorOptions)} | {"rate", "rate_audio", "field_order"}
    return (
        film,
        output,
        make_color_options({k: v for k, v in params.items() if k in known}),
        encoding,
        time_range,
    )


def shell_words(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[:2] == ["filmcolor", "run"]
    return words[2:]


def test_a_command_says_all_that_differs(tmp_path: Path) -> None:
    weights = tmp_path / "a 'b' \"c\".safetensors"
    options = ColorOptions(
        weights=str(weights),
        device="cpu",
        batch_size=3,
        size=128,
        saturation=0.1 + 0.2,
        warmth=-0.5,
        skin_protect=0.25,
        surfaces=0.5,
        cast="reduce",
        palette=str(tmp_path / "$HOME.toml"),
        references=("coat.png@00:01:02.5", str(tmp_path / "more pictures")),
        hints=(str(tmp_path / "strokes"),),
        match_shots=True,
        model=str(tmp_path / "model.onnx"),
        anchors="2.5",
        smooth="light",
        deinterlace=True,
        keep_tint=True,
        recolor=True,
        source=SourceOptions("24000/1001", "drop", "tff"),
    )
    encoding = Encoding("archive", "libx265", 17, "fast", "yuv420p10le", True, True, True)
    for value in (options, encoding):
        defaults = type(value)()
        assert all(getattr(value, f.name) != getattr(defaults, f.name) for f in fields(value))
    film, output = tmp_path / "it's; a film.mkv", tmp_path / "out put.mkv"
    time_range = TimeRange("1:02:03.0625", 4000)
    words = run_arguments(
        film, options, output=output, encoding=encoding, time_range=time_range, force=True
    )
    assert shell_words(run_command(words)) == words
    assert parsed(words) == (film, output, options, encoding, time_range)
    frames = TimeRange(first=3, stop=9)
    assert parsed(run_arguments(film, options, time_range=frames))[4] == frames
    assert run_arguments(film, ColorOptions()) == [str(film)]


def test_times_are_exact() -> None:
    assert timecode(Fraction(3723)) == "01:02:03.000"
    assert timecode(Fraction(1, 1024)) == "00:00:00.0009765625"
    with pytest.raises(ValueError, match="1/3"):
        timecode(Fraction(1, 3))


def test_a_state_has_the_command_of_its_film(open_film: Open, film: Path) -> None:
    corrections = open_film()
    corrections.add_strokes(7, [LINE])
    corrections.set_grades(None, {"warmth": 0.2})
    corrections.set_options(match_shots=True)
    path, output, options, encoding, time_range = parsed(
        shell_words(corrections.state()["command"])
    )
    assert (path, output, encoding, time_range.is_whole) == (film, None, Encoding(), True)
    assert options == corrections.options()
    assert options.match_shots
    words = corrections.arguments(Path("a.mov"), "edit", 0.5, 1.25, True)
    assert words[-1] == "--force"
    with pytest.raises(click.UsageError):
        parsed(corrections.arguments(None, "share", 2.0, 1.5))
    words = corrections.arguments(None, "share", 7 / 24, 1.5)
    assert parsed(words)[4] == TimeRange(first=7, stop=36)


def test_a_run_by_the_command_gives_the_same_colors(
    open_film: Open, tmp_path: Path, type_command: Callable[..., tuple[int, str, str]]
) -> None:
    corrections = open_film()
    corrections.add_strokes(7, [LINE])
    corrections.set_reference(25, picture(25))
    corrections.set_grades([3], {"warmth": 0.8})
    corrections.set_grades(None, {"saturation": 1.5})
    words = corrections.arguments(tmp_path / "out.mkv", "master")
    code, _, error = type_command("run", *words, "-q")
    assert (code, error) == (0, "")
    options, guidance = corrections.options(), corrections.guidance()
    info = probe(corrections._info.path)
    colorizer = Colorizer(options)
    shown = media.frames(tmp_path / "out.mkv")
    wanted = list(colorizer.frames(info, guidance=guidance))
    for frame, own in zip(shown, wanted, strict=True):
        np.testing.assert_array_equal(frame.planes[1], own.cb)
        np.testing.assert_array_equal(frame.planes[2], own.cr)
    plain = colorizer.frames(info, Part(0, 32), guidance=Guidance(guidance.palette))
    assert any((a.cb != b.cb).any() for a, b in zip(plain, wanted[:32], strict=True))


def test_options_are_kept_for_the_next_time(open_film: Open) -> None:
    first = open_film()
    first.set_options(match_shots=True)
    first.set_grades([2], {"warmth": 0.4})
    second = open_film()
    state = second.state()
    assert state["match_shots"]
    assert "read once more" in state["notes"][0]
    assert second.version == first.version
    assert {k: v for k, v in state.items() if k not in ("undo", "redo")} == {
        k: v for k, v in first.state().items() if k not in ("undo", "redo")
    }
    assert second.set_options(match_shots=False)["match_shots"] is False


# ---------------------------------------------------------------- shots that look alike

LENGTH = 8  # frames of a shot
SCENES = 0, 1, 2, 0, 3, 0  # of the shots
LIMITS = (16, 70), (180, 235), (90, 130), (140, 175)  # luma: a random network sees little else


def scene(seed: int) -> list[np.ndarray]:
    low, high = LIMITS[seed]
    planes = shoot(LENGTH, (128, 96), seed=seed, grain=0.0)
    return [
        np.rint(low + (plane.astype(float) - 16) / 219 * (high - low)).astype(np.uint8)
        for plane in planes
    ]


@pytest.fixture
def scenes(open_film: Open, options: ColorOptions, tmp_path: Path) -> Corrections:
    planes = [plane for seed in SCENES for plane in scene(seed)]
    path = media.make(tmp_path / "scenes.mkv", _ffv1(planes))
    first = range(0, LENGTH * len(SCENES), LENGTH)
    shots = [
        Shot(n, f, f + LENGTH, Fraction(f, 24), Fraction(f + LENGTH, 24), "cut")
        for n, f in enumerate(first, 1)
    ]
    return open_film(path, replace(options, size=96), shots=shots)


def test_shots_that_show_the_same_are_alike(scenes: Corrections) -> None:
    found = scenes.alike(1)
    assert found["is_complete"]
    assert {entry["number"] for entry in found["shots"]} == {4, 6}
    assert {entry["confidence"] for entry in found["shots"]} <= {"strong", "likely"}
    assert scenes.alike(2)["shots"] == []
    with pytest.raises(NotFoundError, match="no shot 7"):
        scenes.alike(7)


def test_a_search_goes_on_where_it_stopped(
    scenes: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALIKE_SECONDS", -1.0)
    assert scenes.alike(1) == {"shots": [], "is_complete": False}
    monkeypatch.setattr(module, "_ALIKE_SECONDS", 60.0)
    whole = scenes.alike(1)
    monkeypatch.setattr(module, "_ALIKE_SECONDS", -1.0)
    assert scenes.alike(1) == whole


def test_corrected_colors_are_applied_to_shots_that_show_the_same(scenes: Corrections) -> None:
    scenes.add_strokes(4, [stroke((20, 50), (110, 60), color=BLUE, width=40)])
    scenes.set_grades([1], {"warmth": 0.5})
    before = files_of(scenes.folder)
    state = scenes.apply(1, [2, 4, 6], grade=True, colors=True)
    frames = [(n - 1) * LENGTH + 3 for n in (4, 6)]
    assert state["references"] == frames
    assert state["grades"] == [{"shots": [1, 2, 4, 6], "warmth": 0.5}]
    references = {r.number: r for r in scenes.guidance().references}
    given = references[4]
    wanted = given.ab[given.coverage > 0.9].mean(axis=0)
    for frame in frames:
        own = references[frame]
        assert own.coverage.mean() > 0.05
        colors = own.ab[own.coverage > 0.9]
        assert np.linalg.norm(colors.mean(axis=0) - wanted) < 8.0 < np.linalg.norm(wanted)
    options = scenes.options()
    again = options.read_guidance(probe(scenes._info.path)).references
    assert digest_of(again) == digest_of(scenes.guidance().references)
    scenes.undo()
    assert files_of(scenes.folder) == before


def test_what_cannot_be_applied_is_said(scenes: Corrections) -> None:
    with pytest.raises(SettingsError, match="shot 1 has neither strokes nor a reference"):
        scenes.apply(1, [4], colors=True)
    scenes.add_strokes(4, [stroke((20, 50), (110, 60), color=BLUE, width=40)])
    before = files_of(scenes.folder)
    with pytest.raises(SettingsError, match="nothing in shot 2 surely shows"):
        scenes.apply(1, [2], colors=True)
    assert files_of(scenes.folder) == before
    scenes.set_grades([2], {"warmth": 0.5})
    assert scenes.apply(1, [2], grade=True)["grades"] == []  # shot 1 has no grade of its own


def test_shots_know_what_is_corrected_in_them(open_film: Open, film: Path) -> None:
    corrections = open_film()
    corrections.add_strokes(7, [LINE])
    corrections.add_strokes(21, [LINE])
    corrections.set_reference(25, picture(25))
    corrections.set_grades([2], {"warmth": 0.5})
    shots = list(iter_shots(probe(film)))
    assert corrections.shot_corrections(shots) == [
        {"strokes": [7], "references": [], "grade": {}},
        {"strokes": [21], "references": [25], "grade": {"warmth": 0.5}},
        {"strokes": [], "references": [], "grade": {}},
    ]


def test_two_looks_close_together_are_one(open_film: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thumbnails ask for the version hundreds of times a second."""
    corrections = open_film()
    monkeypatch.setattr(corrected_film, "_LOOK_SECONDS", 60.0)
    version = corrections.version
    hints = corrections.folder / "hints"
    hints.mkdir(parents=True)
    (hints / "frame-000007.png").write_bytes(draw(None, [LINE], media.SIZE) or b"")
    assert corrections.version == version
    assert corrections.state()["version"] != version  # a state is always new
    assert corrections.add_strokes(3, [LINE])["version"] == corrections.version


def test_a_palette_for_the_film_is_read_by_commands(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    info: FilmInfo = probe(film)
    path = tmp_path / "film.toml"
    path.write_text("[film]\nwarmth = 0.5\n[shots.2]\nsaturation = 0.5\n")
    shots = list(iter_shots(info))
    palette = read_palette(path, options.grade, info, FrameIndex.read(info), shots)
    assert palette == replace(options, palette=str(path)).read_guidance(info).palette
    base = replace(options.grade, warmth=0.5)
    assert [palette.grade_of(n) for n in (0, 20, 49)] == [base, replace(base, saturation=0.5), base]
