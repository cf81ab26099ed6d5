"""What a film is, in words for the page."""

from collections.abc import Iterator

from filmcolor.timecodes import format_timecode
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex

_CODECS = {
    "h264": "H.264",
    "hevc": "H.265",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "ffv1": "FFV1",
    "vp9": "VP9",
    "av1": "AV1",
    "dvvideo": "DV",
    "mjpeg": "Motion JPEG",
    "subrip": "SubRip",
    "pcm_s16le": "PCM, 16 bits",
    "pcm_s24le": "PCM, 24 bits",
}
_TYPES = {"audio": "sound", "subtitle": "subtitles", "attachment": "a file"}


def facts_of(info: FilmInfo, index: FrameIndex | None) -> list[str]:
    """Return short lines about a film: size, length, picture, other streams.

    `index`: the film's, once it has been read.
    """
    return list(_facts(info, index))


def _facts(info: FilmInfo, index: FrameIndex | None) -> Iterator[str]:
    width, height = (round(side) for side in info.display_size)
    rate = f"{float(info.frame_rate):.3f}".rstrip("0").rstrip(".")
    is_vfr = index is not None and index.is_vfr
    yield f"{width} × {height}, {'about ' if is_vfr else ''}{rate} frames a second"
    num_frames = (index.num_frames if index else None) or info.num_frames_estimate
    if num_frames:
        length = format_timecode(float(num_frames / info.frame_rate)).removeprefix("00:")
        yield f"{length.partition('.')[0]} long, {num_frames:,} frames"
    depth = info.coding.bit_depth
    scan = ", interlaced" if info.is_interlaced else ""
    yield f"{_CODECS.get(info.codec, info.codec)}, {depth} bits{scan}"
    if info.orientation.matrix:
        yield f"shown {info.orientation}"
    for stream in info.streams:
        if stream.index != info.video_index:
            codec = _CODECS.get(stream.codec, stream.codec.upper())
            language = "" if stream.language in (None, "", "und") else f" ({stream.language})"
            yield f"{_TYPES.get(stream.type, stream.type)}: {codec}{language}"
