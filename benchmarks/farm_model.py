"""Films and machines of a simulated archive: what tasks take, and how often nodes fail."""

from dataclasses import dataclass
from math import ceil, inf

# Around a piece that continues no other, up to 360 frames are coloured but not encoded. They cost
# as much as this: four pieces at 480p took 102.6 processor seconds alone, 90.8 s in one run.
CONTEXT_MINUTES = 0.17


@dataclass(frozen=True, slots=True)
class Cost:
    """What a minute of film costs: processor seconds of one core, and megabytes."""

    color: float  # processor seconds
    plan: float  # processor seconds
    join: float  # processor seconds, with verification
    film_mb: float
    output_mb: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a task takes: processor seconds of one core, and megabytes."""

    processor: float
    read_mb: float
    written_mb: float
    is_on_all_workers: bool = False  # of a node at once: they share its network


@dataclass(frozen=True, slots=True)
class Film:
    """A film, by its length and the cost of its minutes."""

    minutes: float
    cost: Cost

    @property
    def num_pieces(self) -> int:
        """The number of pieces, each of a minute; the last one has 0.5 to 1.5."""
        return max(1, ceil(self.minutes - 0.5))

    def plan(self) -> Work:
        """Return the work of planning: all packets are read for the index."""
        size = self.minutes * self.cost.film_mb
        return Work(self.minutes * self.cost.plan, size, 0.0)

    def piece(self, number: int, context: float = 0.0) -> Work:
        """Return the work of a piece; `context`: minutes around it that are coloured too."""
        last = self.num_pieces - 1
        minutes = 1.0 if number < last else self.minutes - last
        cost = self.cost
        return Work(
            (minutes + context) * cost.color,
            (minutes + context) * cost.film_mb,
            minutes * cost.output_mb,
            is_on_all_workers=True,
        )

    def join(self) -> Work:
        """Return the work of joining: the pieces, and both films for the verification and hash."""
        source, output = self.minutes * self.cost.film_mb, self.minutes * self.cost.output_mb
        return Work(self.minutes * self.cost.join, 2 * source + 3 * output, output)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines of one kind, their storage, and how often they fail."""

    nodes: int
    cores: int  # of a node
    cores_per_worker: int = 2
    busy: float = 0.85  # share of its cores' time that a worker uses
    network_mb: float = 1250.0  # megabytes per second of a node: 10 Gbit/s
    storage_mb: float = 1250.0  # megabytes per second that the storage reads and writes
    start_seconds: float = 2.0  # of a worker's process, until it colours
    is_each_piece_alone: bool = False  # a process for each piece, as in an array of jobs
    joins_at_once: float = inf
    piece_failures: float = 0.0  # share of the tasks that end before they are done
    node_failures: float = 0.0  # per node and hour
    repair_hours: float = 1.0
    preemptions: float = 0.0  # per node and hour
    replace_hours: float = 0.1

    @property
    def workers_per_node(self) -> int:
        """The number of workers that a node holds."""
        return max(1, self.cores // self.cores_per_worker)

    @property
    def num_workers(self) -> int:
        """The number of workers of all nodes."""
        return self.nodes * self.workers_per_node

    def seconds(self, work: Work) -> float:
        """Return how long a worker takes where the storage is no limit."""
        cores = min(self.cores_per_worker, self.cores) * self.busy
        network = self.network_mb / (self.workers_per_node if work.is_on_all_workers else 1)
        return max(work.processor / cores, (work.read_mb + work.written_mb) / network)
