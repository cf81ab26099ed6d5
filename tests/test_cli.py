"""The command line as a user types it: what it writes, prints and refuses."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import click
import cv2
import media
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import filmcolor
from filmcolor.cli import progress
from filmcolor.cli.main import cli, main
from filmcolor.kernels import ops
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.profiler import REST, STAGES
from filmcolor.temporal.smoothing import LEVELS

SCRIPT = shutil.which("filmcolor", path=str(Path(sys.executable).parent))
PATIENCE_SECONDS = 60  # for a process that starts on a busy machine
FACTS = re.compile(
    r"12 frames \(0\.5 s\) in \d+\.\d s: \d+\.\d frames/s, \d+\.\d\d × real time → (.+)\n"
)


@dataclass(frozen=True)
class Typed:
    """The result of a command."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]
MakeFilm = Callable[..., Path]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    """Run the command line in this process; stderr includes the messages of codecs."""

    def run(*words: object) -> Typed:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["filmcolor", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return Typed(stop.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def option_words(options: ColorOptions) -> list[str]:
    return ["--weights", options.weights, "--size", str(options.size), "--device", options.device]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def lumas(path: Path) -> list[np.ndarray]:
    return [frame.luma for frame in media.frames(path)]


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(actual) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(actual, expected))


def test_a_profile_tells_what_each_stage_costs(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    film, out = make_film("film.mp4"), tmp_path / "out.mp4"
    result = typed("run", film, "-o", out, "--profile", *option_words)
    assert result.code == 0
    rows = [line.rsplit(None, 2) for line in result.out.splitlines()[1:]]
    stages = [row[0].strip() for row in rows[1:]]
    assert stages == [*STAGES, REST, "whole run"]
    shares = [float(row[1]) for row in rows[1:]]
    assert min(shares) >= 0.0
    assert shares[-1] == pytest.approx(sum(shares[:-1]), abs=0.2)
    assert shares[stages.index("network")] > 0.0
    result = typed("run", film, film.with_name("other.mp4"), "--profile", *option_words)
    assert result.code == 2 and "--profile is of one film" in result.err


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", [None, *sorted(cli.commands)])
def test_help_tells_of_every_option(typed: Type, name: str | None) -> None:
    command = cli.commands[name] if name else cli
    typed_words = [name] if name else []
    result = typed(*typed_words, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out == typed(*typed_words, "-h").out
    text = " ".join(result.out.split())
    assert command.help
    assert command.help.split("\n")[0].split(".")[0] in text
    for option in (p for p in command.params if isinstance(p, click.Option)):
        assert all(word in text for word in option.opts)
        assert option.help, f"{option.opts} is not explained"
        assert " ".join(option.help.split()) in text


def test_smooth_offers_every_level() -> None:
    """The command line repeats them, since --help must not import OpenCV."""
    option = next(p for p in cli.commands["run"].params if p.name == "smooth")
    assert tuple(option.type.choices) == LEVELS


def test_help_names_every_command(typed: Type) -> None:
    text = typed("--help").out
    assert all(re.search(rf"^  {name} +\S", text, re.MULTILINE) for name in cli.commands)
    assert {"run", "preview", "photo", "probe", "stills", "train", "evaluate"} <= set(cli.commands)


def test_help_tells_the_defaults_that_hold() -> None:
    from filmcolor.farm.ray_engine import CORES

    others = {"cores": CORES}
    for option in cli.commands["run"].params:
        match = re.search(r"\[default: (.+)\]$", getattr(option, "help", None) or "")
        if match:
            default = match[1].partition(";")[0]  # "1.15; with --model 1"
            holder = ColorOptions().grade if option.name == "saturation" else ColorOptions()
            value = others.get(str(option.name)) or getattr(holder, option.name)
            assert default == str(value), option.name


def test_help_groups_what_a_person_can_scan(typed: Type) -> None:
    headings = re.findall(r"^(\w[\w ]*):$", typed("run", "--help").out, re.MULTILINE)
    assert headings == [
        *("Output", "Range", "Colours", "References", "Film", "Long runs", "General"),
    ]
    headings = re.findall(r"^(\w[\w ]*):$", typed("--help").out, re.MULTILINE)
    assert headings == [
        *("Options", "Colour a film", "On many machines", "Look first", "Measure", "Train"),
    ]
    assert "\nOptions:\n" in typed("verify", "--help").out


def test_help_waits_for_no_large_library() -> None:
    code = (
        "import sys\n"
        "from filmcolor.cli.main import cli\n"
        "for words in ([], *([name] for name in cli.commands)):\n"
        "    cli.main([*words, '--help'], prog_name='filmcolor', standalone_mode=False)\n"
        "large = {'torch', 'torchvision', 'av', 'cv2', 'numpy', 'skimage', 'scipy', 'tqdm'}\n"
        "assert not large & set(sys.modules), large & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


def test_nothing_is_collected_at_the_end() -> None:
    """The end of the process frees PyTorch's many objects at once."""
    code = (
        "import atexit, gc, sys\n"
        "from filmcolor.cli.main import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # runs after those of main
        "sys.argv[1:] = ['--version']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True\n")


def test_no_command_shows_the_help(typed: Type) -> None:
    result = typed()
    assert result.code in (0, 2)  # as this click has it
    assert "Colour a film:" in result.out + result.err


def test_version(typed: Type) -> None:
    result = typed("--version")
    assert (result.code, result.err) == (0, "")
    assert filmcolor.__version__ in result.out
    assert ("without" in result.out) != ops.is_compiled()


# ---------------------------------------------------------------- run


def test_run_writes_the_film_in_colour_beside_it(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    film = make_film(sounds=[media.Sound()])
    before = film.read_bytes()

    result = typed("run", film, *option_words)

    assert result.code == 0
    facts = FACTS.fullmatch(result.out)
    assert facts, result.out
    assert Path(facts[1]) == tmp_path / "film.color.mp4"
    assert result.err == ""  # no bar without a terminal
    assert names(tmp_path) == {"film.mp4", "film.color.mp4"}
    assert film.read_bytes() == before
    colored = tmp_path / "film.color.mp4"
    assert media.seconds(colored) == media.seconds(film)
    assert media.packets(colored, "audio") == media.packets(film, "audio")
    assert any(frame.planes[1].std() > 2 for frame in media.frames(colored))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "first", "stop"),
    [
        (["--from", "0.25", "--to", "0.375"], 6, 9),
        (["--from", "00:00:00.250", "--to", "00:00:00.375"], 6, 9),
        (["--from", "0:00.25", "--to", "0:00.375"], 6, 9),
        (["--from", "0.26", "--to", "0.38"], 7, 10),
        (["--from", "0.25"], 6, 12),
        (["--to", "0.25"], 0, 6),
        (["--to", "1:00:00"], 0, 12),
        (["--frames", "6:9"], 6, 9),
        (["--frames", ":3"], 0, 3),
        (["--frames", "9:"], 9, 12),
        (["--frames", "9:400"], 9, 12),
    ],
)
def test_run_takes_just_the_range(
    typed: Type,
    make_film: MakeFilm,
    option_words: list[str],
    tmp_path: Path,
    words: list[str],
    first: int,
    stop: int,
) -> None:
    film, out = make_film(), tmp_path / "part.mkv"
    result = typed("run", film, "-o", out, "--codec", "ffv1", *words, *option_words)
    assert result.code == 0
    assert result.out.startswith(f"{stop - first} frames ")
    assert_same(lumas(out), lumas(film)[first:stop])
    assert media.seconds(out)[0] == 0


@pytest.mark.parametrize(
    ("purpose", "name", "codec", "pix_fmt"),
    [
        ("share", "film.color.mp4", "h264", "yuv420p"),
        ("archive", "film.color.mp4", "hevc", "yuv420p10le"),
        ("edit", "film.color.mov", "prores", "yuv422p10le"),
        ("master", "film.color.mkv", "ffv1", "yuv420p"),
    ],
)
def test_each_purpose_has_its_encoder_and_container(
    typed: Type,
    make_film: MakeFilm,
    option_words: list[str],
    tmp_path: Path,
    purpose: str,
    name: str,
    codec: str,
    pix_fmt: str,
) -> None:
    film = make_film()
    assert typed("run", film, "--for", purpose, *option_words).code == 0
    assert names(tmp_path) == {"film.mp4", name}
    picture = media.picture_context(tmp_path / name)
    assert (picture["codec"], picture["pix_fmt"], picture["size"]) == (codec, pix_fmt, media.SIZE)
    if purpose == "master":
        assert_same(lumas(tmp_path / name), lumas(film))


def test_the_codec_and_its_options_are_taken(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    film = make_film()
    sizes = {}
    for crf in (5, 45):
        out = tmp_path / f"{crf}.mp4"
        words = ["--codec", "libx265", "--crf", crf, "--preset", "ultrafast"]
        result = typed("run", film, "-o", out, *words, "--pix-fmt", "yuv444p", *option_words)
        assert result.code == 0
        assert media.picture_context(out)["codec"] == "hevc"
        assert media.picture_context(out)["pix_fmt"] == "yuv444p"
        sizes[crf] = sum(len(p.data) for p in media.packets(out, "video"))
    assert sizes[5] > 2 * sizes[45]


def test_saturation_nought_is_a_grey_film(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    words = ["run", make_film(), "--for", "master", "--saturation", "0", *option_words]
    assert typed(*words).code == 0
    for frame in media.frames(tmp_path / "film.color.mkv"):
        assert all((plane == 128).all() for plane in frame.planes[1:])


def test_an_odd_size_is_said(typed: Type, make_film: MakeFilm, option_words: list[str]) -> None:
    film = make_film(lumas=media.shoot(3, (51, 33)), pix_fmt="yuv444p")
    result = typed("run", film, *option_words)
    assert result.code == 0
    assert "; 51×33 coded as 52×34" in result.out


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1", "prores_ks"])
def test_quiet_runs_print_nothing(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path, codec: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    out = tmp_path / "out.mkv"
    words = ["run", make_film(), "-o", out, "--codec", codec, "-q", *option_words]
    if (
        codec == "libsvtav1"
    ):  # reads its settings once in a process: another test may have been first
        command = [sys.executable, "-m", "filmcolor", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    else:
        assert typed(*words) == Typed(0, "", "")
    assert out.exists()


@pytest.mark.parametrize("words", [["preview"], ["preview", "--sheet", "2"], ["photo"]])
def test_quiet_previews_and_photos_print_nothing(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path, words: list[str]
) -> None:
    source = make_film()
    if words == ["photo"]:
        source = tmp_path / "still.png"
        cv2.imwrite(str(source), media.shoot(1)[0])
    num_files = len(names(tmp_path))
    assert typed(words[0], source, *words[1:], "--quiet", *option_words) == Typed(0, "", "")
    assert len(names(tmp_path)) == num_files + 1


def test_force_replaces_what_is_there(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    film, out = make_film(), tmp_path / "film.color.mp4"
    out.write_bytes(b"what was there")
    assert typed("run", film, *option_words).code == 1
    assert out.read_bytes() == b"what was there"
    assert typed("run", film, "--force", *option_words).code == 0
    assert media.seconds(out) == media.seconds(film)


# ---------------------------------------------------------------- preview, photo, probe


def test_preview_of_several_moments_writes_as_many_clips(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    film = make_film("film.mkv", sounds=[media.Sound("pcm_s16le")])  # no MP4 could hold it so
    result = typed("preview", film, "--at", "0", "--at", "0.3", *option_words)
    assert result.code == 0
    assert names(tmp_path) == {"film.mkv", "film.preview-1.mkv", "film.preview-2.mkv"}
    assert len(result.out.splitlines()) == 2


def test_preview_with_a_sheet_prints_where_it_is(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    result = typed("preview", make_film(), "--sheet", "3", *option_words)
    assert (result.code, result.out) == (0, f"{tmp_path / 'film.sheet.png'}\n")
    assert names(tmp_path) == {"film.mp4", "film.sheet.png"}


def test_photos_go_into_a_folder(typed: Type, option_words: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    pictures = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for picture in pictures:
        cv2.imwrite(str(picture), media.shoot(1)[0])
    result = typed("photo", *pictures, "-o", tmp_path / "out", *option_words)
    assert result.code == 0
    assert names(tmp_path / "out") == {"a.color.png", "b.color.jpg"}
    assert result.out.splitlines() == [
        str(tmp_path / "out" / "a.color.png"),
        str(tmp_path / "out" / "b.color.jpg"),
    ]


def test_photos_stand_beside_the_pictures_by_default(
    typed: Type, option_words: list[str], tmp_path: Path
) -> None:
    for name in ("a.png", "b.tif"):
        cv2.imwrite(str(tmp_path / name), media.shoot(1)[0])
    result = typed("photo", tmp_path / "a.png", tmp_path / "b.tif", *option_words)
    assert result.code == 0
    assert names(tmp_path) == {"a.png", "b.tif", "a.color.png", "b.color.tif"}


def talkie(make_film: MakeFilm) -> Path:
    return make_film(
        "film.mkv",
        sounds=[media.Sound(language="fre")],
        titles=[media.Titles(language="eng")],
        chapters=[(0, 250, "The station")],
        sar=Fraction(4, 3),
    )


def test_probe_tells_each_streams_fate(typed: Type, make_film: MakeFilm) -> None:
    result = typed("probe", talkie(make_film))
    assert (result.code, result.err) == (0, "")
    for expected in (
        "96×64, pixels 4/3, yuv420p, 8 bits",
        "12 frames, constant frame rate 24.000/s",
        "The station",
        "stream 0 (video, h264) 96×64, yuv420p: coloured",
        "stream 1 (audio, aac, fre) mono, 48000 Hz: copied",
        "stream 2 (subtitle, subrip, eng) : copied",
        "film.color.mkv",
    ):
        assert expected in result.out


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("", "progressive"),
        ("tff", "interlaced, top field first"),
        ("bff", "interlaced, bottom field first"),
    ],
)
def test_probe_tells_the_field_order(
    typed: Type, make_film: MakeFilm, scan: str, expected: str
) -> None:
    result = typed("probe", make_film("film.mkv", codec="ffv1", scan=scan))
    assert f"scan      {expected}\n" in result.out


def test_probe_for_machines(typed: Type, make_film: MakeFilm) -> None:
    result = typed("probe", talkie(make_film), "--json")
    assert (result.code, result.err) == (0, "")
    facts = json.loads(result.out)
    assert (facts["width"], facts["height"], facts["num_frames"]) == (96, 64, 12)
    assert facts["is_vfr"] is False
    assert Fraction(facts["sar"]) == Fraction(4, 3)
    assert [stream["type"] for stream in facts["streams"]] == ["video", "audio", "subtitle"]
    assert list(facts["stream_plan"].values()) == ["coloured", "copied", "copied"]
    assert facts["chapters"][0]["metadata"]["title"] == "The station"


def test_probe_tells_what_cannot_be_kept(typed: Type, make_film: MakeFilm) -> None:
    sounds = [media.Sound("pcm_u16le")]
    film = make_film("film.nut", codec="mpeg4", time_base=1 / media.RATE, sounds=sounds)
    result = typed("probe", film)
    assert (result.code, result.err) == (0, "")
    assert "stream 1 (audio, pcm_u16le) 1 channels, 48000 Hz: cannot be kept" in result.out
    remedy = "add --convert-audio to convert it to flac, or add --drop-unsupported to go on without"
    assert remedy in result.out
    assert "run writes" not in result.out


def test_run_converts_sound_that_cannot_be_kept(
    typed: Type, make_film: MakeFilm, tmp_path: Path, weights_path: Path
) -> None:
    sounds = [media.Sound("pcm_u16le", layout="stereo")]
    film = make_film("film.nut", codec="mpeg4", time_base=1 / media.RATE, sounds=sounds)
    output = tmp_path / "out.mp4"
    common = ["run", film, "-o", output, "--weights", weights_path, "--size", 32]
    result = typed(*common)
    assert result.code == 1
    assert "--convert-audio to convert it to flac" in result.err
    result = typed(*common, "--convert-audio")
    assert result.code == 0
    note = "stream 1 (audio, pcm_u16le) converted to flac: every sample is kept"
    assert note in result.out
    assert [s.codec for s in media.streams(output)] == ["h264", "flac"]
    assert media.num_samples(output) == media.num_samples(film)
    assert typed("verify", film, output).code == 0


def test_run_goes_on_without_what_cannot_be_kept(
    typed: Type, make_film: MakeFilm, tmp_path: Path, weights_path: Path
) -> None:
    film = make_film("film.mkv", titles=[media.Titles("ass", "fre")], sounds=[media.Sound()])
    output = tmp_path / "out.mp4"
    common = ["run", film, "-o", output, "--weights", weights_path, "--size", 32]
    result = typed(*common, "--drop-unsupported")
    assert result.code == 0
    assert "left out, .mp4 cannot hold it: stream 2 (subtitle, ass, fre)" in result.out
    assert [s.type for s in media.streams(output)] == ["video", "audio"]


def test_run_and_preview_deinterlace(
    typed: Type, make_film: MakeFilm, tmp_path: Path, weights_path: Path
) -> None:
    film = make_film(scan="tff")
    for command in ("run", "preview"):
        output = tmp_path / f"{command}.mp4"
        common = [command, film, "-o", output, "--weights", weights_path, "--size", 32]
        assert typed(*common, "--deinterlace", "--force").code == 0
        assert set(media.first_fields(output)) == {""}
        assert typed(*common, "--force").code == 0
        assert set(media.first_fields(output)) == {"tff"}


# ---------------------------------------------------------------- errors


def text(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("not a film, only words\n" * 40)
    return path


def sound_only(folder: Path) -> Path:
    path = folder / "song.wav"
    with wave.open(str(path), "wb") as song:
        song.setparams((1, 2, 8000, 0, "NONE", ""))
        song.writeframes(bytes(4000))
    return path


def cut_short(folder: Path) -> Path:
    whole = media.make(folder / "whole.mp4", media.Film(media.shoot(3)))
    path = folder / "short.mp4"
    path.write_bytes(whole.read_bytes()[:200])
    return path


def other_weights(folder: Path) -> Path:
    path = folder / "other.safetensors"
    save_file({"layer.weight": torch.zeros(2)}, path)
    return path


def broken_weights(folder: Path) -> Path:
    path = folder / "broken.pth"
    path.write_text("hello, these are no weights\n" * 9)
    return path


def filled(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"precious")
    return path


def titled(folder: Path) -> Path:
    film = media.Film(media.shoot(3), titles=[media.Titles("ass", "fre")])
    return media.make(folder / "titled.mkv", film)


Words = list[object]
BAD: dict[str, tuple[Callable[[Path, Path], Words], str]] = {
    # (film, folder) -> the command; then a pattern of the error
    "no such film": (lambda f, d: ["run", d / "gone.mp4"], r"gone\.mp4: no such file; check"),
    "a folder": (lambda f, d: ["run", d], r"is a folder; for the films in it, write '.+/\*'"),
    "probe: a folder": (lambda f, d: ["probe", d], r"is a folder; name one film"),
    "a pattern of nothing": (
        lambda f, d: ["run", d / "*.avi"],
        r"no file matches '.*\*\.avi'; check the pattern",
    ),
    "a file for many films": (
        lambda f, d: ["run", f, f, "-o", filled(d, "out")],
        r"out is a file, and many films go into a folder; name another",
    ),
    "one film's name for many": (
        lambda f, d: ["run", f, f, "-o", d / "out.mkv"],
        r"out\.mkv looks like a film, and many films go into a folder; name one",
    ),
    "many films, no such weights": (
        lambda f, d: ["run", d / "*.mp4", "-o", d / "new" / "out", "--weights", "sepia"],
        r"no weights 'sepia'.*tutorial",
    ),
    "a text file": (lambda f, d: ["run", text(d)], r"notes\.mp4 is not a film .*\?$"),
    "sound only": (lambda f, d: ["run", sound_only(d)], r"song\.wav has no video stream; is it"),
    "cut short": (lambda f, d: ["run", cut_short(d)], r"short\.mp4 .*complete"),
    "probe: no such film": (lambda f, d: ["probe", d / "gone.mp4"], r"gone\.mp4: no such file"),
    "preview: a text file": (lambda f, d: ["preview", text(d)], r"notes\.mp4 is not a film"),
    "sheet: a text file": (
        lambda f, d: ["preview", text(d), "--sheet", 3],
        r"notes\.mp4 is not a film",
    ),
    "no such weights": (
        lambda f, d: ["run", f, "--weights", "sepia"],
        r"no weights 'sepia'.*tutorial",
    ),
    "another network's weights": (
        lambda f, d: ["run", f, "--weights", other_weights(d)],
        r"other\.safetensors holds another network's weights .*loads",
    ),
    "broken weights": (
        lambda f, d: ["run", f, "--weights", broken_weights(d)],
        r"broken\.pth is broken, or holds more than tensors; give a",
    ),
    "frames past the end": (
        lambda f, d: ["run", f, "--frames", "12:20"],
        r"no frame of .*film\.mp4, which has frames 0 to 11",
    ),
    "a time past the end": (lambda f, d: ["run", f, "--from", "1:00"], r"which has frames 0 to 11"),
    "sheet: a time past the end": (
        lambda f, d: ["preview", f, "--sheet", 1, "--at", "9"],
        r"which has frames 0 to 11",
    ),
    "the output exists": (
        lambda f, d: ["run", f, "-o", filled(d, "out.mp4")],
        r"out\.mp4 exists; .*--force",
    ),
    "the clip exists": (
        lambda f, d: ["preview", f, "-o", filled(d, "out.mp4")],
        r"out\.mp4 exists; .*--force",
    ),
    "the sheet exists": (
        lambda f, d: ["preview", f, "--sheet", 1, "-o", filled(d, "out.png")],
        r"out\.png exists; .*--force",
    ),
    "the output is the film": (
        lambda f, d: ["run", f, "-o", f, "--force"],
        r"is the film itself; name another",
    ),
    "the clip is a folder": (
        lambda f, d: ["preview", f, "-o", d / "sub.mp4"],
        r"sub\.mp4 is a folder; name a file in it",
    ),
    "the folder is missing": (
        lambda f, d: ["run", f, "-o", d / "gone" / "out.mp4"],
        r"gone is no folder; make it",
    ),
    "the sheet's folder is missing": (
        lambda f, d: ["preview", f, "--sheet", 1, "-o", d / "gone" / "out.png"],
        r"gone is no folder; make it",
    ),
    "an unknown container": (
        lambda f, d: ["run", f, "-o", d / "out.xyz"],
        r"cannot write \.xyz; name the output \.mp4",
    ),
    "a sheet that is no PNG": (
        lambda f, d: ["preview", f, "--sheet", 1, "-o", d / "out.jpg"],
        r"name it \.png",
    ),
    "an unknown codec": (lambda f, d: ["run", f, "--codec", "x999"], r"no encoder 'x999'; libx264"),
    "a codec for sound": (lambda f, d: ["run", f, "--codec", "aac"], r"aac encodes audio.*libx264"),
    "a bad preset": (
        lambda f, d: ["run", f, "--preset", "warp"],
        r"no preset 'warp': choose ultrafast, .*",
    ),
    "a preset where there is none": (
        lambda f, d: ["run", f, "--codec", "ffv1", "--preset", "slow", "-o", d / "out.mkv"],
        r"ffv1 has no presets; leave --preset out",
    ),
    "an unknown pixel format": (
        lambda f, d: ["run", f, "--pix-fmt", "rgb24"],
        r"'rgb24': filmcolor writes yuv420p",
    ),
    "subtitles that MP4 cannot hold": (
        lambda f, d: ["run", titled(d), "-o", d / "out.mp4"],
        r"\.mp4 cannot hold stream 1 \(subtitle, ass, fre\) of .*; name the output \.mkv, or add "
        r"--drop-unsupported to go on without it",
    ),
    "a codec that MP4 cannot hold": (
        lambda f, d: ["run", f, "--codec", "prores_ks", "-o", d / "out.mp4"],
        r"\.mp4 cannot hold prores_ks; name the output \.mkv",
    ),
    "a size that is too small": (lambda f, d: ["run", f, "--size", 8], r"size 8 must be 32 to"),
    "an unknown device": (lambda f, d: ["run", f, "--device", "abacus"], r"'abacus': choose auto"),
    "a sheet of nothing": (lambda f, d: ["preview", f, "--sheet", 0], r"ask for 1 or more"),
    "photo: no such picture": (lambda f, d: ["photo", d / "gone.png"], r"gone\.png: no such file"),
    "photo: a text file": (lambda f, d: ["photo", text(d)], r"notes\.mp4 is not a picture; give"),
    "photo: several pictures into one": (
        lambda f, d: ["photo", d / "a.png", d / "b.png", "-o", d / "c.jpg"],
        r"c\.jpg looks like a picture, and many pictures go into a folder; name one",
    ),
    "photo: a broken TIFF": (
        lambda f, d: ["photo", filled(d, "a.tif")],
        r"a\.tif is not a picture",
    ),
    "train: no such folder": (
        lambda f, d: ["train", d / "gone", "--validation", d, "-o", d / "out"],
        r"gone",
    ),
}


def assert_one_line(result: Typed, code: int) -> None:
    assert (result.code, result.out) == (code, "")
    assert re.fullmatch(r"filmcolor[^\r\n]+\n", result.err), result.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done_is_said_in_one_line(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path, kind: str
) -> None:
    words, expected = BAD[kind]
    (tmp_path / "sub.mp4").mkdir()
    line = words(make_film(), tmp_path)
    if line[0] in ("run", "preview", "photo"):
        line[1:1] = [w for w in option_words if not {"--weights", "--size"} & set(line)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    result = typed(*line)

    assert_one_line(result, 1)
    assert re.search(expected, result.err), result.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("words", [["run"], ["preview"], ["preview", "--sheet", "1"]])
def test_a_folder_that_may_not_be_written_is_said_in_one_line(
    typed: Type, make_film: MakeFilm, option_words: list[str], tmp_path: Path, words: list[str]
) -> None:
    film = make_film()
    tmp_path.chmod(0o500)
    try:
        result = typed(words[0], film, *words[1:], *option_words)
    finally:
        tmp_path.chmod(0o700)
    assert_one_line(result, 1)
    assert re.search(r"film\.(color|preview|sheet)\.\w+ cannot be written", result.err)
    assert names(tmp_path) == {"film.mp4"}


@pytest.mark.skipif(torch.cuda.is_available() is not False, reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_said_in_one_line(typed: Type, make_film: MakeFilm) -> None:
    result = typed("run", make_film(), "--device", "cuda")
    assert_one_line(result, 1)
    assert "no cuda device; use --device auto or cpu" in result.err


class Boobytrap:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("is_torch", [True, False], ids=["torch.save", "pickle.dump"])
def test_code_inside_weights_is_never_run(
    typed: Type, make_film: MakeFilm, tmp_path: Path, is_torch: bool
) -> None:
    trap, weights = tmp_path / "sprung", tmp_path / "weights.pth"
    content = {"upsample.0.weight": Boobytrap(trap)}
    if is_torch:
        torch.save(content, weights)
    else:
        weights.write_bytes(pickle.dumps(content))

    result = typed("run", make_film(), "--weights", weights)

    assert_one_line(result, 1)
    assert "weights.pth is broken, or holds more than tensors" in result.err
    assert names(tmp_path) == {"film.mp4", "weights.pth"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run"], "Missing argument 'FILM...'"),
        (["probe", "a.mp4", "b.mp4"], "unexpected extra argument"),
        (["run", "a.mp4", "b.mp4", "--jobs", "0"], "0 is not in the range 1<=x<=64"),
        (["run", "a.mp4", "--sharpen"], "No such option"),
        (["colour"], "No such command 'colour'"),
        (["run", "a.mp4", "--for", "fun"], "'fun' is not one of 'share', 'archive'"),
        (["run", "a.mp4", "--crf", "low"], "'low' is not a valid integer"),
        (["run", "a.mp4", "--frames", "1:5", "--from", "2"], "--frames or --from/--to, not both"),
        (["preview", "a.mp4", "--at", "3", "--from", "2"], "--at or a range, not both"),
        (["run", "a.mp4", "--frames", "1:5", "--to", "2"], "--frames or --from/--to, not both"),
        (["run", "a.mp4", "--frames", "5:5"], "A below B"),
        (["run", "a.mp4", "--frames", "7"], "A below B"),
        (["run", "a.mp4", "--frames", "a:b"], "'a:b' is no range of frames"),
        (["run", "a.mp4", "--from", "3", "--to", "2"], "--to must be later than --from"),
        (["run", "a.mp4", "--from", "noon"], "'noon' is no time; write HH:MM:SS.mmm"),
        (["run", "a.mp4", "--from", "1:75"], "'1:75' is no time"),
        (["run", "a.mp4", "--from", "-3"], "'-3' is no time"),
        (["run", "a.mp4", "--from", "1/0"], "'1/0' is no time"),
        (["preview", "a.mp4", "--at", "1:2:3:4"], "'1:2:3:4' is no time"),
        (["preview", "a.mp4", "--at", "1", "--at", "2", "-o", "b.mp4"], "leave -o out"),
        (["photo"], "Missing argument 'IMAGE...'"),
        (["train", "stills"], "Missing option '-o'"),
    ],
)
def test_wrong_usage_is_said_in_one_line(typed: Type, words: list[str], expected: str) -> None:
    result = typed(*words)
    assert_one_line(result, 2)
    assert expected in result.err
    assert re.search(r"; see filmcolor( \w+)? --help$", result.err.strip())


POSIX_QUOTES = pytest.mark.skipif(sys.platform == "win32", reason="other quotation marks")


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["film.mp4"], "run film.mp4"),
        (["FILM.MKV"], "run FILM.MKV"),
        pytest.param(
            ["my film.avi", "-o", "a.mkv"], "run 'my film.avi' -o a.mkv", marks=POSIX_QUOTES
        ),
        pytest.param(["*.mp4"], "run '*.mp4'", marks=POSIX_QUOTES),
        (["there"], "run there"),
        (["still.jpg"], "photo still.jpg"),
        ([f"{n}.mp4" for n in range(9)], f"run {' '.join(f'{n}.mp4' for n in range(8))} …"),
    ],
)
def test_a_film_without_a_command_gets_a_suggestion(
    typed: Type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    suggestion: str,
) -> None:
    (tmp_path / "there").touch()
    monkeypatch.chdir(tmp_path)
    result = typed(*words)
    assert_one_line(result, 2)
    assert result.err.endswith(f"; did you mean: filmcolor {suggestion}\n")


@pytest.mark.parametrize("word", ["proeb", "missing", "folder"])
def test_other_unknown_words_are_unknown_commands(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    result = typed(word)
    assert_one_line(result, 2)
    assert f"No such command '{word}'" in result.err
    assert "did you mean: filmcolor" not in result.err


# ---------------------------------------------------------------- progress

# run in another process; sys.argv[1]: seconds from one look at the clock to the next
CLOCK = """
import sys
from itertools import count
from filmcolor.cli import progress
from filmcolor.cli.main import main
ticks = count(step=float(sys.argv.pop(1)))
progress._clock = lambda: next(ticks)
main()
"""


def run_with_clock(
    step_seconds: float, *words: object, folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Run the command line with stderr as a pipe, and a clock that ticks with each frame."""
    return subprocess.run(
        [sys.executable, "-c", CLOCK, str(step_seconds), *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.slow
def test_a_pipe_gets_a_plain_line_every_ten_seconds(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    make_film()
    done = run_with_clock(4.0, "run", "film.mp4", *option_words, folder=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "film.mp4: 4 of 12 frames, 0.2 frames/s, 0:32 left",
        "film.mp4: 7 of 12 frames, 0.2 frames/s, 0:20 left",
        "film.mp4: 10 of 12 frames, 0.2 frames/s, 0:08 left",
    ]
    assert "film.color.mp4" in done.stdout


@pytest.mark.slow
def test_short_runs_show_no_progress_in_a_pipe(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    make_film()
    done = run_with_clock(0.8, "run", "film.mp4", *option_words, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_films_in_processes_get_plain_lines_too(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    names_of_films = ["a.mp4", "b.mp4"]
    for name in names_of_films:
        make_film(name)
    words = ["run", *names_of_films, "--jobs", "2", *option_words]
    done = run_with_clock(4.0, *words, folder=tmp_path)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == (2 * 12 - 1) // 3  # one for every third frame
    line = r"[ab]\.mp4: \d+ of 12 frames, 0\.\d frames/s, \d:\d\d left"
    assert all(re.fullmatch(line, text) for text in lines), lines
    assert "\r" not in done.stderr


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0:00"), (92.0, "1:32"), (3599.6, "1:00:00"), (7265, "2:01:05")]
)
def test_the_time_left_is_written_as_clocks_do(seconds: float, expected: str) -> None:
    assert progress.format_duration(seconds) == expected


def test_a_length_that_is_unknown_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = iter([0.0, 20.0])
    monkeypatch.setattr(progress, "_clock", lambda: next(ticks))
    with progress.progress_bar(False, Path("some/odd\nname.mkv"), unit="step") as advance:
        assert advance
        advance(1, None)
        advance(41, None)
    assert capsys.readouterr().err == "odd\\nname.mkv: 41 steps, 2.0 steps/s\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_gets_a_bar(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    import fcntl
    import pty
    import struct
    import termios

    make_film()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # rows, columns
    process = subprocess.Popen(
        [SCRIPT, "run", "film.mp4", *option_words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:  # Linux reports the end of a pseudo-terminal as an error
        pass
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert b"frame/s" in drawn
    assert b"\r" in drawn
    assert FACTS.fullmatch(out)


# ---------------------------------------------------------------- in a process of its own


@pytest.mark.slow
def test_the_module_is_the_command(make_film: MakeFilm, tmp_path: Path) -> None:
    make_film()
    for words, code in ((["probe", "film.mp4"], 0), (["probe", "gone.mp4"], 1), (["film.mp4"], 2)):
        done = [
            subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True)
            for program in ([SCRIPT], [sys.executable, "-m", "filmcolor"])
        ]
        assert done[0].returncode == done[1].returncode == code
        assert (done[0].stdout, done[0].stderr) == (done[1].stdout, done[1].stderr)
        assert done[1].stdout or done[1].stderr.startswith("filmcolor: ")


@pytest.mark.slow
def test_the_installed_command_runs_from_any_folder(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path
) -> None:
    assert SCRIPT, "filmcolor is not installed beside this Python"
    film = make_film()

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    good = run("run", film.name, *option_words)
    assert (good.returncode, names(tmp_path)) == (0, {"film.mp4", "film.color.mp4"})
    assert good.stdout.endswith("→ film.color.mp4\n")
    bad = run("run", film.name, *option_words)
    assert_one_line(Typed(bad.returncode, bad.stdout, bad.stderr), 1)
    assert "film.color.mp4 exists" in bad.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits for files")
@pytest.mark.parametrize("limit", [600, 4000])
def test_a_full_disk_is_said_in_one_line(
    make_film: MakeFilm, option_words: list[str], tmp_path: Path, limit: int
) -> None:
    """A limit on the size of files simulates a full disk."""
    import resource

    film = make_film(lumas=media.shoot(60))
    words = [SCRIPT, "run", film, "--quiet", *option_words]
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert_one_line(Typed(done.returncode, done.stdout, done.stderr), 1)
    assert re.search(r"film\.color\.mp4 cannot be (written|finished)", done.stderr)
    assert names(tmp_path) == {"film.mp4"}


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing_behind(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(lumas=media.shoot(400), sounds=[media.Sound()])
    words = ["run", film.name, "--weights", options.weights, "--size", "256", "--device", "cpu"]
    process = subprocess.Popen(
        [SCRIPT, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # the tests may have been started with SIGINT ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        folder = tmp_path / "film.color.mp4.filmcolor"
        while not list(folder.glob("000000.*.partial")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the run never began to write"
            time.sleep(0.02)
        time.sleep(0.5)  # now every stage has frames
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert out == ""
    assert err.endswith("filmcolor: interrupted; nothing was left behind\n")
    assert "Traceback" not in err
    assert names(tmp_path) == {"film.mp4"}
