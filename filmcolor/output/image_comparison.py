"""Compares images with the film that they were made of: numbers, sizes, headers, pictures."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from filmcolor.errors import VerifyError
from filmcolor.output.image_formats import IMAGE_FORMATS
from filmcolor.output.image_headers import ImageHeaders, timecode_bits
from filmcolor.output.image_names import number_frames
from filmcolor.types.film import FilmInfo
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.sequence_names import find_sequence

_RATE_TOLERANCE = Fraction(1, 100)  # frames per second: headers hold floats
_RATES = range(1, 1000)  # that are read from a header
_SAR_TOLERANCE = Fraction(1, 1000)


def compare_images(source: FilmInfo, result: FilmInfo, pts: Sequence[int]) -> None:
    """Compare a sequence of images with its film; each image is decoded.

    `pts`: times of the frames that it must hold, FilmInfo.time_base units. Images have no times:
    their numbers must be as far apart as those of the frames.
    Raises VerifyError, which names the first difference.
    """
    files = find_sequence(result.path)
    assert files is not None
    numbers = number_frames(FrameIndex.read(source), sorted(pts))
    if len(files.numbers) != len(numbers):
        raise VerifyError(
            f"{result.path} has {len(files.numbers)} images where {source.path} has "
            f"{len(numbers)} frames"
        )
    for name, number, expected in zip(files.names, files.numbers, numbers):
        if number - files.numbers[0] != expected - numbers[0]:
            raise VerifyError(
                f"{name} has another number than frame {expected} of {source.path} would have"
            )
    _compare_headers(source, result, files.pattern.suffix.lower(), numbers[0])
    decoded = set(_decoded_numbers(source, result))
    for position, name in enumerate(files.names):
        if files.numbers[position] - files.numbers[0] not in decoded:
            raise VerifyError(f"{name} of {result.path} cannot be decoded")


def _compare_headers(source: FilmInfo, result: FilmInfo, suffix: str, first: int) -> None:
    """Compare what the first image says of the film; `first`: the number of its frame."""
    is_same_sar = abs(result.sar / source.sar - 1) < _SAR_TOLERANCE
    if not is_same_sar and result.sar != 1:  # 1: not stated
        raise VerifyError(
            f"{result.path} has pixels of {result.sar} where {source.path} has {source.sar}"
        )
    image_format = IMAGE_FORMATS.get(suffix)
    if image_format is None or not image_format.keeps_times:
        return
    is_same_rate = abs(result.frame_rate - source.frame_rate) < _RATE_TOLERANCE
    if not is_same_rate and round(source.frame_rate) in _RATES:
        raise VerifyError(
            f"{result.path} has {float(result.frame_rate):.3f} frames/s where {source.path} has "
            f"{float(source.frame_rate):.3f}"
        )
    expected = ImageHeaders.of(source).timecode(first)
    if timecode_bits(expected) is not None and timecode_bits(result.timecode) != timecode_bits(
        expected
    ):
        raise VerifyError(
            f"{result.path} begins at timecode {result.timecode} where {source.path} is at "
            f"{expected}"
        )


def _decoded_numbers(source: FilmInfo, result: FilmInfo) -> Iterator[int]:
    """Yield the position of each image that can be decoded, from the first one's number."""
    size = source.width, source.height
    with open_film(result.path) as images:
        stream: Any = images.streams[result.video_index]
        stream.thread_type = "AUTO"
        for packet in read_packets(images, stream):
            for frame in decode_packet(stream, packet) or ():
                if (frame.width, frame.height) != size:
                    raise VerifyError(
                        f"{result.path} has images of {frame.width}×{frame.height} where "
                        f"{source.path} has {size[0]}×{size[1]}"
                    )
                yield frame.pts or 0
