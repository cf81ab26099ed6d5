"""Clips that the studio plays: what they show and sound like, and which of them are made."""

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import media
import numpy as np
import pytest
from media import Film, Sound, shoot

from filmcolor.errors import InputError, RangeError
from filmcolor.output import playback
from filmcolor.output.playback import PlaybackWriter, half_size, is_playable, playback_coding
from filmcolor.output.playback_sound import RATE, read_sound
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.studio import clips as clips_module
from filmcolor.studio.clips import Clips
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

PATIENCE_SECONDS = 60.0
NUM_FRAMES, FIRST, STOP = 48, 10, 34
Frames = Generator[ColorFrame, None, None]


@dataclass
class OpenedFilm:
    """A film of which clips are made, with a run's own colours."""

    info: FilmInfo
    index: FrameIndex
    colorizer: Colorizer | None
    corrections: Any = None

    def __post_init__(self) -> None:
        self.corrections = SimpleNamespace(version="a")

    @property
    def colors(self) -> "OpenedFilm":
        return self

    def frames(self, first: int, stop: int, *, target: Coding | None = None) -> Frames:
        assert self.colorizer is not None
        return self.colorizer.frames(self.info, Part(first, stop), target=target)


class PlainFilm(OpenedFilm):
    """A film whose frames cost nothing. A test may hold them back, and leave some out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.begun: list[int] = []  # the first frames of what was asked for, in order
        self.gate = threading.Event()
        self.gate.set()
        self.undecodable: set[int] = set()

    def frames(self, first: int, stop: int, *, target: Coding | None = None) -> Frames:
        self.begun.append(first)
        for number in range(first, stop):
            assert self.gate.wait(PATIENCE_SECONDS)
            if number not in self.undecodable:
                yield grey_frame(number, self.index.pts[number])


def grey_frame(number: int, pts: int) -> ColorFrame:
    """Return a frame whose luma is its number."""
    width, height = media.SIZE
    neutral = np.full((height // 2, width // 2), 128, np.uint8)
    return ColorFrame(
        number, np.full((height, width), 16 + 4 * number, np.uint8), neutral, neutral, pts, 0
    )


def opened(path: Path, options: ColorOptions) -> OpenedFilm:
    info = options.probe(path)
    return OpenedFilm(info, FrameIndex.read(info), Colorizer(options))


@pytest.fixture
def plain(make_film: Callable[..., Path]) -> PlainFilm:
    """Two seconds of film, without colours."""
    info = probe(make_film(lumas=shoot(NUM_FRAMES)))
    return PlainFilm(info, FrameIndex.read(info), None)


@contextmanager
def clips_of(film: OpenedFilm) -> Iterator[Clips]:
    clips = Clips(film)
    try:
        yield clips
    finally:
        if isinstance(film, PlainFilm):
            film.gate.set()
        clips.close()


def wait_for(clips: Clips, identifier: str) -> dict[str, Any]:
    """Return the state of a clip once it is made."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (state := clips.state(identifier))["state"] in ("waiting", "coloring"):
        assert time.monotonic() < deadline, state
        time.sleep(0.005)
    return state


def make_clip(clips: Clips, first: int = FIRST, stop: int = STOP) -> Path:
    identifier = clips.begin(first, stop)
    state = wait_for(clips, identifier)
    num_frames = stop - first
    assert state == {"state": "ready", "done": num_frames, "total": num_frames, "error": ""}
    return clips.path(identifier)


def sound_of(path: Path) -> np.ndarray:
    """Return the samples (channels, N) of a clip, as players place them from its zero."""
    with av.open(str(path)) as clip:
        stream = clip.streams.audio[0]
        assert (stream.codec_context.codec.canonical_name, stream.rate) == ("aac", RATE)
        assert stream.layout.name == "stereo"
        frames = [frame for frame in clip.decode(stream) if frame.pts >= 0]
        assert frames[0].pts == 0
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


def tone(film: Film, start: Fraction, num_samples: int) -> np.ndarray:
    """Return the tone that `media` records in a film, from a time on, at RATE."""
    seconds = np.arange(num_samples) / RATE + float(start)
    swell = 0.1 + 0.7 * seconds / float(film.seconds)
    return np.sin(2 * np.pi * 440.0 * seconds) * swell


# ---------------------------------------------------------------- the picture


def upright(plane: np.ndarray, turns: int, size: tuple[int, int]) -> np.ndarray:
    """Return a plane as it is shown: turned, then at another size."""
    return cv2.resize(np.rot90(plane, turns).copy(), size, interpolation=cv2.INTER_LINEAR)


def even(plane: np.ndarray) -> np.ndarray:
    """Return a plane with its last column and row repeated where their number is odd."""
    height, width = plane.shape
    return np.pad(plane, ((0, height % 2), (0, width % 2)), "edge")


PICTURES = {
    "plain": ({}, "film.mp4", (96, 64), 0),
    "deep": (
        {"lumas": shoot(NUM_FRAMES, depth=10), "pix_fmt": "yuv420p10le"},
        "f.mkv",
        (96, 64),
        0,
    ),
    "full range": (
        {
            "lumas": shoot(NUM_FRAMES, is_full_range=True),
            "pix_fmt": "yuvj420p",
            "codec": "mjpeg",
            "options": {"q": "1"},
        },
        "film.mov",
        (96, 64),
        0,
    ),
    "odd": ({"lumas": shoot(NUM_FRAMES, (97, 65)), "codec": "ffv1"}, "film.mkv", (98, 66), 0),
    "wide pixels": ({"sar": Fraction(16, 15)}, "film.mp4", (104, 64), 0),
    "turned": ({"rotation": 90}, "film.mp4", (64, 96), 1),
    "turned, wide pixels": ({"rotation": -90, "sar": Fraction(4, 3)}, "film.mp4", (64, 128), 3),
    "interlaced": ({"scan": "tff"}, "film.mp4", (96, 64), 0),
    "an hour late": ({"start": Fraction(3600)}, "film.mkv", (96, 64), 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PICTURES)
def test_a_clip_shows_grey_and_the_colours_of_a_run(
    make_film: Callable[..., Path],
    options: ColorOptions,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Encoded without loss, so that every sample can be compared."""
    monkeypatch.setattr(playback, "_OPTIONS", {**playback._OPTIONS, "crf": "0"})
    changes, name, (width, height), turns = PICTURES[kind]
    film = opened(make_film(name, Film(shoot(NUM_FRAMES)), **changes), options)
    assert half_size(film.info) == (width, height)
    with clips_of(film) as clips:
        clip = media.frames(make_clip(clips))
    expected = list(film.frames(FIRST, STOP, target=playback_coding(film.info)))
    assert [frame.number for frame in expected] == list(range(FIRST, STOP))
    assert len(clip) == STOP - FIRST
    for shown, frame in zip(clip, expected, strict=True):
        assert (shown.pix_fmt, shown.color_range) == ("yuv420p", media.MPEG_RANGE)
        assert shown.matrix == film.info.coding.matrix
        luma, *chroma = shown.planes
        assert luma.shape == (height, 2 * width)
        wanted = upright(even(frame.luma), turns, (width, height))
        assert np.array_equal(luma, np.hstack([wanted, wanted]))
        for plane, given in zip(chroma, (frame.cb, frame.cr), strict=True):
            colored = upright(given, turns, (width // 2, height // 2))
            assert np.array_equal(plane, np.hstack([np.full_like(colored, 128), colored]))
            assert colored.std() > 5  # colours that can be told from grey


def test_a_clip_is_close_to_the_colours_of_a_run(
    make_film: Callable[..., Path], options: ColorOptions
) -> None:
    film = opened(make_film(lumas=shoot(NUM_FRAMES)), options)
    with clips_of(film) as clips:
        clip = media.frames(make_clip(clips))
    for shown, frame in zip(clip, film.frames(FIRST, STOP), strict=True):
        luma, *chroma = (plane.astype(float) for plane in shown.planes)
        assert np.abs(luma - np.hstack([frame.luma] * 2)).mean() < 2.5
        for plane, given in zip(chroma, (frame.cb, frame.cr), strict=True):
            grey, colored = np.hsplit(plane, 2)
            assert np.abs(colored - given).mean() < np.abs(colored - 128).mean() / 3
            assert np.abs(grey[:, :-10] - 128).max() <= 2  # blocks at the edge hold some colour


def test_a_clip_has_the_films_times(make_film: Callable[..., Path], options: ColorOptions) -> None:
    pts = [1000 * n + 300 * (n % 3) for n in range(NUM_FRAMES)]
    path = make_film(lumas=shoot(NUM_FRAMES), pts=pts)
    with clips_of(opened(path, options)) as clips:
        clip = make_clip(clips, 5, 45)
        assert media.seconds(clip) == [(p - pts[5]) * media.TICK for p in pts[5:45]]
        with av.open(str(clip)) as container:
            stream: Any = container.streams.video[0]
            assert stream.duration * stream.time_base == (pts[45] - pts[5]) * media.TICK
            packets = [p for p in container.demux(stream) if p.size]
    keyframes = [packet.pts * packet.time_base for packet in packets if packet.is_keyframe]
    assert keyframes[0] == 0
    assert len(keyframes) > 1
    assert all(b - a < 1.1 for a, b in itertools.pairwise(keyframes))


def test_a_clip_is_quick_to_begin(plain: PlainFilm) -> None:
    """A browser begins before it has the whole file: its index comes first."""
    with clips_of(plain) as clips:
        data = make_clip(clips).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_large_frames_are_made_smaller(make_film: Callable[..., Path]) -> None:
    info = probe(make_film())
    assert half_size(replace(info, width=4096, height=2160)) == (1920, 1014)
    assert half_size(replace(info, width=1080, height=4320)) == (540, 2160)
    assert half_size(replace(info, width=1, height=1)) == (2, 2)


@pytest.mark.parametrize("undecodable", [{FIRST, FIRST + 1}, {20}, {STOP - 1}])
def test_a_frame_that_is_missing_leaves_the_others_in_step(
    plain: PlainFilm, undecodable: set[int]
) -> None:
    plain.undecodable = undecodable
    with clips_of(plain) as clips:
        identifier = clips.begin(FIRST, STOP)
        state = wait_for(clips, identifier)
        assert state["state"] == "ready"
        shown = media.frames(clips.path(identifier))
        with av.open(str(clips.path(identifier))) as container:
            stream: Any = container.streams.video[0]
            assert stream.duration * stream.time_base == 1  # 24 frames
    numbers = [n for n in range(FIRST, STOP) if n not in undecodable]
    times = [Fraction(n - FIRST, 24) for n in numbers]
    times[0] = Fraction(0)  # shown from the beginning, where the first ones are missing
    assert [frame.seconds for frame in shown] == times
    assert [round((frame.luma.mean() - 16) / 4) for frame in shown] == numbers


def test_a_range_without_a_frame_fails_in_words(plain: PlainFilm) -> None:
    plain.undecodable = set(range(NUM_FRAMES))
    with clips_of(plain) as clips:
        state = wait_for(clips, clips.begin(FIRST, STOP))
    assert state["state"] == "failed"
    assert "none of these frames can be decoded; choose others" in state["error"]


# ---------------------------------------------------------------- the sound


SOUNDS = {
    "stereo": (Film([], sounds=[Sound("aac", layout="stereo")]), "film.mp4"),
    "mono": (Film([], sounds=[Sound("flac")]), "film.mkv"),
    "mono, 8 kHz": (Film([], sounds=[Sound("pcm_s16le", sample_rate=8000)]), "film.mov"),
    "44.1 kHz": (
        Film([], sounds=[Sound("pcm_s16le", sample_rate=44100, layout="stereo")]),
        "film.mkv",
    ),
    "AVI": (
        Film([], "mpeg4", sounds=[Sound("pcm_s16le", sample_rate=22050)], time_base=1 / media.RATE),
        "film.avi",
    ),
    "an hour late": (
        Film([], sounds=[Sound("pcm_s16le")], start=Fraction(3600)),
        "film.mkv",
    ),
    "an hour late, 8 kHz": (
        Film([], sounds=[Sound("pcm_s16le", sample_rate=8000)], start=Fraction(3600)),
        "film.mov",
    ),
}


@pytest.mark.parametrize("kind", SOUNDS)
def test_the_sound_is_of_exactly_the_range(make_film: Callable[..., Path], kind: str) -> None:
    film, name = SOUNDS[kind]
    film = replace(film, lumas=shoot(NUM_FRAMES))
    info = probe(make_film(name, film))
    plain = PlainFilm(info, FrameIndex.read(info), None)
    with clips_of(plain) as clips:
        samples = sound_of(make_clip(clips))
    assert abs(samples.shape[1] - RATE) <= 1024  # 24 frames are a second; packets have 1024
    start_seconds = plain.index.pts[FIRST] * info.time_base - film.start
    assert abs(start_seconds - FIRST / film.rate) <= Fraction(1, 1000)  # the clock of Matroska
    wanted = tone(film, start_seconds, RATE)
    # a sample too early or too late would be wrong by 0.02
    for channel in samples[:, 500 : RATE - 1500]:
        assert np.sqrt(np.mean((channel - wanted[500 : RATE - 1500]) ** 2)) < 0.012


def test_many_channels_are_mixed_to_two(make_film: Callable[..., Path]) -> None:
    film = Film(shoot(NUM_FRAMES), sounds=[Sound("pcm_s16le", layout="5.1")])
    info = probe(make_film("film.mkv", film))
    samples = read_sound(info, Fraction(0), Fraction(1))
    assert samples is not None and samples.shape == (2, RATE)
    wanted = tone(film, Fraction(0), RATE)
    for channel in samples:
        gain = channel @ wanted / (wanted @ wanted)
        assert 0.4 < gain <= 1.0
        assert np.abs(channel - gain * wanted).max() < 0.02


def test_it_is_silent_where_the_film_has_no_sound(
    make_film: Callable[..., Path], tmp_path: Path
) -> None:
    """The sound begins half a second late, and the clip before it."""
    film = Film(shoot(NUM_FRAMES), sounds=[Sound("pcm_s16le")])
    late = shift_sound(make_film("film.mkv", film), tmp_path / "late.mkv", milliseconds=750)
    info = probe(late)
    plain = PlainFilm(info, FrameIndex.read(info), None)
    with clips_of(plain) as clips:
        samples = sound_of(make_clip(clips, 12, 36))
    onset = RATE // 4
    assert samples.shape[1] >= RATE
    assert np.abs(samples[:, : onset - 2048]).max() == 0.0
    wanted = tone(film, Fraction(0), RATE - onset - 1500)
    error = samples[:, onset : RATE - 1500] - wanted
    assert np.sqrt((error[:, 500:] ** 2).mean()) < 0.012


def shift_sound(film: Path, target: Path, milliseconds: int) -> Path:
    """Copy a film with its sound later."""
    with av.open(str(film)) as source, av.open(str(target), "w") as output:
        streams = {s.index: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    ticks = round(Fraction(milliseconds, 1000) / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def test_the_sound_far_inside_a_film_is_that_of_the_whole(make_film: Callable[..., Path]) -> None:
    """It is read from shortly before, and not from the film's beginning."""
    film = Film(shoot(24 * 8), codec="mpeg4", sounds=[Sound("aac")], options={"g": "24"})
    info = probe(make_film("film.mp4", film))
    whole = read_sound(info, Fraction(0), Fraction(8))
    part = read_sound(info, Fraction(11, 2), Fraction(13, 2))
    assert whole is not None and part is not None
    assert np.abs(whole[:, 11 * RATE // 2 : 13 * RATE // 2] - part).max() < 1e-4
    assert np.abs(part).max() > 0.5


def test_a_film_without_sound_gives_a_clip_without(plain: PlainFilm) -> None:
    with clips_of(plain) as clips:
        assert not media.streams(make_clip(clips), "audio")


# ---------------------------------------------------------------- which clips are made


def test_the_same_range_is_the_same_clip_until_colours_change(plain: PlainFilm) -> None:
    with clips_of(plain) as clips:
        first = clips.begin(0, 12)
        wait_for(clips, first)
        assert clips.begin(0, 12) == first
        assert clips.state(first)["state"] == "ready"
        assert plain.begun == [0]
        plain.corrections.version = "b"
        second = clips.begin(0, 12)
        assert second != first
        wait_for(clips, second)
        assert plain.begun == [0, 0]
        plain.corrections.version = "a"
        assert clips.begin(0, 12) == first  # after an undo
        assert clips.begin(0, 13) not in (first, second)


@pytest.mark.parametrize(
    ("first", "stop", "words"),
    [
        (0, NUM_FRAMES + 1, "has frames 0 to 47"),
        (-1, 5, "no range"),
        (5, 5, "no range"),
        (60, 70, "has frames 0 to 47"),
    ],
)
def test_a_range_outside_the_film_is_refused(
    plain: PlainFilm, first: int, stop: int, words: str
) -> None:
    with clips_of(plain) as clips, pytest.raises(RangeError, match=words):
        clips.begin(first, stop)


def test_a_clip_has_thirty_seconds_at_most(make_film: Callable[..., Path]) -> None:
    info = probe(make_film(lumas=shoot(33), rate=Fraction(1)))  # a frame a second
    plain = PlainFilm(info, FrameIndex.read(info), None)
    with clips_of(plain) as clips:
        make_clip(clips, 1, 31)
        with pytest.raises(RangeError, match=r"32\.0 s long; choose one of 30 s"):
            clips.begin(1, 33)


def test_the_latest_request_comes_first(plain: PlainFilm) -> None:
    plain.gate.clear()
    with clips_of(plain) as clips:
        early = clips.begin(0, 12)
        while clips.state(early)["state"] != "coloring":
            time.sleep(0.001)
        others = [clips.begin(n, n + 12) for n in (1, 2, 3)]
        plain.gate.set()
        for identifier in (early, *others):
            assert wait_for(clips, identifier)["state"] == "ready"
        # the first one gave way, and began again when nothing else was wanted
        assert plain.begun == [0, 3, 2, 1, 0]


def test_requests_that_nobody_waits_for_any_more_are_forgotten(
    plain: PlainFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips_module, "_MAX_WAITING", 2)
    plain.gate.clear()
    with clips_of(plain) as clips:
        identifiers = [clips.begin(n, n + 4) for n in range(6)]
        plain.gate.set()
        wait_for(clips, identifiers[-1])
        wait_for(clips, identifiers[-2])
        with pytest.raises(NotFoundError, match="play the range again"):
            clips.state(identifiers[1])


def test_old_clips_make_room(plain: PlainFilm, monkeypatch: pytest.MonkeyPatch) -> None:
    with clips_of(plain) as clips:
        one, two = clips.begin(0, 12), clips.begin(12, 24)
        wait_for(clips, one)
        wait_for(clips, two)
        paths = clips.path(two), clips.path(one)  # `two` is used longest ago now
        size = sum(path.stat().st_size for path in paths)
        monkeypatch.setattr(clips_module, "_MAX_BYTES", size)
        three = clips.begin(24, 36)
        wait_for(clips, three)
        assert (clips.path(one).exists(), clips.path(three).exists()) == (True, True)
        with pytest.raises(NotFoundError):
            clips.path(two)
        assert not paths[0].exists()


def test_a_clip_is_there_when_it_is_whole(plain: PlainFilm) -> None:
    plain.gate.clear()
    with clips_of(plain) as clips:
        identifier = clips.begin(0, 12)
        with pytest.raises(ConflictError, match="ask again"):
            clips.path(identifier)
        plain.gate.set()
        wait_for(clips, identifier)
        assert len(media.frames(clips.path(identifier))) == 12
    with pytest.raises(NotFoundError), clips_of(plain) as clips:
        clips.state("unknown")


def test_a_clip_whose_colours_change_meanwhile_fails(plain: PlainFilm) -> None:
    plain.gate.clear()
    with clips_of(plain) as clips:
        identifier = clips.begin(0, 12)
        plain.corrections.version = "b"
        plain.gate.set()
        state = wait_for(clips, identifier)
        assert (state["state"], "were changed" in state["error"]) == ("failed", True)
        plain.corrections.version = "a"
        assert clips.begin(0, 12) == identifier  # it is tried again
        assert wait_for(clips, identifier)["state"] == "ready"


def test_closing_ends_what_is_made_and_removes_all(plain: PlainFilm) -> None:
    clips = Clips(plain)
    ready = make_clip(clips)
    plain.gate.clear()
    clips.begin(0, 40)
    threading.Timer(0.05, plain.gate.set).start()
    clips.close()
    assert not ready.parent.exists()


def test_a_writer_that_is_left_removes_its_file(plain: PlainFilm, tmp_path: Path) -> None:
    part = Part(0, 12, Fraction(0), Fraction(1, 2))
    with PlaybackWriter(tmp_path / "clip.mp4", plain.info, part) as writer:
        writer.write(grey_frame(0, 0))
    assert not (tmp_path / "clip.mp4").exists()
    with (
        pytest.raises(InputError),
        PlaybackWriter(tmp_path / "clip.mp4", plain.info, part) as writer,
    ):
        writer.finish()
    assert not (tmp_path / "clip.mp4").exists()


# ---------------------------------------------------------------- what browsers play


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("film.mp4", {}, True),
        ("film.mp4", {"sounds": [Sound("aac")]}, True),
        ("film.mov", {"sounds": [Sound("aac")]}, True),
        ("film.mp4", {"sounds": [Sound("flac")]}, True),
        ("film.mp4", {"sounds": [Sound("ac3")]}, False),
        ("film.mov", {"sounds": [Sound("pcm_s16le")]}, False),
        ("film.mkv", {}, False),
        ("film.mp4", {"codec": "mpeg4"}, False),
        ("film.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}, False),
        ("film.mp4", {"lumas": shoot(3, depth=10), "pix_fmt": "yuv420p10le"}, False),
        ("film.mp4", {"pix_fmt": "yuv444p"}, False),
        ("film.webm", {"codec": "libvpx-vp9", "sounds": [Sound("libopus")]}, True),
        ("film.mkv", {"codec": "libvpx-vp9"}, False),
    ],
)
def test_what_browsers_play(
    make_film: Callable[..., Path], name: str, changes: dict[str, Any], expected: bool
) -> None:
    film = make_film(name, **{"lumas": shoot(3), **changes})
    assert is_playable(probe(film)) is expected
