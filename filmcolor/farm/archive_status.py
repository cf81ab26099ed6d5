"""What the books of an archive say: numbers, what is left, every film; and fixity checks."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from filmcolor.errors import InputError
from filmcolor.farm.archive_hashes import full_sha256
from filmcolor.farm.archive_records import (
    RUNNING,
    STATES,
    VERIFIED,
    WAITING,
    FilmRecord,
    Source,
)
from filmcolor.farm.archive_review import film_path
from filmcolor.farm.manifest import Manifest, is_being_written

JSON_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """The books of an archive at one moment. Lengths that are not known count as 0 seconds."""

    folder: Path
    is_running: bool
    sources: tuple[Source, ...]
    films: tuple[FilmRecord, ...]
    settings: dict[int, dict[str, Any]]
    runs: tuple[dict[str, Any], ...]
    attempts: tuple[dict[str, Any], ...]

    def in_state(self, state: str) -> list[FilmRecord]:
        """Return the films in a state."""
        return [film for film in self.films if film.state == state]

    @property
    def film_seconds_left(self) -> float:
        """How much film the next run, or the present one, has to colour."""
        left = 0.0
        for film in self.films:
            if film.state in (WAITING, RUNNING) and film.film_seconds:
                done = min(1.0, film.frames_done / film.frames) if film.frames else 0.0
                left += film.film_seconds * (1.0 - done if film.state == RUNNING else 1.0)
        return left

    @property
    def speed(self) -> float | None:
        """Seconds of film that the last run coloured a second, of all films side by side."""
        for run in reversed(self.runs):
            if run["film_seconds"] and run["wall_seconds"]:
                return float(run["film_seconds"] / run["wall_seconds"])
        return None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this speed; None where that is not known."""
        return self.film_seconds_left / self.speed if self.speed else None

    def path_of(self, film: FilmRecord) -> Path:
        """Return where a film is."""
        return film_path(next(s for s in self.sources if s.id == film.source_id), film.path)

    def output_of(self, film: FilmRecord) -> Path | None:
        """Return where a film's output is, or will be."""
        return None if film.output is None else self.folder / PurePosixPath(film.output)


def read_status(folder: str | Path) -> ArchiveStatus:
    """Return what the books of an archive say, also while a run writes them.

    Raises InputError where there are none.
    """
    path = Path(folder)
    is_running = is_being_written(path)
    with Manifest.read(path) as manifest:
        films = manifest.films()
        return ArchiveStatus(
            path.resolve(),
            is_running,
            tuple(manifest.sources()),
            tuple(films if is_running else map(_not_running, films)),
            manifest.settings(),
            tuple(manifest.runs()),
            tuple(manifest.attempts()),
        )


def _not_running(film: FilmRecord) -> FilmRecord:
    """Return a film as it is when no run colours it any more."""
    if film.state != RUNNING:
        return film
    return replace(film, state=WAITING)


def status_json(status: ArchiveStatus) -> dict[str, Any]:
    """Return everything that the books say, as values for JSON."""
    return {
        "format": JSON_FORMAT,
        "archive": str(status.folder),
        "is_running": status.is_running,
        "states": {state: len(status.in_state(state)) for state in STATES},
        "num_films": len(status.films),
        "film_seconds_verified": sum(f.film_seconds or 0.0 for f in status.in_state(VERIFIED)),
        "film_seconds_left": status.film_seconds_left,
        "speed": status.speed,
        "seconds_left": status.seconds_left,
        "sources": [
            {
                "folder": str(source.path),
                "subfolder": source.subfolder,
                "looked_at": source.looked_at,
                "left_out": source.left_out,
            }
            for source in status.sources
        ],
        "films": list(film_rows(status)),
        "settings": {str(number): content for number, content in status.settings.items()},
        "runs": list(status.runs),
        "attempts": list(status.attempts),
    }


def film_rows(status: ArchiveStatus) -> Iterator[dict[str, Any]]:
    """Yield a flat row for each film, with the same keys in each: for JSON and CSV."""
    for film in status.films:
        settings = status.settings.get(film.settings_id or 0, {})
        row = asdict(film)
        for name in ("source_id", "deaths"):
            del row[name]
        row |= {
            "path": str(status.path_of(film)),
            "output": None if film.output is None else str(status.output_of(film)),
            "filmcolor": settings.get("filmcolor"),
            "weights_sha256": settings.get("weights_sha256"),
        }
        yield row


def sha256_lines(status: ArchiveStatus) -> Iterator[str]:
    """Yield the lines by which `sha256sum -c` checks all films and outputs, without filmcolor.

    Image sequences are many files, so they are left out.
    """
    for film in status.films:
        if film.state == VERIFIED:
            path = status.path_of(film)
            if film.sha256 and not path.is_dir() and path.exists():
                yield _sha256_line(film.sha256, path)
            output = status.output_of(film)
            if film.output_sha256 and output is not None:
                yield _sha256_line(film.output_sha256, output)


def _sha256_line(digest: str, path: Path) -> str:
    name = str(path)
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{digest}  {name}" if escaped == name else f"\\{digest}  {escaped}"


def check_fixity(status: ArchiveStatus) -> Iterator[tuple[Path, str | None]]:
    """Read all verified films and outputs; yield each file with what is wrong with it, or None."""
    for film in status.in_state(VERIFIED):
        output = status.output_of(film)
        files = [(status.path_of(film), film.sha256)]
        files += [] if output is None else [(output, film.output_sha256)]
        for path, recorded in files:
            try:
                digest = full_sha256(path)
            except InputError as error:
                yield path, str(error)
                continue
            if recorded is None:
                yield path, f"{path}: the books have no SHA-256 of it; run the archive once more"
            elif digest != recorded:
                yield path, f"{path} is not the file that was entered: its SHA-256 differs"
            else:
                yield path, None
