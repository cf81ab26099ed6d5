"""Subtitles as text: between SubRip and mov_text only colours and positions are lost."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import media
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import Film, Titles, shoot

from filmcolor.errors import VerifyError
from filmcolor.output.options import Encoding
from filmcolor.output.subtitles import MOV_TEXT, SUBRIP, convert_text, is_convertible, styled_text
from filmcolor.output.verify import verify_output
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.video.probe import probe

QUICK = Encoding(codec="libx264", preset="ultrafast")
ITALIC_TITLE = (
    b"\x00\x07Silence"
    + bytes.fromhex("00000016 7374796c 0001 0000 0007 0001 02 10 ffffffff".replace(" ", ""))
)  # fmt: skip

letters = st.text(st.characters(exclude_characters="<>{}\r\n\0\x85", exclude_categories=["Cs"]))
styled_parts = st.lists(st.tuples(letters.filter(bool), st.sampled_from(["", "b", "i", "u", "bi"])))


def tagged(parts: list[tuple[str, str]]) -> bytes:
    """Return SubRip text of parts (text, tags)."""

    def tag(text: str, names: str) -> str:
        opening = "".join(f"<{n}>" for n in names)
        return opening + text + "".join(f"</{n}>" for n in reversed(names))

    return "".join(tag(*part) for part in parts).encode()


@given(styled_parts)
def test_there_and_back_is_the_same(parts: list[tuple[str, str]]) -> None:
    subrip = tagged(parts)
    mov_text = convert_text(subrip, SUBRIP, MOV_TEXT)
    assert styled_text(mov_text, MOV_TEXT) == styled_text(subrip, SUBRIP)
    back = convert_text(mov_text, MOV_TEXT, SUBRIP)
    assert styled_text(back, SUBRIP) == styled_text(subrip, SUBRIP)


@given(st.binary())
def test_any_bytes_are_some_text(data: bytes) -> None:
    for source, target in ((SUBRIP, MOV_TEXT), (MOV_TEXT, SUBRIP)):
        convert_text(data, source, target)


def test_italics_are_a_style_box() -> None:
    assert convert_text(b"<i>Silence</i>", SUBRIP, MOV_TEXT) == ITALIC_TITLE
    assert convert_text(ITALIC_TITLE, MOV_TEXT, SUBRIP) == b"<i>Silence</i>"


@pytest.mark.parametrize(
    ("subrip", "plain"),
    [
        (b"Two\r\nlines\r\n", "Two\nlines"),
        (b'<font color="red">Red</font>', "Red"),
        (rb"{\an8}Above", "Above"),
        (b"1 < 2 > 0", "1 < 2 > 0"),
        (b"<B>Loud</b>", "Loud"),
        ("Méliès".encode(), "Méliès"),
    ],
)
def test_what_is_text_and_what_is_a_mark(subrip: bytes, plain: str) -> None:
    packet = convert_text(subrip, SUBRIP, MOV_TEXT)
    length = int.from_bytes(packet[:2], "big")
    assert packet[2 : 2 + length].decode() == plain


def test_utf_16_is_read() -> None:
    text = "Ende".encode("utf-16")
    packet = len(text).to_bytes(2, "big") + text
    assert convert_text(packet, MOV_TEXT, SUBRIP) == b"Ende"


def test_only_text_is_convertible() -> None:
    assert is_convertible(SUBRIP, MOV_TEXT)
    assert is_convertible(MOV_TEXT, SUBRIP)
    assert not is_convertible("ass", MOV_TEXT)
    assert not is_convertible(SUBRIP, SUBRIP)
    assert not is_convertible("hdmv_pgs_subtitle", SUBRIP)


def test_mp4_players_find_a_header_and_the_text(options: ColorOptions, tmp_path: Path) -> None:
    lines = [(40, 160, "<i>Silence</i>"), (200, 240, "<b>No</b>!")]
    film = Film(shoot(6), titles=[Titles("subrip", "fre", lines)], time_base=Fraction(1, 1000))
    source, output = media.make(tmp_path / "film.mkv", film), tmp_path / "out.mp4"
    colorize(source, output, options=options, encoding=QUICK)
    (stream,) = media.streams(output, "subtitle")
    assert (stream.codec, stream.language) == ("mov_text", "fre")
    with av.open(str(output)) as opened:
        track = opened.streams.subtitles[0]
        assert b"ftab" in track.codec_context.extradata
        shown = [
            s for packet in opened.demux(track) if packet.size > 2 for s in track.decode(packet)
        ]
    texts = [bytes(title.ass).decode() for title in shown]
    assert r"{\i1}Silence" in texts[0]
    assert r"{\b1}No" in texts[1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(40, 160, "Silence"), (200, 240, "Yes")], "packet 1 .* is not the source's"),
        ([(40, 160, "<i>Silence</i>"), (200, 240, "No")], "packet 0 .* is not the source's"),
        ([(40, 160, "Silence"), (210, 240, "No")], r"packet 1 .* comes \+10.0 ms"),
        ([(40, 160, "Silence")], "ends after packet 1"),
        ([(40, 130, "Silence"), (200, 240, "No")], r"packet 0 .* is shown -30.0 ms longer"),
    ],
)
def test_a_conversion_is_verified(
    tmp_path: Path, lines: list[tuple[int, int, str]], message: str
) -> None:
    film = Film(shoot(6), time_base=Fraction(1, 1000))
    titles = Titles("subrip", None, [(40, 160, "Silence"), (200, 240, "No")])
    source = media.make(tmp_path / "film.mkv", replace(film, titles=[titles]))
    packets = [(a, b, convert_text(t.encode(), SUBRIP, MOV_TEXT)) for a, b, t in lines]
    wrong = replace(film, titles=[Titles("mov_text", None, packets)])
    with pytest.raises(VerifyError, match=message):
        verify_output(probe(source), media.make(tmp_path / "out.mp4", wrong))
