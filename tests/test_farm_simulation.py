"""The simulation of an archive on many machines: what holds whatever the machines do."""

import importlib.util
import sys
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name: str) -> ModuleType:
    """Return a script of benchmarks/ as a module, under the name that others import it by."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


model, events, farm = map(load, ("farm_model", "farm_simulation", "farm"))
Cluster, Cost, Film, Simulation = model.Cluster, model.Cost, model.Film, events.Simulation
COST = Cost(color=10.0, plan=1.0, join=2.0, film_mb=40.0, output_mb=10.0)
AROUND = model.CONTEXT_MINUTES * COST.color  # a piece, seconds
COSTLY = farm.COSTS[1080]
# one core, all of it used, and a process that starts at once: seconds are processor seconds
SIMPLE = Cluster(1, 1, cores_per_worker=1, busy=1.0, start_seconds=0.0, network_mb=inf)
SIMPLE = replace(SIMPLE, storage_mb=inf)
FLAKY = {"piece_failures": 0.05, "node_failures": 2.0, "preemptions": 10.0}


@pytest.fixture(scope="module")
def archive() -> list:
    return farm.make_archive(20.0, seed=1)


def simulate(films, cluster, seed=0):
    return Simulation(films, cluster, seed).run()


def test_one_worker_without_failures_takes_the_sum() -> None:
    films = [Film(3.0, COST), Film(2.0, COST)]
    result = simulate(films, SIMPLE)
    assert result.seconds == pytest.approx(5.0 * (1.0 + 10.0 + 2.0))
    assert result.repeated == result.lost == 0.0
    assert result.num_done == {"plan": 2, "piece": 5, "join": 2}
    # the plan and the piece read the film once each, the join twice; it reads the output thrice
    assert result.read_mb == pytest.approx(5.0 * (4 * 40.0 + 3 * 10.0))
    assert result.written_mb == pytest.approx(5.0 * 2 * 10.0)


def test_two_workers_share_a_film_as_the_queue_does() -> None:
    # 4 s of planning; the first takes piece 0, the other the back half of 1 to 3: 2 and 3. Piece 2
    # costs what is around it too. The other ends last, then the join takes 8 s.
    result = simulate([Film(4.0, COST)], replace(SIMPLE, nodes=2))
    assert result.seconds == pytest.approx(4.0 + (10.0 + AROUND) + 10.0 + 8.0)
    assert result.repeated == pytest.approx(AROUND)


def test_a_process_for_each_piece_starts_and_colours_around_it_each_time() -> None:
    alone = replace(SIMPLE, start_seconds=3.0, is_each_piece_alone=True)
    result = simulate([Film(4.0, COST)], alone)
    assert result.repeated == pytest.approx(6 * 3.0 + 3 * AROUND)
    assert result.seconds == pytest.approx(4.0 * 13.0 + result.repeated)


def test_pieces_are_as_long_as_the_film() -> None:
    for minutes in np.random.default_rng(0).uniform(0.1, 9.0, 50):
        film = Film(float(minutes), COST)
        pieces = [film.piece(n) for n in range(film.num_pieces)]
        assert sum(piece.processor for piece in pieces) == pytest.approx(minutes * COST.color)
        assert all(piece.processor <= 1.5 * COST.color for piece in pieces)


@pytest.mark.parametrize("changes", [{}, FLAKY, {"is_each_piece_alone": True, **FLAKY}])
def test_all_work_is_done_once(archive: list, changes: dict) -> None:
    cluster = Cluster(4, 8, **changes)
    result = simulate(archive, cluster)
    assert result.num_done == {
        "plan": len(archive),
        "piece": sum(film.num_pieces for film in archive),
        "join": len(archive),
    }
    work = [
        work
        for film in archive
        for work in (film.plan(), film.join(), *map(film.piece, range(film.num_pieces)))
    ]
    assert result.useful == pytest.approx(sum(map(cluster.seconds, work)))
    assert result.written_mb >= sum(w.written_mb for w in work) - 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_failures_only_add_work(archive: list, seed: int) -> None:
    clean, flaky = Cluster(4, 8), Cluster(4, 8, **FLAKY)
    without, with_failures = simulate(archive, clean, seed), simulate(archive, flaky, seed)
    assert with_failures.num_failed > 0 and with_failures.num_lost_nodes > 0
    assert without.num_failed == without.num_lost_nodes == without.lost == 0
    assert with_failures.useful == pytest.approx(without.useful)
    assert with_failures.lost > 0.0
    assert with_failures.seconds > without.seconds
    assert with_failures.read_mb > without.read_mb


@pytest.mark.parametrize("changes", [{}, {"joins_at_once": 1}])
def test_more_nodes_are_never_slower(archive: list, changes: dict) -> None:
    seconds = [simulate(archive, Cluster(n, 4, **changes)).seconds for n in (1, 2, 4, 8, 16, 64)]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[1] < 0.55 * seconds[0]


def test_more_nodes_cost_a_slow_storage_what_they_read_more(archive: list) -> None:
    results = [simulate(archive, Cluster(n, 4, storage_mb=40.0)) for n in (4, 8, 16, 64)]
    for fewer, more in pairwise(results):
        added = more.read_mb + more.written_mb - fewer.read_mb - fewer.written_mb
        assert 0.0 <= added < 0.1 * fewer.read_mb
        assert more.seconds <= fewer.seconds + 1.01 * added / 40.0


@pytest.mark.parametrize("num_nodes", [1, 3, 16, 200])
@pytest.mark.parametrize("changes", [{}, {"storage_mb": 60.0}, {"joins_at_once": 1}])
def test_no_archive_beats_its_limits(archive: list, num_nodes: int, changes: dict) -> None:
    cluster = Cluster(num_nodes, 4, **changes)
    result = simulate(archive, cluster)
    limits = farm.find_limits(archive, cluster, result)
    assert result.seconds >= max(limits.values()) * (1 - 1e-9)


@pytest.mark.parametrize("num_nodes", [1, 3, 16, 200])
def test_no_worker_is_idle_while_there_is_work(archive: list, num_nodes: int) -> None:
    cluster = Cluster(num_nodes, 4, storage_mb=inf)
    result = simulate(archive, cluster)
    limits = farm.find_limits(archive, cluster, result)
    around = model.CONTEXT_MINUTES * COSTLY.color / (2 * cluster.busy)  # of the longest piece
    # a list of tasks takes at most work / m + the longest chain (Graham, 1969)
    assert result.seconds <= limits["work"] + limits["longest film"] + around


def test_a_slow_storage_is_the_limit(archive: list) -> None:
    cluster = Cluster(64, 16, storage_mb=50.0)
    result = simulate(archive, cluster)
    limits = farm.find_limits(archive, cluster, result)
    assert max(limits, key=lambda name: limits[name]) == "storage"
    assert result.seconds == pytest.approx(limits["storage"], rel=0.1)
    fast = replace(cluster, storage_mb=inf)
    assert simulate(archive, fast).seconds < 0.5 * result.seconds


def test_one_join_at_a_time_is_the_limit() -> None:
    films = [Film(2.0, replace(COST, join=50.0)) for _ in range(40)]
    cluster = replace(SIMPLE, nodes=40, joins_at_once=1)
    result = simulate(films, cluster)
    assert result.seconds == pytest.approx(40 * 100.0, rel=0.05)
    assert simulate(films, replace(cluster, joins_at_once=inf)).seconds < 0.1 * result.seconds


def test_nodes_are_paid_for_while_they_are_there(archive: list) -> None:
    steady, spot = Cluster(4, 8), Cluster(4, 8, preemptions=10.0, replace_hours=0.05)
    result = simulate(archive, steady)
    assert result.paid_core_seconds == pytest.approx(4 * 8 * result.seconds)
    interrupted = simulate(archive, spot)
    away = 4 * 8 * interrupted.seconds - interrupted.paid_core_seconds
    assert 0.0 < away <= interrupted.num_lost_nodes * 0.05 * 3600 * 8 * (1 + 1e-9)
    for cluster, of_cluster in ((steady, result), (spot, interrupted)):
        assert 0.0 < farm.useful_share(cluster, of_cluster) <= 1.0


def test_a_seed_gives_the_same_events() -> None:
    films = farm.make_archive(5.0, seed=3)
    assert films == farm.make_archive(5.0, seed=3) != farm.make_archive(5.0, seed=4)
    cluster = Cluster(2, 8, **FLAKY)
    assert simulate(films, cluster, 1) == simulate(films, cluster, 1)
    assert simulate(films, cluster, 1) != simulate(films, cluster, 2)


def test_the_archive_has_its_hours_and_lengths() -> None:
    films = farm.make_archive(2000.0, seed=0)
    assert sum(film.minutes for film in films) == pytest.approx(2000.0 * 60)
    start = 0
    for kind in farm.KINDS:
        count = round(2000.0 * 60 * kind.share / kind.mean)
        of_kind = []
        while sum(of_kind) < 2000.0 * 60 * kind.share - 1e-6:
            of_kind.append(films[start].minutes)
            start += 1
        assert len(of_kind) == pytest.approx(count, rel=0.05)
        assert np.std(np.log(of_kind[:-1])) == pytest.approx(kind.sigma, rel=0.1)
    assert start == len(films)


def test_it_prints_money_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--hours", "10", "--nodes", "1,8", "--price", "0.5", "--piece-failures", "0"]
    farm.main([*arguments, "--node-failures", "0"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [[float(word) for word in line.replace(",", "").split()[:4]] for line in lines[2:4]]
    for nodes, hours, core_hours, money in rows:
        assert core_hours == pytest.approx(nodes * 16 * hours, abs=nodes * 16 * 0.05 + 0.5)
        assert money == pytest.approx(core_hours * 0.5, abs=0.75)  # all are rounded
    assert [line.split(":")[0] for line in lines[4:]] == ["storage", "joins", "longest film"]
