"""Single frames are those of a whole reading, in whatever order they are asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media import shoot

from filmcolor.video import frame_reader
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.probe import probe

ORDERS = [range(60), [0, 0, 7, 7, 59, 3], [30, 31, 55, 12, 13, 58, 2]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.mkv", {"codec": "ffv1"}),  # every frame is a keyframe
        ("film.mp4", {"codec": "libx264", "options": {"g": "25"}}),
        ("film.h264", {"codec": "libx264", "options": {"g": "25"}}),  # no times to seek by
    ],
)
def test_any_order_gives_the_frames_of_the_film(
    make_film: Callable[..., Path], name: str, options: dict, order: list[int]
) -> None:
    info = probe(make_film(name, lumas=shoot(60), **options))
    whole = list(read_luma(info))
    reader = FrameReader(info)
    for number in order:
        frame = reader.read(number)
        assert frame is not None
        assert (frame.number, frame.pts) == (number, whole[number].pts)
        np.testing.assert_array_equal(frame.luma, whole[number].luma)


def test_a_frame_that_does_not_exist_is_none_and_harms_no_other(
    make_film: Callable[..., Path],
) -> None:
    reader = FrameReader(probe(make_film("film.mkv", lumas=shoot(12), codec="ffv1")))
    found = [reader.read(number) for number in (11, 12, 500, 3)]
    assert [frame and frame.number for frame in found] == [11, None, None, 3]


def test_frames_in_order_are_decoded_once(
    make_film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(make_film("film.mkv", lumas=shoot(60), codec="ffv1"))
    opened = []

    def count(*args: object) -> object:
        opened.append(args[1])
        return read_luma(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(frame_reader, "read_luma", count)
    reader = FrameReader(info)
    for number in (0, 5, 12, 20, 59):
        reader.read(number)
    assert opened == [0, 59]  # the last one is far away, with keyframes between
