"""Converts subtitles as text between SubRip and MP4's mov_text, keeping bold, italics, underlines.

SubRip marks styles by tags within the text; mov_text by a box after it, which holds ranges of
characters (3GPP TS 26.245, 5.17).
"""

import re
from collections.abc import Callable
from itertools import groupby

MOV_TEXT, SUBRIP = "mov_text", "subrip"
_FACES = {"b": 1, "i": 2, "u": 4}  # face-style-flags
_TAG = re.compile(r"</?([biu])>|</?font[^>]*>|\{\\[^}]*\}", re.IGNORECASE)
_RECORD_SIZE = 12  # bytes of a style record
_FONT, _FONT_SIZE, _WHITE = 1, 16, b"\xff\xff\xff\xff"  # as in HEADER

# FFmpeg builds mov_text's own header from this
HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""

Styled = list[tuple[str, int]]  # characters, each with its face-style-flags


def convert_text(data: bytes, source: str, target: str) -> bytes:
    """Return a packet's text in another codec; `is_convertible` must hold for the two."""
    return _WRITERS[target](_READERS[source](data))


def is_convertible(source: str, target: str) -> bool:
    """Return True when text, bold, italics and underlines can be converted between two codecs."""
    return source != target and source in _READERS and target in _WRITERS


def styled_text(data: bytes, codec: str) -> Styled:
    """Return the text of a packet in a form that is the same for both codecs."""
    return _READERS[codec](data)


def _from_subrip(data: bytes) -> Styled:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").strip("\n\0")
    styled: Styled = []
    face, position = 0, 0
    for tag in _TAG.finditer(text):
        styled += [(letter, face) for letter in text[position : tag.start()]]
        if tag[1]:
            flag = _FACES[tag[1].lower()]
            face = face & ~flag if tag[0].startswith("</") else face | flag
        position = tag.end()
    return styled + [(letter, face) for letter in text[position:]]


def _to_subrip(styled: Styled) -> bytes:
    parts = []
    for face, run in groupby(styled, key=lambda item: item[1]):
        names = [name for name, flag in _FACES.items() if face & flag]
        text = "".join(letter for letter, _ in run)
        opening = "".join(f"<{name}>" for name in names)
        closing = "".join(f"</{name}>" for name in reversed(names))
        parts.append(opening + text + closing)
    return "".join(parts).encode()


def _from_mov_text(data: bytes) -> Styled:
    length = int.from_bytes(data[:2], "big")
    coded, boxes = data[2 : 2 + length], data[2 + length :]
    is_utf16 = coded[:2] in (b"\xfe\xff", b"\xff\xfe")
    text = coded.decode("utf-16" if is_utf16 else "utf-8", "replace")
    faces = [0] * len(text)
    for first, stop, face in _styles(boxes):
        faces[first:stop] = [face] * len(faces[first:stop])
    styled = list(zip(text.replace("\r", "\n"), faces))
    while styled and styled[-1][0] in "\n\0":
        styled.pop()
    return styled


def _styles(boxes: bytes) -> list[tuple[int, int, int]]:
    """Return (first, stop, face-style-flags) of each range in the style boxes."""
    styles = []
    while len(boxes) >= 8:
        size = int.from_bytes(boxes[:4], "big")
        if size < 8:
            break
        if boxes[4:8] == b"styl":
            records = boxes[10:size]
            for position in range(0, len(records) - _RECORD_SIZE + 1, _RECORD_SIZE):
                record = records[position : position + _RECORD_SIZE]
                first, stop = (int.from_bytes(record[n : n + 2], "big") for n in (0, 2))
                styles.append((first, stop, record[6] & 7))
        boxes = boxes[size:]
    return styles


def _to_mov_text(styled: Styled) -> bytes:
    text = "".join(letter for letter, _ in styled).encode()
    records, position = [], 0
    for face, run in groupby(styled, key=lambda item: item[1]):
        stop = position + len(list(run))
        if face:
            font = _FONT.to_bytes(2, "big") + bytes([face, _FONT_SIZE]) + _WHITE
            records.append(position.to_bytes(2, "big") + stop.to_bytes(2, "big") + font)
        position = stop
    packet = len(text).to_bytes(2, "big") + text
    if records:
        box = b"styl" + len(records).to_bytes(2, "big") + b"".join(records)
        packet += (4 + len(box)).to_bytes(4, "big") + box
    return packet


_READERS: dict[str, Callable[[bytes], Styled]] = {
    SUBRIP: _from_subrip,
    MOV_TEXT: _from_mov_text,
}
_WRITERS: dict[str, Callable[[Styled], bytes]] = {SUBRIP: _to_subrip, MOV_TEXT: _to_mov_text}
