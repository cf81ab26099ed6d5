"""Options that decide how a film is coloured."""

from dataclasses import dataclass, replace
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError
from filmcolor.guidance.anchor_settings import AUTO, check_anchors
from filmcolor.guidance.cast import CASTS, KEEP
from filmcolor.guidance.grading import SATURATION, Grade
from filmcolor.guidance.guidance import Guidance, read_guidance
from filmcolor.guidance.likeness_plan import analyse_with
from filmcolor.guidance.shot_matching import Analyse
from filmcolor.network.predictor import BATCH_SIZE, check_batch_shape
from filmcolor.network.surfaces import SURFACES
from filmcolor.pipeline.models import load_predictor
from filmcolor.runtime.threads import thread_pools
from filmcolor.temporal.smoothing import DEFAULT, LEVELS
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import COLORED, TINTED
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import DEFAULT_SIZE
from filmcolor.video.source_options import AS_MARKED, SourceOptions

_MODEL_SATURATION = 1.0  # of a model's colours, by default: they are as its makers want them


@dataclass(frozen=True, slots=True)
class ColorOptions:
    """How frames are coloured.

    `weights`: a shipped name or a file. `device`: "auto", "cpu", "cuda" or "mps". `size`: short
    side that the network sees, 32 to 2048 pixels. `saturation`, `warmth` and `skin_protect`: see
    `Grade`; a saturation of None is 1.15, or 1 with a model. `palette` is a TOML file with those of
    the film, or of some shots or times. `surfaces`, 0 to 1: how far the pixels of one surface agree
    on a colour. `cast`: "keep", or "reduce" for less of the warm tint over whole pictures.
    `references`, `hints`: pictures and strokes with given colours. `match_shots`: things have one
    colour in all shots that show them. `model`: an ONNX file, a
    colorizer whose colours take the place of the network's. `anchors`: how often it runs, "shot"
    (on a frame or more of each shot), a number of seconds, "all" (on every anchor), or "auto",
    which measures it. `smooth`: how far colours are steadied in time, one of "off", "light",
    "normal" and "strong". `deinterlace`: the two fields of each frame become one picture first.
    Shots that are in colour already keep their chroma unless `recolor`; tinted ones keep it with
    `keep_tint`. `source`: the film's frame rate and field order, where its headers are wrong.
    Raises SettingsError for values that have no meaning.
    """

    weights: str = weights_store.DEFAULT
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    size: int = DEFAULT_SIZE
    saturation: float | None = None
    warmth: float = 0.0
    skin_protect: float = 0.0
    surfaces: float = SURFACES
    cast: str = KEEP
    palette: str = ""
    references: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    match_shots: bool = False
    model: str = ""
    anchors: str = AUTO
    smooth: str = DEFAULT
    deinterlace: bool = False
    keep_tint: bool = False
    recolor: bool = False
    source: SourceOptions = AS_MARKED

    def __post_init__(self) -> None:
        check_batch_shape(self.size, self.batch_size)
        check_anchors(self.anchors)
        if not 0.0 <= self.surfaces <= 1.0:
            raise SettingsError(f"surfaces {self.surfaces} must be 0 to 1")
        if self.cast not in CASTS:
            raise SettingsError(f"cast {self.cast!r} must be {' or '.join(CASTS)}")
        if self.smooth not in LEVELS:
            raise SettingsError(f"smooth {self.smooth!r} must be one of {', '.join(LEVELS)}")
        _ = self.grade  # checks its values

    @property
    def grade(self) -> Grade:
        """The grade of the network's colours where no palette file sets another."""
        saturation = self.saturation
        if saturation is None:
            saturation = _MODEL_SATURATION if self.model else SATURATION
        return Grade(saturation, self.warmth, self.skin_protect)

    @property
    def kept_classes(self) -> frozenset[str]:
        """The chroma classes of shots that keep the film's own chroma."""
        classes = {COLORED: not self.recolor, TINTED: self.keep_tint}
        return frozenset(name for name, is_kept in classes.items() if is_kept)

    def probe(self, film: str | Path) -> FilmInfo:
        """Return a film as it will be decoded: `source` applied, deinterlaced if asked for.

        Raises a FilmcolorError when it cannot be read.
        """
        info = self.source.apply(probe(film))
        return replace(info, is_deinterlaced=self.deinterlace)

    def read_guidance(self, info: FilmInfo, index: FrameIndex | None = None) -> Guidance:
        """Return the grades and references that these options give a film.

        `index`: the film's, if it has been read. Raises a FilmcolorError that names the file when
        one does not fit the film.
        """
        with thread_pools(
            is_network_busy=False
        ):  # two threads wait for each other on a busy machine
            return read_guidance(
                info,
                index,
                self.grade,
                palette=self.palette,
                references=self.references,
                hints=self.hints,
                match_shots=self.match_shots,
                size=self.size,
                load_network=lambda: self._load_network(info),
            )

    def _load_network(self, info: FilmInfo) -> Analyse:
        return analyse_with(load_predictor(self)[0], info, self.cast)
