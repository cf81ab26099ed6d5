"""Tags, names of tracks, timecodes and chapters: kept, or told before the run."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import ebml
import media
import pytest
from av.stream import Disposition
from ebml import change, element
from media import TICK, Film, Sound, shoot

from filmcolor.errors import VerifyError
from filmcolor.output.mdta import append_tags
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.timecode import shift_timecode
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import WHOLE, TimeRange
from filmcolor.video.probe import probe

MASTER = Encoding("master")
QUICK = Encoding(preset="ultrafast")
MILLISECOND = Fraction(1, 1000)
NTSC = Fraction(30000, 1001)
NAMES = ("out.mp4", "out.mov", "out.mkv")
Chapters = list[tuple[Fraction, str]]


def run(
    film: Path, name: str, options: ColorOptions, time_range: TimeRange = WHOLE
) -> tuple[Path, str]:
    """Colour a film to `name` beside it; return the output and its notes."""
    output = film.with_name(name)
    encoding = MASTER if output.suffix == ".mkv" else QUICK
    report = colorize(film, output, options=options, encoding=encoding, time_range=time_range)
    if time_range.is_whole:
        verify(film, output)
    return output, "\n".join(report.notes)


def notes_of(film: Path, name: str) -> str:
    return "\n".join(plan_output(probe(film), film.with_name(name), QUICK).notes)


def tags_of(path: Path) -> dict[str, str]:
    """Return a film's tags with names as Matroska has them."""
    with av.open(str(path)) as film:
        return {name.upper().replace(" ", "_"): value for name, value in film.metadata.items()}


# ---------------------------------------------------------------- tags

PHONE = {
    "com.apple.quicktime.location.ISO6709": "+51.5334-000.1255/",
    "com.apple.quicktime.creationdate": "2023-05-09T12:41:46+0100",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 14",
    "creation_time": "2023-05-09T11:41:46.000000Z",
}
ARCHIVE = {
    "title": "Nosferatu",
    "artist": "F. W. Murnau",
    "comment": "scanned in 2019",
    "date": "1922-03-04",
    "catalogue number": "1234/5",
    "director": "Murnau",
    "Länge": "94′",
    "genre": "Horror",
    "copyright": "none",
}
TAGGED: Mapping[str, Mapping[str, str]] = {
    "phone.mov": PHONE,
    "archive.mp4": ARCHIVE,
    "archive.mkv": ARCHIVE,
    "place.mp4": {"location": "+51.5334-000.1255/", "com.android.version": "13", "title": "X"},
}


def tagged_film(path: Path) -> Path:
    """A film with all its tags, as cameras write them and FFmpeg's `use_metadata_tags` does."""
    is_mov = path.suffix != ".mkv"
    container_options = {"movflags": "use_metadata_tags"} if is_mov else {}
    with av.open(str(path), "w", container_options=container_options) as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *media.SIZE, "yuv420p"
        output.metadata.update(TAGGED[path.name])
        for luma in shoot(2):
            output.mux(stream.encode(media.picture("yuv420p", luma)))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", TAGGED)
def test_tags_are_kept(source: str, name: str, tmp_path: Path, options: ColorOptions) -> None:
    output, notes = run(tagged_film(tmp_path / source), name, options)
    found = tags_of(output)
    for tag, value in TAGGED[source].items():
        copied = found[tag.upper().replace(" ", "_")]
        if tag == "comment":
            assert copied.startswith(f"{value}; colour added by filmcolor")
        else:
            assert copied == value, tag
    assert "tags" not in notes


def test_well_known_tags_stay_where_players_look(tmp_path: Path, options: ColorOptions) -> None:
    """Beside other tags, the title is iTunes' in MP4 and QuickTime's in MOV."""
    film = tagged_film(tmp_path / "archive.mp4")
    data = run(film, "out.mp4", options)[0].read_bytes()
    assert b"\xa9nam" in data and data.index(b"Nosferatu") > data.index(b"\xa9nam")
    assert b"mdtacatalogue number" in data and b"mdtatitle" not in data
    data = run(film, "out.mov", options)[0].read_bytes()
    assert b"\xa9nam" in data and b"mdtatitle" not in data


def test_tags_about_the_file_are_not_copied(tmp_path: Path, options: ColorOptions) -> None:
    made = Film(shoot(2), tags={"encoder": "Old Encoder", "BPS-eng": "99", "rotate": "90"})
    film = media.make(tmp_path / "film.mp4", made)
    output, _ = run(film, "out.mkv", options)
    with av.open(str(output)) as copy:
        tags = {**copy.metadata, **copy.streams.video[0].metadata}
    names = {name.lower() for name in tags}
    assert not names & {"major_brand", "minor_version", "compatible_brands", "bps-eng", "rotate"}
    assert "Old Encoder" not in tags.values()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["film.mp4", "film.mov", "film.mkv"])
def test_names_of_tracks_are_kept(
    source: str, name: str, tmp_path: Path, options: ColorOptions
) -> None:
    sounds = [Sound(), Sound(title="Director's commentary", language="ger")]
    made = Film(shoot(4), sounds=sounds, tags={"title": "Camera negative"})
    output, notes = run(media.make(tmp_path / source, made), name, options)
    with av.open(str(output)) as film:
        names = [s.metadata.get("title", s.metadata.get("name")) for s in film.streams]
        languages = [s.language for s in film.streams.audio]
    assert names == ["Camera negative", None, "Director's commentary"]
    assert languages[1] == "ger"
    assert "does not keep" not in notes


def test_dispositions_are_kept_or_told(tmp_path: Path, options: ColorOptions) -> None:
    flags = Disposition.comment | Disposition.original | Disposition.visual_impaired
    made = Film(shoot(4), sounds=[Sound(), Sound(disposition=flags)], time_base=MILLISECOND)
    film = media.make(tmp_path / "film.mkv", made)
    output, notes = run(film, "out.mkv", options)
    assert media.streams(output, "audio")[1].disposition == flags
    assert "does not keep" not in notes
    output, notes = run(film, "out.mp4", options)
    kept = media.streams(output, "audio")[1].disposition
    lost = [flag.name for flag in flags & ~kept]
    assert lost
    assert f".mp4 does not keep {', '.join(sorted(lost))} of stream 2" in notes


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_tags_of_streams_that_are_lost_are_told(name: str, tmp_path: Path) -> None:
    made = Film(shoot(2), tags={"scanner": "Arriscan"}, time_base=MILLISECOND)
    film = media.make(tmp_path / "film.mkv", made)
    assert f"{Path(name).suffix} does not keep SCANNER of stream 0" in notes_of(film, name)
    assert "SCANNER" not in notes_of(film, "out.mkv")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_lost_tags_are_missed(suffix: str, tmp_path: Path) -> None:
    made = Film(shoot(2), sounds=[Sound(title="Piano")])
    bare = media.make(tmp_path / f"bare{suffix}", made)
    film = media.make(tmp_path / f"film{suffix}", replace(made, metadata={"title": "T"}))
    with pytest.raises(VerifyError, match="title"):
        verify(film, bare)
    assert verify(bare, film) == 2
    unnamed = media.make(tmp_path / f"unnamed{suffix}", replace(made, sounds=[Sound()]))
    with pytest.raises(VerifyError, match="title"):
        verify(bare, unnamed)


def test_tags_are_appended_only_to_a_movie_atom_at_the_end(tmp_path: Path) -> None:
    film = media.make(tmp_path / "film.mp4", Film(shoot(2)))
    whole = film.read_bytes()
    for data in (whole + b"\0\0\0\x08free", whole[:-1], b"", b"\0" * 64):
        film.write_bytes(data)
        with film.open("r+b") as file:
            assert not append_tags(file, {"a": "b"}, "mp4")
        assert film.read_bytes() == data
    film.write_bytes(whole)
    with film.open("r+b") as file:
        assert append_tags(file, {"a": "b", "ü": "ö"}, "mp4")
    assert {"A": "b", "Ü": "ö"}.items() <= tags_of(film).items()


# ---------------------------------------------------------------- timecode


@pytest.mark.parametrize(
    ("timecode", "num_frames", "rate", "expected"),
    [
        ("01:00:00:00", 25, Fraction(25), "01:00:01:00"),
        ("10:59:59:23", 1, Fraction(24000, 1001), "11:00:00:00"),
        ("23:59:59:24", 2, Fraction(25), "00:00:00:01"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:59.29", 1, NTSC, "00:01:00.02"),
        ("23:59:59;29", 1, NTSC, "00:00:00;00"),
        ("00:00:59;59", 1, 2 * NTSC, "00:01:00;04"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),
        ("01:00:00;00", 107892, NTSC, "02:00:00;00"),  # an hour of drop-frame numbers
        ("00:01:00;01", 1, NTSC, None),  # a number that is dropped
        ("00:00:00:25", 0, Fraction(25), None),
        ("24:00:00:00", 0, Fraction(25), None),
        ("00:00:00;00", 1, Fraction(25), None),
        ("1 hour", 1, Fraction(25), None),
    ],
)
def test_timecodes_count_as_in_smpte_st_12(
    timecode: str, num_frames: int, rate: Fraction, expected: str | None
) -> None:
    assert shift_timecode(timecode, num_frames, rate) == expected


def test_drop_frame_numbers_follow_each_other() -> None:
    labels = [
        f"00:{minute:02}:{second:02};{frame:02}"
        for minute in range(12)
        for second in range(60)
        for frame in range(30)
        if second or frame > 1 or minute % 10 == 0
    ]
    assert [shift_timecode(labels[0], n, NTSC) for n in range(len(labels))] == labels
    pairs = zip(labels[::97], labels[1234::97])
    assert all(shift_timecode(label, 1234, NTSC) == later for label, later in pairs)


def timecode_of(path: Path) -> str | None:
    with av.open(str(path)) as film:
        tags = {**film.metadata, **film.streams.video[0].metadata}
    return next((value for name, value in tags.items() if name.lower() == "timecode"), None)


STARTS = {  # (the film's timecode, its rate, that of its frame 3)
    "pal": ("09:59:59:23", Fraction(25), "10:00:00:01"),
    "drop": ("00:00:59;28", NTSC, "00:01:00;03"),
    "midnight": ("23:59:59:22", Fraction(24), "00:00:00:01"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", STARTS)
def test_an_excerpt_has_its_own_timecode(
    start: str, name: str, tmp_path: Path, options: ColorOptions
) -> None:
    timecode, rate, expected = STARTS[start]
    made = Film(shoot(6), rate=rate, time_base=1 / rate, tags={"timecode": timecode})
    film = media.make(tmp_path / "film.mov", made)
    assert timecode_of(film) == timecode
    whole, notes = run(film, f"whole.{name}", options)
    assert timecode_of(whole) == timecode
    assert "timecode" not in notes
    excerpt, _ = run(film, name, options, TimeRange(first=3, stop=5))
    assert timecode_of(excerpt) == expected
    from_zero, _ = run(film, f"zero.{name}", options, TimeRange(first=0, stop=2))
    assert timecode_of(from_zero) == timecode


def test_a_timecode_of_unknown_form_is_left_out_of_excerpts(
    tmp_path: Path, options: ColorOptions
) -> None:
    made = Film(shoot(4), time_base=MILLISECOND, metadata={"timecode": "reel 3, 01:00"})
    film = media.make(tmp_path / "film.mkv", made)
    whole, notes = run(film, "whole.mkv", options)
    assert timecode_of(whole) == "reel 3, 01:00"
    assert "timecode reel 3, 01:00 is kept, but an excerpt gets none" in notes
    assert timecode_of(run(film, "out.mkv", options, TimeRange(first=2))[0]) is None


def test_another_timecode_is_missed(tmp_path: Path) -> None:
    made = Film(shoot(2), tags={"timecode": "01:00:00:00"})
    film = media.make(tmp_path / "film.mov", made)
    other = media.make(tmp_path / "other.mov", replace(made, tags={"timecode": "00:00:00:00"}))
    bare = media.make(tmp_path / "bare.mov", replace(made, tags={}))
    for output in (other, bare):
        with pytest.raises(VerifyError, match="timecode"):
            verify(film, output)


# ---------------------------------------------------------------- chapters


def chapters_of(path: Path) -> Chapters:
    """Return (start, title) of each chapter."""
    return [(start, title) for start, _, title in media.chapters(path)]


def milliseconds(*chapters: tuple[int, str]) -> Chapters:
    return [(Fraction(start, 1000), title) for start, title in chapters]


# 12 frames at 24 a second last 500 ms
ODD_CHAPTERS = {
    "at the end": [(0, 250, "One"), (250, 500, "Two"), (500, 500, "End")],
    "without duration": [(0, 250, "One"), (125, 125, "Mark"), (250, 500, "Two")],
    "without title": [(0, 250, "One"), (250, 375, ""), (375, 500, "Three")],
    "beyond the end": [(0, 250, "One"), (250, 900, "Two")],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ODD_CHAPTERS)
@pytest.mark.parametrize("source", ["film.mkv", "film.mp4"])
def test_odd_chapters_are_kept(
    kind: str, source: str, name: str, tmp_path: Path, options: ColorOptions
) -> None:
    made = Film(shoot(12), time_base=MILLISECOND, chapters=ODD_CHAPTERS[kind])
    film = media.make(tmp_path / source, made)
    expected = milliseconds(*((start, title) for start, _, title in ODD_CHAPTERS[kind]))
    assert chapters_of(film) == expected
    assert chapters_of(run(film, name, options)[0]) == expected


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_chapters_that_begin_late_keep_their_time(
    name: str, tmp_path: Path, options: ColorOptions
) -> None:
    made = Film(shoot(12), time_base=MILLISECOND, chapters=[(125, 250, "A"), (250, 500, "B")])
    output, notes = run(media.make(tmp_path / "film.mkv", made), name, options)
    assert chapters_of(output) == milliseconds((0, ""), (125, "A"), (250, "B"))
    assert "one without a title comes before the first" in notes


def test_an_excerpt_has_the_chapters_in_it(tmp_path: Path, options: ColorOptions) -> None:
    chapters = [(0, 250, "A"), (250, 250, "Mark"), (250, 500, "B"), (500, 500, "End")]
    film = media.make(tmp_path / "film.mp4", Film(shoot(12), time_base=TICK, chapters=chapters))
    output, _ = run(film, "out.mp4", options, TimeRange(first=3, stop=9))
    assert chapters_of(output) == milliseconds((0, "A"), (125, "Mark"), (125, "B"))


def test_other_chapters_are_missed(tmp_path: Path) -> None:
    made = Film(shoot(12), chapters=[(0, 250, "A"), (250, 500, "B")])
    film = media.make(tmp_path / "film.mp4", made)
    for chapters in (
        [(0, 500, "A")],
        [(0, 250, "A"), (250, 500, "C")],
        [(0, 300, "A"), (300, 500, "B")],
    ):
        other = media.make(tmp_path / "other.mp4", replace(made, chapters=chapters))
        with pytest.raises(VerifyError, match="chapter"):
            verify(film, other)


# ---------------------------------------------------------------- Matroska's own

NANOSECONDS = 1_000_000  # a millisecond's
EDITION, ATOM, UID, START, END, DISPLAY = 0x45B9, 0xB6, 0x73C4, 0x91, 0x92, 0x80
TITLE, LANGUAGE, BCP_47, HIDDEN, ENABLED = 0x85, 0x437C, 0x437D, 0x98, 0x4598
TAG, TARGETS, SIMPLE_TAG, NAME, STRING, BINARY = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487, 0x4485


def title(text: str, language: str, bcp_47: str) -> bytes:
    return element(
        DISPLAY, element(TITLE, text), element(LANGUAGE, language), element(BCP_47, bcp_47)
    )


def atom(uid: int, start: int, end: int | None, *parts: bytes) -> bytes:
    """Return a chapter, with its times in milliseconds."""
    times = [element(START, start * NANOSECONDS)]
    if end is not None:
        times.append(element(END, end * NANOSECONDS))
    return element(ATOM, element(UID, uid), *times, *parts)


def rich_chapters(shift: int = 0, scene_end: int = 125) -> bytes:
    """Return chapters with all that a flat list of titles lacks; `shift` to later, in ms."""
    part_one = atom(
        1,
        0 + shift,
        250 + shift,
        title("One", "eng", "en-GB"),
        title("Eins", "ger", "de-CH"),
        atom(2, 0 + shift, scene_end + shift, title("Scene", "eng", "en")),
    )
    others = [
        atom(3, 250 + shift, 250 + shift, title("Mark", "eng", "en")),
        atom(4, 250 + shift, 500 + shift, title("Same time", "eng", "en")),
        atom(5, 250 + shift, 500 + shift, title("Secret", "eng", "en"), element(HIDDEN, 1)),
        atom(6, 375 + shift, 500 + shift, title("Off", "eng", "en"), element(ENABLED, 0)),
        atom(7, 500 + shift, 500 + shift, title("End", "eng", "en")),
    ]
    first = element(EDITION, element(0x45BC, 1), element(0x45DB, 1), part_one, *others)
    second = element(
        EDITION, element(0x45BC, 2), atom(8, 0 + shift, None, title("Cut", "eng", "en"))
    )
    return element(ebml.CHAPTERS, first, second)


def matroska_film(path: Path, **elements: bytes) -> Path:
    sounds = [Sound(language="por", title="Som")]
    attachments = [("letter.txt", "text/plain", b"Dear all")]
    made = Film(shoot(12), time_base=MILLISECOND, sounds=sounds, attachments=attachments)
    media.make(path, made)
    return change(path, {getattr(ebml, name): content for name, content in elements.items()})


def plain_tree(data: bytes) -> list[object]:
    """Return the elements within some, without padding, checksums and the size of their sizes."""
    tree: list[object] = []
    for number, content in ebml.children(data):
        if number in (EDITION, ATOM, DISPLAY):
            tree.append((number, plain_tree(content)))
        elif number not in (ebml.VOID, ebml.CRC_32):
            is_time = number in (START, END)
            tree.append((number, int.from_bytes(content, "big") if is_time else content))
    return tree


def chapter_tree(path: Path) -> list[object]:
    return plain_tree(ebml.top(path, ebml.CHAPTERS) or b"")


def test_matroska_keeps_its_chapters_in_full(tmp_path: Path, options: ColorOptions) -> None:
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=rich_chapters())
    output, notes = run(film, "out.mkv", options)
    assert chapter_tree(output) == chapter_tree(film)
    assert len(chapter_tree(output)) == 2
    assert "chapter" not in notes
    assert chapters_of(output) == chapters_of(film)  # as FFmpeg reads them
    assert len(media.frames(output)) == 12
    with av.open(str(output)) as opened:  # the index of elements and of times still holds
        opened.seek(400_000)
        assert next(opened.decode(video=0)).time <= 0.4
        assert opened.streams[2].data == b"Dear all"


def test_an_excerpt_of_matroska_has_its_chapters_cut(tmp_path: Path, options: ColorOptions) -> None:
    """At all levels: frames 3 to 9 are those from 125 to 375 ms."""
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=rich_chapters(scene_end=200))
    output, _ = run(film, "out.mkv", options, TimeRange(first=3, stop=9))
    expected = [
        atom(
            1,
            0,
            125,
            title("One", "eng", "en-GB"),
            title("Eins", "ger", "de-CH"),
            atom(2, 0, 75, title("Scene", "eng", "en")),
        ),
        atom(3, 125, 125, title("Mark", "eng", "en")),
        atom(4, 125, 250, title("Same time", "eng", "en")),
        atom(5, 125, 250, title("Secret", "eng", "en"), element(HIDDEN, 1)),
    ]
    first = element(EDITION, element(0x45BC, 1), element(0x45DB, 1), *expected)
    second = element(EDITION, element(0x45BC, 2), atom(8, 0, None, title("Cut", "eng", "en")))
    assert chapter_tree(output) == plain_tree(first + second)


def test_an_excerpt_without_chapters_has_none(tmp_path: Path, options: ColorOptions) -> None:
    chapters = element(
        ebml.CHAPTERS, element(EDITION, atom(1, 400, 500, title("Late", "eng", "en")))
    )
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=chapters)
    output, _ = run(film, "out.mkv", options, TimeRange(stop=3))
    assert ebml.top(output, ebml.CHAPTERS) is None


def test_chapters_that_a_flat_list_lacks_are_told(tmp_path: Path) -> None:
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=rich_chapters())
    num_read = len(chapters_of(film))
    notes = plan_output(
        probe(film), film.with_name("out.mp4"), replace(QUICK, drop_unsupported=True)
    ).notes
    [note] = [note for note in notes if "sub-chapters" in note]
    assert note.startswith(f".mp4 keeps {num_read} of 8 chapters")
    for words in ("1 sub-chapters", "2 hidden", "1 further editions", "1 further titles"):
        assert words in note


def test_other_chapters_of_matroska_are_missed(tmp_path: Path) -> None:
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=rich_chapters())
    for chapters in (rich_chapters(scene_end=100), rich_chapters(shift=10), None):
        other = matroska_film(tmp_path / "other.mkv", CHAPTERS=chapters)
        with pytest.raises(VerifyError, match="chapters"):
            verify(film, other)


def simple_tag(name: str, *parts: bytes) -> bytes:
    return element(SIMPLE_TAG, element(NAME, name), *parts)


def test_tags_that_ffmpeg_does_not_read_are_told(tmp_path: Path) -> None:
    tags = [
        simple_tag("ACTOR", element(STRING, "Schreck")),
        simple_tag("ACTOR", element(STRING, "Schröder")),
        simple_tag("SUMMARY", element(STRING, "A vampire"), element(0x447A, "eng")),
        simple_tag("SUMMARY", element(STRING, "Ein Vampir"), element(0x447A, "ger")),
        simple_tag("THUMBNAIL", element(BINARY, b"\1\2")),
        simple_tag(
            "DIRECTOR", element(STRING, "Murnau"), simple_tag("BORN", element(STRING, "1888"))
        ),
    ]
    content = element(ebml.TAGS, element(TAG, element(TARGETS), *tags))
    notes = notes_of(matroska_film(tmp_path / "film.mkv", TAGS=content), "out.mkv")
    assert "the last one is kept: ACTOR" in notes
    assert "binary tags left out: THUMBNAIL" in notes
    assert "tags within tags become tags of the film: BORN" in notes
    assert "SUMMARY" not in notes  # of several languages: all are kept


def test_languages_of_bcp_47_are_told(tmp_path: Path) -> None:
    """Only where they say more than the other language, or where there is no other."""
    film = matroska_film(tmp_path / "film.mkv")
    languages = iter(["de", "pt-BR"])
    tracks = [
        element(ebml.TRACK, content, element(0x22B59D, next(languages)))
        for number, content in ebml.children(ebml.top(film, ebml.TRACKS) or b"")
        if number == ebml.TRACK
    ]
    change(film, {ebml.TRACKS: element(ebml.TRACKS, *tracks)})
    notes = notes_of(film, "out.mkv")
    assert "language pt-BR of stream 1" in notes and "becomes por" in notes
    assert "stream 0" not in notes


def test_descriptions_of_attachments_are_kept(tmp_path: Path, options: ColorOptions) -> None:
    film = matroska_film(tmp_path / "film.mkv")
    files = [
        element(ebml.ATTACHED_FILE, content, element(0x467E, "A letter"))
        for number, content in ebml.children(ebml.top(film, ebml.ATTACHMENTS) or b"")
        if number == ebml.ATTACHED_FILE
    ]
    change(film, {ebml.ATTACHMENTS: element(ebml.ATTACHMENTS, *files)})
    output, _ = run(film, "out.mkv", options)
    with av.open(str(output)) as opened:
        attachment = opened.streams[2]
        assert (attachment.data, attachment.metadata["title"]) == (b"Dear all", "A letter")
    bare = matroska_film(tmp_path / "bare.mkv")
    with pytest.raises(VerifyError, match="attachments"):
        verify(film, bare)


def test_damaged_elements_are_no_reason_to_stop(tmp_path: Path) -> None:
    film = matroska_film(tmp_path / "film.mkv", CHAPTERS=rich_chapters())
    data = film.read_bytes()
    for cut in (len(data) // 3, len(data) // 2):
        film.write_bytes(data[:cut])
        plan_output(probe(film), film.with_name("out.mkv"), MASTER)
