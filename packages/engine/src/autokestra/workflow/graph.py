"""The graph of tasks: order, knots, what lies upstream. Pure, and without recursion, so that long chains are fine.

A graph is a mapping from each task to the tasks that it needs, in the order of the document. Needs that are no task
of the graph are ignored: naming them is the business of `validate`.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

Needs = Mapping[str, Sequence[str]]


def dependents(needs: Needs) -> dict[str, list[str]]:
    """Return for each task those that need it directly, in the order of the document."""
    result: dict[str, list[str]] = {task: [] for task in needs}
    for task, wanted in needs.items():
        for need in dict.fromkeys(wanted):
            if need in result:
                result[need].append(task)
    return result


def order(needs: Needs) -> list[str]:
    """Return the tasks so that each comes after what it needs; where that leaves a choice, as in the document.

    Tasks on a cycle, and those that need one of them, are left out.
    """
    place = {task: number for number, task in enumerate(needs)}
    open_needs = {task: len({need for need in wanted if need in place}) for task, wanted in needs.items()}
    following = dependents(needs)
    ready = [place[task] for task, count in open_needs.items() if count == 0]
    names = list(needs)
    result: list[str] = []
    while ready:
        task = names[heapq.heappop(ready)]
        result.append(task)
        for next_task in following[task]:
            open_needs[next_task] -= 1
            if open_needs[next_task] == 0:
                heapq.heappush(ready, place[next_task])
    return result


def layers(needs: Needs) -> list[list[str]]:
    """Return the tasks in steps: each as early as what it needs allows, within a step as in the document.

    Tasks on a cycle, and those that need one of them, are left out.
    """
    step: dict[str, int] = {}
    for task in order(needs):
        step[task] = max((step[need] + 1 for need in needs[task] if need in step), default=0)
    result: list[list[str]] = [[] for _ in range(max(step.values(), default=-1) + 1)]
    for task in needs:
        if task in step:
            result[step[task]].append(task)
    return result


def upstream(needs: Needs, task: str) -> frozenset[str]:
    """Return all tasks that `task` needs, directly or through others; on a cycle that includes itself."""
    return _reachable(needs, task)


def downstream(needs: Needs, task: str) -> frozenset[str]:
    """Return all tasks that need `task`, directly or through others; on a cycle that includes itself."""
    return _reachable(dependents(needs), task)


def _reachable(edges: Needs, start: str) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        task = waiting.pop()
        if task in edges and task not in seen:
            seen.add(task)
            waiting.extend(edges[task])
    return frozenset(seen)


class Ancestry:
    """Answers for any two tasks whether one is upstream of the other, after one pass over the graph.

    Each task's ancestors are the bits of one integer: 10,000 tasks in a chain take 12 MB and some milliseconds, where
    sets would take minutes. Tasks on or behind a cycle are not `known`.
    """

    def __init__(self, needs: Needs) -> None:
        self._bit: dict[str, int] = {}
        self._ancestors: dict[str, int] = {}
        for number, task in enumerate(order(needs)):
            self._bit[task] = 1 << number
            self._ancestors[task] = self._union(needs[task])

    def _union(self, wanted: Iterable[str]) -> int:
        bits = 0
        for need in wanted:
            bits |= self._ancestors.get(need, 0) | self._bit.get(need, 0)
        return bits

    def known(self, task: str) -> bool:
        """Whether the ancestors of `task` could be told."""
        return task in self._bit

    def is_upstream(self, other: str, task: str) -> bool:
        """Whether `task` needs `other`, directly or through others."""
        return bool(self._ancestors.get(task, 0) & self._bit.get(other, 0))


def cycles(needs: Needs) -> list[list[str]]:
    """Return one shortest cycle for each knot of tasks that need each other, from its first task on.

    A task that needs itself is a cycle of one. The cycle `[a, b]` means: a needs b, and b needs a.
    """
    place = {task: number for number, task in enumerate(needs)}
    found = [_shortest_cycle(needs, min(knot, key=place.__getitem__), knot) for knot in _knots(needs)]
    return sorted(found, key=lambda cycle: place[cycle[0]])


def _shortest_cycle(needs: Needs, start: str, knot: frozenset[str]) -> list[str]:
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while start not in came_from:
        task = waiting.popleft()
        for need in needs[task]:
            if need in knot and need not in came_from:
                came_from[need] = task
                waiting.append(need)
    cycle = [start]
    while (task := came_from[cycle[-1]]) != start:
        cycle.append(task)
    return [start, *reversed(cycle[1:])]


def _knots(needs: Needs) -> list[frozenset[str]]:
    """Return the strongly connected components that hold a cycle (Tarjan 1972, with a stack of its own)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    knots: list[frozenset[str]] = []
    for root in needs:
        if root in index:
            continue
        work = [(root, iter(needs[root]))]
        index[root] = low[root] = len(index)
        path.append(root)
        on_path.add(root)
        while work:
            task, rest = work[-1]
            need = next((each for each in rest if each in needs and (each not in index or each in on_path)), None)
            if need is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[task])
                if low[task] == index[task]:
                    members = path[path.index(task) :] if path[-1] != task else [task]
                    del path[-len(members) :]
                    on_path.difference_update(members)
                    if len(members) > 1 or task in needs[task]:
                        knots.append(frozenset(members))
            elif need in on_path:
                low[task] = min(low[task], index[need])
            else:
                index[need] = low[need] = len(index)
                path.append(need)
                on_path.add(need)
                work.append((need, iter(needs[need])))
    return knots
