"""Everything that is open in the studio: films, photographs, and the queue of runs."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.film import OpenFilm, film_id
from filmcolor.studio.gate import Gate
from filmcolor.studio.jobs import JobQueue
from filmcolor.studio.library import Library
from filmcolor.studio.photos import PhotoDesk
from filmcolor.version import __version__

_OPENING_SECONDS = 2.0  # that opening a film waits for it: short films are ready by then


class Studio:
    """What the page's requests are about; safe to use from threads."""

    def __init__(
        self,
        library: Library,
        state_folder: Path,
        *,
        options: ColorOptions | None = None,
        corrections_folders: Mapping[Path, Path] | None = None,
    ) -> None:
        """Open the queue of the last time.

        `options`: how films and photographs are coloured before any correction.
        `corrections_folders`: of some films, by the film's path; beside each film by default.
        """
        self.library, self.options = library, options or ColorOptions()
        folders = corrections_folders or {}
        self._corrections_folders = {film_id(film): f for film, f in folders.items()}
        self._lock = threading.Lock()
        self._colorizer: Colorizer | None = None
        self._colorizer_lock = threading.Lock()
        self.gate = Gate()
        self.films: dict[str, OpenFilm] = {}
        self._latest: OpenFilm | None = None
        self.jobs = JobQueue(state_folder)
        self.photos = PhotoDesk(state_folder / "photographs", self.options, self.colorizer)

    def close(self) -> None:
        """Stop everything; what is unfinished goes on the next time."""
        self.jobs.close()
        for film in list(self.films.values()):
            film.close()

    def colorizer(self) -> Colorizer:
        """Return the colorizer of all films and photographs; loads the weights when first used."""
        with self._colorizer_lock:
            if self._colorizer is None:
                self._colorizer = Colorizer(self.options)
            return self._colorizer

    def warm_up(self) -> None:
        """Load the weights in the background: the first frame is coloured a second or two sooner.

        An error is raised to whoever needs the weights.
        """
        threading.Thread(target=self._try_to_load, name="weights", daemon=True).start()

    def _try_to_load(self) -> None:
        from contextlib import suppress

        from filmcolor.errors import FilmcolorError

        with suppress(FilmcolorError):
            self.colorizer()

    def open_film(self, path: Path) -> OpenFilm:
        """Open a film, or return it where it is open; the caller checks that it may be read.

        Raises InputError for a file that is no film.
        """
        path = path.absolute()
        with self._lock:
            film = self.films.get(film_id(path))
            if film is None:
                film = OpenFilm(
                    path,
                    self.options,
                    self._corrections_folders.get(film_id(path)),
                    self.colorizer,
                    self.gate,
                    self._look_at,
                )
                self.films[film.id] = film
        film.wait(_OPENING_SECONDS)
        self.library.add_recent(path)
        return film

    def _look_at(self, film: OpenFilm) -> None:
        """Let the film that was looked at before give its memory back."""
        before, self._latest = self._latest, film
        if before is not None and before is not film:
            before.colors.release()

    def film(self, identifier: str) -> OpenFilm:
        """Return an open film; raises NotFoundError."""
        film = self.films.get(identifier)
        if film is None:
            raise NotFoundError("this film is not open; open it again")
        return film

    def close_film(self, identifier: str) -> None:
        """Close a film; its files stay."""
        film = self.film(identifier)
        with self._lock:
            self.films.pop(identifier, None)
            if self._latest is film:
                self._latest = None
        film.close()

    def state_json(self) -> dict[str, Any]:
        """Return the studio object of the API, less what the library adds."""
        return {"version": __version__, "films": list(self.films)}
