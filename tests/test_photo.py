"""Stills: size, depth, orientation, format and luma are kept."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from filmcolor.errors import InputError, OutputError, WeightsError
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_photo, colorize_rgb

LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709-6, item 3.2: sRGB's too
ORIENTATION, ARTIST, EXIF_FOLDER, TAKEN = 0x0112, 0x013B, 0x8769, 0x9003  # EXIF tags
SIZE = (48, 32)

# how each EXIF orientation is set upright (CIPA DC-008, 4.6.5)
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.fixture(scope="module")
def colorizer(options: ColorOptions) -> Colorizer:
    return Colorizer(options)


def scene(size: tuple[int, int] = SIZE, depth: int = 8) -> np.ndarray:
    """Return a grey picture (H, W) whose four corners all differ."""
    picture = media.shoot(1, size, depth=depth, is_full_range=True, seed=5)[0].astype(np.float64)
    ramp = np.linspace(0.3, 1.0, size[0]) * np.linspace(0.5, 1.0, size[1])[:, None]
    return np.rint(picture * ramp).astype(np.uint8 if depth == 8 else np.uint16)


def pixels(path: Path) -> np.ndarray:
    """Return the R'G'B' code values of a written picture, read without filmcolor."""
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    if values.dtype == np.uint8:  # Pillow reads no 16-bit colour
        with Image.open(path) as image:
            assert image.mode == "RGB"
            return np.asarray(image)
    return values


def luma_of(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float64) @ LUMA


def assert_luma(path: Path, expected: np.ndarray, tolerance: float = 1.0) -> None:
    """Compare luma pixel by pixel, in code values; JPEG gets a wider tolerance."""
    luma = luma_of(pixels(path))
    assert luma.shape == expected.shape
    error = np.abs(luma - expected)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        assert error.mean() < 3, "more than JPEG's own loss"
    else:
        assert error.max() <= tolerance


def is_colored(rgb: np.ndarray) -> bool:
    """Return whether a picture has colour."""
    spread = rgb.astype(np.float64).max(axis=2) - rgb.min(axis=2)
    return bool(spread.max() > 0.05 * np.iinfo(rgb.dtype).max)


def exif_of(**tags: object) -> Image.Exif:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[{"orientation": ORIENTATION, "artist": ARTIST}[name]] = value
    return exif


def write_deep(path: Path, values: np.ndarray, orientation: int = 1, is_big: bool = False) -> Path:
    """Write 16-bit values (H, W) or R'G'B' (H, W, 3) as a PNG or TIFF with an orientation."""
    if path.suffix == ".tif":
        kind = "rgb" if values.ndim == 3 else "minisblack"
        tag = (ORIENTATION, "H", 1, orientation, True)
        tifffile.imwrite(path, values, photometric=kind, extratags=[tag], bigtiff=is_big)
        return path
    data = cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()
    exif = exif_of(orientation=orientation).tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    end_of_header = 8 + 12 + 13  # the signature, then IHDR
    path.write_bytes(data[:end_of_header] + chunk + data[end_of_header:])
    return path


# ---------------------------------------------------------------- format and depth


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".png", "PNG"),
        (".tif", "TIFF"),
        (".tiff", "TIFF"),
        (".jpg", "JPEG"),
        (".jpeg", "JPEG"),
        (".JPG", "JPEG"),
    ],
)
def test_a_grey_picture_gets_colour_and_keeps_its_luma_and_format(
    tmp_path: Path, colorizer: Colorizer, suffix: str, kind: str
) -> None:
    source = tmp_path / f"aunt.v2{suffix}"
    Image.fromarray(scene()).save(source, quality=95)
    before = source.read_bytes()

    path = colorize_photo(source, colorizer=colorizer)

    assert path == tmp_path / f"aunt.v2.color{suffix}"
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == (kind, "RGB", SIZE)
    assert is_colored(pixels(path))
    assert_luma(path, scene())
    assert source.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {source.name, path.name}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("is_rgb", [False, True], ids=["grey", "rgb"])
def test_16_bits_stay_16_bits_within_one_code_value(
    tmp_path: Path, colorizer: Colorizer, suffix: str, is_rgb: bool
) -> None:
    values = scene(depth=16)
    expected = values.astype(np.float64)
    if is_rgb:  # a colour scan: only its luma counts
        values = np.dstack([values, np.roll(values, 3, axis=1), values // 2])
        expected = luma_of(values)
    path = colorize_photo(write_deep(tmp_path / f"deep{suffix}", values), colorizer=colorizer)

    assert pixels(path).dtype == np.uint16
    assert is_colored(pixels(path))
    assert_luma(path, expected)


def test_16_bits_hold_more_shades_than_8_can(tmp_path: Path, colorizer: Colorizer) -> None:
    ramp = np.tile(np.linspace(20_000, 22_000, 64).round().astype(np.uint16), (16, 1))
    path = colorize_photo(write_deep(tmp_path / "ramp.png", ramp), colorizer=colorizer)
    assert len(np.unique(luma_of(pixels(path))[0].round())) == 64


def test_16_bits_are_not_silently_lost_to_jpeg(tmp_path: Path, colorizer: Colorizer) -> None:
    source = write_deep(tmp_path / "deep.png", scene(depth=16))
    with pytest.raises(OutputError, match=r"lose the 16 bits .* \.png or \.tif"):
        colorize_photo(source, tmp_path / "deep.jpg", colorizer=colorizer)
    assert [p.name for p in tmp_path.iterdir()] == ["deep.png"]


def test_another_format_is_what_the_name_says(tmp_path: Path, colorizer: Colorizer) -> None:
    source = tmp_path / "scan.tif"
    Image.fromarray(scene()).save(source)
    path = colorize_photo(source, tmp_path / "web.png", colorizer=colorizer)
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert_luma(path, scene())


def test_a_tiled_tiff_becomes_a_tiff_that_others_can_read(
    tmp_path: Path, colorizer: Colorizer
) -> None:
    source = tmp_path / "tiled.tif"
    tifffile.imwrite(source, scene((80, 64)), photometric="minisblack", tile=(32, 32))
    path = colorize_photo(source, colorizer=colorizer)
    assert_luma(path, scene((80, 64)))
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), pixels(path))


def test_only_the_luma_of_a_colour_picture_counts(colorizer: Colorizer) -> None:
    grey = scene()
    luma = np.repeat(grey[..., None], 3, axis=2)
    tint = np.array([40, 0, 0]) - 40 * LUMA[0]  # moves the colour, not the luma
    tinted = np.clip(grey[..., None].clip(60, 190) + tint, 0, 255)
    same_luma = np.repeat(grey.clip(60, 190)[..., None], 3, axis=2)
    result, expected = (
        colorize_rgb(np.rint(p).astype(np.uint8), colorizer).astype(int)
        for p in (tinted, same_luma)
    )
    assert np.abs(result - expected).max() <= 12  # rounded luma moves the network a little
    assert np.abs(result - expected).mean() < 2
    assert np.abs(luma_of(colorize_rgb(luma, colorizer)) - grey).max() <= 1


# ---------------------------------------------------------------- options


def test_options_are_those_of_a_colorizer(
    tmp_path: Path, options: ColorOptions, colorizer: Colorizer
) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(scene()).save(source)
    shared = colorize_photo(source, tmp_path / "shared.png", colorizer=colorizer)
    by_options = colorize_photo(source, tmp_path / "options.png", options=options)
    assert np.array_equal(pixels(by_options), pixels(shared))
    assert_luma(by_options, scene())

    warm = replace(options, warmth=0.8)
    graded = colorize_photo(source, tmp_path / "warm.png", options=warm)
    expected = colorize_photo(source, tmp_path / "expected.png", colorizer=Colorizer(warm))
    assert np.array_equal(pixels(graded), pixels(expected))
    assert not np.array_equal(pixels(graded), pixels(shared))
    gray = colorize_photo(source, tmp_path / "gray.png", options=replace(options, saturation=0.0))
    assert not is_colored(pixels(gray))


def test_options_are_keywords(tmp_path: Path, options: ColorOptions) -> None:
    with pytest.raises(TypeError, match="positional"):
        colorize_photo(tmp_path / "a.png", tmp_path / "b.png", options)  # type: ignore[misc]


def test_unknown_weights_of_a_still_are_refused(tmp_path: Path, options: ColorOptions) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(scene()).save(source)
    with pytest.raises(WeightsError, match="no weights 'sepia'"):
        colorize_photo(source, options=replace(options, weights="sepia"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_8_bit_pictures_come_out_upright(
    tmp_path: Path, colorizer: Colorizer, suffix: str, orientation: int
) -> None:
    source = tmp_path / f"turned{suffix}"
    Image.fromarray(scene()).save(source, exif=exif_of(orientation=orientation), quality=98)
    with source.open("rb") as file, Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(float)
    assert np.abs(expected - UPRIGHT[orientation](scene())).max() < 16

    path = colorize_photo(source, colorizer=colorizer)

    assert_luma(path, expected)
    with Image.open(path) as image:  # so no viewer turns it again
        assert image.getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("is_rgb", [False, True], ids=["grey", "rgb"])
def test_16_bit_pictures_come_out_upright(
    tmp_path: Path, colorizer: Colorizer, is_rgb: bool, suffix: str, orientation: int
) -> None:
    values = scene(depth=16)
    if is_rgb:
        values = np.dstack([values, values, values // 2])
    source = write_deep(tmp_path / f"turned{suffix}", values, orientation)
    upright = UPRIGHT[orientation](values)
    if not is_rgb:  # Pillow reads no 16-bit colour
        with source.open("rb") as file, Image.open(file) as image:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), upright)

    path = colorize_photo(source, colorizer=colorizer)

    assert_luma(path, luma_of(upright) if is_rgb else upright.astype(float))
    with Image.open(path) as image:
        assert image.getexif().get(ORIENTATION, 1) == 1


def test_a_bigtiff_comes_out_upright(tmp_path: Path, colorizer: Colorizer) -> None:
    values = scene(depth=16)
    source = write_deep(tmp_path / "turned.tif", values, 6, is_big=True)
    path = colorize_photo(source, colorizer=colorizer)
    assert_luma(path, UPRIGHT[6](values).astype(float))


# ---------------------------------------------------------------- metadata


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_and_resolution_are_kept(tmp_path: Path, colorizer: Colorizer, suffix: str) -> None:
    source = tmp_path / f"signed{suffix}"
    exif = exif_of(orientation=6, artist="Lumiere")
    exif[EXIF_FOLDER] = {TAKEN: "1895:03:19 12:00:00"}
    Image.fromarray(scene()).save(source, exif=exif.tobytes(), dpi=(300, 300))
    with Image.open(colorize_photo(source, colorizer=colorizer)) as image:
        assert image.getexif()[ARTIST] == "Lumiere"
        assert image.getexif().get_ifd(EXIF_FOLDER) == {TAKEN: "1895:03:19 12:00:00"}
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def swapped_profile() -> bytes:
    """Return sRGB's ICC profile with red and blue exchanged: another valid colour space."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    table_end = 132 + 12 * struct.unpack(">I", profile[128:132])[0]
    table = profile[128:table_end].replace(b"rXYZ", b"????")
    table = table.replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    return profile[:128] + table + profile[table_end:]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_an_icc_profile_is_converted_to_srgb(
    tmp_path: Path, colorizer: Colorizer, suffix: str
) -> None:
    source = tmp_path / f"profiled{suffix}"
    red = Image.new("RGB", SIZE, (200, 0, 0))
    red.save(source, icc_profile=swapped_profile(), quality=98)

    path = colorize_photo(source, colorizer=colorizer)

    assert_luma(path, np.full(SIZE[::-1], 200 * LUMA[2]), 4.0)  # in this profile it is blue
    with Image.open(path) as image:
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_broken_icc_profile_does_not_stop_a_picture(tmp_path: Path, colorizer: Colorizer) -> None:
    source = tmp_path / "odd.png"
    Image.fromarray(scene()).save(source, icc_profile=b"no profile at all")
    assert_luma(colorize_photo(source, colorizer=colorizer), scene())


# ---------------------------------------------------------------- other kinds of pixels


def kinds() -> dict[str, tuple[Image.Image, str, np.ndarray]]:
    """Return name: (picture, suffix, its luma on a white background)."""
    grey = scene()
    half = np.full(grey.shape, 128, np.uint8)
    on_paper = grey * (128 / 255) + 255 * (127 / 255)
    bilevel = np.where(grey > 100, 255, 0).astype(np.uint8)
    reds = np.dstack([grey, np.zeros_like(grey), np.zeros_like(grey)])
    palette = Image.fromarray(grey // 64)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255])
    clear = palette.copy()
    clear.info["transparency"] = 1  # red becomes white
    shades = np.array([0, 255 * LUMA[0], 255 * LUMA[1], 255])
    on_clear = np.array([0, 255, 255 * LUMA[1], 255])
    cmyk = Image.merge("CMYK", [Image.fromarray(255 - grey)] * 3 + [Image.new("L", SIZE)])
    return {
        "palette": (palette, ".png", shades[grey // 64]),
        "palette with a clear colour": (clear, ".png", on_clear[grey // 64]),
        "grey with alpha": (
            Image.merge("LA", [*map(Image.fromarray, (grey, half))]),
            ".png",
            on_paper,
        ),
        "colour with alpha": (
            Image.fromarray(np.dstack([grey, grey, grey, half])),
            ".png",
            on_paper,
        ),
        "colour with alpha, TIFF": (
            Image.fromarray(np.dstack([grey, grey, grey, half])),
            ".tif",
            on_paper,
        ),
        "1-bit": (Image.fromarray(bilevel).convert("1"), ".png", bilevel.astype(float)),
        "1-bit, TIFF": (Image.fromarray(bilevel).convert("1"), ".tif", bilevel.astype(float)),
        "CMYK, TIFF": (cmyk, ".tif", grey.astype(float)),
        "CMYK, JPEG": (cmyk, ".jpg", grey.astype(float)),
        "red only": (Image.fromarray(reds), ".png", grey * LUMA[0]),
    }


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_kind_of_pixels_shows_its_own_luma(
    tmp_path: Path, colorizer: Colorizer, kind: str
) -> None:
    picture, suffix, expected = kinds()[kind]
    source = tmp_path / f"kind{suffix}"
    picture.save(source, quality=98)
    path = colorize_photo(source, colorizer=colorizer)
    with Image.open(path) as image:
        assert image.mode == "RGB"
    assert_luma(path, expected, 1.6)


def test_16_bit_alpha_has_a_white_background_too(tmp_path: Path, colorizer: Colorizer) -> None:
    grey = scene(depth=16)
    half = np.full_like(grey, 32768)
    source = tmp_path / "clear.png"
    cv2.imwrite(str(source), np.dstack([grey, grey, grey, half]))
    path = colorize_photo(source, colorizer=colorizer)
    assert pixels(path).dtype == np.uint16
    assert_luma(path, grey * (32768 / 65535) + 32767.0, 2.0)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 7), (7, 5), (33, 47), (201, 3)])
@pytest.mark.parametrize("depth", [8, 16])
def test_odd_and_tiny_sizes_are_kept(
    tmp_path: Path, colorizer: Colorizer, size: tuple[int, int], depth: int
) -> None:
    values = scene(size, depth)
    source = tmp_path / "small.png"
    cv2.imwrite(str(source), values)
    assert_luma(colorize_photo(source, colorizer=colorizer), values.astype(float))


# ---------------------------------------------------------------- errors


def cut_short(suffix: str) -> bytes:
    return cv2.imencode(suffix, scene((160, 120)))[1].tobytes()[:900]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"not a picture, only words"),
        ("notes.jpg", b"not a picture, only words"),
        ("empty.png", b""),
        ("short.jpg", cut_short(".jpg")),
        ("short.png", cut_short(".png")),
        ("short.tif", cut_short(".tif")),
    ],
)
def test_what_is_no_picture_is_an_input_error(
    tmp_path: Path, colorizer: Colorizer, name: str, content: bytes
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is not a picture") as caught:
        colorize_photo(source, colorizer=colorizer)
    assert len(str(caught.value).splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_short_16_bit_pictures_are_input_errors(tmp_path: Path, colorizer: Colorizer) -> None:
    for suffix in (".png", ".tif"):
        source = write_deep(tmp_path / f"short{suffix}", scene((160, 120), depth=16))
        source.write_bytes(source.read_bytes()[:9000])
        with pytest.raises(InputError, match=f"short{suffix}"):
            colorize_photo(source, colorizer=colorizer)


def test_pixels_that_are_no_rgb_are_an_input_error(tmp_path: Path, colorizer: Colorizer) -> None:
    source = tmp_path / "heights.tif"
    tifffile.imwrite(source, scene().astype(np.float32))
    with pytest.raises(InputError, match=r"heights\.tif: its kind of pixels is not known"):
        colorize_photo(source, colorizer=colorizer)


def test_a_missing_picture_and_a_folder_are_input_errors(
    tmp_path: Path, colorizer: Colorizer
) -> None:
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        colorize_photo(tmp_path / "gone.jpg", colorizer=colorizer)
    (tmp_path / "album.jpg").mkdir()
    with pytest.raises(InputError, match=r"album\.jpg is a folder"):
        colorize_photo(tmp_path / "album.jpg", colorizer=colorizer)


def test_an_output_is_replaced_only_when_forced(tmp_path: Path, colorizer: Colorizer) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(scene()).save(source)
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"b\.png exists"):
        colorize_photo(source, target, colorizer=colorizer)
    assert target.read_bytes() == b"precious"
    assert colorize_photo(source, target, colorizer=colorizer, force=True) == target
    assert_luma(target, scene())


def test_a_picture_never_replaces_itself(tmp_path: Path, colorizer: Colorizer) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(scene()).save(source)
    with pytest.raises(OutputError, match=r"a\.png is the"):
        colorize_photo(source, source, colorizer=colorizer, force=True)


def test_where_a_picture_cannot_go_is_an_output_error(tmp_path: Path, colorizer: Colorizer) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(scene()).save(source)
    for target, expected in (
        (tmp_path / "missing" / "a.png", "missing is no folder"),
        (tmp_path / "a.gif", r"a\.gif: name the result"),
    ):
        with pytest.raises(OutputError, match=expected):
            colorize_photo(source, target, colorizer=colorizer)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
