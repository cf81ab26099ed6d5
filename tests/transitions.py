"""Films with known transitions: hard cuts, dissolves, fades, and much that resembles them.

Everything is a function of a seed. Scenes are painted here, cut out of pictures, or are clips.
`benchmarks/cuts.py` uses these films too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]  # (H, W), 0..1
SIZE = 160, 120  # (width, height) of the films
_CANVAS = 3.2, 1.8  # width and height of a painted scene, in those of the view


@dataclass(frozen=True)
class Transition:
    """A change of shot; its mark may be on frames `lo` to `hi`, both included."""

    kind: str  # "cut", "dissolve", "fade"
    lo: int
    hi: int


@dataclass
class Film:
    """Frames, uint8 (H, W), with their transitions."""

    kind: str
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)


class Source:
    """The source of scenes: pictures (H, W) in 0..1, clips (N, H, W), or painted without any."""

    def __init__(self, pictures: Sequence[Luma] = (), clips: Sequence[NDArray[np.uint8]] = ()):
        self.pictures, self.clips = pictures, clips

    def canvas(self, rng: np.random.Generator, size: tuple[int, int]) -> Luma:
        """Return a scene wider and higher than the view of (width, height)."""
        width, height = (round(side * scale) for side, scale in zip(size, _CANVAS))
        if not self.pictures:
            return paint(rng, (width, height))
        picture = self.pictures[rng.integers(len(self.pictures))]
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        scale = max(width / picture.shape[1], height / picture.shape[0])
        whole = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(whole[:height, :width], np.float32)

    def clip(
        self, rng: np.random.Generator, length: int, size: tuple[int, int], last: int
    ) -> tuple[int, list[Luma]]:
        """Return the number of a clip, not the last one's, and `length` frames of it in a row."""
        fitting = [n for n, c in enumerate(self.clips) if len(c) >= length and n != last]
        number = int(rng.choice(fitting))
        clip = self.clips[number]
        first = rng.integers(len(clip) - length + 1)
        frames = [f.astype(np.float32) / 255.0 for f in clip[first : first + length]]
        return number, [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]


def paint(rng: np.random.Generator, size: tuple[int, int]) -> Luma:
    """Return a picture (H, W) in 0..1: ground, sky, soft textures, objects with edges."""
    width, height = size
    picture = np.zeros((height, width), np.float32)
    for cells, weight in ((3, 0.5), (9, 0.3), (27, 0.2)):
        noise = rng.random((cells, round(cells * 1.8)), dtype=np.float32)
        picture += weight * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    horizon = int(height * rng.uniform(0.3, 0.7))
    picture[:horizon] += rng.uniform(-0.3, 0.6)
    for _ in range(rng.integers(12, 30)):
        center = int(rng.integers(width)), int(rng.integers(height))
        extent = int(rng.integers(3, width // 12)), int(rng.integers(3, height // 4))
        shade = float(rng.uniform(0.0, 1.2))
        if rng.random() < 0.5:
            cv2.ellipse(picture, center, extent, float(rng.uniform(0, 180)), 0, 360, shade, -1)
        else:
            opposite = center[0] + extent[0], center[1] + extent[1]
            cv2.rectangle(picture, center, opposite, shade, -1)
    picture = cv2.GaussianBlur(picture, (3, 3), 0)
    low, high = np.percentile(picture, (1, 99))
    return ((picture - low) / (high - low)).clip(0.0, 1.0) * 0.85 + 0.05


def alike(rng: np.random.Generator, canvas: Luma, source: Source, size: tuple[int, int]) -> Luma:
    """Return another scene with the same light and dark areas, mean and contrast: one room."""
    other = source.canvas(rng, size)[: canvas.shape[0], : canvas.shape[1]]
    other = cv2.resize(other, canvas.shape[::-1])
    sigma = size[0] / 5
    mixed = other - 0.5 * cv2.GaussianBlur(other, (0, 0), sigma)
    mixed += 0.5 * cv2.GaussianBlur(canvas, (0, 0), sigma)
    mixed = (mixed - mixed.mean()) / mixed.std() * canvas.std() + canvas.mean()
    return mixed.clip(0.0, 1.0)


# ---------------------------------------------------------------- cameras


@dataclass(frozen=True)
class View:
    """The camera's view: its centre in view widths and heights, and the zoom."""

    x: float
    y: float
    zoom: float = 1.0
    blur: float = 0.0  # widths smeared along x


def path(rng: np.random.Generator, kind: str, length: int) -> list[View]:
    """Return a camera's path: still, drift, pan, whip, zoom or shaky."""
    x, y = rng.uniform(0.7, 2.5), rng.uniform(0.6, 1.2)
    steps = np.arange(length)
    sign = 1.0 if x < 1.6 else -1.0
    if kind == "drift":
        return [View(x + 0.004 * sign * n, y + 0.002 * n) for n in steps]
    if kind == "pan":  # throughout the shot, or in its middle half
        speed = sign * rng.uniform(0.03, 0.08)
        start = 0 if rng.random() < 0.5 else length // 4
        num_moved = np.clip(steps - start, 0, length - 2 * start)
        return [View(x + speed * n, y, blur=abs(speed) / 2) for n in num_moved]
    if kind == "whip":  # one to two views in five to nine frames
        num = int(rng.integers(5, 10))
        ease = np.clip((steps - (length - num) / 2) / num, 0.0, 1.0)
        positions = x + sign * rng.uniform(0.9, 1.8) * ease * ease * (3 - 2 * ease)
        speeds = np.abs(np.gradient(positions))
        return [View(p, y, blur=s) for p, s in zip(positions, speeds)]
    if kind == "zoom":
        rate = rng.choice([0.97, 0.985, 1.015, 1.03])
        start = 0.8 if rate > 1 else 1.5
        return [View(x, y, float(np.clip(start * rate**n, 0.7, 2.2))) for n in steps]
    if kind == "shaky":
        walk = rng.normal(0.0, 0.012, (length, 2)).cumsum(axis=0)
        return [View(x + dx, y + dy) for dx, dy in walk]
    return [View(x, y)] * length


def film_shot(
    rng: np.random.Generator, canvas: Luma, kind: str, length: int, size: tuple[int, int]
) -> list[Luma]:
    """Return a camera's frames of a scene in which up to three objects move."""
    width, height = size
    num = int(rng.integers(0, 4))
    positions = rng.uniform(0.0, 1.0, (num, 2))
    speeds = rng.uniform(-0.012, 0.012, (num, 2))
    extents = rng.uniform(0.03, 0.14, (num, 2))
    shades = rng.uniform(0.0, 1.0, num)
    frames = []
    for n, view in enumerate(path(rng, kind, length)):
        left, top = view.x * width - width / 2 / view.zoom, view.y * height - height / 2 / view.zoom
        warp = np.array([[view.zoom, 0, -view.zoom * left], [0, view.zoom, -view.zoom * top]])
        frame = cv2.warpAffine(canvas, warp, size, borderMode=cv2.BORDER_REFLECT)
        for position, speed, extent, shade in zip(positions, speeds, extents, shades):
            x, y = (position + speed * n) * size
            axes = int(extent[0] * width) + 1, int(2 * extent[1] * height) + 1
            cv2.ellipse(frame, (int(x), int(y)), axes, 0, 0, 360, float(shade), -1)
        smear = int(view.blur * width)
        frames.append(cv2.blur(frame, (smear, 1)) if smear > 1 else frame)
    if kind == "passing":
        _pass_by(rng, frames, size)
    return frames


def _pass_by(rng: np.random.Generator, frames: list[Luma], size: tuple[int, int]) -> None:
    """Let an object close to the camera cross the whole picture in 6 to 14 frames."""
    width, height = size
    object_width, num = int(width * rng.uniform(0.5, 1.3)), int(rng.integers(6, 15))
    texture = paint(rng, (object_width, height)) * rng.uniform(0.3, 0.8)
    start = (len(frames) - num) // 2
    for n in range(num):
        left = int(-object_width + (width + object_width) * (n + 1) / (num + 1))
        first, stop = max(0, left), min(width, left + object_width)
        frames[start + n] = frames[start + n].copy()
        frames[start + n][:, first:stop] = texture[:, first - left : stop - left]


# ---------------------------------------------------------------- joining shots


def join(film: Film, frames: list[Luma], shot: list[Luma], kind: str, num: int, gap: int) -> None:
    """Add a shot to frames: by a cut, a dissolve of `num` frames, or a fade out and in.

    A fade has `num` frames each way, and `gap` black frames in between.
    """
    if not frames:
        frames += shot
    elif kind == "cut":
        film.transitions.append(Transition("cut", len(frames), len(frames)))
        frames += shot
    elif kind == "dissolve":
        start = len(frames) - num
        for n in range(num):
            mix = (n + 1) / (num + 1)
            frames[start + n] = (1 - mix) * frames[start + n] + mix * shot[n]
        film.transitions.append(Transition("dissolve", start, len(frames)))
        frames += shot[num:]
    else:
        start, levels = len(frames) - num, np.arange(1, num + 1) / (num + 1)
        frames[start:] = [f * (1 - level) for f, level in zip(frames[start:], levels)]
        frames += [np.zeros_like(shot[0])] * gap
        frames += [f * level for f, level in zip(shot, levels)]
        film.transitions.append(Transition("fade", start, len(frames)))
        frames += shot[num:]


# ---------------------------------------------------------------- aging


def flicker(rng: np.random.Generator, frames: list[Luma]) -> list[Luma]:
    """Return the frames with an exposure that varies by ±20 %."""
    return [f * gain for f, gain in zip(frames, rng.uniform(0.8, 1.2, len(frames)))]


def flashes(rng: np.random.Generator, film: Film, frames: list[Luma]) -> list[Luma]:
    """Return the frames with flashes of 1 to 3 frames, inside shots and at every other cut."""
    lit = list(frames)
    cuts = [t.lo for t in film.transitions]
    for number, (cut, stop) in enumerate(zip([0, *cuts], [*cuts, len(frames)])):
        num = int(rng.integers(1, 4))
        if number % 2 and number <= len(cuts) and stop < len(frames):
            film.transitions[number] = Transition("cut", stop - num, stop)
            flash = range(stop - num, stop)
        else:
            first = int(rng.integers(cut + 5, max(cut + 6, stop - num - 5)))
            flash = range(first, min(first + num, stop))
        level, kept = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.5)
        for n in flash:
            lit[n] = level + kept * lit[n]
    return lit


def wear(rng: np.random.Generator, frames: list[Luma]) -> list[Luma]:
    """Return the frames with dust, scratches, gate weave and heavier grain."""
    height, width = frames[0].shape
    grain = rng.uniform(0.03, 0.09) * width / SIZE[0]  # thumbnails see the same at any size
    worn = []
    for frame in frames:
        dx, dy = rng.normal(0.0, 0.006 * width, 2)
        warp = np.array([[1, 0, dx], [0, 1, dy]])
        frame = cv2.warpAffine(frame, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
        for _ in range(rng.poisson(3)):
            center = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(frame, center, int(rng.integers(1, 5)), float(rng.integers(2)), -1)
        if rng.random() < 0.3:
            cv2.line(frame, (x := int(rng.integers(width)), 0), (x, height), 1.0)
        worn.append(frame + grain * rng.standard_normal(frame.shape, dtype=np.float32))
    return worn


def letterbox(frames: list[Luma], is_wide: bool) -> list[Luma]:
    """Return the frames with black bars above and below, or on both sides."""
    boxed = [f.copy() for f in frames]
    height, width = frames[0].shape
    for frame in boxed:
        if is_wide:
            frame[: height // 6] = frame[-height // 6 :] = 0.0
        else:
            frame[:, : width // 7] = frame[:, -width // 7 :] = 0.0
    return boxed


# ---------------------------------------------------------------- films


@dataclass(frozen=True)
class Recipe:
    """The ingredients of a kind of film."""

    cameras: tuple[str, ...] = ("still", "drift", "shaky")
    joins: tuple[str, ...] = ("cut",)
    lengths: tuple[int, int] = (18, 34)  # frames of a shot, from and below
    ages: tuple[str, ...] = ()
    is_alike: bool = False


RECIPES = {
    "plain cuts": Recipe(),
    "alike scenes": Recipe(is_alike=True),
    "motion on both sides": Recipe(cameras=("pan", "zoom", "shaky", "passing")),
    "short shots": Recipe(lengths=(8, 14)),
    "flashes": Recipe(lengths=(22, 34), ages=("flashes",)),
    "flicker": Recipe(cameras=("still", "drift", "pan"), ages=("flicker",)),
    "worn": Recipe(ages=("flicker", "wear")),
    "bars": Recipe(cameras=("still", "drift", "pan"), ages=("bars",)),
    "fast pans, whips, zooms": Recipe(cameras=("pan", "whip", "zoom"), lengths=(30, 50)),
    "things close by": Recipe(cameras=("passing",), lengths=(30, 50)),
    "dissolves": Recipe(joins=("dissolve",), lengths=(44, 64)),
    "worn dissolves": Recipe(joins=("dissolve",), lengths=(44, 64), ages=("flicker", "wear")),
    "fades": Recipe(joins=("fade",), lengths=(44, 64)),
    "everything": Recipe(
        cameras=("still", "drift", "shaky", "pan", "whip", "zoom", "passing"),
        joins=("cut", "cut", "dissolve", "fade"),
        lengths=(44, 64),
        ages=("flicker", "wear"),
    ),
}


def make_film(
    kind: str, seed: int, source: Source, size: tuple[int, int] = SIZE, num_shots: int = 7
) -> Film:
    """Return the film of a kind of RECIPES and a seed."""
    recipe, film = RECIPES[kind], Film(kind)
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    frames: list[Luma] = []
    canvas, clip = source.canvas(rng, size), -1
    for _ in range(num_shots):
        length = int(rng.integers(*recipe.lengths))
        camera = str(rng.choice(recipe.cameras))
        if source.clips and camera in ("still", "drift", "shaky"):
            clip, shot = source.clip(rng, length, size, clip)
        else:
            fresh = source.canvas(rng, size)
            canvas = alike(rng, canvas, source, size) if recipe.is_alike else fresh
            shot = film_shot(rng, canvas, camera, length, size)
        num, gap = int(rng.integers(8, 25)), int(rng.integers(0, 16))
        transition = str(rng.choice(recipe.joins))
        num = min(num, 16) if transition == "fade" else num
        join(film, frames, shot, transition, num, gap)
    frames = _aged(rng, recipe, film, frames)
    grain = 0.0 if "wear" in recipe.ages else 0.02 * size[0] / SIZE[0]
    for frame in frames:
        noisy = frame + grain * rng.standard_normal(frame.shape, dtype=np.float32)
        film.frames.append(np.rint(noisy.clip(0.0, 1.0) * 255.0).astype(np.uint8))
    return film


def _aged(rng: np.random.Generator, recipe: Recipe, film: Film, frames: list[Luma]) -> list[Luma]:
    ages: dict[str, Callable[[], list[Luma]]] = {
        "flashes": lambda: flashes(rng, film, frames),
        "flicker": lambda: flicker(rng, frames),
        "wear": lambda: wear(rng, frames),
        "bars": lambda: letterbox(frames, bool(rng.integers(2))),
    }
    for age in recipe.ages:
        frames = ages[age]()
    return frames


def make_films(
    num_each: int, source: Source, size: tuple[int, int] = SIZE, seed: int = 0
) -> Iterator[Film]:
    """Yield `num_each` films of each kind."""
    for kind in RECIPES:
        for number in range(num_each):
            yield make_film(kind, seed + number, source, size)


# ---------------------------------------------------------------- scores


Mark = tuple[int, str]  # the frame and the kind of a detected transition


@dataclass
class Score:
    """Counts over films. Of several marks of one transition, all but one are false."""

    cuts: int = 0
    cuts_found: int = 0
    gradual: int = 0
    gradual_found: int = 0
    false_cuts: int = 0
    false_gradual: int = 0

    def add(self, transitions: Sequence[Transition], marks: Sequence[Mark]) -> None:
        """Compare a film's transitions with the detected marks."""
        unmatched = sorted(marks)
        for transition in transitions:
            hits = [m for m in unmatched if transition.lo <= m[0] <= transition.hi]
            unmatched = [m for m in unmatched if m not in hits[:1]]
            if transition.kind == "cut":
                self.cuts, self.cuts_found = self.cuts + 1, self.cuts_found + bool(hits)
            else:
                self.gradual += 1
                self.gradual_found += bool(hits)
        self.false_cuts += sum(kind == "cut" for _, kind in unmatched)
        self.false_gradual += sum(kind != "cut" for _, kind in unmatched)

    def __add__(self, other: "Score") -> "Score":
        return Score(*(a + b for a, b in zip(astuple(self), astuple(other))))

    @property
    def recall(self) -> float:
        """The recall of hard cuts."""
        return self.cuts_found / max(self.cuts, 1)

    @property
    def precision(self) -> float:
        """The precision of hard cuts."""
        return self.cuts_found / max(self.cuts_found + self.false_cuts, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision of hard cuts."""
        return 2 * self.recall * self.precision / max(self.recall + self.precision, 1e-9)
