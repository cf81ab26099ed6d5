"""Sheets: several pictures with captions on one PNG.

The only home of layout, captions, and the checks on where a sheet may be written.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, check_target

GAP = 8  # pixels around pictures
TEXT_HEIGHT = 22  # pixels of a line
_TEXT_SIZE = 14  # pixels


def check_sheet(target: Path, source: Path, force: bool) -> None:
    """Raise OutputError when a sheet or plot of `source` cannot be written as `target`."""
    if target.suffix.lower() != ".png":
        raise OutputError(f"{target}: sheets and plots are PNGs; name it .png")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it first")
    check_target(target, source, force)


def save_sheet(sheet: Image.Image, target: Path) -> None:
    """Write a PNG, whole or not at all; raises OutputError when that is impossible."""
    with atomic_write(target) as partial:
        sheet.save(partial, format="PNG")


def choose_evenly(total: int, num: int) -> list[int]:
    """Return at most `num` of the numbers 0 to total - 1: the middles of as many equal parts."""
    num = min(num, total)
    return [total * (2 * i + 1) // (2 * num) for i in range(num)]


def place_side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures of one height in a row, with gaps between them."""
    width = sum(picture.width + GAP for picture in pictures) - GAP
    row = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def add_caption(
    picture: Image.Image, caption: str, *, min_width: int = 0, indent: int = 0
) -> Image.Image:
    """Return a picture with a line of text below it, at least `min_width` pixels wide."""
    width = max(picture.width, min_width)
    cell = Image.new("RGB", (width, picture.height + TEXT_HEIGHT), "white")
    cell.paste(picture, (0, 0))
    write_text(cell, (indent, picture.height + 2), caption, width - indent)
    return cell


def arrange_grid(
    cells: Sequence[Image.Image], num_columns: int, *, column_gap: int = GAP, title: str = ""
) -> Image.Image:
    """Return a sheet of cells of one size, left to right and then down, below a title if any."""
    width, height = cells[0].width + column_gap, cells[0].height + GAP
    top = GAP + (TEXT_HEIGHT if title else 0)
    num_rows = -(-len(cells) // num_columns)
    sheet = Image.new("RGB", (num_columns * width + GAP, num_rows * height + top), "white")
    if title:
        write_text(sheet, (GAP, GAP // 2), title, sheet.width - 2 * GAP)
    for number, cell in enumerate(cells):
        row, column = divmod(number, num_columns)
        sheet.paste(cell, (GAP + column * width, top + row * height))
    return sheet


def arrange_rows(
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
        position = GAP + column * (width + GAP), size[1] - GAP - TEXT_HEIGHT
        write_text(sheet, position, caption, width)
    return sheet


def write_text(sheet: Image.Image, position: tuple[int, int], text: str, width: int) -> None:
    """Write a line of text at (left, top); text wider than `width` pixels loses its beginning."""
    font = ImageFont.load_default(size=_TEXT_SIZE)
    shown = text
    while font.getlength(shown) > width and len(text) > 1:
        text = text[1:]
        shown = f"…{text}"
    ImageDraw.Draw(sheet).text(position, shown, fill="black", font=font)
