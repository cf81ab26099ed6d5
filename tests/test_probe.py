"""Properties of a film before it is decoded, and errors for files that are no film."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import media
import pytest
from media import Film, Sound, Titles, shoot

from filmcolor.errors import InputError
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]


def test_size_rate_and_times(make_film: MakeFilm) -> None:
    info = probe(make_film(lumas=shoot(12, (102, 64)), rate=Fraction(30000, 1001)))
    assert (info.width, info.height, info.pix_fmt, info.codec) == (102, 64, "yuv420p", "h264")
    assert (info.time_base, info.start_pts) == (media.TICK, 0)
    assert abs(info.frame_rate - Fraction(30000, 1001)) < Fraction(1, 100)
    assert info.num_frames_estimate == 12
    assert float(info.duration_seconds) == pytest.approx(12 * 1001 / 30000, abs=0.05)


def test_the_size_of_frames(make_film: MakeFilm) -> None:
    film = make_film(lumas=shoot(12))
    assert probe(film).bytes_per_frame == film.stat().st_size / 12
    assert replace(probe(film), num_frames_estimate=None).bytes_per_frame == 0


def test_a_late_start(make_film: MakeFilm) -> None:
    assert probe(make_film(start=Fraction(5, 2))).start_seconds == Fraction(5, 2)


@pytest.mark.parametrize(
    ("color", "size", "matrix", "is_tagged"),
    [
        ({"colorspace": 1}, (96, 64), 1, True),
        ({"colorspace": 6}, (96, 64), 6, True),
        ({}, (96, 64), 6, False),  # untagged SD: 601
        ({}, (704, 576), 5, False),  # the number for 625-line systems
        ({}, (1280, 720), 1, False),  # untagged HD: 709
    ],
)
def test_matrix(
    make_film: MakeFilm, color: dict[str, int], size: tuple[int, int], matrix: int, is_tagged: bool
) -> None:
    info = probe(make_film(lumas=shoot(1, size), color=color))
    assert (info.coding.matrix, info.is_matrix_tagged) == (matrix, is_tagged)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "depth", "is_full"),
    [
        ("a.mp4", "libx264", "yuv420p", 8, False),
        ("a.mkv", "libx264", "yuv420p10le", 10, False),
        ("a.avi", "mjpeg", "yuvj420p", 8, True),
        ("a.mkv", "ffv1", "gray", 8, True),  # FFmpeg's default for untagged gray
    ],
)
def test_depth_and_range(
    make_film: MakeFilm, name: str, codec: str, pix_fmt: str, depth: int, is_full: bool
) -> None:
    lumas = shoot(2, depth=depth, is_full_range=is_full)
    coding = probe(make_film(name, lumas=lumas, codec=codec, pix_fmt=pix_fmt)).coding
    assert (coding.bit_depth, coding.is_full_range) == (depth, is_full)


def test_shape_of_pixels_and_rotation(make_film: MakeFilm) -> None:
    info = probe(make_film(sar=Fraction(16, 11), rotation=90))
    assert (info.sar, info.rotation % 360) == (Fraction(16, 11), 90)
    assert info.display_size == pytest.approx((96 * 16 / 11, 64))


def test_streams_with_their_languages(make_film: MakeFilm) -> None:
    film = make_film("film.mkv", sounds=[Sound(language="eng")], titles=[Titles("subrip", "fre")])
    info = probe(film)
    assert [(s.type, s.language) for s in info.streams] == [
        ("video", None),
        ("audio", "eng"),
        ("subtitle", "fre"),
    ]
    assert info.streams[2].name == "stream 2 (subtitle, subrip, fre)"
    assert "48000 Hz" in info.streams[1].detail


def test_chapters_and_tags(make_film: MakeFilm) -> None:
    chapters = [(0, 250, "The street"), (250, 500, "The chase")]
    info = probe(make_film(chapters=chapters, metadata={"title": "A film"}))
    assert [(c.start, c.end, c.metadata["title"]) for c in info.chapters] == [
        (Fraction(0), Fraction(1, 4), "The street"),
        (Fraction(1, 4), Fraction(1, 2), "The chase"),
    ]
    assert info.metadata["title"] == "A film"


def test_cover_art_is_not_the_film(make_film: MakeFilm) -> None:
    info = probe(make_film(cover=media.jpeg((300, 200))))
    assert (info.width, info.height) == media.SIZE
    assert [s.is_picture for s in info.streams] == [False, True]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        probe(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="is a folder; name one film"):
        probe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"no film\n" * 200, bytes(range(256))])
@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".mkv"])
def test_files_that_are_no_film(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_header(make_film: MakeFilm) -> None:
    film = make_film()
    film.write_bytes(film.read_bytes()[:600])  # the index of an MP4 is at its end
    with pytest.raises(InputError, match="is it complete"):
        probe(film)


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    full = media.make(tmp_path / "full.mkv", Film(shoot(12), sounds=[Sound()]))
    import av

    with av.open(str(full)) as source, av.open(str(tmp_path / "s.mka"), "w") as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    with pytest.raises(InputError, match="no video stream; is it an audio file"):
        probe(tmp_path / "s.mka")


def test_a_picture_file_is_a_film_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), shoot(1)[0])
    assert probe(path).num_frames_estimate in (1, None)
