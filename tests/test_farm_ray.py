"""Ray: the film is that of a run here, whatever nodes and drivers die."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import media
import pytest

import filmcolor.runtime.threads as threads
from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.farm import ray_cluster, ray_worker
from filmcolor.farm.ray_engine import _Driver, ray_engine, run_tasks_on_ray
from filmcolor.farm.ray_film import Planner
from filmcolor.farm.ray_fleet import START, Fleet, Lost, Worker
from filmcolor.farm.ray_worker import Done, RayWorker
from filmcolor.output.options import Encoding
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import RunSettings
from filmcolor.pipeline.tasks import Outcome, Task
from filmcolor.segments import segment

LOSSLESS = Encoding("master")
NUM_PIECES = 6
TOKEN = "0123456789abcdef" * 4
PATIENCE_SECONDS = 60.0
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs filmcolor[ray]")


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1, 3))


@pytest.fixture
def settings(options: ColorOptions) -> RunSettings:
    return RunSettings(options, LOSSLESS)


@pytest.fixture
def film(make_film: Callable[..., Path]) -> Path:
    """Return a film of six pieces, with sound."""
    return make_film("film.mkv", lumas=media.shoot(48), sounds=[media.Sound()])


def colored_here(film: Path, settings: RunSettings) -> list[tuple[str, int | None, bytes]]:
    """Return the packets that a run in this process writes."""
    output = film.with_name(f"{film.stem}.here.mkv")
    colorize(film, output, options=settings.options, encoding=settings.encoding)
    return media.all_packets(output)


class FinishedPieces:
    """Looks at a run's folder again and again: a piece that is finished must stay as it is."""

    def __init__(self, output: Path) -> None:
        self._folder = output.with_name(f"{output.name}.filmcolor")
        self.seen: dict[str, tuple[int, int]] = {}

    def look(self) -> None:
        """Compare the finished pieces with those of the last look."""
        for path in self._folder.glob("[0-9]*.json"):
            state = path.stat()
            known = self.seen.setdefault(path.name, (state.st_mtime_ns, state.st_ino))
            assert known == (state.st_mtime_ns, state.st_ino), f"{path.name} was coloured twice"


# ---------------------------------------------------------------- the driver, without Ray


class LocalFleet:
    """Workers in this process, one on each node, which die at the pieces that a test names.

    `deaths`: by film and piece, what dies when it is begun, attempt by attempt: "worker" or "node".
    """

    def __init__(self, num_nodes: int, deaths: dict[tuple[str, int], list[str]]) -> None:
        self.num_usable_nodes, self.fault = num_nodes, None
        self.workers: list[Worker] = []
        self.num_begun: Counter[tuple[str, int]] = Counter()
        self._deaths = deaths
        self._num_nodes = 0
        for _ in range(num_nodes):
            self._start()

    def _start(self, node: str = "") -> None:
        if not node:
            self._num_nodes += 1
            node = f"node {self._num_nodes}"
        self.workers.append(Worker(node, node, RayWorker(1), iter([Done()]), START))

    def update(self) -> list[Worker]:
        return []

    def idle(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.job is None]

    def assign(self, worker: Worker, job: Any, method: str, *args: Any) -> None:
        key = job.film.task.film.stem, job.number
        self.num_begun[key] += 1
        if deaths := self._deaths.get(key):
            worker.messages = iter([Lost(deaths.pop(0))])
        else:
            worker.messages = getattr(worker.actor, method)(*args)
        worker.job = job

    def messages(self, _: float) -> Iterator[tuple[Worker, Any, Any]]:
        for worker in [worker for worker in self.workers if worker.job is not None]:
            job, message = worker.job, next(worker.messages)
            if isinstance(message, Lost):
                self.workers.remove(worker)
                self._start(worker.node if message.reason == "worker" else "")
            elif isinstance(message, Done):
                worker.job = None
            yield worker, job, message

    def cancel(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.messages = iter([Done(error=FilmcolorError("cancelled"))])

    def stop(self, _: Sequence[Worker]) -> Iterator[tuple[Worker, Any, Any]]:
        return iter(())


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch, settings: RunSettings) -> Callable[..., dict[str, Any]]:
    """Colour films with a LocalFleet; return their outcomes by name."""
    monkeypatch.setattr(ray_worker, "_is_cancelled", lambda: False)
    monkeypatch.setattr(threads, "_num_processes", 1)

    def run(fleet: LocalFleet, *films: Path) -> dict[str, Outcome]:
        tasks = [Task(film, film.with_name(f"{film.stem}.out.mkv")) for film in films]
        outcomes: list[Outcome] = []
        planner = Planner(tasks, settings)
        _Driver(fleet, planner, lambda *_: None, outcomes.append).run()  # type: ignore[arg-type]
        assert Counter(o.film for o in outcomes) == Counter(films)
        return {outcome.film.stem: outcome for outcome in outcomes}

    return run


def test_a_piece_that_kills_ends_its_film_and_lost_nodes_end_none(
    film: Path, make_film: Callable[..., Path], drive: Callable[..., Any], settings: RunSettings
) -> None:
    other = make_film("other.mkv", lumas=media.shoot(48, seed=1))
    fleet = LocalFleet(2, {("film", 2): ["worker"] * 9, ("other", 1): ["node"] * 5})
    outcomes = drive(fleet, film, other)
    assert "piece 2" in str(outcomes["film"].error)
    assert "out of memory" in str(outcomes["film"].error)
    assert f"of {NUM_PIECES} segments are done" in str(outcomes["film"].error)
    assert fleet.num_begun["film", 2] == 3
    assert outcomes["other"].error is None
    assert media.all_packets(other.with_name("other.out.mkv")) == colored_here(other, settings)
    assert fleet.num_begun["other", 1] == 6
    others = [n for (name, number), n in fleet.num_begun.items() if name == "other" and number != 1]
    assert set(others) == {1}  # each piece once, and the join


def test_what_a_failed_film_has_finished_is_used_by_the_next_run(
    film: Path, drive: Callable[..., Any], settings: RunSettings
) -> None:
    fleet = LocalFleet(1, {("film", 4): ["worker"] * 9})
    assert "4 of 6 segments are done" in str(drive(fleet, film)["film"].error)
    fleet = LocalFleet(2, {})
    assert drive(fleet, film)["film"].error is None
    assert {number for _, number in fleet.num_begun} == {4, 5, -1}
    assert media.all_packets(film.with_name("film.out.mkv")) == colored_here(film, settings)
    assert not film.with_name("film.out.mkv.filmcolor").exists()


def test_a_join_that_dies_with_its_node_is_done_again(
    film: Path, drive: Callable[..., Any], settings: RunSettings
) -> None:
    outcomes = drive(LocalFleet(2, {("film", -1): ["node", "worker", "node"]}), film)
    assert outcomes["film"].error is None
    assert media.all_packets(film.with_name("film.out.mkv")) == colored_here(film, settings)


def test_a_film_that_changes_during_the_run_is_refused(
    film: Path, drive: Callable[..., Any], make_film: Callable[..., Path]
) -> None:
    fleet = LocalFleet(1, {})
    assign = fleet.assign

    def change(worker: Worker, job: Any, *args: Any) -> None:
        if job.number == NUM_PIECES - 1:
            make_film("film.mkv", lumas=media.shoot(48, seed=9))
        assign(worker, job, *args)

    fleet.assign = change  # type: ignore[method-assign]
    error = drive(fleet, film)["film"].error
    assert isinstance(error, InputError)
    assert "was changed during the run" in str(error)


class FakeRay:
    """A cluster of named nodes that can start nothing."""

    def __init__(self, **resources: dict[str, float]) -> None:
        self.resources = resources

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": name, "Alive": True, "NodeManagerHostname": name, "Resources": resources}
            for name, resources in self.resources.items()
        ]


@pytest.mark.parametrize(
    ("device", "cores", "resources", "shares"),
    [
        ("cpu", 2, {"CPU": 8.0}, [(2, 0)] * 4),
        ("cpu", 2, {"CPU": 7.0}, [(2, 0)] * 3),
        ("cpu", 4, {"CPU": 7.0}, [(7, 0)]),
        ("cpu", 4, {"CPU": 1.0}, [(1, 0)]),
        ("auto", 2, {}, []),
        ("auto", 2, {"CPU": 16.0, "GPU": 2.0}, [(8, 1)] * 2),
        ("cpu", 8, {"CPU": 16.0, "GPU": 2.0}, [(8, 0)] * 2),
    ],
)
def test_a_node_gets_a_worker_for_its_cores_or_gpus(
    device: str,
    cores: int,
    resources: dict[str, float],
    shares: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[int, int]] = []
    monkeypatch.setattr(Fleet, "_start", lambda *args: started.append(args[3:]))
    Fleet(FakeRay(node=resources), device, cores).update()
    assert started == shares


# ---------------------------------------------------------------- access


def serve(allowed: str) -> tuple[Any, int]:
    """Start what answers calls with a token, or all with ""; return the server and its port."""
    import grpc

    def answer(_: bytes, context: Any) -> bytes:
        given = dict(context.invocation_metadata()).get("authorization", "")
        if allowed and given != f"Bearer {allowed}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        return b""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


@needs_ray
@pytest.mark.parametrize(
    ("allowed", "token", "host", "message"),
    [
        ("", "", "0.0.0.0", "asks for no token"),
        ("", TOKEN, "0.0.0.0", "asks for no token"),  # ours makes no difference
        ("", "", "127.0.0.1", None),
        (TOKEN, "", "0.0.0.0", "there is none here"),
        (TOKEN, "other", "127.0.0.1", "is another"),
        (TOKEN, TOKEN, "0.0.0.0", None),
    ],
)
def test_a_cluster_that_others_can_reach_must_ask_for_a_token(
    allowed: str, token: str, host: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", os.devnull)
    server, port = serve(allowed)
    try:
        if message is None:
            ray_cluster._check_access(f"{host}:{port}")
        else:
            with pytest.raises(SettingsError, match=message):
                ray_cluster._check_access(f"{host}:{port}")
    finally:
        server.stop(None)


@needs_ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://head:8265", "HOST:PORT"),
        ("ray://head:10001", "HOST:PORT"),
        ("local", "ray start --head"),
        ("0.0.0.0:{port}", "no Ray cluster answers"),
    ],
)
def test_no_cluster_is_one_line_with_the_remedy(
    address: str, message: str, film: Path, monkeypatch: pytest.MonkeyPatch, type_command: Any
) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", address.format(port=closed.getsockname()[1]))
        code, out, err = type_command("run", film, "--on", "ray")
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err


def test_without_ray_the_remedy_is_the_extra(
    film: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'filmcolor\[ray\]'"):
        colorize(film, options=settings.options, engine=ray_engine())


@pytest.mark.parametrize(
    "words", [("--on", "ray", "--jobs", "2"), ("--cores", "2"), ("--on", "ray", "--profile")]
)
def test_options_that_exclude_each_other_are_refused(
    words: tuple[str, ...], film: Path, type_command: Any
) -> None:
    code, _, err = type_command("run", film, *words)
    assert code == 2
    assert words[-2].lstrip("-") in err or "--profile" in err


# ---------------------------------------------------------------- on a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start a cluster that asks for a token: a head without CPUs, and two nodes of one each."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="r") as folder:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)
        from ray._raylet import AuthenticationTokenLoader, Config
        from ray.cluster_utils import Cluster

        Config.initialize("")  # Ray may have been imported before, and kept what it read then
        AuthenticationTokenLoader.instance().reset_cache()
        on_term = signal.getsignal(signal.SIGTERM)
        cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=False,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield cluster
        finally:
            cluster.shutdown()
            signal.signal(signal.SIGTERM, on_term)


@needs_ray
@pytest.mark.slow
def test_the_command_makes_the_film_of_a_run(
    film: Path, cluster: Any, settings: RunSettings, type_command: Any, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    words = "-o", output, "--for", "master", "--on", "ray", "--cores", 1
    code, out, err = type_command("run", film, *words)
    assert (code, err.count("Traceback")) == (0, 0), err
    assert "48 frames" in out
    assert media.all_packets(output) == colored_here(film, settings)
    assert not output.with_name("out.mkv.filmcolor").exists()


@needs_ray
@pytest.mark.slow
def test_a_film_that_fails_stops_no_other(
    film: Path, cluster: Any, settings: RunSettings, make_film: Callable[..., Path], tmp_path: Path
) -> None:
    films = [film, tmp_path / "bad.mkv", make_film("short.mkv", lumas=media.shoot(8, seed=3))]
    films[1].write_bytes(b"no film at all" * 99)
    tasks = [Task(path, path.with_name(f"{path.stem}.out.mkv")) for path in films]
    outcomes: dict[str, Outcome] = {}
    frames: dict[str, tuple[int, int | None]] = {}
    run_tasks_on_ray(
        tasks,
        settings,
        lambda task, *done: frames.update({task.film.stem: done}),
        lambda outcome: outcomes.update({outcome.film.stem: outcome}),
        cores=1,
    )
    assert isinstance(outcomes["bad"].error, InputError)
    assert frames == {"film": (48, 48), "short": (8, 8)}
    for path in (films[0], films[2]):
        output = path.with_name(f"{path.stem}.out.mkv")
        assert media.all_packets(output) == colored_here(path, settings)


_DRIVER = """
import sys
from fractions import Fraction
from filmcolor import ColorOptions, Encoding, colorize
from filmcolor.farm.ray_engine import ray_engine
from filmcolor.segments import segment
film, output, weights = sys.argv[1:]
segment._SECONDS = Fraction(1, 3)
colorize(film, output, options=ColorOptions(weights=weights, size=32, device="cpu"),
         encoding=Encoding("master"), engine=ray_engine(1))
"""


@needs_ray
@pytest.mark.slow
def test_lost_driver_and_node_cost_no_finished_piece(
    cluster: Any, settings: RunSettings, make_film: Callable[..., Path], tmp_path: Path
) -> None:
    film = make_film("long.mkv", lumas=media.shoot(480, (192, 128)), sounds=[media.Sound()])
    output = tmp_path / "out.mkv"
    pieces = FinishedPieces(output)
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, film, output, settings.options.weights],
        env=os.environ,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(pieces.seen) < 3 and time.monotonic() < deadline:
        pieces.look()
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    pieces.look()
    num_before = len(pieces.seen)
    assert 3 <= num_before < 60  # of 60 pieces

    num_at_kill = 0

    def advance(done: int, _: int | None) -> None:
        nonlocal num_at_kill
        pieces.look()
        if cluster.worker_nodes and not num_at_kill and len(pieces.seen) > num_before:
            num_at_kill = len(pieces.seen)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    report = colorize(
        film,
        output,
        options=settings.options,
        encoding=LOSSLESS,
        engine=ray_engine(1),
        progress=advance,
    )
    assert num_before < num_at_kill < 60
    assert report.num_frames == 480
    assert media.all_packets(output) == colored_here(film, settings)
