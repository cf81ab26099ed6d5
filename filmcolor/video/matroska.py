"""What FFmpeg does not read of Matroska files: RFC 9559's chapters, languages and tags in full.

FFmpeg reads a flat list of chapters with one title each, of increasing start times; of each tag the
last value; and no languages by BCP 47.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field

from filmcolor.types.film import FilmInfo
from filmcolor.video.ebml import CHAPTERS, TAGS, TRACKS, children, read_elements, text, uint
from filmcolor.video.partial_films import open_bytes

_TRACK_ENTRY, _TAG = 0xAE, 0x7373
_TRACK_TYPE, _LANGUAGE, _LANGUAGE_BCP47 = 0x83, 0x22B59C, 0x22B59D
_STREAM_TYPES = (1, 2, 17)  # video, audio, subtitles: the tracks that become streams
EDITION, ATOM = 0x45B9, 0xB6  # of chapters
_DISPLAY, _HIDDEN, _ENABLED = 0x80, 0x98, 0x4598
_SIMPLE_TAG, _TAG_NAME, _TAG_STRING, _TAG_BINARY = 0x67C8, 0x45A3, 0x4487, 0x4485
_TAG_LANGUAGE, _TAG_TARGETS = 0x447A, 0x63C0


@dataclass(frozen=True, slots=True)
class MatroskaDetails:
    """Parts of a Matroska file that FFmpeg reads not at all, or not in full.

    chapters: the data of the element that holds them, None without any.
    languages: by BCP 47, by stream index; only those that say more than FFmpeg's.
    repeated_tags, binary_tags, nested_tags: names of the film's tags and its streams'.
    """

    chapters: bytes | None = None
    languages: Mapping[int, str] = field(default_factory=dict)
    repeated_tags: tuple[str, ...] = ()
    binary_tags: tuple[str, ...] = ()
    nested_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChapterCount:
    """How many chapters a Matroska file has that a flat list of single titles cannot hold."""

    num_editions: int = 0
    num_chapters: int = 0  # of all editions and levels
    num_nested: int = 0
    num_hidden: int = 0  # or disabled
    num_titles: int = 0

    def __add__(self, other: "ChapterCount") -> "ChapterCount":
        return ChapterCount(*(a + b for a, b in zip(astuple(self), astuple(other))))


def read_details(info: FilmInfo) -> MatroskaDetails:
    """Return the details of a film in Matroska; of other files and damaged ones there are none."""
    if "matroska" not in info.container:
        return MatroskaDetails()
    try:
        with open_bytes(info.path) as file:
            elements = read_elements(file, (CHAPTERS, TRACKS, TAGS))
    except OSError:  # the film's other readers report it
        return MatroskaDetails()
    chapters = [data for number, data in elements if number == CHAPTERS]
    tags = [item for number, data in elements if number == TAGS for item in _read_tags(data)]
    counts = Counter((key, name) for key, name, kind in tags if kind != "nested")
    return MatroskaDetails(
        chapters=chapters[-1] if chapters else None,
        languages=dict(
            item for number, data in elements if number == TRACKS for item in _languages(data)
        ),
        repeated_tags=_unique(name for (_, name), count in counts.items() if count > 1),
        binary_tags=_unique(name for _, name, kind in tags if kind == "binary"),
        nested_tags=_unique(name for _, name, kind in tags if kind == "nested"),
    )


def count_chapters(data: bytes) -> ChapterCount:
    """Return what the element of all chapters holds."""
    count = ChapterCount()
    for number, edition in children(data):
        if number == EDITION:
            atoms = [_count_atom(atom, 0) for key, atom in children(edition) if key == ATOM]
            count = sum(atoms, count + ChapterCount(num_editions=1))
    return count


def _count_atom(data: bytes, level: int) -> ChapterCount:
    fields = children(data)
    is_hidden = any(key == _HIDDEN and uint(value) for key, value in fields)
    is_disabled = any(key == _ENABLED and not uint(value) for key, value in fields)
    count = ChapterCount(
        num_chapters=1,
        num_nested=int(level > 0),
        num_hidden=int(is_hidden or is_disabled),
        num_titles=sum(key == _DISPLAY for key, _ in fields),
    )
    return sum((_count_atom(value, level + 1) for key, value in fields if key == ATOM), count)


def _languages(tracks: bytes) -> Iterator[tuple[int, str]]:
    """Yield (stream index, language) where a track's BCP 47 language says more than its other."""
    index = 0
    for number, track in children(tracks):
        fields = dict(children(track)) if number == _TRACK_ENTRY else {}
        if uint(fields.get(_TRACK_TYPE, b"")) not in _STREAM_TYPES:
            continue
        language = text(fields.get(_LANGUAGE_BCP47, b""))
        if "-" in language or (language and _LANGUAGE not in fields):
            yield index, language
        index += 1


def _read_tags(data: bytes) -> Iterator[tuple[bytes, str, str]]:
    """Yield (what it belongs to, name, "text", "binary" or "nested") of each tag."""
    for number, tag in children(data):
        if number != _TAG:
            continue
        fields = children(tag)
        target = b"".join(value for key, value in fields if key == _TAG_TARGETS)
        for key, value in fields:
            if key == _SIMPLE_TAG:
                yield from _read_simple_tag(value, target)


def _read_simple_tag(
    data: bytes, target: bytes, is_nested: bool = False
) -> Iterator[tuple[bytes, str, str]]:
    fields = children(data)
    values = dict(fields)
    name = text(values.get(_TAG_NAME, b"")).upper()
    kind = "nested" if is_nested else "text" if _TAG_STRING in values else "binary"
    yield target + values.get(_TAG_LANGUAGE, b"und"), name, kind
    for key, value in fields:
        if key == _SIMPLE_TAG:
            yield from _read_simple_tag(value, target, is_nested=True)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
