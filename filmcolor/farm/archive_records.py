"""The tables of an archive's books, the states of films, and the rows as types."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1  # of the tables, in SQLite's user_version
# states of a film
WAITING = "waiting"  # the next run colours it
RUNNING = "running"
VERIFIED = "verified"  # coloured and compared with the film; both files are as recorded
FAILED = "failed"
FILM_REPLACED = "film-replaced"  # by another file since it was coloured
FILM_MISSING = "film-missing"
OUTPUT_MISSING = "output-missing"
OUTPUT_CHANGED = "output-changed"
STATES = (
    *(VERIFIED, RUNNING, WAITING, FAILED),
    *(FILM_REPLACED, FILM_MISSING, OUTPUT_MISSING, OUTPUT_CHANGED),
)
NEEDS_PERSON = (FAILED, FILM_REPLACED, OUTPUT_MISSING, OUTPUT_CHANGED)

SCHEMA = """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,       -- absolute
    subfolder TEXT NOT NULL UNIQUE,  -- of its outputs; '' for the archive's folder itself
    looked_at TEXT,                  -- the last time its folder was read
    left_out TEXT NOT NULL DEFAULT '{}'  -- JSON: what is no film, with numbers of files
);
CREATE TABLE settings (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE     -- JSON: options, encoding, versions, weights
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    settings_id INTEGER NOT NULL REFERENCES settings,
    machine TEXT NOT NULL,           -- JSON
    started_at TEXT NOT NULL,
    ended_at TEXT,
    ending TEXT,                     -- done, interrupted, stopped, cut off; NULL: running
    film_seconds REAL NOT NULL DEFAULT 0,  -- of film that it has coloured
    wall_seconds REAL NOT NULL DEFAULT 0   -- that this took
);
CREATE TABLE films (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources,
    path TEXT NOT NULL,              -- below its source folder
    state TEXT NOT NULL,
    size INTEGER,                    -- bytes; of an image sequence the number of images
    modified_ns INTEGER,             -- since 1970; of an image sequence a digest of its listing
    ends TEXT,                       -- SHA-256 of the first and last 64 KiB, or of the listing
    sha256 TEXT,                     -- of the whole file as it was coloured
    output TEXT,                     -- below the archive's folder
    output_size INTEGER,
    output_modified_ns INTEGER,
    output_ends TEXT,
    output_sha256 TEXT,
    settings_id INTEGER REFERENCES settings,
    verified_at TEXT,
    verdict TEXT,                    -- what was compared with the film
    notes TEXT NOT NULL DEFAULT '[]',    -- JSON: differences from the film
    damage TEXT NOT NULL DEFAULT '[]',   -- JSON: what of the film could not be shown
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,   -- attempts that ended with the program or the power
    frames INTEGER,
    frames_done INTEGER NOT NULL DEFAULT 0,
    film_seconds REAL,
    wall_seconds REAL NOT NULL DEFAULT 0,  -- of all attempts
    UNIQUE (source_id, path)
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    film_id INTEGER NOT NULL REFERENCES films,
    run_id INTEGER NOT NULL REFERENCES runs,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    ending TEXT,                     -- verified, failed, interrupted, cut off; NULL: running
    size INTEGER,                    -- from here on as in films
    ends TEXT,
    sha256 TEXT,
    output TEXT,
    output_size INTEGER,
    output_sha256 TEXT,
    error TEXT,
    wall_seconds REAL NOT NULL DEFAULT 0
);
CREATE INDEX attempts_of_films ON attempts (film_id);
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of films, and where its outputs are below the archive's folder."""

    id: int
    path: Path
    subfolder: str
    looked_at: str | None
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FilmRecord:
    """A row of `films`; see the schema. `path` and `output` have "/" between folders."""

    id: int
    source_id: int
    path: str
    state: str
    size: int | None
    modified_ns: int | None
    ends: str | None
    sha256: str | None
    output: str | None
    output_size: int | None
    output_modified_ns: int | None
    output_ends: str | None
    output_sha256: str | None
    settings_id: int | None
    verified_at: str | None
    verdict: str | None
    notes: tuple[str, ...]
    damage: tuple[str, ...]
    error: str | None
    attempts: int
    deaths: int
    frames: int | None
    frames_done: int
    film_seconds: float | None
    wall_seconds: float
