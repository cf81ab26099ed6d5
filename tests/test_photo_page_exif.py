"""EXIF of a photograph in the page's results: made and read by Pillow, carried by JavaScript."""

import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import photo_page_browser
import pytest
from photo_page_arrays import SITE, JavaScript
from PIL import ExifTags, Image
from stills import colorful

pytestmark = pytest.mark.slow

SIZE = 48, 32  # pixels of the source as stored
RESULT = 32, 48  # pixels of the result, which is upright
ORIENTATION, WIDTH, COLOR_SPACE = 0x0112, 0x0100, 0xA001
PIXEL_SIZE = 0xA002, 0xA003
DATE, MAKER_NOTE = 0x9003, 0x927C
ROTATED, UNCALIBRATED = 6, 0xFFFF
EXIF, GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
CAMERA = {0x010F: "Leica", 0x0110: "M3", 0x010E: "Grandmother, and the dog"}
PHOTOGRAPH = {DATE: "1931:05:17 10:30:00", MAKER_NOTE: b"\0\1maker's own\0" * 9}
PLACE = {1: "N", 2: (48.0, 12.0, 30.5), 3: "E", 4: (16.0, 22.0, 15.25)}
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
KINDS = pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
CARRY = """
const exif = readExif(source);
return { exif, result: exif ? withExif(result, exif, size) : result };
"""


@pytest.fixture(scope="module")
def javascript() -> Iterator[JavaScript]:
    with photo_page_browser.browser() as chromium, photo_page_browser.serve(SITE) as root:
        page = chromium.new_page()
        page.goto(f"{root}/licenses/filmcolor.txt")  # a page of the site without scripts
        yield JavaScript(page)


def exif_of(order: str) -> Image.Exif:
    """Return what a camera notes that was held upright."""
    exif = Image.Exif()
    exif.endian = order
    exif[ORIENTATION] = ROTATED
    exif[WIDTH], exif[WIDTH + 1] = SIZE
    for tag, value in CAMERA.items():
        exif[tag] = value
    sizes = dict(zip(PIXEL_SIZE, SIZE, strict=True))
    exif.get_ifd(EXIF).update({**PHOTOGRAPH, **sizes, COLOR_SPACE: UNCALIBRATED})
    exif.get_ifd(GPS).update(PLACE)
    return exif


def with_thumbnail(block: bytes, thumbnail: bytes, behind: bytes = b"") -> bytes:
    """Return a TIFF with a second folder that has a thumbnail, as cameras write it."""
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", block, 4)
    (num,) = struct.unpack_from(f"{order}H", block, first)
    link = first + 2 + 12 * num
    block += b"\0" * (len(block) % 2)
    start = len(block) + 2 + 3 * 12 + 4
    entries = (0x0103, 3, 6), (0x0201, 4, start), (0x0202, 4, len(thumbnail))
    folder = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        # a value of two bytes comes first in its four
        packed = struct.pack(f"{order}H2x" if kind == 3 else f"{order}I", value)
        folder += struct.pack(f"{order}HHI", tag, kind, 1) + packed
    linked = block[:link] + struct.pack(f"{order}I", len(block)) + block[link + 4 :]
    return linked + folder + struct.pack(f"{order}I", 0) + thumbnail + behind


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff_of(exif: Image.Exif) -> bytes:
    return exif.tobytes().removeprefix(b"Exif\0\0")


def carried(javascript: JavaScript, source: bytes, result: bytes) -> tuple[Any, bytes]:
    """Return the EXIF that the page finds in a source, and the result that it makes."""
    arrays = {"source": source, "result": result}
    answer = javascript.call(
        "exif",
        CARRY,
        **{name: np.frombuffer(data, np.uint8) for name, data in arrays.items()},
        size={"width": RESULT[0], "height": RESULT[1]},
    )
    return answer["exif"], answer["result"].tobytes()


def plain(kind: str) -> bytes:
    """Return a result without EXIF."""
    return saved(colorful(1, RESULT), kind)


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


def read(data: bytes) -> Image.Exif:
    """Return the EXIF of a picture; raises an exception for what Pillow finds wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            exif = image.getexif()
            for folder in (EXIF, GPS, ExifTags.IFD.IFD1):
                exif.get_ifd(folder)
            return exif


@ORDERS
@KINDS
@pytest.mark.parametrize("target", ["jpeg", "png"])
def test_what_the_camera_noted_stays(
    javascript: JavaScript, order: str, kind: str, target: str
) -> None:
    thumbnail = saved(colorful(2, (16, 12)), "jpeg")
    block = with_thumbnail(tiff_of(exif_of(order)), thumbnail)
    source = saved(colorful(0, SIZE), kind, exif=b"Exif\0\0" + block)
    with Image.open(io.BytesIO(source)) as image:  # the source is what a camera writes
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(thumbnail)
    _, result = carried(javascript, source, plain(target))
    exif = read(result)
    assert {tag: exif[tag] for tag in CAMERA} == CAMERA
    folder = exif.get_ifd(EXIF)
    assert {tag: folder[tag] for tag in PHOTOGRAPH} == PHOTOGRAPH
    assert exif.get_ifd(GPS) == PLACE
    start = result.index(block[:4])  # makers' own tags hold offsets from here: nothing moves
    assert result.index(PHOTOGRAPH[MAKER_NOTE]) - start == block.index(PHOTOGRAPH[MAKER_NOTE])
    # what is true of the source only
    assert exif[ORIENTATION] == 1
    assert (exif[WIDTH], exif[WIDTH + 1]) == tuple(folder[tag] for tag in PIXEL_SIZE) == RESULT
    assert folder[COLOR_SPACE] == 1
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {}
    assert thumbnail not in result
    assert len(result) < len(plain(target)) + len(block) - len(thumbnail) + 32
    np.testing.assert_array_equal(pixels(result), pixels(plain(target)))


def test_a_thumbnail_before_other_bytes_is_overwritten(javascript: JavaScript) -> None:
    thumbnail = saved(colorful(2, (16, 12)), "jpeg")
    block = with_thumbnail(tiff_of(exif_of("<")), thumbnail, behind=b"more of the maker")
    source = saved(colorful(0, SIZE), "jpeg", exif=b"Exif\0\0" + block)
    _, result = carried(javascript, source, plain("jpeg"))
    assert read(result)[0x010F] == "Leica"
    assert b"more of the maker" in result
    assert thumbnail not in result


@KINDS
def test_a_source_without_exif_gives_a_result_without(javascript: JavaScript, kind: str) -> None:
    exif, result = carried(javascript, saved(colorful(0, SIZE), kind), plain("jpeg"))
    assert exif is None
    assert result == plain("jpeg")


def test_exif_after_the_pixels_of_a_png_is_found(javascript: JavaScript) -> None:
    picture = saved(colorful(0, SIZE), "png", exif=exif_of(">"))
    start = picture.index(b"eXIf") - 4  # its length
    stop = start + 4 + 4 + len(tiff_of(exif_of(">"))) + 4  # and name, content, checksum
    end = picture.index(b"IEND") - 4
    source = picture[:start] + picture[stop:end] + picture[start:stop] + picture[end:]
    assert source.index(b"IDAT") < source.index(b"eXIf")
    assert read(source)[0x010F] == "Leica"
    _, result = carried(javascript, source, plain("png"))
    assert read(result)[0x010F] == "Leica"
    assert result.index(b"eXIf") < result.index(b"IDAT")


def test_exif_behind_a_chunk_of_odd_length_of_a_webp_is_found(javascript: JavaScript) -> None:
    profile = b"a profile of odd length"
    source = saved(colorful(0, SIZE), "webp", exif=exif_of("<"), icc_profile=profile)
    assert len(profile) % 2 == 1
    assert source.index(profile) < source.index(b"EXIF")
    _, result = carried(javascript, source, plain("jpeg"))
    assert read(result)[0x010F] == "Leica"


# Pillow reads what is spoiled, too
@pytest.mark.filterwarnings("ignore:Tag data larger than file", "ignore:Truncated File Read")
@ORDERS
def test_a_malformed_block_breaks_no_picture(javascript: JavaScript, order: str) -> None:
    """Whatever a source holds, the result is a picture with the same pixels."""
    block = with_thumbnail(tiff_of(exif_of(order)), saved(colorful(2, (16, 12)), "jpeg"))
    rng = np.random.default_rng(0)
    blocks = [block[:length] for length in range(0, len(block), 23)]  # cut off
    for _ in range(60):
        spoiled = np.frombuffer(block, np.uint8).copy()
        places = rng.integers(0, min(200, len(block)), 6)
        spoiled[places] = rng.integers(0, 256, len(places))
        blocks.append(spoiled.tobytes())
    looped = bytearray(block)  # the folder that is next is the folder itself
    (first,) = struct.unpack_from(f"{order}I", block, 4)
    (num,) = struct.unpack_from(f"{order}H", block, first)
    struct.pack_into(f"{order}I", looped, first + 2 + 12 * num, first)
    blocks.append(bytes(looped))
    for target in ("jpeg", "png"):
        results = javascript.call(
            "exif",
            "return blocks.map((block) => withExif(result, block, size));",
            blocks=[np.frombuffer(each, np.uint8) for each in blocks],
            result=np.frombuffer(plain(target), np.uint8),
            size={"width": RESULT[0], "height": RESULT[1]},
        )
        for result in results:
            np.testing.assert_array_equal(pixels(result.tobytes()), pixels(plain(target)))
        assert results[0].tobytes() == plain(target)  # of an empty block there is nothing to keep


def test_files_that_are_cut_off_have_no_exif(javascript: JavaScript) -> None:
    sources = [
        saved(colorful(0, SIZE), kind, exif=exif_of("<")) for kind in ("jpeg", "png", "webp")
    ]
    lengths = [[*range(60), len(source) // 3] for source in sources]
    files = [s[:length] for s, all_ in zip(sources, lengths, strict=True) for length in all_]
    found = javascript.call(
        "exif",
        "return files.map((file) => readExif(file));",
        files=[np.frombuffer(file, np.uint8) for file in files],
    )
    assert found[:60] == [None] * 60
    # what is found is whole
    whole = {tiff_of(exif_of("<"))}
    assert {block.tobytes() for block in found if block is not None} <= whole


def test_a_block_that_no_jpeg_segment_holds_is_left_out(javascript: JavaScript) -> None:
    exif = exif_of("<")
    exif[0x010E] = "x" * 70_000
    source = saved(colorful(0, SIZE), "png", exif=exif)
    _, result = carried(javascript, source, plain("jpeg"))
    assert result == plain("jpeg")
    _, result = carried(javascript, source, plain("png"))
    assert read(result)[0x010E] == exif[0x010E]
