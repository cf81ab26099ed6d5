"""An archive that many machines colour, as a simulation of events.

Workers plan films, colour their pieces and join them, in the order of `pipeline/pieces.py`: each
takes consecutive pieces of a film, then the next film, the longest first, then the back half of
what another has left. Nodes fail, are taken away and come back. Where the storage is too slow for
all running tasks, all of them slow down by the same factor.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from farm_model import CONTEXT_MINUTES, Cluster, Film, Work


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does without a break; `number` is of a piece."""

    kind: str  # "plan", "piece" or "join"
    film: int
    number: int
    seconds: float  # at full speed
    repeated: float  # seconds of these for starting, and for frames around a piece
    work: Work

    @property
    def demand(self) -> float:
        """Megabytes per second at full speed."""
        return (self.work.read_mb + self.work.written_mb) / self.seconds


@dataclass(slots=True)
class Result:
    """What happened, until the last film was joined."""

    seconds: float = 0.0
    paid_core_seconds: float = 0.0  # of all nodes for as long as they are there
    useful: float = 0.0  # worker seconds at full speed: of work done once
    repeated: float = 0.0  # worker seconds: of starts, and of frames around pieces
    lost: float = 0.0  # worker seconds: of attempts that ended early
    read_mb: float = 0.0
    written_mb: float = 0.0
    num_done: dict[str, int] = field(default_factory=lambda: {"plan": 0, "piece": 0, "join": 0})
    num_failed: int = 0  # attempts at a task
    num_lost_nodes: int = 0


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
        self.turn = 0  # of its tasks: ends of earlier ones are void
        self.is_new = True
        self.continues = (-1, -1)  # film and piece that cost no frames around it
        self.film, self.first, self.stop = -1, 0, 0  # pieces that come next


class Simulation:
    """Colours films on a cluster; the same seed gives the same events."""

    def __init__(self, films: Sequence[Film], cluster: Cluster, seed: int = 0) -> None:
        self.films = sorted(films, key=lambda film: -film.minutes)
        self.cluster = cluster
        self.result = Result()
        self._rng = np.random.default_rng(seed)
        self._now = 0.0
        self._clock = 0.0  # of tasks: it goes slower where the storage is the limit
        self._demand = 0.0  # megabytes per second of all running tasks at full speed
        self._workers = [
            _Worker(number, number // cluster.workers_per_node)
            for number in range(cluster.num_workers)
        ]
        self._idle = deque(self._workers)
        self._is_up = [True] * cluster.nodes
        self._up_since = [0.0] * cluster.nodes
        self._ends: list[tuple[float, int, int, bool]] = []  # clock, worker, turn, is done
        self._node_events: list[tuple[float, int]] = []
        self._next_film = 0
        self._plans: deque[int] = deque()  # to make again
        self._ranges: deque[tuple[int, int, int]] = deque()  # pieces that no worker has
        self._lengths: list[tuple[int, int]] = []  # minus the number of pieces left, worker
        self._num_waiting = 0  # pieces, in `_ranges` and with workers
        self._joins: deque[int] = deque()
        self._num_joining = 0
        self._num_left = [film.num_pieces for film in self.films]

    def run(self) -> Result:
        """Return what happens until the last film is joined."""
        result = self.result
        for node in range(self.cluster.nodes):
            self._schedule_loss(node)
        self._dispatch()
        while result.num_done["join"] < len(self.films):
            while self._ends and self._workers[self._ends[0][1]].turn != self._ends[0][2]:
                heapq.heappop(self._ends)  # its node was lost
            speed = min(1.0, self.cluster.storage_mb / self._demand) if self._demand else 1.0
            end = self._now + (self._ends[0][0] - self._clock) / speed if self._ends else inf
            if self._node_events and self._node_events[0][0] < end:
                time, node = heapq.heappop(self._node_events)
                self._clock += (time - self._now) * speed
                self._now = time
                self._change_node(node)
            else:
                self._now = end
                self._clock, number, _, is_done = heapq.heappop(self._ends)
                self._finish(self._workers[number], is_done)
            self._dispatch()
        result.seconds = self._now
        for node, is_up in enumerate(self._is_up):
            if is_up:
                self._pay(node)
        return result

    def _dispatch(self) -> None:
        while self._idle:
            task = self._next_task(self._idle[0])
            if task is None:
                return
            self._start(self._idle.popleft(), task)

    def _next_task(self, worker: _Worker) -> Task | None:
        if self._joins and self._num_joining < self.cluster.joins_at_once:
            number = self._joins.popleft()
            return self._task(worker, "join", (number, 0), self.films[number].join())
        if worker.first == worker.stop:
            if self._ranges:
                self._take(worker, *self._ranges.popleft())
            elif self._plans or self._next_film < len(self.films):
                number = self._plans.popleft() if self._plans else self._next_film
                self._next_film += number == self._next_film
                return self._task(worker, "plan", (number, 0), self.films[number].plan())
            elif self._num_waiting:
                self._take_half(worker)
            else:
                return None
        key = worker.film, worker.first
        worker.first += 1
        self._num_waiting -= 1
        is_alone = self.cluster.is_each_piece_alone or worker.continues != key
        context = CONTEXT_MINUTES if is_alone and key[1] > 0 else 0.0
        film = self.films[worker.film]
        work = film.piece(key[1], context)
        around = self.cluster.seconds(work) - self.cluster.seconds(film.piece(key[1]))
        return self._task(worker, "piece", key, work, around)

    def _task(
        self,
        worker: _Worker,
        kind: str,
        key: tuple[int, int],
        work: Work,
        repeated: float = 0.0,
    ) -> Task:
        seconds = self.cluster.seconds(work)
        start = 0.0
        if self.cluster.is_each_piece_alone:
            start = self.cluster.start_seconds
        elif worker.is_new:  # it has been starting since its node is there
            ready = self._up_since[worker.node] + self.cluster.start_seconds
            start = max(0.0, ready - self._now)
        return Task(kind, *key, seconds + start, repeated + start, work)

    def _take(self, worker: _Worker, film: int, first: int, stop: int) -> None:
        worker.film, worker.first, worker.stop = film, first, stop
        heapq.heappush(self._lengths, (first - stop, worker.number))

    def _take_half(self, worker: _Worker) -> None:
        """Take the back half of the most pieces that another worker has left."""
        while True:
            length, number = heapq.heappop(self._lengths)
            other = self._workers[number]
            left = other.stop - other.first
            if left and left == -length:
                break
            if left:
                heapq.heappush(self._lengths, (-left, number))  # fewer by now
        middle, stop = other.stop - (left + 1) // 2, other.stop
        other.stop = middle
        heapq.heappush(self._lengths, (other.first - middle, number))
        self._take(worker, other.film, middle, stop)

    def _start(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.started, worker.is_new = task, self._clock, False
        self._demand += task.demand
        self._num_joining += task.kind == "join"
        failures = self.cluster.piece_failures
        is_done = not failures or self._rng.random() >= failures
        seconds = task.seconds * (1.0 if is_done else self._rng.random())
        heapq.heappush(self._ends, (self._clock + seconds, worker.number, worker.turn, is_done))

    def _finish(self, worker: _Worker, is_done: bool) -> None:
        task = self._leave(worker)
        self._idle.append(worker)
        if not is_done:
            self._repeat(worker, task)
            return
        result = self.result
        result.num_done[task.kind] += 1
        result.useful += task.seconds - task.repeated
        result.repeated += task.repeated
        result.read_mb += task.work.read_mb
        result.written_mb += task.work.written_mb
        if task.kind == "plan":
            num_pieces = self.films[task.film].num_pieces
            self._take(worker, task.film, 0, num_pieces)
            self._num_waiting += num_pieces
        elif task.kind == "piece":
            worker.continues = (task.film, task.number + 1)
            self._num_left[task.film] -= 1
            if not self._num_left[task.film]:
                self._joins.append(task.film)

    def _leave(self, worker: _Worker) -> Task:
        """End a worker's task, whether it is done or not, and return it."""
        task = worker.task
        assert task is not None
        self._demand = max(0.0, self._demand - task.demand)
        self._num_joining -= task.kind == "join"
        worker.task = None
        worker.turn += 1
        return task

    def _repeat(self, worker: _Worker, task: Task) -> None:
        """Have a task done again from its beginning, before others of its kind."""
        elapsed = self._clock - worker.started
        share = elapsed / task.seconds
        self.result.num_failed += 1
        self.result.lost += elapsed
        self.result.read_mb += share * task.work.read_mb
        self.result.written_mb += share * task.work.written_mb
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
        cluster = self.cluster
        first = node * cluster.workers_per_node
        workers = self._workers[first : first + cluster.workers_per_node]
        if not self._is_up[node]:
            self._is_up[node], self._up_since[node] = True, self._now
            self._idle += workers
            self._schedule_loss(node)
            return
        self._is_up[node] = False
        self._pay(node)
        self.result.num_lost_nodes += 1
        per_hour = cluster.node_failures + cluster.preemptions
        is_failure = self._rng.random() * per_hour < cluster.node_failures
        away = cluster.repair_hours if is_failure else cluster.replace_hours
        heapq.heappush(self._node_events, (self._now + 3600.0 * away, node))
        self._idle = deque(worker for worker in self._idle if worker.node != node)
        for worker in workers:
            worker.is_new = True
            if worker.first < worker.stop:
                self._ranges.appendleft((worker.film, worker.first, worker.stop))
                worker.first = worker.stop
            if worker.task is not None:
                self._repeat(worker, self._leave(worker))

    def _pay(self, node: int) -> None:
        self.result.paid_core_seconds += (self._now - self._up_since[node]) * self.cluster.cores
