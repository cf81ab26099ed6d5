"""A film with the corrections that files hold: its options, its guidance, and their version."""

import hashlib
import json
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import FilmcolorError, InputError
from filmcolor.guidance.colored_film import split_sources
from filmcolor.guidance.guidance import Guidance, GuidanceReader
from filmcolor.guidance.likeness_plan import analyse_with
from filmcolor.guidance.picture_reader import GuideOf
from filmcolor.guidance.shot_matching import Analyse
from filmcolor.pipeline.models import load_predictor
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.threads import thread_pools
from filmcolor.studio.correction_files import (
    FileDigests,
    OptionsFile,
    PictureFolder,
    choose_folder,
)
from filmcolor.studio.shot_grades import ShotGrades, Shots
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.sequence_names import file_state

_LOOK_SECONDS = 0.2  # between two looks at the files, where nothing was changed here
_NUM_GUIDANCES = 4  # that are kept: an undone change comes back at once


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the files hold, at one moment."""

    time: float  # of a monotonic clock
    options: ColorOptions
    version: str
    palette: str  # the file's text


class CorrectedFilm:
    """Reads the corrections of one film from their files; safe to use from threads."""

    def __init__(
        self,
        info: FilmInfo,
        index: FrameIndex,
        folder: Path,
        base: ColorOptions,
        shots: Shots,
        *,
        analyse: Analyse | None,
        guide_of: GuideOf | None,
        lock: threading.RLock,
    ) -> None:
        """Take a film, and `base`, options that may name sources of their own.

        `lock`: held while files are changed. The others are those of `Corrections`.
        Raises InputError where a source does not exist.
        """
        self._info = info
        self.base = base = _absolute(base)
        self.analyse = analyse or self._load_network()
        self._digests = FileDigests()
        self._found: dict[Path, int | None] = {}  # frames that were searched for
        hints, other_hints = choose_folder(base.hints, folder / "hints")
        films, pictures = split_sources(base.references)
        self._films = [str(path) for path in films]
        references, other_references = choose_folder(pictures, folder / "references")
        common = info, index, self._digests, self._found.get
        self.hints = PictureFolder(hints, other_hints, *common)
        self.references = PictureFolder(references, other_references, *common)
        self.options_file = OptionsFile(folder / "options.json", base.match_shots)
        palette = Path(base.palette) if base.palette else folder / "palette.toml"
        if base.palette and not palette.is_file():
            raise InputError(f"{palette} cannot be read (no such file); check the path")
        self.grades = ShotGrades(palette, base.grade, info, index, shots)
        self._reader = GuidanceReader(info, index, base.size, lambda: self.analyse, guide_of)
        self._lock = lock
        self._reading = threading.Lock()  # the guidance; taken before the other lock
        self._latest: Look | None = None
        self._guidances: dict[str, Guidance | FilmcolorError] = {}  # by version

    def latest(self) -> Look:
        """Return what the files hold, or held a moment ago."""
        look = self._latest
        if look is not None and time.monotonic() - look.time < _LOOK_SECONDS:
            return look
        return self.look()

    def look(self) -> Look:
        with self._lock:
            palette = self.palette_text()
            has_palette = self.grades.path.is_file()
            options = replace(
                self.base,
                palette=str(self.grades.path) if has_palette else "",
                hints=self.hints.sources,
                references=(*self.references.sources, *self._films),
                match_shots=self.options_file.match_shots,
            )
            parts = [
                repr(replace(options, palette="", hints=(), references=())),
                palette,
                self.hints.state(),
                self.references.state(),
                [[path, file_state(Path(path))] for path in self._films],
                self.grades.known_shots(palette),
            ]
            version = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
            self._latest = Look(time.monotonic(), options, version, palette)
            return self._latest

    def palette_text(self) -> str:
        """Return the text of the palette file, "" without one. Raises InputError."""
        path = self.grades.path
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text; a palette is a TOML file") from error

    def known_guidance(self, look: Look) -> Guidance | FilmcolorError | None:
        """Return the guidance, or why there is none, if it has been read."""
        return self._guidances.get(look.version)

    def guidance(self, look: Look) -> Guidance:
        """Return the guidance of the files as they were looked at. Raises their errors."""
        found = self._guidances.get(look.version)
        if found is None:
            with self._reading:
                found = self._guidances.get(look.version)
                if found is None:
                    found = self._read_guidance(look)
        if isinstance(found, FilmcolorError):
            raise type(found)(*found.args)  # a new one: it is raised in several threads
        return found

    def _read_guidance(self, look: Look) -> Guidance | FilmcolorError:
        found: Guidance | FilmcolorError
        options = look.options
        try:
            with thread_pools(is_network_busy=False):
                found = self._reader.read(
                    self.grades.palette(look.palette),
                    options.references,
                    options.hints,
                    match_shots=options.match_shots,
                )
        except FilmcolorError as error:
            found = error
        for path in [*self.hints.own_files(), *self.references.own_files()]:
            self._found[path] = self._reader.pictures.number_of(path)
        if self.look().version == look.version:  # nothing was written meanwhile
            while len(self._guidances) >= _NUM_GUIDANCES:
                self._guidances.pop(next(iter(self._guidances)), None)
            self._guidances[look.version] = found
        return found

    def _load_network(self) -> Analyse:
        """Return what analyses pictures; the network is loaded when it is first needed."""
        loaded: list[Analyse] = []

        def analyse(luma: Gray) -> tuple[FloatPlane, FloatPlane]:
            """Return ab and features of luma."""
            if not loaded:
                predictor = load_predictor(self.base)[0]
                loaded.append(analyse_with(predictor, self._info, self.base.cast))
            return loaded[0](luma)

        return analyse


def _absolute(base: ColorOptions) -> ColorOptions:
    """Return options with absolute paths, so that their command works in any folder."""

    def absolute(source: str) -> str:
        return str(Path(source).absolute()) if source else ""

    weights = base.weights
    if weights not in weights_store.shipped() and Path(weights).exists():
        weights = absolute(weights)
    return replace(
        base,
        weights=weights,
        model=absolute(base.model),
        palette=absolute(base.palette),
        references=tuple(map(absolute, base.references)),
        hints=tuple(map(absolute, base.hints)),
    )
