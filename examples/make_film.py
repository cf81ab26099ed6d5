"""Make `film.mp4`, the demo film: ten seconds of "old" black-and-white film stock with sound.

Nothing is downloaded: all pictures ship with Python packages (`CREDITS` names authors and terms);
matplotlib and scikit-learn, which carry two of them, belong to the `dev` extra. The camera pans and
zooms over them; for the motorcycle it moves between the two cameras of the stereo pair. The stock
is aged by formula: grain, gate weave, flicker, vignette, dust and scratches. The script also
composes the waltz.

Frame `n` is a pure function of `n`, so every call gives the same film, as a whole or in part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import click
import cv2
import matplotlib
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from skimage import data
from sklearn.datasets import load_sample_image

# Author and terms, as the packages state them.
CREDITS = {
    "china": "Summer Palace, Beijing; danielbuechele (Flickr); CC BY 2.0; from scikit-learn",
    "hopper": "Grace Hopper; James S. Davis, US Navy; public domain; from matplotlib",
    "motorcycle": "Middlebury Stereo 2014 (Scharstein et al., GCPR 2014); no licence named; "
    "from scikit-image",
    "astronaut": "Eileen Collins; NASA Great Images; public domain; from scikit-image",
    "rocket": "SpaceX; public domain; from scikit-image",
}

WIDTH, HEIGHT = 640, 480
FRAME_RATE = Fraction(24)
SAMPLE_RATE = 48_000
SAMPLES = int(SAMPLE_RATE / FRAME_RATE)  # a frame
SEED = 1927
LUMA_WEIGHTS = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601-7, item 2.5.1
SMPTE170M = 6  # ITU-T H.273, table 4: the 601 matrix, as 525-line systems name it
X264_OPTIONS = {"crf": "25", "preset": "slow", "threads": "1"}  # one thread: the same bytes


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture, its frames (half-open), its first and last 4:3 window (x, y, width: fractions)."""

    picture: str
    start: int
    stop: int
    first: tuple[float, float, float]
    last: tuple[float, float, float]


# Shots that overlap dissolve into each other; the others meet in a hard cut.
SHOTS = (
    Shot("china", 0, 44, (0.45, 0.50, 0.86), (0.36, 0.46, 0.64)),
    Shot("hopper", 44, 90, (0.50, 0.42, 0.98), (0.50, 0.33, 0.72)),
    Shot("motorcycle", 90, 148, (0.523, 0.50, 0.87), (0.463, 0.51, 0.82)),
    Shot("astronaut", 148, 206, (0.50, 0.39, 0.96), (0.43, 0.29, 0.70)),
    Shot("rocket", 194, 240, (0.50, 0.60, 0.70), (0.50, 0.51, 0.86)),
)
NUM_FRAMES = SHOTS[-1].stop
CUTS = tuple(b.start for a, b in pairwise(SHOTS) if b.start == a.stop)  # each shot's first frame
DISSOLVE = next(range(b.start, a.stop) for a, b in pairwise(SHOTS) if b.start < a.stop)
SCRATCHES = ((20, 31, 452), (108, 136, 171), (176, 181, 534), (222, 233, 118))  # start, stop, x
C, A, G = (48, 64, 67), (45, 64, 69), (43, 65, 71)  # bass and chord, in MIDI keys
CHORDS = (C, A, (50, 65, 69), G, C, A, G, C)  # one per bar
# one note per beat; 0 lets the last one ring
MELODY = (76, 0, 79, 81, 0, 76, 77, 76, 74, 71, 0, 74, 72, 76, 79, 84, 0, 81, 77, 74, 71, 72, 0, 0)


def _fill(disparity: np.ndarray) -> np.ndarray:
    """Fill NaN from the nearest known pixels of the row; the farther surface wins."""
    column, rows = np.arange(disparity.shape[1]), np.arange(len(disparity))[:, None]
    known = np.isfinite(disparity)
    before = np.maximum.accumulate(np.where(known, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, column, column.size)[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(np.where(known, disparity, np.inf), ((0, 0), (1, 1)), constant_values=np.inf)
    filled = np.minimum(padded[rows, before + 1], padded[rows, after + 1])
    return cv2.medianBlur(filled.astype(np.float32), 5)


def _snap(disparity: np.ndarray) -> np.ndarray:
    """Assign intermediate values at depth edges to the closer of the two surfaces."""
    low, high = cv2.erode(disparity, np.ones((13, 13))), cv2.dilate(disparity, np.ones((13, 13)))
    surface = np.where(high - disparity < disparity - low, high, low)
    is_edge = (high - low > 8) & (np.abs(surface - disparity) > 1)
    snapped = cv2.medianBlur(np.where(is_edge, surface, disparity), 5)
    return cv2.dilate(snapped, np.ones((5, 5)))  # edge pixels move with the near surface


def _splat(disparity: np.ndarray, t: float) -> np.ndarray:
    """Warp the left view's disparity to viewpoint `t`; nearer surfaces cover farther ones."""
    rows, columns = np.indices(disparity.shape)
    target = np.rint(columns - t * disparity).astype(int)
    inside = (target >= 0) & (target < disparity.shape[1])
    moved = np.full_like(disparity, -1)
    np.maximum.at(moved, (rows[inside], target[inside]), disparity[inside])
    return _fill(np.where(moved < 0, np.nan, moved))


@cache
def _stereo() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the stereo pair at twice its size: views (H, W, 3) with disparities (H, W)."""
    left, right, disparity = data.stereo_motorcycle()
    size = (2 * left.shape[1], 2 * left.shape[0])
    left, right = (cv2.resize(np.float32(v) / 255, size, interpolation=2) for v in (left, right))
    disparity = 2 * _fill(np.where(np.isfinite(disparity), disparity, np.nan))
    disparity = _snap(cv2.resize(disparity, size, interpolation=cv2.INTER_NEAREST))
    return (left, disparity), (right, _splat(disparity, 1))


def _between(t: float) -> np.ndarray:
    """Return the motorcycle between its cameras, `t` = 0 left to 1 right: RGB (H, W, 3)."""
    disparity = _splat(_stereo()[0][1], t)
    rows, columns = np.indices(disparity.shape, np.float32)
    total, weights = np.float32(0), np.float32(0)
    for (view, depth), offset, share in zip(_stereo(), (t, t - 1), (1 - t, t)):
        x = columns + np.float32(offset) * disparity
        warped = cv2.remap(depth, x, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        visible = np.float32((np.abs(warped - disparity) < 3) & (x >= 0) & (x <= columns.max()))
        weight = np.float32(share + 0.02) * (visible * cv2.GaussianBlur(visible, (0, 0), 1) + 1e-4)
        color = cv2.remap(view, x, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        total, weights = total + weight[..., None] * color, weights + weight
    return total / weights[..., None]


@cache
def _wander(stream: int, sigma: float) -> np.ndarray:
    """Return unit-variance noise over time, smooth over `sigma` frames: (NUM_FRAMES, 2)."""
    noise = np.random.default_rng((SEED, stream)).standard_normal((NUM_FRAMES, 2))
    noise = cv2.GaussianBlur(noise, (1, 0), 0, sigmaY=sigma) if sigma else noise
    return noise / noise.std(axis=0)


@cache
def _photograph(name: str) -> np.ndarray:
    """Return a photograph of `CREDITS`: float32 RGB (H, W, 3), 0 to 1."""
    if name == "china":
        picture = load_sample_image("china.jpg")
    elif name == "hopper":
        path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        picture = cv2.imread(str(path))[..., ::-1]
    else:
        picture = getattr(data, name)()
    return np.float32(picture) / 255


def _look(shot: Shot, n: int) -> np.ndarray:
    """Return the shot's picture in frame `n`, with gate weave: float32 RGB (480, 640, 3)."""
    t = (n - shot.start) / (shot.stop - 1 - shot.start)
    picture = _between(t) if shot.picture == "motorcycle" else _photograph(shot.picture)
    height, width = picture.shape[:2]
    x, y, part = (a + t * (b - a) for a, b in zip(shot.first, shot.last))
    scale = part * width / WIDTH  # picture pixels per pixel
    if scale > 1:  # antialias
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 * np.sqrt(scale**2 - 1) + 0.01)
    weave = _wander(1, 2.5)[n] * (0.7, 0.9) + _wander(2, 0)[n] * (0.10, 0.15)  # pixels
    dx, dy = scale * (weave - ((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
    matrix = np.array([[scale, 0, x * width - 0.5 + dx], [0, scale, y * height - 0.5 + dy]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=flags)


def _scene(n: int) -> np.ndarray:
    """Return frame `n` before aging: float32 RGB (480, 640, 3), 0 to 1."""
    old, *new = (_look(shot, n) for shot in SHOTS if shot.start <= n < shot.stop)
    mix = (n - DISSOLVE.start + 1) / (len(DISSOLVE) + 1)
    return np.clip(old + np.float32(mix) * (new[0] - old) if new else old, 0, 1)


def _expose(scene: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gray, 0 to 1, that the stock records: blur, S-curve, flicker, vignette, grain."""
    gray = cv2.GaussianBlur(scene @ LUMA_WEIGHTS, (0, 0), 0.7)
    gray += 0.35 * (gray * gray * (3 - 2 * gray) - gray)
    rows, columns = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    vignette = 1 - 0.09 * (rows**2 + columns**2) ** 1.5
    flicker = 1 + 0.014 * _wander(3, 1)[n, 0] + 0.008 * _wander(4, 0)[n, 0]
    gray = 0.03 + 0.92 * gray * vignette * flicker
    grain = cv2.GaussianBlur(rng.standard_normal(gray.shape), (0, 0), 0.9)
    mid_tones = np.sqrt(np.clip(4 * gray * (1 - gray), 0, 1))
    return gray + (0.005 + 0.012 * mid_tones) * grain / grain.std()


def _dirty(gray: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gray frame `n` with specks, a hair now and then, and scratches."""
    for _ in range(rng.poisson(0.9)):
        mask = np.zeros(gray.shape, np.uint8)
        place = rng.uniform((0, 0), (WIDTH, HEIGHT))
        if rng.random() < 0.12:
            turns = rng.normal(0, 0.35, 12).cumsum() + rng.uniform(0, 2 * np.pi)
            path = place + 4 * np.stack([np.cos(turns), np.sin(turns)], axis=1).cumsum(axis=0)
            cv2.polylines(mask, [path.astype(np.int32)], False, 255, 1, cv2.LINE_AA)
        else:
            speck = (tuple(place), tuple(2 * rng.gamma(3, 0.5, 2) + 1), rng.uniform(0, 180))
            cv2.ellipse(mask, speck, 255, -1, cv2.LINE_AA)
        tone = 0.93 if rng.random() < 0.6 else 0.05
        opacity = rng.uniform(0.4, 0.8) / 255 * cv2.GaussianBlur(mask, (0, 0), 0.6)
        gray = gray + opacity * (tone - gray)
    for x in (x for start, stop, x in SCRATCHES if start <= n < stop):
        line = np.exp(-(((np.arange(WIDTH) - x - 1.2 * _wander(5, 2)[n, 0]) / 0.7) ** 2))
        gray = gray + (0.5 + 0.25 * np.tanh(_wander(6, 0.7)[n, 0])) * line * (0.9 - gray)
    return gray


def true_frame(n: int) -> np.ndarray:
    """Return frame `n` in true colours, with gate weave only: sRGB uint8 (480, 640, 3)."""
    return np.rint(255 * _scene(n)).astype(np.uint8)


def film_frame(n: int) -> np.ndarray:
    """Return frame `n` as coded luma, limited range (16 to 235): uint8 (480, 640)."""
    rng = np.random.default_rng((SEED, 0, n))
    gray = _dirty(_expose(_scene(n), n, rng), n, rng)
    return np.rint(16 + 219 * np.clip(gray, 0, 1)).astype(np.uint8)


def true_frames(num_frames: int = NUM_FRAMES) -> Iterator[np.ndarray]:
    """Yield the first frames in true colours: sRGB uint8 (480, 640, 3)."""
    return map(true_frame, range(num_frames))


def frames(num_frames: int = NUM_FRAMES) -> Iterator[np.ndarray]:
    """Yield the first frames of the film: luma, limited range, uint8 (480, 640)."""
    return map(film_frame, range(num_frames))


def _note(key: int, seconds: float) -> np.ndarray:
    """Return one pianola note, of two strings slightly out of tune: float64 (samples,)."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(time)
    for pitch in (440 * 2 ** ((key + detune - 69) / 12) for detune in (-0.06, 0.06)):
        for k in range(1, 9):
            turns = k * pitch * np.sqrt(1 + 0.0004 * k * k) * time  # strings are stiff
            sound += np.exp(-time * (2 + 0.9 * k)) * np.sin(2 * np.pi * turns) / k**1.3
    return sound * np.clip(np.minimum(time / 0.004, (seconds - time) / 0.03), 0, 1)


def waltz() -> np.ndarray:
    """Return eight bars of a waltz through an old projector: float32 (samples,), -1 to 1."""
    rng = np.random.default_rng((SEED, 7))
    sound = np.zeros(NUM_FRAMES * SAMPLES)
    beat = sound.size // len(MELODY)
    for n, tune in enumerate(MELODY):
        bass, *chord = CHORDS[n // 3]
        struck = [(bass, 0.5)] if n % 3 == 0 else [(key, 0.2) for key in chord]
        for key, loudness in [*struck, (tune, 0.7 if tune else 0)]:
            note = loudness * _note(key, 1.9 * beat / SAMPLE_RATE)[: sound.size - n * beat]
            sound[n * beat : n * beat + note.size] += note
    sound = sound / np.abs(sound).max() + 0.006 * rng.standard_normal(sound.size)  # hiss
    sound[::SAMPLES] += rng.uniform(0.1, 0.3, NUM_FRAMES)  # the claw, once per frame
    sound[rng.integers(0, sound.size, 70)] += rng.normal(0, 0.7, 70)  # dirt on the track
    hertz = np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE)
    band = hertz**4 / (hertz**4 + 90**4) / (1 + (hertz / 4500) ** 6)
    sound = np.fft.irfft(np.fft.rfft(sound) * band, sound.size)
    return np.float32(0.7 * sound / np.abs(sound).max())


def _video_stream(output: av.container.OutputContainer) -> av.VideoStream:
    """Add an H.264 stream, tagged as 525-line standard definition in limited range."""
    stream = output.add_stream("libx264", rate=FRAME_RATE, options=X264_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context = stream.codec_context
    context.color_range, context.colorspace = ColorRange.MPEG, SMPTE170M
    context.color_primaries, context.color_trc = ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M
    return stream


def _video_frame(luma: np.ndarray, n: int) -> av.VideoFrame:
    """Return luma (480, 640) as frame `n` in yuv420p with neutral chroma."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane, samples in zip(frame.planes, (luma, 128, 128)):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows[:, : plane.width] = samples
    frame.pts, frame.time_base = n, 1 / FRAME_RATE
    return frame


def make_film(path: Path, num_frames: int = NUM_FRAMES) -> None:
    """Write the first frames of the film with their sound to an MP4, atomically."""
    part, sound = path.with_name(f".{path.name}.part"), waltz()
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as output:
            output.metadata["title"] = "filmcolor demonstration film"
            video = _video_stream(output)
            audio = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono", bit_rate=64_000)
            for n, luma in enumerate(frames(num_frames)):
                output.mux(video.encode(_video_frame(luma, n)))
                samples = sound[None, n * SAMPLES : (n + 1) * SAMPLES]
                audio_frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                audio_frame.sample_rate, audio_frame.pts = SAMPLE_RATE, n * SAMPLES
                output.mux(audio.encode(audio_frame))
            output.mux([*video.encode(), *audio.encode()])
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--seconds", type=click.FloatRange(0.1, 10), default=10.0, show_default=True)
def main(output: Path | None, seconds: float) -> None:
    """Make the demo film, or its first seconds; by default film.mp4 beside this script."""
    output = output or Path(__file__).with_name("film.mp4")
    make_film(output, round(seconds * FRAME_RATE))
    click.echo(output)


if __name__ == "__main__":
    main()
