"""Everything that a person says about a film's colours, resolved to frames before a run."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.guidance.colored_film import (
    ColoredFilm,
    describe,
    read_colored_films,
    split_sources,
)
from filmcolor.guidance.exemplars import digest_of_pictures
from filmcolor.guidance.grading import Grade, Palette
from filmcolor.guidance.likeness_plan import (
    LikenessPlan,
    describe_matches,
    describe_pictures,
    plan_likeness,
)
from filmcolor.guidance.model_guide import KeyFrame
from filmcolor.guidance.palette_file import read_palette
from filmcolor.guidance.picture_reader import GuideOf, PictureReader
from filmcolor.guidance.references import Pictures, Reference, digest_of
from filmcolor.guidance.shot_matching import Analyse
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.sequence_names import file_state

_log = logging.getLogger(__name__)
_NUM_PLANS = 4  # of likeness that are kept: an earlier one comes back when a change is undone


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """The grade of every frame, and the frames with given colours."""

    palette: Palette
    references: tuple[Reference, ...] = ()
    colored_films: tuple[ColoredFilm, ...] = ()  # the same film in colour, or parts of it
    likeness: LikenessPlan = field(default_factory=LikenessPlan)  # things that look alike
    pictures_digest: str = ""  # of pictures that are no frames of the film, "" for none
    key_frames: tuple[KeyFrame, ...] | None = None  # that a model colours, if found already
    model_folder: Path | None = None  # keeps the model's colours
    anchors: str = ""  # how often the model runs, if that was chosen already
    notes: tuple[str, ...] = ()  # lines for people about what serves what


def read_guidance(
    info: FilmInfo,
    index: FrameIndex | None,
    grade: Grade,
    *,
    palette: str = "",
    references: Sequence[str] = (),
    hints: Sequence[str] = (),
    match_shots: bool = False,
    size: int,
    load_network: Callable[[], Analyse],
) -> Guidance:
    """Return the guidance for a film.

    `grade`: of frames that the palette file does not name. `palette`: a TOML file;
    `references`, `hints`: sources of pictures, see `read_pictures`; `references` may be
    films in colour too, see `colored_film.split_sources`. `match_shots`:
    things have one colour in all shots that show them. `size`: short side that the network sees,
    pixels. `index`: the film's, if it has been read. `load_network`: returns what compares frames,
    called only where pictures are no frames of the film, or shots are matched.
    Raises a FilmcolorError that names the file when one does not fit the film.
    """
    grades = Palette(grade)
    if not (palette or references or hints or match_shots):
        return Guidance(grades)
    index = index or FrameIndex.read(info)
    if palette:
        grades = read_palette(Path(palette), grade, info, index)
    reader = GuidanceReader(info, index, size, load_network)
    guidance = reader.read(grades, references, hints, match_shots=match_shots)
    for note in guidance.notes:
        _log.info("%s: %s", info.path, note)  # before the run: a picture may be a mistake
    return guidance


class GuidanceReader:
    """Reads the guidance of one film again and again; what has not changed is not read again."""

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        size: int,
        load_network: Callable[[], Analyse],
        guide_of: GuideOf | None = None,
    ) -> None:
        """Take a film; `guide_of` is that of `PictureReader`, the others of `read_guidance`."""
        self._info, self._index, self._size = info, index, size
        self._load_network = load_network
        self.pictures = PictureReader(info, index, size, guide_of)
        self._films: dict[object, tuple[ColoredFilm, ...]] = {}
        self._likeness: dict[object, LikenessPlan] = {}

    def read(
        self,
        palette: Palette,
        references: Sequence[str] = (),
        hints: Sequence[str] = (),
        *,
        match_shots: bool = False,
    ) -> Guidance:
        """Return the guidance of sources; see `read_guidance`. Raises its errors."""
        info, index = self._info, self._index
        film_paths, sources = split_sources(references)
        pictures = self.pictures.read(sources, hints)
        films = self._read_films(film_paths)
        notes = [describe(film, index, info) for film in films]
        if not (pictures.lookalikes or match_shots):
            return Guidance(palette, pictures.references, films, notes=tuple(notes))
        digest = digest_of_pictures(pictures.lookalikes)
        likeness = self._plan_likeness(pictures, digest, match_shots)
        notes += _notes(info, pictures, likeness)
        return Guidance(
            palette,
            pictures.references,
            films,
            likeness=likeness,
            pictures_digest=digest,
            notes=tuple(notes),
        )

    def _read_films(self, paths: Sequence[Path]) -> tuple[ColoredFilm, ...]:
        key = tuple((path, file_state(path)) for path in paths)
        if key not in self._films:
            self._films = {key: read_colored_films(paths, self._info, self._index)}
        return self._films[key]

    def _plan_likeness(self, pictures: Pictures, digest: str, is_matched: bool) -> LikenessPlan:
        names = tuple(exemplar.name for exemplar in pictures.lookalikes)  # its matches have them
        key = digest, names, is_matched and digest_of(pictures.references), is_matched
        if key not in self._likeness:
            if len(self._likeness) >= _NUM_PLANS:
                del self._likeness[next(iter(self._likeness))]
            self._likeness[key] = plan_likeness(
                self._info,
                self._index,
                self._size,
                self._load_network(),
                pictures=pictures.lookalikes,
                references=[(r.number, r.ab, r.coverage) for r in pictures.references],
                is_matched=is_matched,
            )
        return self._likeness[key]


def _notes(info: FilmInfo, pictures: Pictures, likeness: LikenessPlan) -> list[str]:
    """Return lines about what serves what; raise InputError for a picture that serves nothing."""
    notes = []
    if likeness.given is not None:
        names = list(dict.fromkeys(exemplar.name for exemplar in pictures.lookalikes))
        for name, line in zip(names, describe_pictures(likeness.given, names), strict=True):
            if not line:
                raise InputError(
                    f"{name}: no frame of {info.path} looks like it, and nothing in the film "
                    "surely shows the same; is it of this film? else leave it out, or name it "
                    "frame-NUMBER.png, or write PICTURE@TIMECODE"
                )
            notes.append(line)
    if likeness.automatic is not None:
        notes.append(describe_matches(likeness.automatic))
    return notes
