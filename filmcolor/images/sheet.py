"""Sheets: pictures with captions on one PNG."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, check_target

GAP = 8  # pixels around pictures
TEXT_HEIGHT = 22  # pixels of a line


def check_sheet(target: Path, source: Path, force: bool) -> None:
    """Raise OutputError when a contact sheet of `source` cannot be written as `target`."""
    if target.suffix.lower() != ".png":
        raise OutputError(f"{target}: a contact sheet is a PNG; name it .png")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it first")
    check_target(target, source, force)


def save_sheet(sheet: Image.Image, target: Path) -> None:
    """Write a PNG, whole or not at all; raises OutputError when that is not possible."""
    with atomic_write(target) as partial:
        sheet.save(partial, format="PNG")


def lay_out_rows(
    rows: Sequence[tuple[str, Sequence[Image.Image]]], captions: Sequence[str]
) -> Image.Image:
    """Return a sheet of rows, each (title, pictures), with a caption below each column.

    All rows show the same pictures in the same order, of any size.
    """
    pictures = [picture for _, row in rows for picture in row]
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    size = (
        len(captions) * (width + GAP) + GAP,
        len(rows) * (TEXT_HEIGHT + height + GAP) + GAP + TEXT_HEIGHT,
    )
    sheet = Image.new("RGB", size, "white")
    for number, (title, row) in enumerate(rows):
        top = GAP + number * (TEXT_HEIGHT + height + GAP)
        write_text(sheet, (GAP, top), title, size[0] - 2 * GAP)
        for column, picture in enumerate(row):
            left = GAP + column * (width + GAP) + (width - picture.width) // 2
            sheet.paste(picture, (left, top + TEXT_HEIGHT + (height - picture.height) // 2))
    for column, caption in enumerate(captions):
        place = GAP + column * (width + GAP), size[1] - GAP - TEXT_HEIGHT
        write_text(sheet, place, caption, width)
    return sheet


def write_text(sheet: Image.Image, place: tuple[int, int], text: str, width: int) -> None:
    """Write a line of text at (left, top), its beginning left out where it is too long."""
    font = ImageFont.load_default(size=14)
    kept = text
    while font.getlength(kept) > width and len(text) > 1:
        text = text[1:]
        kept = f"…{text}"
    ImageDraw.Draw(sheet).text(place, kept, fill="black", font=font)
