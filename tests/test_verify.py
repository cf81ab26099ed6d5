"""`verify` accepts a whole film, and names the first difference of any other."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import media
import pytest
from media import Film, Sound, Titles, shoot

from filmcolor.errors import VerifyError
from filmcolor.output.verify import verify_output
from filmcolor.types.film import Part
from filmcolor.video.probe import probe

BASE = Film(
    shoot(12),
    time_base=Fraction(1, 1000),
    sounds=[Sound(language="eng"), Sound(language="fre", pitch=300.0)],
    titles=[Titles("subrip", "fre")],
    chapters=[(0, 250, "One"), (250, 500, "Two")],
)
LATE_FRAME = [0, 42, 83, 125, 167, 209, 250, 292, 333, 375, 417, 458]
OTHER_SOUNDS = [BASE.sounds[0], Sound(language="fre")]
OTHER_TITLES = replace(BASE.titles[0], lines=((40, 160, "Silence"), (250, 400, "She sings")))
LATE_TITLES = replace(BASE.titles[0], lines=((140, 260, "Silence"), (250, 400, "She speaks")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.make(tmp_path_factory.mktemp("source") / "film.mkv", BASE)


def test_a_film_is_itself(source: Path) -> None:
    verify_output(probe(source), source)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lumas": shoot(11)}, "has 11 frames where .* has 12"),
        (
            {"pts": [0, 42, 83, 125, 167, 209, 250, 292, 333, 375, 417, 458]},
            r"frame 5 .* at 0\.209",
        ),
        ({"sar": Fraction(4, 3)}, "has pixels of 4/3 where .* has 1"),
        ({"rotation": 90}, r"has orientation rotated by -?90° where .* has rotated by 0°"),
        ({"chapters": BASE.chapters[:1]}, "has 1 chapters where .* has 2"),
        ({"chapters": [(0, 250, "One"), (300, 500, "Two")]}, r"chapter 'Two' .* 0\.300 s"),
        ({"sounds": BASE.sounds[:1]}, "has 1 audio streams .* where 2"),
        ({"sounds": BASE.sounds[::-1]}, r"\(audio, aac, fre\) of .* was .*\(audio, aac, eng\)"),
        (
            {"sounds": [BASE.sounds[0], Sound(language="fre")]},
            r"stream 2 .*: packet \d+ of .* is not",
        ),
        ({"titles": []}, "has 0 subtitle streams"),
        (
            {"titles": [OTHER_TITLES]},
            r"\(subtitle, subrip, fre\): packet 1 of .* is not the source's",
        ),
        ({"titles": [LATE_TITLES]}, r"packet 0 of .* comes \+100\.0 ms"),
        (
            {"titles": [replace(BASE.titles[0], lines=BASE.titles[0].lines[:1])]},
            "ends after packet 1",
        ),
        ({"attachments": [("a.ttf", "font/ttf", b"glyphs")]}, "has 1 attachment streams"),
    ],
)
def test_a_difference_is_named(
    source: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    output = media.make(tmp_path / "out.mkv", replace(BASE, **changes))
    with pytest.raises(VerifyError, match=message):
        verify_output(probe(source), output)


def test_a_finer_clock_does_not_excuse_other_times(tmp_path: Path) -> None:
    pts = [n * 1000 for n in range(12)]
    film = media.make(tmp_path / "film.mp4", Film(shoot(12), pts=pts))
    verify_output(probe(film), film)
    pts[6] += 1
    output = media.make(tmp_path / "out.mp4", Film(shoot(12), pts=pts))
    with pytest.raises(VerifyError, match=r"frame 6 of"):
        verify_output(probe(film), output)


def test_a_part_is_compared_with_its_part(source: Path, tmp_path: Path) -> None:
    info = probe(source)
    picture = replace(BASE, sounds=[], titles=[], chapters=[])
    output = media.make(tmp_path / "out.mkv", replace(picture, lumas=BASE.lumas[6:]))
    start = Fraction(1, 4)
    part = Part(6, 12, start, None)
    with pytest.raises(VerifyError, match=r"has 0 chapters where .* has 1"):
        verify_output(info, output, part=part, copied=[])
    with pytest.raises(VerifyError, match=r"has 6 frames where .* has 12"):
        verify_output(info, output, copied=[])


PCM = replace(BASE, sounds=[Sound("pcm_s16le")], titles=[], chapters=[])


def test_pcm_in_packets_of_another_size_is_the_same(tmp_path: Path) -> None:
    source = media.make(tmp_path / "film.mkv", PCM)
    output = media.make(tmp_path / "out.mov", PCM)
    verify_output(probe(source), output)
    sizes = [[len(p.data) for p in media.packets(path, "audio")] for path in (source, output)]
    assert sum(sizes[0]) == sum(sizes[1])


@pytest.mark.parametrize(
    ("sound", "changes", "message"),
    [
        (Sound("pcm_s16le", pitch=300.0), {}, r"packet 0 of .* is not the source's"),
        (Sound("pcm_s16le"), {"lumas": shoot(11)}, "has 11 frames"),
        (Sound("pcm_s16le"), {"start": Fraction(1, 10)}, "frame 0"),
    ],
)
def test_pcm_is_compared(tmp_path: Path, sound: Sound, changes: dict, message: str) -> None:
    source = media.make(tmp_path / "film.mkv", PCM)
    output = media.make(tmp_path / "out.mov", replace(PCM, sounds=[sound], **changes))
    with pytest.raises(VerifyError, match=message):
        verify_output(probe(source), output)


def test_pcm_that_ends_early_is_missed(tmp_path: Path) -> None:
    source, output = media.make(tmp_path / "film.mkv", PCM), tmp_path / "out.mkv"
    with av.open(str(source)) as whole, av.open(str(output), "w") as short:
        copies = {s.index: short.add_stream_from_template(s) for s in whole.streams}
        for stream, copy in zip(whole.streams, copies.values()):
            copy.metadata.update(stream.metadata)
        packets = [p for p in whole.demux() if p.size]
        last = max(n for n, p in enumerate(packets) if p.stream.type == "audio")
        for packet in packets[:last] + packets[last + 1 :]:
            packet.stream = copies[packet.stream_index]
            short.mux(packet)
    with pytest.raises(VerifyError, match=r"out\.mkv ends within packet"):
        verify_output(probe(source), output)
