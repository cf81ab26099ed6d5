"""Encoding options, and what they mean for each encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from filmcolor.errors import SettingsError
from filmcolor.types.film import StreamInfo
from filmcolor.types.yuv import Coding, Subsampling

if TYPE_CHECKING:
    from filmcolor.output.audio_target import AudioTarget

Conversion: TypeAlias = Union[str, "AudioTarget"]  # of subtitles: the codec; of sound

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Which streams besides the picture are copied, converted and left out."""

    copied: tuple[StreamInfo, ...] = ()
    left_out: tuple[StreamInfo, ...] = ()
    conversions: Mapping[int, Conversion] = field(default_factory=dict)  # by index of a copied
    lost_languages: tuple[StreamInfo, ...] = ()  # copied, but the container has no such code


NO_STREAMS = StreamPlan()


@dataclass(frozen=True, slots=True)
class Purpose:
    """An encoder, its quality, and the containers to try: the preset behind `--for`."""

    codec: str
    suffixes: tuple[str, ...]  # in order of preference; "" is the source's own container
    crf: int | None = None
    min_depth: int = 8
    options: tuple[tuple[str, str], ...] = ()


# Threads of the picture's encoder, the same on every machine: with other numbers x264, x265 and
# FFmpeg's own encoders make other files, and by default they take the number of cores.
# Against the automatic numbers of 2 cores, in turns on two films: x264 takes 0.8 to 1.07 times as
# long and its files are 1.3 to 2.6 % smaller, as its threads code other frames instead of slices;
# x265 takes 0.8 to 1.0 times as long, for the same sizes. More would use cores that the other
# stages, which limit the pace of large machines, and other processes need.
NUM_ENCODER_THREADS = 4
_X265_POOL = 6  # threads that code rows of frames; from 4 up its search for motion is another

# MP4 comes before MKV: MP4 keeps any clock, MKV only milliseconds. No purpose chooses NVENC: at
# one size of file it encodes worse than x264; `--codec h264_nvenc` selects it.
PURPOSES = {
    "share": Purpose("libx264", ("", ".mp4", ".mkv"), crf=20),
    "archive": Purpose(
        "libx265", ("", ".mp4", ".mkv"), crf=16, min_depth=10, options=(("tune", "grain"),)
    ),
    "edit": Purpose("prores_ks", (".mov", ".mkv"), options=(("profile", "hq"),)),
    "master": Purpose("ffv1", (".mkv", ".mp4")),
}

# the option that sets each encoder's constant quality; lossless ones and prores_ks have none
_IMAGE_CODECS = ("dpx", "exr", "png", "tiff")
_CRF_OPTIONS = {
    **dict.fromkeys(("prores_ks", "ffv1", *_IMAGE_CODECS)),
    "h264_nvenc": "cq",
    "hevc_nvenc": "cq",
}
_DEFAULT_CRF = {"libx264": 20, "libx265": 20, "libsvtav1": 28}
_MAX_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}
_NO_PRESETS = frozenset({"prores_ks", "ffv1", "libvpx-vp9", *_IMAGE_CODECS})
_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_CODEC_OPTIONS = {
    # by default x264 analyses by approximations of each instruction set; those of AVX-512 read past
    # a row of macroblocks (mbtree_propagate_list), so that each run may give another file
    "libx264": {"x264-params": "cpu-independent=1"},
    "libx265": {
        "x265-params": f"log-level=error:pools={_X265_POOL}",
        "a53cc": "1",  # with captions, as libx264 does
    },
    "ffv1": {"level": "3", "slicecrc": "1"},  # version 3: slices, each with a checksum
    "exr": {"format": "half", "compression": "zip16"},
    "png": {"pred": "mixed", "compression_level": "3"},  # 6 takes three times as long for 0.3 %
    "tiff": {"compression_algo": "raw"},  # as archives have them, and any program reads
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode the picture. None takes the value of the purpose.

    `purpose`: one of `PURPOSES`. `codec`: FFmpeg's name of an encoder. `crf`: constant quality on
    the encoder's scale, lower is better. `drop_unsupported`: leave out streams that the container
    cannot hold, and report them. `convert_audio`: convert sound that the container cannot hold
    without changing a sample. `captions`: write the film's closed captions beside the output.
    Raises SettingsError for an unknown purpose.
    """

    purpose: str = "share"
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    drop_unsupported: bool = False
    convert_audio: bool = False
    captions: bool = False

    def __post_init__(self) -> None:
        if self.purpose not in PURPOSES:
            raise SettingsError(f"no purpose {self.purpose!r}: choose {', '.join(PURPOSES)}")


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """A whole output: its path, its encoding, and the streams that are copied into it."""

    path: Path
    format: str  # FFmpeg's name of the container
    codec: str
    options: dict[str, str]
    pix_fmt: str
    coding: Coding
    subsampling: Subsampling
    width: int  # coded: one more than the film's where 4:2:0 cannot hold an odd size
    height: int
    primaries: int  # ITU-T H.273
    transfer: int  # ITU-T H.273
    stream_plan: StreamPlan = NO_STREAMS
    keeps_timecode: bool = True
    keeps_field_order: bool = True
    kept_side_data: frozenset[str] = frozenset()  # kinds of FilmInfo.side_data
    writes_captions: bool = False  # beside the output
    notes: tuple[str, ...] = ()  # one line for each difference from the film, besides its colour
    tag: str = ""  # added to the film's comment, so that no one takes its colour for original


def encoder_options(
    codec: str, encoding: Encoding, purpose: Purpose, pix_fmt: str
) -> dict[str, str]:
    """Return an encoder's options by name. Raises SettingsError for one that it does not have."""
    options = dict(_CODEC_OPTIONS.get(codec, {}))
    is_purpose_codec = codec == purpose.codec
    if is_purpose_codec:
        options.update(purpose.options)
    if codec == "prores_ks" and "444" in pix_fmt:
        options["profile"] = "4444"  # the others have neither such chroma nor alpha
    crf_name, crf = _CRF_OPTIONS.get(codec, "crf"), encoding.crf
    if crf is not None:
        _check_crf(codec, crf, crf_name)
    elif crf_name is not None:
        crf = purpose.crf if is_purpose_codec else _DEFAULT_CRF.get(codec)
    if crf is not None and crf_name is not None:
        options[crf_name] = str(crf)
    if encoding.preset is not None:
        _check_preset(codec, encoding.preset)
        options["preset"] = encoding.preset
    return options


def _check_crf(codec: str, crf: int, option_name: str | None) -> None:
    if option_name is None:
        raise SettingsError(f"{codec} has no crf; leave --crf out")
    max_crf = _MAX_CRF.get(codec, 51)
    if not 0 <= crf <= max_crf:
        raise SettingsError(f"{codec} takes --crf 0 to {max_crf}, not {crf}")


def _check_preset(codec: str, preset: str) -> None:
    if codec in _NO_PRESETS:
        raise SettingsError(f"{codec} has no presets; leave --preset out")
    if codec in ("libx264", "libx265") and preset not in _X26X_PRESETS:
        raise SettingsError(f"{codec} has no preset {preset!r}: choose {', '.join(_X26X_PRESETS)}")
