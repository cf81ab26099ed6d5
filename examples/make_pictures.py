"""Draw strokes on a frame of the demo film, and show what becomes of them.

`hints/frame-000160.png` holds the strokes alone, as a paint program saves their layer;
`hints.jpg` shows the frame with the strokes, as it is coloured without them, and with them.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from filmcolor.chroma import SUBSAMPLING_444, ChromaPlan, add_chroma, rgb_picture
from filmcolor.frames import Part
from filmcolor.pipeline import Colorizer, Look
from filmcolor.probing import probe
from filmcolor.sheets import GAP, TEXT_HEIGHT, write_text

HERE = Path(__file__).parent
FILM, HINTS, SHOWN = HERE / "film.mp4", HERE / "hints" / "frame-000160.png", HERE / "hints.jpg"
NUMBER, SIZE = 160, (640, 480)
WIDTH = 400  # pixels of a picture that is shown
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
    ((128, 128, 128), ((520, 150), (515, 230))),  # the shuttle has no colour
    ((128, 128, 128), ((595, 80), (595, 220))),
)


def strokes() -> Image.Image:
    """Return the strokes, on transparency."""
    picture = Image.new("RGBA", SIZE)
    draw = ImageDraw.Draw(picture)
    for color, points in STROKES:
        draw.line(points, fill=(*color, 255), width=STROKE, joint="curve")
    return picture


def shown() -> Image.Image:
    """Return three pictures of the frame side by side, with captions."""
    info = probe(FILM)
    colorizer = Colorizer(Look(hints=(str(HINTS),)))
    direction = colorizer.look.direction(info)
    (reference,) = direction.references
    frames = colorizer.ab_frames(info, Part(NUMBER, NUMBER + 1), direction=direction)
    with closing(frames):
        frame = next(frames)
    coverage = reference.coverage[..., None]
    given = replace(frame, ab=frame.ab + coverage * (reference.ab - frame.ab))
    grey = replace(frame, ab=np.zeros_like(frame.ab))
    plan = ChromaPlan(info.coding, info.coding, SUBSAMPLING_444)

    def finished() -> Iterator[Image.Image]:
        for one in (grey, frame, given):
            rgb = rgb_picture(add_chroma(one, plan), info.coding)
            yield Image.fromarray(np.rint(rgb * 255.0).astype(np.uint8))

    drawn, automatic, directed = finished()
    drawn.paste(strokes(), mask=strokes())
    height = WIDTH * SIZE[1] // SIZE[0]
    sheet = Image.new("RGB", (3 * WIDTH + 2 * GAP, height + TEXT_HEIGHT), "white")
    for column, (picture, caption) in enumerate(
        ((drawn, "strokes"), (automatic, "automatic"), (directed, "with the strokes"))
    ):
        left = column * (WIDTH + GAP)
        sheet.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), (left, 0))
        write_text(sheet, (left + 2, height + 2), caption, WIDTH)
    return sheet


if __name__ == "__main__":
    HINTS.parent.mkdir(exist_ok=True)
    strokes().save(HINTS, optimize=True)
    shown().save(SHOWN, quality=82, optimize=True)
    print(f"{HINTS}\n{SHOWN}")
