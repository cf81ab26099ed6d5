"""Nothing of a film is lost: one generated film per claim, read back with PyAV alone."""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from av.stream import Disposition
from media import Sound, Titles, shoot

from filmcolor.errors import (
    ContainerError,
    InputError,
    OutputError,
    RangeError,
    SettingsError,
    WeightsError,
)
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import Report
from filmcolor.types.film import WHOLE, TimeRange

MASTER = Encoding(purpose="master")  # ffv1
LOSSLESS = Encoding(codec="libx264", crf=0, preset="ultrafast")  # for 8 bits, in MP4
QUICK = Encoding(codec="libx264", preset="ultrafast")
MILLISECOND = Fraction(1, 1000)

MakeFilm = Callable[..., Path]
Run = Callable[..., Path]


@pytest.fixture
def run(options: ColorOptions) -> Run:
    """Colour a film to `name` beside it; return the output's path."""

    def run(
        film: Path,
        name: str = "out.mkv",
        encoding: Encoding = MASTER,
        time_range: TimeRange = WHOLE,
    ) -> Path:
        output = film.with_name(name)
        colorize(film, output, options=options, encoding=encoding, time_range=time_range)
        return output

    return run


def assert_same_picture(
    source: Path, output: Path, first: int = 0, stop: int | None = None
) -> None:
    """Assert that luma is the source's bit by bit, and that there is colour."""
    originals, frames = media.frames(source)[first:stop], media.frames(output)
    assert len(frames) == len(originals)
    for number, (frame, original) in enumerate(zip(frames, originals)):
        assert frame.luma.dtype == original.luma.dtype
        assert np.array_equal(frame.luma, original.luma), f"luma of frame {number}"
        assert len(frame.planes) == 3
        assert all(len(np.unique(plane)) > 1 for plane in frame.planes[1:]), "no colour"


def assert_same_times(source: Path, output: Path, tolerance: Fraction = Fraction(0)) -> None:
    originals, times = media.seconds(source), media.seconds(output)
    assert len(times) == len(originals)
    assert max(abs(a - b) for a, b in zip(times, originals)) <= tolerance


def assert_same_packets(
    source: Path, output: Path, type_: str, which: int = 0, tolerance: Fraction = Fraction(0)
) -> None:
    originals, copies = (media.packets(path, type_, which) for path in (source, output))
    assert originals, f"the source has no {type_}"
    assert [p.data for p in copies] == [p.data for p in originals]
    assert max(abs(a.seconds - b.seconds) for a, b in zip(copies, originals)) <= tolerance


def leftovers(folder: Path, *kept: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p not in kept)


# ---------------------------------------------------------------- timestamps

UNEVEN = [0, 1000, 1417, 4000, 4001, 9999, 10500, 16000, 16003, 16500, 20000, 24001]


def test_uneven_times_are_kept_exactly_in_mp4(make_film: MakeFilm, run: Run) -> None:
    film = make_film(pts=UNEVEN)
    output = run(film, "out.mp4", LOSSLESS)
    assert media.seconds(output) == [p * media.TICK for p in UNEVEN]
    assert_same_picture(film, output)


def test_uneven_times_are_kept_exactly_in_mkv(make_film: MakeFilm, run: Run) -> None:
    milliseconds = [0, 41, 42, 300, 301, 700, 705, 1000, 1041, 1083, 1500, 2501]
    film = make_film("film.mkv", time_base=MILLISECOND, pts=milliseconds)
    output = run(film)
    assert media.seconds(output) == [p * MILLISECOND for p in milliseconds]
    assert_same_picture(film, output)


def test_mkv_rounds_finer_times_to_its_millisecond_and_says_so(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(pts=[p for p in UNEVEN if p != 4001 and p != 16003], lumas=shoot(10))
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER)
    assert_same_times(film, report.output, tolerance=MILLISECOND / 2)
    assert any("1 ms" in note for note in report.notes)


def test_last_frame_of_an_mp4_keeps_its_length(make_film: MakeFilm, run: Run) -> None:
    film = make_film(rate=Fraction(2), pts=[0, 1000, 2000], lumas=shoot(3))
    output = run(film, "out.mp4", QUICK)
    with av.open(str(film)) as source, av.open(str(output)) as result:
        durations = [
            f.streams.video[0].duration * f.streams.video[0].time_base for f in (source, result)
        ]
    assert durations[0] > 0.5
    assert durations[1] == durations[0]


def test_b_frames_come_out_in_display_order(make_film: MakeFilm, run: Run) -> None:
    film = make_film(options={"bf": "3", "b_strategy": "0"})
    with av.open(str(film)) as source:
        pts = [p.pts for p in source.demux(video=0) if p.size]
    assert pts != sorted(pts), "the source has no B-frames"
    for name, encoding in (("out.mkv", MASTER), ("out.mp4", LOSSLESS)):
        output = run(film, name, encoding)
        assert_same_picture(film, output)
        assert_same_times(film, output, MILLISECOND / 2 if name == "out.mkv" else Fraction(0))


def test_b_frames_in_the_output_keep_the_first_frame_at_zero(make_film: MakeFilm, run: Run) -> None:
    film = make_film(sounds=[Sound()])
    encoding = Encoding(codec="libx264", preset="medium")
    output = run(film, "out.mp4", encoding)
    with av.open(str(output)) as result:
        assert result.streams.video[0].codec_context.has_b_frames
    assert_same_times(film, output)
    assert_same_packets(film, output, "audio")


@pytest.mark.parametrize(("suffix", "encoding"), [(".mkv", MASTER), (".mp4", LOSSLESS)])
def test_film_that_starts_late_keeps_its_start(
    make_film: MakeFilm, run: Run, suffix: str, encoding: Encoding
) -> None:
    film = make_film("film.mkv", start=Fraction(5), time_base=MILLISECOND, sounds=[Sound()])
    assert media.seconds(film)[0] == 5
    output = run(film, f"out{suffix}", encoding)
    assert_same_picture(film, output)
    assert_same_times(film, output)
    assert_same_packets(film, output, "audio", tolerance=MILLISECOND)


def test_transport_stream_goes_into_mp4_with_its_sound_in_place(
    make_film: MakeFilm, run: Run
) -> None:
    film = make_film("film.ts", start=Fraction(3), sounds=[Sound()])
    output = run(film, "out.mp4", LOSSLESS)
    assert_same_picture(film, output)
    assert_same_times(film, output)
    originals, copies = media.packets(film, "audio"), media.packets(output, "audio")
    adts = 7  # bytes of the header, without a checksum, which MP4 stores in its own way
    assert [p.data for p in copies] == [p.data[adts:] for p in originals]
    clock = Fraction(1, 48000) + Fraction(1, 90000)
    assert max(abs(a.seconds - b.seconds) for a, b in zip(copies, originals)) <= clock


def test_mpeg2_transport_stream_with_mp2_sound(make_film: MakeFilm, run: Run) -> None:
    film = make_film(
        "film.ts",
        codec="mpeg2video",
        time_base=1 / media.RATE,
        options={"bf": "2"},
        sounds=[Sound("mp2")],
    )
    output = run(film, "out.mkv")
    assert_same_picture(film, output)
    assert_same_times(film, output, MILLISECOND / 2)
    assert_same_packets(film, output, "audio", tolerance=MILLISECOND / 2)


def test_avi_keeps_frames_and_sound(make_film: MakeFilm, run: Run) -> None:
    film = make_film(
        "film.avi",
        codec="mpeg4",
        time_base=1 / media.RATE,
        options={"bf": "2"},
        sounds=[Sound("libmp3lame")],
    )
    output = run(film)
    assert_same_picture(film, output)
    assert [p.data for p in media.packets(output, "audio")] == [
        p.data for p in media.packets(film, "audio")
    ]
    steps = [b - a for a, b in zip(media.seconds(output), media.seconds(output)[1:])]
    assert all(abs(step - 1 / media.RATE) <= MILLISECOND for step in steps)


def test_film_of_one_frame(make_film: MakeFilm, run: Run) -> None:
    film = make_film(lumas=shoot(1))
    for name, encoding in (("out.mkv", MASTER), ("out.mp4", LOSSLESS)):
        output = run(film, name, encoding)
        assert_same_picture(film, output)
        assert_same_times(film, output)


# ---------------------------------------------------------------- the picture


@pytest.mark.parametrize("size", [(97, 64), (96, 63), (95, 61)])
def test_ffv1_keeps_an_odd_size(make_film: MakeFilm, run: Run, size: tuple[int, int]) -> None:
    film = make_film("film.mkv", lumas=shoot(3, size), codec="ffv1")
    output = run(film)
    assert media.picture_context(output)["size"] == size
    assert_same_picture(film, output)


@pytest.mark.parametrize("size", [(97, 64), (96, 63), (95, 61)])
def test_libx264_repeats_one_row_or_column_of_an_odd_size(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, size: tuple[int, int]
) -> None:
    film = make_film("film.mkv", lumas=shoot(3, size), codec="ffv1")
    report = colorize(film, tmp_path / "out.mp4", options=options, encoding=LOSSLESS)
    width, height = size
    padded = width + width % 2, height + height % 2
    assert media.picture_context(report.output)["size"] == padded
    assert any(f"{width}×{height} coded as" in note for note in report.notes)
    for frame, original in zip(media.frames(report.output), media.frames(film), strict=True):
        pad = (0, padded[1] - height), (0, padded[0] - width)
        assert np.array_equal(frame.luma, np.pad(original.luma, pad, mode="edge"))


def test_even_size_has_no_note_of_it(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    report = colorize(make_film(), tmp_path / "out.mp4", options=options, encoding=QUICK)
    assert report.notes == ()


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "depth"),
    [
        ("libx264", "yuv420p10le", 10),
        ("ffv1", "yuv422p10le", 10),
        ("ffv1", "yuv444p12le", 12),
        ("ffv1", "yuv420p16le", 16),
    ],
)
def test_deep_luma_is_kept_to_the_bit(
    make_film: MakeFilm, run: Run, codec: str, pix_fmt: str, depth: int
) -> None:
    lumas = shoot(3, depth=depth)
    film = make_film("film.mkv", lumas=lumas, codec=codec, pix_fmt=pix_fmt)
    output = run(film)
    assert media.picture_context(output)["pix_fmt"] == f"yuv420p{depth}le"
    assert_same_picture(film, output)
    # the low bits are used: this is not 8-bit luma in a wider format
    assert np.any(media.frames(output)[0].luma % (1 << (depth - 8)))


def test_ten_bits_stay_ten_bits_with_the_usual_encoder(make_film: MakeFilm, run: Run) -> None:
    film = make_film(lumas=shoot(3, depth=10), pix_fmt="yuv420p10le")
    output = run(film, "out.mp4", QUICK)
    assert media.picture_context(output)["pix_fmt"] == "yuv420p10le"


@pytest.mark.parametrize(
    ("pix_fmt", "depth"), [("gray", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16)]
)
def test_gray_film_keeps_its_luma_and_full_range(
    make_film: MakeFilm, run: Run, pix_fmt: str, depth: int
) -> None:
    lumas = shoot(3, depth=depth, is_full_range=True)
    film = make_film("film.mkv", lumas=lumas, codec="ffv1", pix_fmt=pix_fmt)
    output = run(film)
    assert_same_picture(film, output)
    assert all(np.array_equal(f.luma, luma) for f, luma in zip(media.frames(output), lumas))
    assert media.picture_context(output)["range"] == media.JPEG_RANGE


def test_gray_film_tagged_limited_stays_limited(make_film: MakeFilm, run: Run) -> None:
    film = make_film(
        "film.mkv", codec="ffv1", pix_fmt="gray", color={"color_range": media.MPEG_RANGE}
    )
    output = run(film)
    assert_same_picture(film, output)
    assert media.picture_context(output)["range"] == media.MPEG_RANGE


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p"])
def test_finer_chroma_of_the_source_does_not_touch_luma(
    make_film: MakeFilm, run: Run, pix_fmt: str
) -> None:
    film = make_film(pix_fmt=pix_fmt)
    output = run(film)
    assert media.picture_context(output)["pix_fmt"] == "yuv420p"
    assert_same_picture(film, output)


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt", "color"),
    [
        ("libx264", "film.mp4", "yuvj420p", {}),
        ("mjpeg", "film.mkv", "yuvj422p", {}),
        ("libx264", "film.mp4", "yuv420p", {"color_range": media.JPEG_RANGE}),
        ("ffv1", "film.mkv", "yuv420p", {"color_range": media.JPEG_RANGE}),
    ],
)
@pytest.mark.parametrize(("output_name", "encoding"), [("o.mkv", MASTER), ("o.mp4", LOSSLESS)])
def test_full_range_stays_full_range(
    make_film: MakeFilm,
    run: Run,
    codec: str,
    name: str,
    pix_fmt: str,
    color: dict[str, int],
    output_name: str,
    encoding: Encoding,
) -> None:
    lumas = shoot(3, is_full_range=True)
    film = make_film(name, lumas=lumas, codec=codec, pix_fmt=pix_fmt, color=color)
    assert min(f.luma.min() for f in media.frames(film)) < 16
    output = run(film, output_name, encoding)
    assert_same_picture(film, output)
    assert media.picture_context(output)["range"] == media.JPEG_RANGE


@pytest.mark.parametrize("color", [{}, {"color_range": media.MPEG_RANGE}])
def test_limited_range_stays_limited(make_film: MakeFilm, run: Run, color: dict[str, int]) -> None:
    film = make_film(color=color)
    output = run(film)
    assert_same_picture(film, output)
    assert media.picture_context(output)["range"] == media.MPEG_RANGE


@pytest.mark.slow
@pytest.mark.parametrize("matrix", sorted(media.MATRIX_NAMES), ids=media.MATRIX_NAMES.get)
@pytest.mark.parametrize(("name", "encoding"), [("out.mkv", MASTER), ("out.mp4", LOSSLESS)])
def test_color_tags_are_kept(
    make_film: MakeFilm, run: Run, matrix: int, name: str, encoding: Encoding
) -> None:
    tags = {"colorspace": matrix, "color_primaries": matrix, "color_trc": 1}
    film = make_film(lumas=shoot(3), color=tags)
    output = run(film, name, encoding)
    context = media.picture_context(output)
    assert (context["matrix"], context["primaries"], context["transfer"]) == (matrix, matrix, 1)
    assert all(frame.matrix == matrix for frame in media.frames(output))
    assert_same_picture(film, output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "matrix"),
    [((96, 64), 6), ((80, 288), 5), ((1280, 720), 1)],
    ids=["SD", "SD of 576 lines' half", "HD"],
)
def test_untagged_film_is_tagged_as_players_take_it(
    make_film: MakeFilm, run: Run, size: tuple[int, int], matrix: int
) -> None:
    film = make_film(lumas=shoot(3, size), options={"preset": "ultrafast"})
    untagged = media.picture_context(film)
    assert untagged["matrix"] == 2
    output = run(film)
    assert media.picture_context(output)["matrix"] == matrix
    assert_same_picture(film, output)


def test_matrix_decides_the_chroma(make_film: MakeFilm, run: Run) -> None:
    """The same colours have other code values in BT.601 and BT.709."""
    chroma = {}
    for matrix in (6, 1):
        lumas = shoot(3)
        film = make_film(
            f"film{matrix}.mkv", lumas=lumas, codec="ffv1", color={"colorspace": matrix}
        )
        chroma[matrix] = media.frames(run(film, f"out{matrix}.mkv"))[0].planes[1]
    assert np.abs(chroma[6].astype(int) - chroma[1]).max() > 2


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("out.mkv", LOSSLESS), ("out.mp4", LOSSLESS), ("out.mp4", Encoding(codec="ffv1"))],
)
def test_pixels_keep_their_shape(
    make_film: MakeFilm, run: Run, name: str, encoding: Encoding
) -> None:
    film = make_film(sar=Fraction(16, 11))
    assert media.picture_context(film)["sar"] == Fraction(16, 11)
    output = run(film, name, encoding)
    assert media.picture_context(output)["sar"] == Fraction(16, 11)
    assert_same_picture(film, output)


def test_a_pixel_shape_that_cannot_be_kept_is_refused_first(
    make_film: MakeFilm, run: Run, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(sar=Fraction(16, 11))
    with pytest.raises(ContainerError, match=r"pixels of 16/11; name the output \.mp4"):
        run(film, "out.mkv", MASTER)
    assert leftovers(tmp_path, film) == []
    assert colorize(film, options=options, encoding=MASTER).output.name == "film.color.mp4"


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize(("name", "encoding"), [("out.mkv", MASTER), ("out.mp4", LOSSLESS)])
def test_rotation_is_kept(
    make_film: MakeFilm, run: Run, rotation: int, name: str, encoding: Encoding
) -> None:
    film = make_film(lumas=shoot(3), rotation=rotation)
    rotations = [frame.rotation for frame in media.frames(film)]
    assert set(rotations) in ({rotation}, {-rotation})
    output = run(film, name, encoding)
    assert [frame.rotation for frame in media.frames(output)] == rotations
    assert_same_picture(film, output)


# ---------------------------------------------------------------- the other streams

TWO_TRACKS = (
    Sound(language="eng", title="Piano"),
    Sound(language="fre", title="Commentary", disposition=Disposition.comment, pitch=300.0),
)


@pytest.mark.parametrize(
    ("suffix", "name", "encoding"),
    [(".mp4", "out.mp4", LOSSLESS), (".mkv", "out.mkv", MASTER), (".mp4", "out.mkv", MASTER)],
)
def test_two_soundtracks_are_kept(
    make_film: MakeFilm, run: Run, suffix: str, name: str, encoding: Encoding
) -> None:
    film = make_film(f"film{suffix}", sounds=TWO_TRACKS)
    output = run(film, name, encoding)
    copies = media.streams(output, "audio")
    assert [s.language for s in copies] == ["eng", "fre"]
    assert [s.title for s in copies] == ["Piano", "Commentary"]
    assert [s.disposition for s in copies] == [Disposition.default, Disposition.comment]
    tolerance = MILLISECOND / 2 if suffix != Path(name).suffix else Fraction(0)
    for which in range(2):
        assert_same_packets(film, output, "audio", which, tolerance)
    assert media.packets(output, "audio", 0) != media.packets(output, "audio", 1)
    assert_same_picture(film, output)


def test_sound_of_an_mp4_is_heard_sample_for_sample(make_film: MakeFilm, run: Run) -> None:
    """AAC's priming stays hidden, for the edit list is kept."""
    film = make_film(sounds=[Sound()])
    output = run(film, "out.mp4", QUICK)
    assert media.num_samples(output) == media.num_samples(film)
    assert_same_packets(film, output, "audio")


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le", "libopus", "libmp3lame", "mp2"])
def test_other_sound_codecs_are_copied(make_film: MakeFilm, run: Run, codec: str) -> None:
    film = make_film("film.mkv", sounds=[Sound(codec)])
    output = run(film)
    assert_same_packets(film, output, "audio")
    assert [s.codec for s in media.streams(output, "audio")] == [
        s.codec for s in media.streams(film, "audio")
    ]


PCM_STEREO = Sound("pcm_s16le", layout="stereo")


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_sound_without_named_channels_is_kept_in_mp4(
    make_film: MakeFilm, options: ColorOptions, layout: str
) -> None:
    """AVI names no channels of PCM; MP4 needs names, and fails without only when it is closed."""
    sounds = [replace(PCM_STEREO, layout=layout)]
    film = make_film("film.avi", codec="mpeg4", time_base=Fraction(1, 24), sounds=sounds)
    report = colorize(film, options=options)
    assert report.output.name == "film.color.mp4"
    with av.open(str(report.output)) as output:
        copied = output.streams.audio[0].codec_context.layout
        assert copied.nb_channels == (2 if layout == "stereo" else 1)
    assert verify(film, report.output) == 12


def test_film_without_sound(make_film: MakeFilm, run: Run) -> None:
    film = make_film()
    output = run(film, "out.mp4", LOSSLESS)
    assert [s.type for s in media.streams(output)] == ["video"]
    assert_same_picture(film, output)


def test_subtitles_of_an_mkv_are_kept(make_film: MakeFilm, run: Run) -> None:
    titles = [
        Titles("subrip", "fre", disposition=Disposition.default),
        Titles("subrip", "ger", [(100, 300, "Ende")], Disposition.forced),
    ]
    film = make_film("film.mkv", sounds=[Sound()], titles=titles)
    output = run(film)
    assert media.streams(output, "subtitle") == media.streams(film, "subtitle")
    assert [s.language for s in media.streams(output, "subtitle")] == ["fre", "ger"]
    for which in range(2):
        assert_same_packets(film, output, "subtitle", which)


def test_subtitles_of_an_mp4_are_kept(make_film: MakeFilm, run: Run) -> None:
    film = make_film(titles=[Titles("mov_text", "fre")])
    for name, encoding in (("out.mp4", LOSSLESS), ("out.mov", QUICK)):
        output = run(film, name, encoding)
        (stream,) = media.streams(output, "subtitle")
        french = "fra" if name.endswith(".mov") else "fre"  # QuickTime has only the first code
        assert (stream.codec, stream.language) == ("mov_text", french)
        empty = (0).to_bytes(2, "big")  # the packet that MP4 puts between two titles
        originals, copies = (
            [p for p in media.packets(path, "subtitle") if p.data != empty]
            for path in (film, output)
        )
        assert [p.data[2:] for p in copies] == [b"Silence", b"She speaks"]
        assert copies == originals


CHAPTERS = ((0, 200, "The arrival"), (200, 500, "The duel"))


@pytest.mark.parametrize(
    ("suffix", "name", "encoding"),
    [
        (".mp4", "out.mp4", QUICK),
        (".mkv", "out.mkv", MASTER),
        (".mp4", "out.mkv", MASTER),
        (".mkv", "out.mp4", QUICK),
    ],
)
def test_chapters_are_kept(
    make_film: MakeFilm, run: Run, suffix: str, name: str, encoding: Encoding
) -> None:
    film = make_film(f"film{suffix}", chapters=CHAPTERS)
    expected = [(start * MILLISECOND, end * MILLISECOND, title) for start, end, title in CHAPTERS]
    assert media.chapters(film) == expected
    output = run(film, name, encoding)
    assert media.chapters(output) == expected
    if suffix == Path(name).suffix:
        assert [s.type for s in media.streams(output)] == [s.type for s in media.streams(film)]


@pytest.mark.parametrize(("name", "encoding"), [("out.mkv", MASTER), ("out.mp4", QUICK)])
def test_metadata_of_the_film_is_kept(
    make_film: MakeFilm, run: Run, name: str, encoding: Encoding
) -> None:
    metadata = {"title": "Le Voyage", "artist": "Méliès", "comment": "1902"}
    film = make_film(metadata=metadata)
    output = run(film, name, encoding)
    kept = {key.lower(): value for key, value in media.metadata(output).items()}
    comment = kept.pop("comment")
    assert comment.startswith("1902; colour added by filmcolor")
    assert {key: kept.get(key, comment) for key in metadata} == {**metadata, "comment": comment}


def test_tags_of_the_picture_are_kept(make_film: MakeFilm, run: Run) -> None:
    film = make_film("film.mkv", tags={"language": "fre", "title": "Nitrate print"})
    for path in (film, run(film)):
        (stream,) = media.streams(path)
        assert (stream.language, stream.title) == ("fre", "Nitrate print")


def test_cover_of_an_mp4_is_kept_and_not_taken_for_the_film(make_film: MakeFilm, run: Run) -> None:
    film = make_film(cover=media.jpeg(), sounds=[Sound()])
    for name, encoding in (("out.mp4", LOSSLESS), ("out.mkv", MASTER)):
        output = run(film, name, encoding)
        assert media.covers(output) == [media.jpeg()]
        assert_same_picture(film, output)
        assert len(media.streams(output, "audio")) == 1


def test_cover_and_font_of_an_mkv_are_kept(make_film: MakeFilm, run: Run) -> None:
    font = ("Intertitle.ttf", "font/ttf", bytes(range(256)))
    film = make_film("film.mkv", attachments=[("cover.jpg", "image/jpeg", media.jpeg()), font])
    output = run(film)
    assert media.attachments(output) == [font]
    assert media.covers(output) == [media.jpeg()]
    assert_same_picture(film, output)


def test_everything_at_once(make_film: MakeFilm, run: Run) -> None:
    film = make_film(
        "film.mkv",
        lumas=shoot(24),
        time_base=MILLISECOND,
        sounds=TWO_TRACKS,
        titles=[Titles("subrip", "fre")],
        chapters=CHAPTERS,
        metadata={"title": "All"},
        attachments=[("a.ttf", "font/ttf", b"glyphs"), ("c.jpg", "image/jpeg", media.jpeg())],
        rotation=90,
        sar=Fraction(4, 3),
    )
    output = run(film, "out.mkv", LOSSLESS)
    assert media.streams(output) == media.streams(film) or sorted(
        (s.type, s.codec, s.language or "", s.title or "") for s in media.streams(output)[1:]
    ) == sorted((s.type, s.codec, s.language or "", s.title or "") for s in media.streams(film)[1:])
    assert_same_picture(film, output)
    assert_same_times(film, output)
    assert_same_packets(film, output, "audio", 0)
    assert_same_packets(film, output, "audio", 1)
    assert_same_packets(film, output, "subtitle")


def test_a_language_that_quicktime_lacks_is_noted(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(sounds=[Sound(language="eng"), Sound(language="rum")])
    report = colorize(film, tmp_path / "out.mov", options=options, encoding=QUICK)
    (note,) = report.notes
    assert re.search(r"has no code for the language of stream 2 \(audio, aac, rum\)", note)


# ---------------------------------------------------------------- parts


@pytest.fixture
def long_film(make_film: MakeFilm) -> Path:
    """Two seconds with sound, titles and chapters, several keyframes, and a late start."""
    return make_film(
        "long.mkv",
        lumas=shoot(30) + shoot(18, seed=1),
        time_base=MILLISECOND,
        start=Fraction(5),
        options={"g": "12"},
        sounds=[Sound()],
        titles=[Titles("subrip", "eng", [(100, 400, "Before"), (1200, 1500, "Inside")])],
        chapters=[(5000, 6000, "One"), (6000, 7000, "Two")],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("time_range", "first", "stop"),
    [
        (TimeRange(first=20, stop=40), 20, 40),
        (TimeRange(first=0, stop=5), 0, 5),
        (TimeRange(first=41), 41, 48),
        (TimeRange(stop=7), 0, 7),
        (TimeRange(first=47, stop=1000), 47, 48),
        (TimeRange(start_seconds=Fraction(1), end_seconds=Fraction(3, 2)), 24, 36),
        (TimeRange(start_seconds=Fraction(7, 5)), 34, 48),
        (TimeRange(end_seconds=Fraction(1, 100)), 0, 1),
    ],
)
def test_part_holds_the_right_frames_from_zero_on(
    long_film: Path, run: Run, time_range: TimeRange, first: int, stop: int
) -> None:
    output = run(long_film, time_range=time_range)
    assert_same_picture(long_film, output, first, stop)
    times = media.seconds(long_film)[first:stop]
    assert media.seconds(output) == [time - times[0] for time in times]


@pytest.mark.parametrize(("name", "encoding"), [("out.mkv", MASTER), ("out.mp4", LOSSLESS)])
def test_sound_of_a_part_is_cut_to_match_and_in_sync(
    make_film: MakeFilm, run: Run, name: str, encoding: Encoding
) -> None:
    film = make_film(
        lumas=shoot(30) + shoot(18, seed=1), options={"g": "12"}, sounds=[Sound(language="eng")]
    )
    output = run(film, name, encoding, TimeRange(first=20, stop=40))
    assert_same_picture(film, output, 20, 40)
    times = media.seconds(film)
    start, end = times[20], times[40]
    originals = [p for p in media.packets(film, "audio") if start <= p.seconds < end]
    copies = media.packets(output, "audio")
    assert [p.data for p in copies] == [p.data for p in originals]
    clock = MILLISECOND if name == "out.mkv" else Fraction(1, 48000)
    for copy, original in zip(copies, originals):
        assert abs(copy.seconds - (original.seconds - start)) <= clock


def test_titles_and_chapters_of_a_part_are_clipped_to_it(long_film: Path, run: Run) -> None:
    output = run(
        long_film, time_range=TimeRange(start_seconds=Fraction(3, 4), end_seconds=Fraction(7, 4))
    )
    start = media.seconds(long_film)[18] - 5
    (title,) = media.packets(output, "subtitle")
    assert title.data == b"Inside"
    assert title.seconds == Fraction(12, 10) - start
    end = media.seconds(long_film)[42] - 5 - start
    assert media.chapters(output) == [(0, 1 - start, "One"), (1 - start, end, "Two")]


def test_a_part_of_all_frames_is_the_whole(long_film: Path, run: Run) -> None:
    part = media.frames(run(long_film, "part.mkv", time_range=TimeRange(first=0, stop=48)))
    whole = media.frames(run(long_film, "whole.mkv"))
    for frame, expected in zip(part, whole, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, expected.planes))


# ---------------------------------------------------------------- errors


def test_stream_that_the_container_cannot_hold_is_refused_before_any_frame(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", titles=[Titles("ass", "fre")])
    done: list[int] = []
    with pytest.raises(ContainerError, match=r"cannot hold .*ass.*\.mkv"):
        colorize(film, tmp_path / "o.mp4", options=options, progress=lambda n, _: done.append(n))
    assert done == []
    assert leftovers(tmp_path, film) == []


def test_default_output_takes_a_container_that_holds_all(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.ts", sounds=[Sound()])
    assert colorize(film, options=options, encoding=QUICK).output == tmp_path / "film.color.mp4"
    film = make_film("film.mp4", sounds=[Sound()])
    report = colorize(film, options=options, encoding=QUICK, force=True)
    assert report.output == tmp_path / "film.color.mp4"
    film = make_film("other.mkv", titles=[Titles()])
    assert colorize(film, options=options, encoding=QUICK).output == tmp_path / "other.color.mkv"


def test_default_output_falls_back_to_mkv(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("film.mkv", titles=[Titles()])
    film = film.rename(tmp_path / "film.bin")  # its own container cannot be written: MP4 is tried
    assert colorize(film, options=options, encoding=QUICK).output == tmp_path / "film.color.mkv"


def test_existing_output_is_left_alone_without_force(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film, output = make_film(), tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        colorize(film, output, options=options, encoding=QUICK)
    assert output.read_bytes() == b"mine"
    colorize(film, output, options=options, encoding=QUICK, force=True)
    assert len(media.frames(output)) == len(media.frames(film))
    assert leftovers(tmp_path, film, output) == []


def test_film_itself_is_never_the_output(make_film: MakeFilm, options: ColorOptions) -> None:
    film = make_film()
    before = film.read_bytes()
    with pytest.raises(OutputError, match="the film itself"):
        colorize(film, film, options=options, encoding=QUICK, force=True)
    assert film.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [1, 5, 24])
def test_nothing_is_left_when_a_run_is_interrupted(
    make_film: MakeFilm,
    options: ColorOptions,
    tmp_path: Path,
    error: type[BaseException],
    after: int,
) -> None:
    film = make_film(lumas=shoot(24), sounds=[Sound()])

    def stop(done: int, total: int | None) -> None:
        if done == after:
            raise error

    with pytest.raises(error):
        colorize(film, tmp_path / "out.mp4", options=options, encoding=QUICK, progress=stop)
    assert leftovers(tmp_path, film) == []


def test_interrupted_run_leaves_the_existing_output(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film, output = make_film(), tmp_path / "out.mp4"
    output.write_bytes(b"mine")

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colorize(film, output, options=options, encoding=QUICK, force=True, progress=stop)
    assert output.read_bytes() == b"mine"
    assert leftovers(tmp_path, film, output) == []


def test_weights_of_another_network(make_film: MakeFilm, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    film, weights = make_film(), tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(3)}, weights)
    with pytest.raises(WeightsError, match="another network"):
        colorize(film, options=ColorOptions(weights=str(weights), device="cpu"))
    assert leftovers(tmp_path, film, weights) == []


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (Encoding(codec="libx999"), "no encoder 'libx999'"),
        (Encoding(codec="aac"), "encodes audio"),
        (Encoding(preset="warp"), "no preset 'warp': choose ultrafast"),
        (Encoding(crf=900), "--crf|crf"),
        (Encoding(pix_fmt="rgb24"), "pixel format 'rgb24'"),
        (Encoding(codec="ffv1", crf=20), "has no crf"),
    ],
)
def test_encoder_settings_without_a_meaning(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, encoding: Encoding, message: str
) -> None:
    film = make_film()
    with pytest.raises(SettingsError, match=message):
        colorize(film, tmp_path / "out.mkv", options=options, encoding=encoding)
    assert leftovers(tmp_path, film) == []


@pytest.mark.parametrize(
    "time_range",
    [
        TimeRange(first=12),
        TimeRange(first=5, stop=5),
        TimeRange(first=8, stop=3),
        TimeRange(start_seconds=Fraction(60)),
        TimeRange(start_seconds=Fraction(1, 3), end_seconds=Fraction(1, 4)),
    ],
)
def test_range_outside_the_film(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, time_range: TimeRange
) -> None:
    film = make_film()
    with pytest.raises(RangeError, match="frames 0 to 11"):
        colorize(film, tmp_path / "out.mp4", options=options, time_range=time_range)
    assert leftovers(tmp_path, film) == []


@pytest.mark.parametrize("name", ["missing/out.mp4", "out.xyz", "out"])
def test_output_that_cannot_be(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, name: str
) -> None:
    film = make_film()
    with pytest.raises(OutputError, match=r"make it first|name the output"):
        colorize(film, tmp_path / name, options=options)
    assert leftovers(tmp_path, film) == []


def test_what_is_no_film(make_film: MakeFilm, options: ColorOptions, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("A film about a train.\n" * 20)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    header = tmp_path / "cut.mp4"
    header.write_bytes(make_film().read_bytes()[:600])  # without the index, which is at the end
    for path, message in (
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path, "is a folder"),
        (text, "not a film|no video stream"),
        (empty, "not a film"),
        (header, "not a film"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            colorize(path, tmp_path / "out.mp4", options=options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert leftovers(tmp_path, text, empty, header) == ["film.mp4"]


def test_sound_alone_is_no_film(options: ColorOptions, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("aac", rate=48000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        tone.sample_rate = 48000
        output.mux(stream.encode(tone) + stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        colorize(path, tmp_path / "out.mp4", options=options)


def test_film_that_breaks_off_is_coloured_as_far_or_refused(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film("whole.mkv", lumas=shoot(24), codec="ffv1", sounds=[Sound()])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    outcome = _outcome(cut, tmp_path / "out.mkv", options)
    if isinstance(outcome, Report):  # only what is there was coloured
        assert_same_picture(cut, outcome.output)
    else:
        assert str(cut) in str(outcome)
        assert leftovers(tmp_path, film, cut) == []


def _outcome(film: Path, output: Path, options: ColorOptions) -> Report | InputError:
    try:
        return colorize(film, output, options=options, encoding=MASTER)
    except InputError as error:
        return error
