"""An archive that many machines colour, as a simulation of events.

Workers plan films, colour their pieces and join them, in the order of `filmcolor.pipeline.pieces`:
each worker takes consecutive pieces of a film, then the next film, then the back half of what
another has left. Nodes fail, are taken away and come back. Where the storage is too slow for all
running tasks, all of them slow down by the same factor.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf

import numpy as np

FRAMES_PER_MINUTE = 24 * 60
CONTEXT_MINUTES = 360 / FRAMES_PER_MINUTE  # coloured around a piece that no other continues


@dataclass(frozen=True, slots=True)
class Cost:
    """What a minute of film costs: processor seconds of a core, and megabytes."""

    color: float  # processor seconds
    join: float  # processor seconds, with verification
    film_mb: float
    output_mb: float
    plan: float = 0.0  # processor seconds


@dataclass(frozen=True, slots=True)
class Film:
    """A film, by its length and the cost of its minutes."""

    minutes: float
    cost: Cost

    @property
    def num_pieces(self) -> int:
        """The number of pieces, each of a minute; the last one has 0.5 to 1.5."""
        return max(1, ceil(self.minutes - 0.5))

    def piece_minutes(self, number: int) -> float:
        """Return the length of a piece."""
        last = self.num_pieces - 1
        return 1.0 if number < last else self.minutes - last


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines of one kind, their storage, and how often they fail."""

    nodes: int
    cores: int  # of a node
    cores_per_worker: int = 2
    busy: float = 0.85  # share of its cores' time that a worker uses
    network_mb: float = 1250.0  # megabytes per second of a node: 10 Gbit/s
    storage_mb: float = 1250.0  # megabytes per second that the storage reads and writes
    start_seconds: float = 3.0  # of a worker's process, until it colours
    is_each_piece_alone: bool = False  # a process for each piece, as in an array of jobs
    piece_failures: float = 0.0  # share of attempts at a task that end early
    node_failures: float = 0.0  # per node and hour
    repair_hours: float = 0.5
    preemptions: float = 0.0  # per node and hour
    replace_hours: float = 0.1
    joins_at_once: float = inf

    @property
    def workers_per_node(self) -> int:
        """The number of workers that a node holds."""
        return max(1, self.cores // self.cores_per_worker)

    @property
    def num_workers(self) -> int:
        """The number of workers of all nodes."""
        return self.nodes * self.workers_per_node

    def seconds(self, processor_seconds: float, megabytes: float) -> float:
        """Return how long a worker takes where the storage is no limit."""
        cores = min(self.cores_per_worker, self.cores) * self.busy
        network = self.network_mb / self.workers_per_node
        return max(processor_seconds / cores, megabytes / network)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does without a break; `number` is of a piece."""

    kind: str  # "plan", "piece" or "join"
    film: int
    number: int
    useful: float  # seconds that would do if nothing were done twice
    seconds: float
    read_mb: float
    written_mb: float


@dataclass(slots=True)
class Result:
    """What happened."""

    seconds: float = 0.0  # from the first task to the end of the last
    paid_core_seconds: float = 0.0  # of nodes that are there, until the end
    useful: float = 0.0  # worker seconds: of work done once
    repeated: float = 0.0  # worker seconds: starts, and frames around pieces
    lost: float = 0.0  # worker seconds: of attempts that ended early
    read_mb: float = 0.0
    written_mb: float = 0.0
    num_done: dict[str, int] = field(
        default_factory=lambda: {"plan": 0, "piece": 0, "join": 0}
    )
    num_failed: int = 0  # attempts at a task
    num_lost_nodes: int = 0

    @property
    def computed(self) -> float:
        """Worker seconds in which a task ran at full speed."""
        return self.useful + self.repeated + self.lost


class _Worker:
    """A process on a node, its task, and the pieces that come next."""

    __slots__ = (
        *("number", "node", "task", "started", "turn", "is_new"),
        *("continues", "film", "first", "stop"),
    )

    def __init__(self, number: int, node: int) -> None:
        self.number, self.node = number, node
        self.task: Task | None = None
        self.started = 0.0  # on the clock of tasks
        self.turn = 0  # of its tasks: entries of earlier ones are void
        self.is_new = True
        self.continues = (-1, -1)  # film and piece that cost no frames around it
        self.film, self.first, self.stop = -1, 0, 0  # pieces that come next


class Simulation:
    """Colours films on a cluster; the same seed gives the same events."""

    def __init__(self, films: Sequence[Film], cluster: Cluster, seed: int = 0) -> None:
        self.films = sorted(films, key=lambda film: -film.minutes)  # the longest one first
        self.cluster = cluster
        self.result = Result()
        self._rng = np.random.default_rng(seed)
        self._now = 0.0
        self._clock = 0.0  # of tasks: it goes slower where the storage is the limit
        self._demand = 0.0  # megabytes per second at full speed
        self._workers = [
            _Worker(number, number // cluster.workers_per_node)
            for number in range(cluster.num_workers)
        ]
        self._idle = deque(self._workers)
        self._is_up = [True] * cluster.nodes
        self._up_since = [0.0] * cluster.nodes
        self._ends: list[tuple[float, int, int, bool]] = []  # clock, worker, turn, succeeds
        self._node_events: list[tuple[float, int]] = []
        self._next_film = 0
        self._plans: deque[int] = deque()  # to do again
        self._ranges: deque[tuple[int, int, int]] = deque()  # pieces that no worker has taken
        self._longest: list[tuple[int, int]] = []  # by the number of pieces that a worker has left
        self._num_waiting = 0  # pieces, in ranges and with workers
        self._joins: deque[int] = deque()
        self._num_joining = 0
        self._num_left = [film.num_pieces for film in self.films]

    def run(self) -> Result:
        """Return what happens until the last film is joined."""
        cluster, result = self.cluster, self.result
        for node in range(cluster.nodes):
            self._schedule_loss(node)
        self._dispatch()
        while result.num_done["join"] < len(self.films):
            speed = min(1.0, cluster.storage_mb / self._demand) if self._demand > 0 else 1.0
            while self._ends and self._workers[self._ends[0][1]].turn != self._ends[0][2]:
                heapq.heappop(self._ends)  # its node was lost
            end = self._now + (self._ends[0][0] - self._clock) / speed if self._ends else inf
            if self._node_events and self._node_events[0][0] < end:
                time, node = heapq.heappop(self._node_events)
                self._clock += (time - self._now) * speed
                self._now = time
                self._change_node(node)
            else:
                self._now = end
                self._clock, worker, _, succeeds = heapq.heappop(self._ends)
                self._finish(self._workers[worker], succeeds)
            self._dispatch()
        result.seconds = self._now
        for node, is_up in enumerate(self._is_up):
            if is_up:
                self._pay(node)
        return result

    def _dispatch(self) -> None:
        for _ in range(len(self._idle)):
            worker = self._idle.popleft()
            if self._is_up[worker.node]:
                task = self._next_task(worker)
                if task is None:
                    self._idle.appendleft(worker)
                    return
                self._start(worker, task)

    def _next_task(self, worker: _Worker) -> Task | None:
        if self._joins and self._num_joining < self.cluster.joins_at_once:
            self._num_joining += 1
            return self._join(worker, self._joins.popleft())
        if worker.first == worker.stop and self._ranges:
            self._take(worker, *self._ranges.popleft())
        if worker.first == worker.stop:
            if self._plans:
                return self._plan(worker, self._plans.popleft())
            if self._next_film < len(self.films):
                self._next_film += 1
                return self._plan(worker, self._next_film - 1)
            if self._num_waiting:
                self._take_half(worker)
        if worker.first == worker.stop:
            return None
        worker.first += 1
        self._num_waiting -= 1
        return self._piece(worker, worker.film, worker.first - 1)

    def _take(self, worker: _Worker, film: int, first: int, stop: int) -> None:
        worker.film, worker.first, worker.stop = film, first, stop
        heapq.heappush(self._longest, (first - stop, worker.number))

    def _take_half(self, worker: _Worker) -> None:
        """Take the back half of the most pieces that another worker has left."""
        while self._longest:
            length, number = heapq.heappop(self._longest)
            other = self._workers[number]
            left = other.stop - other.first
            if left and left != -length:
                heapq.heappush(self._longest, (-left, number))  # as it is by now
            elif left:
                middle = other.stop - (left + 1) // 2
                stop, other.stop = other.stop, middle
                self._take(worker, other.film, middle, stop)
                heapq.heappush(self._longest, (other.first - middle, number))
                return

    def _plan(self, worker: _Worker, number: int) -> Task:
        film = self.films[number]
        size = film.minutes * film.cost.film_mb  # all packets are read for the index
        useful = self.cluster.seconds(film.minutes * film.cost.plan, size)
        return self._task(worker, "plan", (number, 0), useful, 0.0, (size, 0.0))

    def _piece(self, worker: _Worker, film_number: int, number: int) -> Task:
        film = self.films[film_number]
        minutes = film.piece_minutes(number)
        is_alone = number > 0 and worker.continues != (film_number, number)
        context = CONTEXT_MINUTES if is_alone else 0.0
        read, written = film.cost.film_mb * (minutes + context), film.cost.output_mb * minutes
        useful = self.cluster.seconds(
            minutes * film.cost.color, film.cost.film_mb * minutes + written
        )
        seconds = self.cluster.seconds((minutes + context) * film.cost.color, read + written)
        return self._task(
            worker, "piece", (film_number, number), useful, seconds - useful, (read, written)
        )

    def _join(self, worker: _Worker, number: int) -> Task:
        film = self.films[number]
        source, output = film.minutes * film.cost.film_mb, film.minutes * film.cost.output_mb
        # the film's sound and the pieces are copied, then both films are compared
        read, written = 2 * source + 2 * output, output
        useful = self.cluster.seconds(film.minutes * film.cost.join, read + written)
        return self._task(worker, "join", (number, 0), useful, 0.0, (read, written))

    def _task(
        self,
        worker: _Worker,
        kind: str,
        key: tuple[int, int],
        useful: float,
        repeated: float,
        traffic: tuple[float, float],
    ) -> Task:
        if worker.is_new or self.cluster.is_each_piece_alone:
            repeated += self.cluster.start_seconds
        return Task(kind, *key, useful, useful + repeated, *traffic)

    def _start(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.started, worker.is_new = task, self._clock, False
        self._demand += (task.read_mb + task.written_mb) / task.seconds
        share = 1.0
        if self.cluster.piece_failures and self._rng.random() < self.cluster.piece_failures:
            share = self._rng.random()
        end = self._clock + share * task.seconds
        heapq.heappush(self._ends, (end, worker.number, worker.turn, share == 1.0))

    def _finish(self, worker: _Worker, succeeds: bool) -> None:
        task, result = worker.task, self.result
        assert task is not None
        self._leave(worker)
        self._idle.append(worker)
        if not succeeds:
            self._lose(worker, task)
            return
        result.num_done[task.kind] += 1
        result.useful += task.useful
        result.repeated += task.seconds - task.useful
        result.read_mb += task.read_mb
        result.written_mb += task.written_mb
        if task.kind == "plan":
            self._take(worker, task.film, 0, self.films[task.film].num_pieces)
            self._num_waiting += worker.stop
        elif task.kind == "piece":
            worker.continues = (task.film, task.number + 1)
            if self.cluster.is_each_piece_alone:
                worker.continues = (-1, -1)
            self._num_left[task.film] -= 1
            if not self._num_left[task.film]:
                self._joins.append(task.film)

    def _leave(self, worker: _Worker) -> None:
        """Have a worker's task end, whether it is done or not."""
        task = worker.task
        assert task is not None
        self._demand = max(0.0, self._demand - (task.read_mb + task.written_mb) / task.seconds)
        self._num_joining -= task.kind == "join"
        worker.task = None
        worker.turn += 1

    def _lose(self, worker: _Worker, task: Task) -> None:
        """Have a task done again from its beginning, before all others."""
        elapsed = self._clock - worker.started
        share = elapsed / task.seconds
        self.result.num_failed += 1
        self.result.lost += elapsed
        self.result.read_mb += share * task.read_mb
        self.result.written_mb += share * task.written_mb
        worker.continues = (-1, -1)
        if task.kind == "piece":
            self._ranges.appendleft((task.film, task.number, task.number + 1))
            self._num_waiting += 1
        elif task.kind == "plan":
            self._plans.appendleft(task.film)
        else:
            self._joins.appendleft(task.film)

    def _schedule_loss(self, node: int) -> None:
        per_hour = self.cluster.node_failures + self.cluster.preemptions
        if per_hour:
            time = self._now + self._rng.exponential(3600.0 / per_hour)
            heapq.heappush(self._node_events, (time, node))

    def _change_node(self, node: int) -> None:
        """Have a node go, or come back."""
        if not self._is_up[node]:
            self._is_up[node], self._up_since[node] = True, self._now
            self._schedule_loss(node)
            return
        cluster = self.cluster
        self._is_up[node] = False
        self._pay(node)
        self.result.num_lost_nodes += 1
        per_hour = cluster.node_failures + cluster.preemptions
        is_failure = self._rng.random() * per_hour < cluster.node_failures
        away = cluster.repair_hours if is_failure else cluster.replace_hours
        heapq.heappush(self._node_events, (self._now + 3600.0 * away, node))
        start = node * cluster.workers_per_node
        for worker in self._workers[start : start + cluster.workers_per_node]:
            worker.is_new = True
            if worker.first < worker.stop:
                self._ranges.appendleft((worker.film, worker.first, worker.stop))
                worker.first = worker.stop
            if worker.task is not None:
                task = worker.task
                self._leave(worker)
                self._lose(worker, task)
                self._idle.append(worker)

    def _pay(self, node: int) -> None:
        self.result.paid_core_seconds += (self._now - self._up_since[node]) * self.cluster.cores
