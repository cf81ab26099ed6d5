"""Make the pictures of the documents.

`before-after.jpg`: photographs aged like old film, the colours that filmcolor gives them, and their
true colours.
`hints/frame-000160.png`: strokes for a frame of the demo film, as a paint program saves a layer.
`hints.jpg`: the frame with the strokes, its automatic colours, and its colours with the strokes.

The photographs ship with packages (`CREDITS`), so nothing is downloaded. matplotlib and
scikit-learn, which carry two of them, belong to the `dev` extra.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage import data
from sklearn.datasets import load_sample_image

from filmcolor.color.chroma import rgb_picture
from filmcolor.images.sheet import GAP, TEXT_HEIGHT, write_text
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_rgb
from filmcolor.train.data.film_stock import luma_and_ab, simulate_film_stock
from filmcolor.types.film import Part
from filmcolor.types.frames import ColorFrame, Picture
from filmcolor.types.yuv import SUBSAMPLING_444
from filmcolor.video.probe import probe

FOLDER = Path(__file__).parent
FILM = FOLDER / "film.mp4"
HINTS = FOLDER / "hints" / "frame-000160.png"
HINTS_SHEET = FOLDER / "hints.jpg"
BEFORE_AFTER = FOLDER / "before-after.jpg"

CREDITS = {
    "astronaut": "Eileen Collins; NASA Great Images; public domain; from scikit-image",
    "hopper": "Grace Hopper; James S. Davis, US Navy; public domain; from matplotlib",
    "china": "Summer Palace, Beijing; danielbuechele (Flickr); CC BY 2.0; from scikit-learn",
}
STOCK_SEED = 2  # a print of good contrast: others are darker, paler or blurred
PHOTO_SIZE = (256, 240)  # (width, height), pixels

NUMBER = 160  # of the frame with the strokes
SIZE = (640, 480)  # (width, height) of the demo film, pixels
WIDTH = 400  # pixels of a picture on the sheet
STROKE = 9  # pixels

# (R'G'B', points): what a hand would draw in half a minute
STROKES = (
    ((214, 98, 32), ((90, 330), (60, 430))),  # the suit
    ((214, 98, 32), ((140, 360), (220, 430), (290, 390))),
    ((214, 98, 32), ((420, 350), (440, 430))),
    ((120, 150, 185), ((120, 40), (150, 180))),  # the backdrop
    ((120, 150, 185), ((420, 60), (440, 260))),
    ((40, 50, 110), ((15, 100), (50, 90))),  # the flag
    ((170, 40, 45), ((20, 190), (80, 270))),
    ((170, 40, 45), ((4, 350), (22, 400))),
    ((128, 128, 128), ((12, 220), (50, 300))),
    ((150, 75, 40), ((550, 20), (555, 90))),  # the tank
    ((128, 128, 128), ((520, 150), (515, 230))),  # the shuttle is neutral
    ((128, 128, 128), ((595, 80), (595, 220))),
)


def photographs() -> dict[str, Picture]:
    """Return the photographs of `CREDITS` in their true colours."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return {
        "astronaut": data.astronaut(),
        "hopper": np.asarray(Image.open(hopper).convert("RGB")),
        "china": load_sample_image("china.jpg"),
    }


def old_film(picture: Picture) -> Picture:
    """Return a photograph as old black-and-white film would show it: grey, with grain."""
    pictures = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    luma, _ = luma_and_ab(pictures)
    generator = torch.Generator().manual_seed(STOCK_SEED)
    aged = simulate_film_stock(pictures, luma, generator, share=1.0)[0, 0].numpy()
    return np.dstack([np.rint(aged * 255.0).astype(np.uint8)] * 3)


def before_after() -> Image.Image:
    """Return a row for each photograph: as old film, coloured with default options, and true."""
    colorizer = Colorizer()
    rows = []
    for photograph in photographs().values():
        before = old_film(photograph)
        pictures = {
            "as old film": before,
            "coloured by filmcolor": colorize_rgb(before, colorizer),
            "true colours": photograph,
        }
        rows.append(_row([(_cropped(Image.fromarray(p)), text) for text, p in pictures.items()]))
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * row.height))
    return sheet


def strokes() -> Image.Image:
    """Return the strokes, on transparency."""
    picture = Image.new("RGBA", SIZE)
    draw = ImageDraw.Draw(picture)
    for color, points in STROKES:
        draw.line(points, fill=(*color, 255), width=STROKE, joint="curve")
    return picture


def hints_sheet() -> Image.Image:
    """Return the frame with the strokes, its automatic colours, and its colours with them."""
    automatic, guided = _frame(ColorOptions()), _frame(ColorOptions(hints=(str(HINTS),)))
    neutral = np.full_like(automatic.cb, probe(FILM).coding.chroma_offset)
    drawn = _picture(replace(automatic, cb=neutral, cr=neutral))
    drawn.paste(strokes(), mask=strokes())
    size = (WIDTH, WIDTH * SIZE[1] // SIZE[0])
    pictures = [
        picture.resize(size, Image.Resampling.LANCZOS)
        for picture in (drawn, _picture(automatic), _picture(guided))
    ]
    return _row(list(zip(pictures, ("strokes", "automatic", "with the strokes"), strict=True)))


def _frame(options: ColorOptions) -> ColorFrame:
    """Return the frame with the strokes as a run with these options colours it."""
    part = Part(NUMBER, NUMBER + 1)
    colored = Colorizer(options).frames(probe(FILM), part, subsampling=SUBSAMPLING_444)
    with closing(colored):
        return next(colored)


def _picture(frame: ColorFrame) -> Image.Image:
    rgb = rgb_picture(frame, probe(FILM).coding)
    return Image.fromarray(np.rint(rgb * 255.0).astype(np.uint8))


def _cropped(picture: Image.Image) -> Image.Image:
    """Return the largest upper, centred part of a picture in the shape of PHOTO_SIZE, resized."""
    width, height = PHOTO_SIZE
    scale = min(picture.width / width, picture.height / height)
    left = (picture.width - scale * width) / 2
    box = (left, 0, left + scale * width, scale * height)
    return picture.resize(PHOTO_SIZE, Image.Resampling.LANCZOS, box)


def _row(pictures: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Return pictures of one size side by side, each with its caption below."""
    width, height = pictures[0][0].size
    sheet_width = len(pictures) * (width + GAP) - GAP
    sheet = Image.new("RGB", (sheet_width, height + TEXT_HEIGHT), "white")
    for column, (picture, caption) in enumerate(pictures):
        left = column * (width + GAP)
        sheet.paste(picture, (left, 0))
        write_text(sheet, (left + 2, height + 2), caption, width)
    return sheet


if __name__ == "__main__":
    HINTS.parent.mkdir(exist_ok=True)
    strokes().save(HINTS, optimize=True)
    hints_sheet().save(HINTS_SHEET, quality=82, optimize=True)
    before_after().save(BEFORE_AFTER, quality=82, optimize=True)
    print(HINTS, HINTS_SHEET, BEFORE_AFTER, sep="\n")
