"""An encoder makes the same bytes in every run, on machines with any number of cores."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import media
import pytest

from filmcolor.output.encoder import add_video_stream, start_encoding
from filmcolor.output.options import PURPOSES, Encoding
from filmcolor.output.plan import plan_output
from filmcolor.segments.segment import SegmentWriter
from filmcolor.types.frames import ColorFrame
from filmcolor.video.probe import probe

pytestmark = pytest.mark.slow

NUM_FRAMES = 32
SIZE = 176, 64  # 11 macroblocks in a row: x264's AVX-512 code takes 8 at a time
Encode = Callable[[int | None, int], dict[str, str]]


def encode_all(film: Path, folder: Path) -> dict[str, str]:
    """Return the digest of what the encoder of each purpose makes of the same frames."""
    return {purpose: encode_as(purpose, film, folder) for purpose in sorted(PURPOSES)}


def encode_as(purpose: str, film: Path, folder: Path, x264_params: str = "") -> str:
    """Return the digest of what a purpose's encoder makes of the frames; some settings added."""
    info = probe(film)
    suffix = ".mov" if purpose == "edit" else ".mkv"
    plan = plan_output(info, folder / f"{purpose}{suffix}", Encoding(purpose))
    if x264_params:
        params = f"{plan.options['x264-params']}:{x264_params}"
        plan = replace(plan, options={**plan.options, "x264-params": params})
    path, shift = folder / purpose, plan.coding.bit_depth - 8
    step = round(1 / (info.frame_rate * info.time_base))
    with SegmentWriter(info, plan, path) as writer:
        for number, luma in enumerate(media.shoot(NUM_FRAMES, SIZE, step=3.0, grain=0.03)):
            values = luma.astype("u2") << shift if shift else luma
            chroma = values[:: plan.subsampling.y, :: plan.subsampling.x].copy()
            writer.write(ColorFrame(number, values, chroma, chroma, number * step, step))
        writer.finish()
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    assert len(packets) >= NUM_FRAMES
    return hashlib.sha256(b"".join(packets)).hexdigest()


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """Return `encode_all`, in a process with so many cores, None for all.

    Its new memory is filled with a byte, so that reading what was never written shows.
    """
    folder = tmp_path_factory.mktemp("encoders")
    film = media.make(folder / "film.mkv", media.Film(media.shoot(4, SIZE)))

    @cache
    def run(num_cores: int | None, fill: int) -> dict[str, str]:
        output = folder / f"{num_cores} {fill}"
        output.mkdir()
        printed = subprocess.run(
            [
                sys.executable,
                __file__,
                str(film),
                str(output),
                *map(str, filter(None, [num_cores])),
            ],
            env={**os.environ, "MALLOC_PERTURB_": str(fill)},  # of glibc
            capture_output=True,
            text=True,
            check=True,
        )
        digests: dict[str, str] = json.loads(printed.stdout)
        return digests

    return run


@pytest.mark.parametrize("purpose", sorted(PURPOSES))
def test_the_number_of_cores_and_old_memory_change_nothing(encode: Encode, purpose: str) -> None:
    assert encode(1, 85)[purpose] == encode(None, 255)[purpose]


@pytest.mark.parametrize("instructions", ["0", "SSE2", "AVX2"])
def test_x264_makes_the_same_on_every_processor(
    make_film: Callable[..., Path], tmp_path: Path, instructions: str
) -> None:
    film = make_film("film.mkv", lumas=media.shoot(4, SIZE))
    expected = encode_as("share", film, tmp_path)
    assert encode_as("share", film, tmp_path, f"asm={instructions}") == expected


if __name__ == "__main__":
    if sys.argv[3:] and sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[3])])
    sys.stdout.write(json.dumps(encode_all(Path(sys.argv[1]), Path(sys.argv[2]))))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has real-time threads for root")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not root")
def test_no_encoder_takes_the_machine_for_itself(
    make_film: Callable[..., Path], tmp_path: Path
) -> None:
    """SVT-AV1 gives itself and its caller real-time priority: other programs stand still."""
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no libsvtav1")
    info = probe(make_film(lumas=media.shoot(2)))
    plan = plan_output(info, tmp_path / "out.mkv", Encoding(codec="libsvtav1", preset="12"))
    with av.open(str(tmp_path / "out.mkv"), "w") as output:
        add_video_stream(output, info, plan)
        start_encoding(output)
        tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
        assert len(tasks) > 4
        assert {os.sched_getscheduler(task) for task in tasks} == {os.SCHED_OTHER}
