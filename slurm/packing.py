"""From lane groups to array tasks of a wanted length, and what they cost."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.plan import Group, memory_bytes, wall_seconds

# A worker imports torch and compiles before its first step: 4 s from a warm cache, 10-25 s the first time on a node.
STARTUP_SECONDS = 30.0


@dataclass(frozen=True)
class TaskPlan:
    """The groups of one array task, longest first, and the workers that share them."""

    groups: tuple[Group, ...]
    cores: int

    def memory_bytes(self, least: float) -> float:
        """Return what workers need where the largest groups are trained side by side; `least` is what each is given anyway."""
        needs = sorted((max(least, memory_bytes(group)) for group in self.groups), reverse=True)[: self.cores]
        return sum(needs) + least * (self.cores - len(needs))

    @property
    def seconds(self) -> float:
        """Return the expected time by the clock, start-up of workers included."""
        rounds = -(-len(self.groups) // self.cores)
        return wall_seconds(self.groups, self.cores) + rounds * STARTUP_SECONDS


@dataclass(frozen=True)
class Cost:
    """What tasks cost: hours of training, and hours that a cluster charges for, idle cores of a task included."""

    tasks: int
    training_core_hours: float
    charged_core_hours: float

    def share(self, allocation_core_hours: float) -> float:
        """Return the percentage of an allocation."""
        return 100 * self.charged_core_hours / allocation_core_hours


def pack(groups: Sequence[Group], cores: int, target_seconds: float) -> list[TaskPlan]:
    """Pack groups into tasks that keep each of their cores busy for up to the target. A longer group has a core for itself.

    Cores are filled longest group first, each into the fullest one with room (best fit), so that no two could be merged.
    """
    cores = min(cores, max(1, len(groups)))
    queues: list[list[Group]] = []
    room: list[tuple[float, int]] = []  # sorted: seconds left on a core, and which
    for group in sorted(groups, key=lambda group: -group.seconds):
        need = group.seconds + STARTUP_SECONDS
        place = bisect_left(room, (need, -1))
        if place < len(room):
            left, number = room.pop(place)
        else:
            left, number = max(target_seconds, need), len(queues)
            queues.append([])
        queues[number].append(group)
        insort(room, (left - need, number))
    queues.sort(key=lambda queue: -sum(group.seconds for group in queue))  # cores of a task end at about the same time
    tasks = []
    for first in range(0, len(queues), cores):
        together = [group for queue in queues[first : first + cores] for group in queue]
        tasks.append(TaskPlan(tuple(sorted(together, key=lambda group: -group.seconds)), cores))
    return tasks


def cost(tasks: Sequence[TaskPlan]) -> Cost:
    """Return what tasks are expected to cost."""
    return Cost(
        len(tasks),
        sum(group.seconds for task in tasks for group in task.groups) / 3600,
        sum(task.seconds * task.cores for task in tasks) / 3600,
    )


def arrays(tasks: Sequence[TaskPlan], max_array_size: int) -> list[list[TaskPlan]]:
    """Split tasks into arrays of at most so many; their indices run from 0 to MaxArraySize - 1."""
    size = max(1, max_array_size)  # 0: a cluster without arrays
    return [list(tasks[first : first + size]) for first in range(0, len(tasks), size)]
