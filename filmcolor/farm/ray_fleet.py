"""The workers on the nodes of a Ray cluster: they are started where nodes come and CPUs are free.

A node has a worker for every few cores, or, where films are coloured on GPUs, for each of those.
Workers are placed on a node by name: Ray's own scheduler does not say where one was lost.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from filmcolor.farm.ray_worker import Done, RayWorker

START = "start"  # the first job of a worker
_POLL_SECONDS = 2.0  # between two looks at the nodes
_REST_SECONDS = 60.0  # for a node that cannot open a run
_START_REST_SECONDS = 10.0  # for a node that cannot start a worker: it may just be dying
_MAX_STARTS = 3  # that fail before a node counts as unfit
_STOP_SECONDS = 10.0  # for workers to clean up before they are killed
_GPU_DEVICES = "auto", "cuda"
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Worker:
    """A worker, seen from the driver.

    `job`: what it does now, None if it is idle. `is_started`: it has answered once.
    """

    node: str  # ID
    host: str
    actor: Any
    messages: Any = None  # of the job, a generator of object references
    job: Any = None
    is_started: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The last message of a worker that died, or whose node is gone. `reason`: Ray's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The last message of a job that was cancelled."""


@dataclass(slots=True, eq=False)
class Fleet:
    """All workers of a driver.

    Attributes:
        ray: the connected module.
        device: of the runs, as in ColorOptions.
        cores: CPUs for a worker on a node without GPUs.
        num_usable_nodes: those that may have workers now.
        fault: why all nodes are unfit, None while one is not, or there are none.
    """

    ray: Any
    device: str
    cores: int
    workers: list[Worker] = field(default_factory=list)
    num_usable_nodes: int = 0
    fault: str | None = None
    _rests: dict[str, float] = field(default_factory=dict)  # ends by node, monotonic seconds
    _num_failed_starts: Counter[str] = field(default_factory=Counter)  # by node
    _faults: dict[str, str] = field(default_factory=dict)  # by unfit node
    _next_look: float = 0.0

    def update(self) -> list[Worker]:
        """Start workers on nodes that lack some; return and forget those of nodes that are gone."""
        if time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + _POLL_SECONDS
        nodes = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        lost = [worker for worker in self.workers if worker.node not in nodes]
        for worker in lost:
            self.remove(worker)
        self.num_usable_nodes, faults = 0, []
        for name, node in nodes.items():
            shares = self._shares(node["Resources"])
            if shares and self._is_resting(name):
                faults.append(self._faults.get(name))
                continue
            self.num_usable_nodes += bool(shares)
            for num_cpus, num_gpus in shares[sum(w.node == name for w in self.workers) :]:
                self._start(name, node["NodeManagerHostname"], num_cpus, num_gpus)
        is_unfit = faults and all(faults) and not self.num_usable_nodes
        self.fault = faults[0] if is_unfit else None
        return lost

    def idle(self) -> list[Worker]:
        """Return the workers that can take a job now."""
        return [w for w in self.workers if w.job is None and not self._is_resting(w.node)]

    def assign(self, worker: Worker, job: Any, method: str, *args: Any) -> None:
        """Have a worker do a job: one of its methods."""
        call = getattr(worker.actor, method).options(num_returns="streaming")
        worker.job, worker.messages = job, call.remote(*args)

    def messages(self, timeout_seconds: float) -> Iterator[tuple[Worker, Any, Any]]:
        """Yield what workers say within a time: the worker, its job, and the message.

        A message is that of the job, `Lost`, after which the worker is forgotten, or `Cancelled`.
        After that and after `Done` it is idle.
        """
        waiting = {worker.messages: worker for worker in self.workers if worker.job is not None}
        if not waiting:
            time.sleep(timeout_seconds)
            return
        ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=timeout_seconds)
        for stream in ready:
            worker = waiting[stream]
            job = worker.job
            message = self._next_message(stream)
            if isinstance(message, Lost):
                self.remove(worker)
            elif isinstance(message, (Done, Cancelled)):
                worker.job = worker.messages = None
                if job == START:
                    worker.is_started = True
                    self._num_failed_starts.pop(worker.node, None)
            yield worker, job, message

    def refuse(self, worker: Worker, fault: str) -> None:
        """Leave out the node of a worker for a while: it lacks something, say a shared folder."""
        self._rest(worker, _REST_SECONDS, fault)

    def refuse_start(self, worker: Worker, fault: str) -> None:
        """Leave out the node of a worker that could not start, for a while."""
        self._num_failed_starts[worker.node] += 1
        is_unfit = self._num_failed_starts[worker.node] >= _MAX_STARTS
        self._rest(worker, _START_REST_SECONDS, fault if is_unfit else None)

    def _rest(self, worker: Worker, num_seconds: float, fault: str | None) -> None:
        self._rests[worker.node] = time.monotonic() + num_seconds
        self._next_look = 0.0
        if fault and worker.node not in self._faults:
            self._faults[worker.node] = f"node {worker.host}: {fault}"
            _log.warning("%s; it is left out for now", self._faults[worker.node])

    def cancel(self, workers: Iterable[Worker]) -> None:
        """Ask workers to stop between two frames; those that cannot go on to their end."""
        for worker in workers:
            with suppress(Exception):  # it has just died
                self.ray.cancel(worker.messages)

    def remove(self, worker: Worker) -> None:
        """Kill a worker and forget it."""
        with suppress(ValueError):
            self.workers.remove(worker)
        with suppress(Exception):  # its node is gone
            self.ray.kill(worker.actor)

    def stop(self, can_cancel: Iterable[Worker]) -> Iterator[tuple[Worker, Any, Any]]:
        """End all workers; yield what those say that finish meanwhile."""
        for worker in [w for w in self.workers if not w.is_started]:
            self.remove(worker)
        self.cancel(can_cancel)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(w.job is not None for w in self.workers) and time.monotonic() < deadline:
            yield from self.messages(deadline - time.monotonic())
        for worker in list(self.workers):
            self.remove(worker)

    def _start(self, node: str, host: str, num_cpus: int, num_gpus: int) -> None:
        strategies = import_module("ray.util.scheduling_strategies")
        actor = (
            self.ray.remote(RayWorker)
            .options(
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                max_restarts=0,  # a new one is placed as nodes are then
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote(num_cpus)
        )
        worker = Worker(node, host, actor)
        self.workers.append(worker)
        self.assign(worker, START, "start")

    def _shares(self, resources: dict[str, float]) -> list[tuple[int, int]]:
        """Return the CPUs and GPUs of each worker of a node."""
        num_cpus, num_gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if num_gpus and self.device in _GPU_DEVICES:
            return [(num_cpus // num_gpus, 1)] * num_gpus
        if num_cpus == 0:
            return []
        num_workers = max(1, num_cpus // self.cores)
        return [(num_cpus // num_workers, 0)] * num_workers

    def _next_message(self, stream: Any) -> Any:
        exceptions = self.ray.exceptions
        try:
            return self.ray.get(next(stream))
        except StopIteration:
            return Cancelled()
        except exceptions.TaskCancelledError:
            return Cancelled()
        except exceptions.RayError as error:
            return Lost(str(error))

    def _is_resting(self, node: str) -> bool:
        return time.monotonic() < self._rests.get(node, 0.0)
