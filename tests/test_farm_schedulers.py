"""Schedulers of others run the pieces of a film: Slurm, and Open Job Description."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import media
import pytest
from runs import contents

from filmcolor.farm.work import plan_film
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions

EXAMPLES = Path(__file__).parent.parent / "examples" / "farm"
BIN = Path(sys.executable).parent
SETTINGS = {"options": ColorOptions(size=32, device="cpu"), "encoding": Encoding("master")}
NUM_PIECES = 2
_SYSTEM_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_SLURM = ("munged", "slurmctld", "slurmd", "sbatch")
# as root, on one node, without cgroups, systemd and accounting
_SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}
SlurmdSpoolDir={folder}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP
"""
# at the first attempt, piece 0 hangs with its node, and piece 1 finds the disk full
_FLAKY = """#!/bin/bash
echo "$*" >> "{log}"
if [[ $1 == piece && $(grep -c "^piece.* $3$" "{log}") == 1 ]]; then
    if [[ $3 == 0 ]]; then sleep 60; else exit 75; fi
fi
exec "{bin}/filmcolor" "$@"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a frame a second, so that its pieces of a minute are small."""
    shots = [media.shoot(65, seed=seed) for seed in range(2)]
    lumas = [luma for shot in shots for luma in shot]
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return media.make(path, media.Film(lumas, rate=Fraction(1), sounds=[media.Sound("flac")]))


@pytest.fixture(scope="module")
def expected(film: Path) -> list:
    """What is in the film that one process makes."""
    output = film.with_name("expected.mkv")
    colorize(film, output, **SETTINGS)
    return contents(output)


@pytest.fixture
def plan(film: Path, tmp_path: Path) -> Callable[[Path], Path]:
    """Plan the film in a folder, and return where its output will be."""

    def plan_in(work: Path) -> Path:
        output = tmp_path / "out.mkv"
        assert plan_film(film, output, work=work, **SETTINGS).num_pieces == NUM_PIECES
        return output

    return plan_in


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a cluster of one node; the environment in which Slurm's commands find it."""
    missing = [name for name in _SLURM if shutil.which(name, path=_SYSTEM_PATH) is None]
    if missing:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)")
    if os.getuid() != 0:
        pytest.skip("Slurm runs jobs as root here")
    folder = tmp_path_factory.mktemp("slurm")
    host = socket.gethostname().split(".")[0]
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(_SLURM_CONF.format(host=host, ports=_free_ports(2), folder=folder))
    environment = {**os.environ, "PATH": f"{BIN}:{_SYSTEM_PATH}", "SLURM_CONF": str(conf)}
    munged = ["munged", "--foreground", "--force"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    daemons = [
        [*munged, f"--socket={folder}/munge.sock"],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", host],
    ]
    processes = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("wb") as log:
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if command is daemons[0]:
                _wait(lambda: (folder / "munge.sock").exists(), 10.0, "munged")
        _wait(lambda: "idle" in _slurm(environment, "sinfo", "-h", "-o", "%T"), 20.0, "the node")
        yield environment
        _slurm(environment, "scancel", "--user=root")
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(10.0)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _slurm(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stdout


def _wait(is_ready: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        assert time.monotonic() < deadline, f"{what} took more than {seconds} s"
        time.sleep(0.1)


def test_slurm_tries_a_piece_again_on_code_75_and_when_its_node_is_lost(
    slurm: dict[str, str], plan: Callable[[Path], Path], expected: list, tmp_path: Path
) -> None:
    work, log, commands = tmp_path / "the work", tmp_path / "calls", tmp_path / "bin"
    output = plan(work)
    commands.mkdir()
    (commands / "filmcolor").write_text(_FLAKY.format(log=log, bin=BIN))
    (commands / "filmcolor").chmod(0o755)
    environment = {**slurm, "PATH": f"{commands}:{slurm['PATH']}"}
    script = [str(EXAMPLES / "slurm.sh"), str(work), "--cpus-per-task=1"]
    subprocess.run(script, env=environment, check=True, timeout=30)

    def is_requeued(piece: int) -> bool:
        path = work / f"piece-{piece}.log"
        return path.exists() and "CANCELLED" in path.read_text()

    _wait(lambda: is_requeued(1) and " 0\n" in log.read_text(), 30.0, "the first attempts")
    assert not is_requeued(0)  # only the piece that failed
    node = f"NodeName={_slurm(slurm, 'sinfo', '-h', '-o', '%n').strip()}"
    _slurm(slurm, "scontrol", "update", node, "State=DOWN", "Reason=test")
    _wait(lambda: is_requeued(0), 30.0, "the loss of the node")
    _slurm(slurm, "scontrol", "update", node, "State=RESUME")
    _wait(lambda: not _slurm(slurm, "squeue", "-h"), 60.0, "the jobs")
    logs = {path.name: path.read_text() for path in work.glob("*.log")}
    assert output.exists(), logs
    assert contents(output) == expected
    calls = log.read_text().splitlines()
    assert sorted(calls[:-1]) == sorted(f"piece {work} {n}" for n in (0, 0, 1, 1))
    assert calls[-1] == f"join {work}"


def test_slurm_joins_nothing_when_a_piece_can_never_be_done(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    work, commands = tmp_path / "work", tmp_path / "bin"
    work.mkdir()
    commands.mkdir()
    (work / "commands.txt").write_text("filmcolor piece work 0\nfilmcolor piece work 1\n")
    (commands / "filmcolor").write_text(f'#!/bin/bash\necho "$1 $3" >> {tmp_path}/calls\nexit $3\n')
    (commands / "filmcolor").chmod(0o755)
    environment = {**slurm, "PATH": f"{commands}:{slurm['PATH']}"}
    script = [str(EXAMPLES / "slurm.sh"), str(work)]
    subprocess.run(script, env=environment, check=True, timeout=30)
    _wait(lambda: not _slurm(slurm, "squeue", "-h"), 30.0, "the jobs")
    assert sorted((tmp_path / "calls").read_text().splitlines()) == ["piece 0", "piece 1"]


def test_openjd_colours_a_film(
    plan: Callable[[Path], Path], expected: list, tmp_path: Path
) -> None:
    pytest.importorskip("openjd.cli", reason="openjd-cli is not installed")
    work, template = tmp_path / "the work", str(EXAMPLES / "film.openjd.yaml")
    output = plan(work)
    program = str(BIN / "openjd")
    subprocess.run([program, "check", template], check=True, timeout=30)
    parameters = ["-p", f"Work={work}", "-p", f"LastPiece={NUM_PIECES - 1}"]
    command = [program, "run", template, "--step", "Join", "--run-dependencies", *parameters]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert contents(output) == expected
