"""Photographs with strokes, in a terminal and in the studio: the same picture from both."""

import json
import shlex
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_photo, colorize_rgb
from filmcolor.studio import photos as desk_module
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.photos import PhotoDesk

LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709-6, item 3.2: sRGB's too
WIDTH, HEIGHT = 240, 160
DISC_X, DISC_Y, RADIUS = 80, 60, 40
RED, GREY = (190, 40, 40), (128, 128, 128)
STROKE = {"color": "#be2828", "width": 12, "points": [[60, 60, 1], [100, 60, 1]]}
ORIENTATION = 0x0112  # EXIF

TypeCommand = Callable[..., tuple[int, str, str]]


def scene() -> np.ndarray:
    """Return a grey picture (H, W): a disc before a soft background."""
    grey = np.tile(np.linspace(90.0, 150.0, WIDTH), (HEIGHT, 1))
    grey[is_disc()] = 190.0
    return np.rint(grey).astype(np.uint8)


def is_disc(radius: float = RADIUS) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - DISC_X, y - DISC_Y) < radius


INSIDE, OUTSIDE = is_disc(RADIUS - 14), ~is_disc(RADIUS + 14)


def strokes_png(path: Path, color: tuple[int, int, int] = RED, scale: float = 1.0) -> Path:
    """Write a stroke on the disc on transparency, at another size if asked for."""
    layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    layer[54:66, 60:100] = *color, 255
    picture = Image.fromarray(layer)
    picture.resize((round(WIDTH * scale), round(HEIGHT * scale)), Image.Resampling.NEAREST).save(
        path
    )
    return path


def encoded(picture: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def photograph(kind: str = "PNG") -> bytes:
    return encoded(Image.fromarray(scene()), kind)


def pixels(data: bytes | Path) -> np.ndarray:
    with Image.open(data if isinstance(data, Path) else BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(np.float64)


def ab_of(rgb: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean CIELAB a, b of some pixels of R'G'B' (H, W, 3)."""
    red, green, blue = (np.float32(rgb[..., n]) / np.float32(255) for n in range(3))
    _, a, b = lab_from_rgb(red, green, blue)
    return np.array([a[where].mean(), b[where].mean()])


@pytest.fixture(scope="module")
def colorizer(options: ColorOptions) -> Colorizer:
    return Colorizer(replace(options, size=128))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "disc.png"
    path.write_bytes(photograph())
    return path


# ---------------------------------------------------------------- strokes of `filmcolor photo`


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_a_stroke_gives_its_object_its_color_and_no_other_thing(
    tmp_path: Path, colorizer: Colorizer, picture: Path, scale: float
) -> None:
    hints = strokes_png(tmp_path / "strokes.png", scale=scale)
    plain = pixels(colorize_photo(picture, tmp_path / "plain.png", colorizer=colorizer))
    painted = pixels(
        colorize_photo(picture, tmp_path / "painted.png", colorizer=colorizer, hints=hints)
    )
    given = lab_from_rgb(*(np.float32([c / 255]) for c in RED))[1:]
    # a bright disc cannot hold the stroke's full chroma, but it has its hue
    a, b = ab_of(painted, INSIDE)
    assert a > 20
    assert abs(np.arctan2(b, a) - np.arctan2(*np.ravel(given)[::-1])) < 0.2
    assert np.abs(painted - plain)[OUTSIDE].max() <= 2
    assert np.abs(painted @ LUMA - scene()).max() <= 1


def test_strokes_keep_their_color_in_every_grade(
    tmp_path: Path, colorizer: Colorizer, options: ColorOptions
) -> None:
    rgb = np.repeat(scene()[..., None], 3, axis=2)
    hints = strokes_png(tmp_path / "strokes.png")
    pale, rich = (
        colorize_rgb(rgb, colorizer, hints, replace(options, saturation=s, warmth=w).grade)
        for s, w in ((0.0, -1.0), (2.0, 1.0))
    )
    assert np.abs(ab_of(pale, INSIDE) - ab_of(rich, INSIDE)).max() < 1.0
    assert np.abs(ab_of(pale, OUTSIDE) - ab_of(rich, OUTSIDE)).max() > 5.0


def test_a_grey_stroke_makes_its_object_neutral(
    tmp_path: Path, colorizer: Colorizer, picture: Path
) -> None:
    hints = strokes_png(tmp_path / "strokes.png", GREY)
    painted = pixels(colorize_photo(picture, colorizer=colorizer, hints=hints))
    assert np.abs(ab_of(painted, INSIDE)).max() < 1.5


def test_strokes_are_on_the_upright_picture(tmp_path: Path, colorizer: Colorizer) -> None:
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # it is shown turned to the right
    Image.fromarray(np.rot90(scene())).save(turned, exif=exif)
    hints = strokes_png(tmp_path / "strokes.png")
    painted = pixels(colorize_photo(turned, colorizer=colorizer, hints=hints))
    assert painted.shape == (HEIGHT, WIDTH, 3)
    assert ab_of(painted, INSIDE)[0] > 20


def test_hints_that_do_not_fit_are_refused(
    tmp_path: Path, colorizer: Colorizer, picture: Path
) -> None:
    square, opaque, empty = (tmp_path / f"{name}.png" for name in ("square", "opaque", "empty"))
    Image.new("RGBA", (64, 64), (*RED, 90)).save(square)
    Image.new("RGB", (WIDTH, HEIGHT), RED).save(opaque)
    Image.new("RGBA", (WIDTH, HEIGHT)).save(empty)
    for path, expected in (
        (square, r"square\.png is 64×64, the picture is 240×160 .* another aspect"),
        (opaque, "no transparency"),
        (empty, "nothing is painted on it"),
        (tmp_path / "gone.png", "no such file"),
    ):
        with pytest.raises(InputError, match=expected):
            colorize_photo(picture, colorizer=colorizer, hints=path)
    assert not picture.with_name("disc.color.png").exists()


def test_the_command_takes_strokes_for_one_picture(
    tmp_path: Path, type_command: TypeCommand, options: ColorOptions, picture: Path
) -> None:
    hints = strokes_png(tmp_path / "strokes.png")
    code, out, _ = type_command("photo", picture, "--hints", hints)
    assert (code, out.strip()) == (0, str(picture.with_name("disc.color.png")))
    expected = colorize_photo(picture, tmp_path / "api.png", options=options, hints=hints)
    assert picture.with_name("disc.color.png").read_bytes() == expected.read_bytes()

    for names in ((picture, hints), (tmp_path,)):
        code, _, err = type_command("photo", *names, "--hints", hints, "--force")
        assert code == 2
        assert "strokes on one picture" in err
    code, _, err = type_command("photo", picture, "--hints", tmp_path / "no.png", "--force")
    assert code == 1
    assert "no.png: no such file" in err


# ---------------------------------------------------------------- the studio's desk


@pytest.fixture
def make_desk(tmp_path: Path, options: ColorOptions) -> Callable[[], PhotoDesk]:
    """Return a function that opens the desk of this test, as a start of the studio does."""
    return lambda: PhotoDesk(tmp_path / "state", options, lambda: Colorizer(options))


@pytest.fixture
def desk(make_desk: Callable[[], PhotoDesk]) -> PhotoDesk:
    return make_desk()


def test_a_photograph_is_shown_in_grey_and_in_color(desk: PhotoDesk) -> None:
    assert desk.photos() == {"photos": []}
    photo = desk.add("portrait.png", photograph())
    assert desk.photos() == {"photos": [photo]}
    assert (photo["name"], photo["width"], photo["height"]) == ("portrait.png", WIDTH, HEIGHT)
    assert photo["grade"] == {"saturation": 1.15, "warmth": 0.0, "skin_protect": 0.0}
    assert (photo["has_strokes"], photo["undo"], photo["redo"]) == (False, "", "")

    grey, color = (pixels(desk.image(photo["id"], side)) for side in ("grey", "color"))
    assert np.ptp(grey, axis=2).max() <= 2
    assert np.abs(grey[..., 0] - scene()).mean() < 1
    assert np.ptp(color, axis=2).max() > 20
    assert np.abs(color @ LUMA - scene()).mean() < 2  # a JPEG
    with pytest.raises(SettingsError, match="side"):
        desk.image(photo["id"], "sepia")


def test_what_is_shown_is_the_result_made_smaller(desk: PhotoDesk) -> None:
    photo = desk.add("portrait.png", photograph())
    full = pixels(desk.download(photo["id"]))
    for size in (WIDTH, 120, 60):
        shown = pixels(desk.image(photo["id"], "color", size))
        assert max(shown.shape[:2]) == size
        expected = cv2.resize(full, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shown - expected).mean() < 3  # a JPEG


def test_the_download_is_what_the_command_gives(
    tmp_path: Path,
    desk: PhotoDesk,
    type_command: TypeCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identifier = desk.add("Großmutter 1910's.png", photograph())["id"]
    desk.draw(identifier, [STROKE])
    photo = desk.set_grade(identifier, {"saturation": 1.5, "warmth": 0.25})
    result = desk.download(identifier)
    assert result.name == "Großmutter 1910's.color.png"

    monkeypatch.chdir(tmp_path)
    program, command, *words = shlex.split(photo["command"])
    assert (program, command) == ("filmcolor", "photo")
    code, out, _ = type_command("photo", *words)
    assert (code, out.strip()) == (0, result.name)
    assert (tmp_path / result.name).read_bytes() == result.read_bytes()
    assert desk.download(identifier) == result


def test_a_stroke_colors_its_object(desk: PhotoDesk) -> None:
    photo = desk.add("portrait.png", photograph())
    before = pixels(desk.image(photo["id"]))
    drawn = desk.draw(photo["id"], [STROKE])
    assert drawn["has_strokes"]
    assert drawn["version"] != photo["version"]
    after = pixels(desk.image(photo["id"]))
    assert ab_of(after, INSIDE)[0] > 20
    assert np.abs(after - before)[:, 200:].mean() < 1
    layer = np.asarray(Image.open(BytesIO(desk.strokes(photo["id"]))))
    assert layer.shape == (HEIGHT, WIDTH, 4)
    assert tuple(layer[60, 80]) == (0xBE, 0x28, 0x28, 255)
    assert layer[120, 200, 3] == 0


def test_undo_and_redo_give_the_same_bytes(desk: PhotoDesk) -> None:
    photo = desk.add("portrait.png", photograph())
    identifier = photo["id"]

    def all_bytes() -> tuple[bytes, bytes]:
        return desk.image(identifier), desk.download(identifier).read_bytes()

    states = [(desk.photo(identifier)["version"], all_bytes())]
    for change in (
        lambda: desk.draw(identifier, [STROKE]),
        lambda: desk.set_grade(identifier, {"warmth": 0.5}),
        lambda: desk.draw(identifier, [{**STROKE, "color": "#2040c0"}]),
        lambda: desk.clear_strokes(identifier),
    ):
        states.append((change()["version"], all_bytes()))
    assert len({version for version, _ in states}) == len(states)
    for version, data in states[-2::-1]:
        assert desk.undo(identifier)["version"] == version
        assert all_bytes() == data
    assert desk.photo(identifier)["undo"] == ""
    assert desk.undo(identifier)["version"] == states[0][0]
    for version, data in states[1:]:
        assert desk.redo(identifier)["version"] == version
        assert all_bytes() == data
    assert desk.photo(identifier)["redo"] == ""
    assert desk.undo(identifier)["redo"] == "removed strokes"
    # another change ends what could be made again
    assert desk.set_grade(identifier, {"warmth": -0.5})["redo"] == ""


def test_edits_are_there_after_a_restart(make_desk: Callable[[], PhotoDesk]) -> None:
    desk = make_desk()
    first, second = (desk.add(name, photograph())["id"] for name in ("b.png", "a.png"))
    desk.draw(first, [STROKE])
    desk.set_grade(first, {"saturation": 0.5})
    before, image = desk.photos(), desk.image(first)
    again = make_desk()
    assert again.photos() == before
    assert [photo["id"] for photo in again.photos()["photos"]] == [first, second]
    assert again.image(first) == image
    assert again.undo(first)["undo"] == "strokes"
    assert not again.undo(first)["has_strokes"]


def test_an_interrupted_upload_leaves_nothing(
    tmp_path: Path, make_desk: Callable[[], PhotoDesk]
) -> None:
    identifier = make_desk().add("a.png", photograph())["id"]
    half = tmp_path / "state" / "0123456789ab" / "picture"
    half.mkdir(parents=True)
    (half / "b.png").write_bytes(photograph()[:100])
    desk = make_desk()
    assert [photo["id"] for photo in desk.photos()["photos"]] == [identifier]
    assert [path.name for path in (tmp_path / "state").iterdir()] == [identifier]


def test_a_grade_goes_back_to_the_default(desk: PhotoDesk) -> None:
    photo = desk.add("portrait.png", photograph())
    identifier = photo["id"]
    changed = desk.set_grade(identifier, {"saturation": 0.0})
    assert changed["grade"]["saturation"] == 0.0
    assert "--saturation 0" in changed["command"]
    assert np.ptp(pixels(desk.image(identifier)), axis=2).max() <= 3
    back = desk.set_grade(identifier, {"saturation": None})
    assert back["version"] == photo["version"]
    assert back["command"] == photo["command"]
    for grade, expected in (
        ({"saturation": 9}, "0 to 4"),
        ({"warmth": float("nan")}, "-1 to 1"),
        ({"warmth": True}, "number"),
        ({"warmth": "1"}, "number"),
        ({"contrast": 1}, "no setting"),
    ):
        with pytest.raises(SettingsError, match=expected):
            desk.set_grade(identifier, grade)
    assert desk.photo(identifier) == back


def test_what_an_eraser_leaves(desk: PhotoDesk) -> None:
    photo = desk.add("portrait.png", photograph())
    identifier = photo["id"]
    with pytest.raises(NotFoundError, match="no strokes"):
        desk.strokes(identifier)
    desk.draw(identifier, [STROKE])
    erased = desk.draw(identifier, [{**STROKE, "color": None, "width": 40}])
    assert not erased["has_strokes"]
    assert erased["version"] == photo["version"]
    assert "--hints" not in erased["command"]
    with pytest.raises(NotFoundError, match="no strokes"):
        desk.strokes(identifier)


def test_strokes_that_have_no_effect_or_hide_all_are_refused(desk: PhotoDesk) -> None:
    width = 4000
    wide = encoded(Image.new("L", (width, 3000), 90), "JPEG")
    photo = desk.add("large.jpg", wide)
    dot = {"color": "#be2828", "width": 1, "points": [[2000, 1500, 1]]}
    with pytest.raises(SettingsError, match="wider brush"):
        desk.draw(photo["id"], [dot])
    flood = {"color": "#be2828", "width": 9000, "points": [[2000, 1500, 1]]}
    with pytest.raises(SettingsError, match="whole picture"):
        desk.draw(photo["id"], [flood])
    assert desk.photo(photo["id"]) == photo
    layer = desk.draw(photo["id"], [{**dot, "width": 400}])
    assert layer["has_strokes"]
    with Image.open(BytesIO(desk.strokes(photo["id"]))) as image:
        assert image.size == (2048, 1536)
        assert image.getpixel((1024, 768)) == (0xBE, 0x28, 0x28, 255)


def test_two_tabs_lose_no_stroke(desk: PhotoDesk) -> None:
    identifier = desk.add("portrait.png", photograph())["id"]

    def paint(x: int) -> None:
        for y in range(10, 160, 30):
            desk.draw(identifier, [{**STROKE, "width": 10, "points": [[x, y, 1], [x + 8, y, 1]]}])

    tabs = [threading.Thread(target=paint, args=(x,)) for x in (30, 120, 210)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    layer = np.asarray(Image.open(BytesIO(desk.strokes(identifier))))
    for x in (30, 120, 210):
        for y in range(10, 160, 30):
            assert layer[y, x + 4, 3] == 255, (x, y)


def test_a_removed_photograph_is_gone(tmp_path: Path, desk: PhotoDesk) -> None:
    first, second = (desk.add(name, photograph())["id"] for name in ("a.png", "a.png"))
    assert [photo["id"] for photo in desk.remove(first)["photos"]] == [second]
    for act in (desk.photo, desk.image, desk.download, desk.undo, desk.remove):
        with pytest.raises(NotFoundError):
            act(first)
    with pytest.raises(NotFoundError):
        desk.photo("../state")
    assert [path.name for path in (tmp_path / "state").iterdir()] == [second]


# ---------------------------------------------------------------- kinds of pictures


def deep_tiff() -> bytes:
    file = BytesIO()
    values = scene().astype(np.uint16) * 257 + 3
    tifffile.imwrite(file, values, photometric="minisblack")
    return file.getvalue()


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = Image.fromarray(np.rot90(scene()).copy())
    return encoded(turned, "JPEG", exif=exif, quality=95)


def cmyk_jpeg() -> bytes:
    paper = Image.new("L", (WIDTH, HEIGHT))
    cmyk = Image.merge("CMYK", [Image.fromarray(255 - scene())] * 3 + [paper])
    return encoded(cmyk, "JPEG", quality=95)


def profiled_jpeg() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb = Image.fromarray(np.repeat(scene()[..., None], 3, axis=2))
    return encoded(rgb, "JPEG", icc_profile=profile, quality=95)


@pytest.mark.parametrize(
    ("name", "make", "result"),
    [
        ("deep.tif", deep_tiff, "deep.color.tif"),
        ("turned.jpg", turned_jpeg, "turned.color.jpg"),
        ("print.JPG", cmyk_jpeg, "print.color.JPG"),
        ("profile.jpeg", profiled_jpeg, "profile.color.jpeg"),
        ("web.webp", lambda: photograph("WebP"), "web.color.png"),
        ("no suffix", photograph, "no suffix.color.png"),
    ],
)
def test_every_kind_of_picture_comes_upright(
    tmp_path: Path,
    desk: PhotoDesk,
    options: ColorOptions,
    name: str,
    make: Callable[[], bytes],
    result: str,
) -> None:
    photo = desk.add(name, make())
    assert (photo["width"], photo["height"]) == (WIDTH, HEIGHT)
    assert np.abs(pixels(desk.image(photo["id"], "grey"))[..., 0] - scene()).mean() < 2
    path = desk.download(photo["id"])
    assert path.name == result
    source = tmp_path / name
    source.write_bytes(make())
    assert path.read_bytes() == colorize_photo(source, options=options).read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("notes.jpg", b"words", r"^notes\.jpg is not a picture; give a JPEG, PNG or TIFF$"),
        ("cut.png", photograph()[:500], r"^cut\.png is not a picture that can be read .*complete"),
        ("film.exr", b"\0" * 100, r"^film\.exr"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    tmp_path: Path, desk: PhotoDesk, name: str, data: bytes, expected: str
) -> None:
    with pytest.raises(FilmcolorError, match=expected) as caught:
        desk.add(name, data)
    assert str(tmp_path) not in str(caught.value)
    assert desk.photos() == {"photos": []}
    state = tmp_path / "state"
    assert not state.exists() or not list(state.iterdir())


@pytest.mark.parametrize("size", [(12_000, 9_000), (30_000, 30_000)])
def test_too_many_pixels_are_refused_before_they_are_read(
    desk: PhotoDesk, size: tuple[int, int]
) -> None:
    data = bytearray(encoded(Image.new("L", (8, 8))))
    data[16:24] = b"".join(side.to_bytes(4, "big") for side in size)  # IHDR
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(InputError, match=r"scan\.png has more than 100 megapixels"):
        desk.add("scan.png", bytes(data))


def test_a_full_desk_is_refused_in_words(desk: PhotoDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    data = photograph()
    desk.add("a.png", data)
    for limit, value, expected in (
        ("MAX_PHOTOS", 1, "holds 1 photographs"),
        ("MAX_TOTAL_BYTES", 2 * len(data) - 1, "no more fit; remove some"),
        ("MAX_PICTURE_BYTES", len(data) - 1, "colour it with: filmcolor photo"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(desk_module, limit, value)
            with pytest.raises(InputError, match=expected):
                desk.add("b.png", data)
    assert len(desk.photos()["photos"]) == 1


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\a\\b.png", "b.png"),
        (".hidden.png", "hidden.png"),
        ("a\nb\x00.png", "ab.png"),
        ("/", "photograph"),
    ],
)
def test_names_cannot_lead_out_of_the_folder(
    tmp_path: Path, desk: PhotoDesk, name: str, kept: str
) -> None:
    photo = desk.add(name, photograph())
    assert photo["name"] == kept
    folder = tmp_path / "state" / photo["id"]
    assert [path.name for path in (folder / "picture").iterdir()] == [kept]
    assert json.loads((folder / "photo.json").read_text(encoding="utf-8"))["name"] == kept
    assert desk.download(photo["id"]).is_file()
