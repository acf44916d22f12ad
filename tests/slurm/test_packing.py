"""How groups of runs are packed into tasks and arrays, and what those cost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from experiment_support import make_run
from hypothesis import given
from hypothesis import strategies as st

from experiments.expand import resolve
from experiments.plan import Group, memory_bytes, wall_seconds
from experiments.spec import Arm, Row
from slurm.cluster import load_cluster
from slurm.packing import STARTUP_SECONDS, TaskPlan, arrays, cost, pack
from slurm.submit import cost_line, memory_gb


def group(seconds: float, number: int = 0, runs: int = 1) -> Group:
    members = tuple(make_run(seed=100 * number + seed) for seed in range(runs))
    return Group(members, 1.0, int(seconds))


def groups_of(seconds: Sequence[int]) -> list[Group]:
    return [group(s, number) for number, s in enumerate(seconds)]


durations = st.lists(st.integers(0, 20_000), max_size=30)


@given(durations, st.integers(1, 6), st.integers(40, 20_000))
def test_packing_keeps_every_group_once_and_tasks_near_the_target(seconds, cores, target):
    groups = groups_of(seconds)
    tasks = pack(groups, cores, target)
    assert sorted(g.title for task in tasks for g in task.groups) == sorted(g.title for g in groups)
    assert all(task.groups for task in tasks)
    for task in tasks:
        longest = max(g.seconds for g in task.groups) + STARTUP_SECONDS
        # Workers take the longest group first, which is at most 4/3 of the best there is (Graham, 1969).
        assert wall_seconds(task.groups, task.cores) <= 4 / 3 * max(target, longest)
        work = sum(g.seconds + STARTUP_SECONDS for g in task.groups)
        assert work <= task.cores * max(target, longest)


@given(durations, st.integers(1, 6), st.integers(40, 20_000))
def test_packing_wastes_no_cores(seconds, cores, target):
    groups = groups_of(seconds)
    tasks = pack(groups, cores, target)
    assert all(task.cores == min(cores, len(groups)) for task in tasks)
    needs = [s + STARTUP_SECONDS for s in seconds]
    # No two cores could be merged, so on average each is filled more than half, or has a group longer than that.
    queues = sum(min(need, target) for need in needs) / target
    assert len(tasks) <= (2 * queues + 1) / cores + 1


def test_group_longer_than_the_target_has_a_core_for_itself():
    tasks = pack(groups_of([10_000, 100, 100]), 1, 1000)
    assert [[g.seconds for g in task.groups] for task in tasks] == [[10_000], [100, 100]]


def test_groups_fill_a_task_up_to_the_target_and_not_further():
    just_two = 2 * (100 + STARTUP_SECONDS)
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 1, just_two)] == [2, 2]
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 1, just_two - 1)] == [1, 1, 1, 1]
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 2, just_two)] == [4]


@given(st.integers(0, 30), st.integers(0, 10))
def test_arrays_split_tasks_in_order_and_are_no_larger_than_allowed(count, size):
    tasks = [TaskPlan((group(1, number),), 1) for number in range(count)]
    split = arrays(tasks, size)
    assert [task for array in split for task in array] == tasks
    assert all(0 < len(array) <= max(size, 1) for array in split)
    assert len(split) == -(-count // max(size, 1))


def test_memory_is_asked_for_where_replay_buffers_need_more_than_the_profile_gives(profile):
    def sac(size: int) -> Group:
        arm = Arm("arm", "sac", {"buffer_size": size})
        return Group((resolve(Row("Humanoid-v4", (), 2_000_000, 1, 1), arm, 0),), 1.0, 1)

    cluster = load_cluster(profile(memory_gb_per_core=1.5))
    large = memory_bytes(sac(1_000_000)) / 2**30
    assert 3.5 < large < 4.5
    assert memory_gb(cluster, [TaskPlan((group(1), sac(1)), 2)]) == 3
    assert memory_gb(cluster, [TaskPlan((group(1, 0), group(1, 1), sac(1_000_000)), 2)]) == pytest.approx(1.5 + large)
    assert memory_gb(cluster, [TaskPlan((sac(1_000_000),), 3), TaskPlan((group(1),), 3)]) == pytest.approx(3 + large)


def test_cost_counts_idle_cores_and_start_up():
    # Two cores for an hour and a half: one core idles for half an hour. Two rounds of start-up: 2 min 30 s by two cores.
    task = TaskPlan((group(3600, 0), group(3600, 1), group(1800, 2)), 2)
    total = cost([task, task])
    assert total.tasks == 2
    assert total.training_core_hours == pytest.approx(2 * 2.5)
    assert total.charged_core_hours == pytest.approx(2 * 2 * (1.5 + 2 * STARTUP_SECONDS / 3600))
    assert total.share(1000) == pytest.approx(total.charged_core_hours / 10)
    assert cost_line(total, 2, 1000) == "2 tasks of 2 cores: about 6.1 core-hours charged (5.0 of training, 0.61 % of 1,000)."
    assert cost_line(total, 2, None) == "2 tasks of 2 cores: about 6.1 core-hours charged (5.0 of training)."
