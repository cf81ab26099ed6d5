"""Compares the books of an archive with the folders: new, replaced, moved and missing files.

Nothing but the ends of new and changed files is read, so thousands of films take seconds. A state
follows from what is found and what was done, so a film or a disk that comes back is as before.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from filmcolor.errors import InputError
from filmcolor.farm.archive_files import (
    FileFacts,
    find_films,
    fold_name,
    is_same,
    look_again,
    read_facts,
)
from filmcolor.farm.archive_records import (
    FAILED,
    FILM_MISSING,
    FILM_REPLACED,
    OUTPUT_CHANGED,
    OUTPUT_MISSING,
    RUNNING,
    VERIFIED,
    WAITING,
    FilmRecord,
    Source,
)
from filmcolor.farm.manifest import MANIFEST, Manifest, now

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Review:
    """What a look at the folders has found, besides the states in the books.

    `moved`: films by their new paths. `replaced`: films that had failed, and are other files now.
    """

    num_new: int = 0
    moved: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def film_path(source: Source, path: str) -> Path:
    """Return where a film is on this machine."""
    return source.path / PurePosixPath(path)


def film_facts(film: FilmRecord) -> FileFacts | None:
    """Return the facts of a film in the books."""
    if film.size is None or film.modified_ns is None or film.ends is None:
        return None
    return FileFacts(film.size, film.modified_ns, film.ends)


def output_facts(film: FilmRecord) -> FileFacts | None:
    """Return the facts of a film's output in the books."""
    if film.output_size is None or film.output_modified_ns is None or film.output_ends is None:
        return None
    return FileFacts(film.output_size, film.output_modified_ns, film.output_ends)


# ------------------------------------------------------------ folders


def choose_sources(manifest: Manifest, folders: Sequence[Path]) -> list[Source]:
    """Return the sources of some folders, new ones added to the books; all of them for none.

    The only folder of a new archive has its outputs in the archive's folder itself, each other one
    in a subfolder of its name. A folder that is no longer where it was is known by its name and its
    films.
    Raises InputError for folders that are missing, or inside one another or the archive.
    """
    sources = manifest.sources()
    if not folders and not sources:
        raise InputError(f"{manifest.folder} is a new archive; name the folders of its films")
    chosen = [check_folder(folder, manifest.folder) for folder in folders]
    known = {source.path: source for source in sources}
    chosen = list(dict.fromkeys(chosen or (check_folder(p, manifest.folder) for p in known)))
    moved: dict[Path, Path] = {}
    for path in chosen:
        if path not in known:
            gone = (s for s in sources if s.path not in moved and not s.path.is_dir())
            same_name = (s for s in gone if s.path.name == path.name)
            # of copies that are all gone, the first one has moved here
            source = next((s for s in same_name if _holds_films_of(path, s, manifest)), None)
            if source is not None:
                moved[source.path] = path
    _check_nesting([*chosen, *(path for path in known if path not in moved)])
    with manifest.transaction():
        for path, new_path in moved.items():
            manifest.update("sources", known[path].id, path=str(new_path))
            known[new_path] = known.pop(path)
        for path in chosen:
            if path not in known:
                is_only = not known and len(chosen) == 1
                subfolder = "" if is_only else _new_subfolder(manifest, path.name or "films")
                manifest.insert("sources", path=str(path), subfolder=subfolder)
                known[path] = next(s for s in manifest.sources() if s.path == path)
    return [source for source in manifest.sources() if source.path in chosen]


def _holds_films_of(folder: Path, source: Source, manifest: Manifest) -> bool:
    """Return whether a folder has films of a source, more than others of their names."""
    num_same = num_others = 0
    for film in manifest.films():
        recorded = film_facts(film) if film.source_id == source.id else None
        facts = look_again(folder / PurePosixPath(film.path), recorded) if recorded else None
        if facts is not None and recorded is not None:
            if is_same(facts, recorded):
                num_same += 1
            else:
                num_others += 1
    return num_same > num_others


def check_folder(folder: Path, output: Path) -> Path:
    """Return the absolute path of a folder of films; raises InputError for one that cannot be."""
    if not folder.is_dir():
        reason = "is a file" if folder.exists() else "is not there"
        raise InputError(f"{folder} {reason}; name a folder of films, with its disk connected")
    path, archive = folder.resolve(), output.resolve()
    if path == archive or archive in path.parents:
        raise InputError(
            f"{folder} is in the archive's own folder {output}; choose another with -o"
        )
    if (path / MANIFEST).exists():
        raise InputError(f"{folder} holds the outputs of an archive; name the folder of its films")
    return path


def _check_nesting(paths: Iterable[Path]) -> None:
    paths = set(paths)
    for path in paths:
        for parent in paths.intersection(path.parents):
            raise InputError(
                f"{path} is in {parent}, which is in the archive too; name one of them only"
            )


def _new_subfolder(manifest: Manifest, name: str) -> str:
    """Return the name of a subfolder for outputs that no other source, file or folder has."""
    taken = {fold_name(source.subfolder) for source in manifest.sources()}
    candidate, number = name, 2
    while fold_name(candidate) in taken or (manifest.folder / candidate).exists():
        candidate = f"{name}-{number}"
        number += 1
    return candidate


# ------------------------------------------------------------ films


def review(manifest: Manifest, sources: Sequence[Source]) -> Review:
    """Read the folders of sources, and bring the books up to date; return what was found.

    The books must have no running films.
    """
    found = Review()
    ids = {source.id: source for source in sources}
    with manifest.transaction():
        films = [film for film in manifest.films() if film.source_id in ids]
        known = {(film.source_id, film.path) for film in films}
        new: list[tuple[Source, str]] = []
        for source in sources:
            folder = find_films(source.path, manifest.folder)
            for error in folder.unreadable:
                _log.warning("%s cannot be read (%s): its films are not known", *_names(error))
            manifest.update("sources", source.id, looked_at=now(), left_out=dict(folder.left_out))
            paths = (path.as_posix() for path in folder.films)
            new += [(source, path) for path in paths if (source.id, path) not in known]
        missing: dict[FileFacts, list[FilmRecord]] = {}  # copies of a film have equal facts
        for film in films:
            path = film_path(ids[film.source_id], film.path)
            state = _look(manifest, film, path, found)
            facts = film_facts(film)
            if state == FILM_MISSING and facts is not None:
                missing.setdefault(facts, []).append(film)
            manifest.update("films", film.id, state=state)
        for source, name in new:
            _add(manifest, source, name, missing, found)
    return found


def _names(error: OSError) -> tuple[str, str]:
    return str(error.filename), error.strerror or str(error)


def _look(manifest: Manifest, film: FilmRecord, path: Path, found: Review) -> str:
    """Return a film's state, and enter the facts of a file that is not coloured yet."""
    recorded = film_facts(film)
    facts = look_again(path, recorded) if recorded else read_facts(path)
    if facts is None:
        return FILM_MISSING
    is_changed = recorded is not None and not is_same(facts, recorded)
    if film.verified_at is not None:
        if is_changed:
            return FILM_REPLACED
        if facts != recorded:  # copied or touched: the same film with another time
            manifest.update("films", film.id, **asdict(facts))
        return check_output(manifest, film)
    if facts != recorded:
        manifest.update("films", film.id, **asdict(facts))
    if is_changed:  # another file may need another output
        manifest.update("films", film.id, error=None, settings_id=None)
        found.replaced += [str(path)] if film.error else []
        return WAITING
    return FAILED if film.error else WAITING


def check_output(manifest: Manifest, film: FilmRecord) -> str:
    """Return the state of a film that was coloured, by its output."""
    recorded, path = output_facts(film), manifest.folder / PurePosixPath(film.output or "")
    if recorded is None or film.output is None:
        return OUTPUT_MISSING
    facts = look_again(path, recorded)
    if facts is None:
        return OUTPUT_MISSING
    if not is_same(facts, recorded):
        return OUTPUT_CHANGED
    if facts != recorded:
        manifest.update("films", film.id, output_modified_ns=facts.modified_ns)
    return VERIFIED


def _add(
    manifest: Manifest,
    source: Source,
    path: str,
    missing: dict[FileFacts, list[FilmRecord]],
    found: Review,
) -> None:
    """Add a new film to the books, or its new path if it is one that is missing elsewhere."""
    facts = read_facts(film_path(source, path))
    if facts is None:  # gone again
        return
    old = next((known for known in missing if is_same(known, facts)), None)
    if old is None:
        found.num_new += 1
        manifest.insert("films", source_id=source.id, path=path, state=WAITING, **asdict(facts))
        return
    film = missing[old].pop(0)
    if not missing[old]:
        del missing[old]
    manifest.update("films", film.id, source_id=source.id, path=path, **asdict(facts))
    film = manifest.film(film.id)
    state = FAILED if film.error else WAITING
    if film.verified_at is not None:
        state = check_output(manifest, film)
    manifest.update("films", film.id, state=state)
    found.moved.append(str(film_path(source, path)))


def running(manifest: Manifest) -> Iterator[tuple[FilmRecord, Path]]:
    """Yield the films that a run which was cut off was colouring, and where they are."""
    sources = {source.id: source for source in manifest.sources()}
    for film in manifest.films():
        if film.state == RUNNING:
            yield film, film_path(sources[film.source_id], film.path)
