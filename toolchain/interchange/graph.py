"""A NIR graph as plain data, checked: every node known, every edge sound, no cycle, one Input and one Output."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue, NoCounterpart, SpikeloomError, UnsupportedModule

__all__ = ["FIELDS", "MAX_EDGES", "MAX_NODES", "Graph", "Node", "graph_of"]

MAX_NODES = 10_000
MAX_EDGES = 100_000
MAX_NAME = 256
MAX_DEPTH = 8
"""Graphs inside graphs."""

FIELDS: dict[str, tuple[str, ...]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Conv1d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "Conv2d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
    "Scale": ("scale",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "IF": ("r", "v_threshold"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
}
"""Node kinds that are read, and the values each must have."""
_REFUSED = {
    "Delay": "no layer here can hold spikes back; train without delays",
}


@dataclass(frozen=True, eq=False)
class Node:
    """One NIR node: its kind (the name of NIR's class) and its values, arrays or texts, as they stand in the file."""

    name: str
    kind: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name[:80]!r} ({self.kind[:40]})"


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name, and edges as pairs of names; graphs inside graphs are already flat.

    ``found``, if it is given, is filled with (node or "", error) instead of an error raised: all problems, and not only the first.

    Raises
    ------
    UnsupportedModule
        A node kind that is not read, or a recurrent connection.
    InvalidValue
        An edge to nowhere or twice, a node that nothing leads to or from, not exactly one Input and Output, a missing
        value, too many nodes or edges.
    """

    nodes: Mapping[str, Node]
    edges: Sequence[tuple[str, str]]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    found: InitVar[list[tuple[str, SpikeloomError]] | None] = None

    def __post_init__(self, found: list[tuple[str, SpikeloomError]] | None) -> None:
        for problem in self._problems():
            if found is None:
                raise problem[1]
            found.append(problem)

    def _problems(self) -> Iterator[tuple[str, SpikeloomError]]:
        if not 0 < len(self.nodes) <= MAX_NODES:
            yield "", InvalidValue(f"the graph has {len(self.nodes)} nodes, must have 1 to {MAX_NODES}")
            return
        yield from self._node_problems()
        ends = [sum(node.kind == kind for node in self.nodes.values()) for kind in ("Input", "Output")]
        edges = list(self._edge_problems())
        yield from edges
        if edges or ends != [1, 1]:
            return
        try:
            order = self.order()
        except UnsupportedModule as error:
            yield "", error
        else:
            yield from self._reach_problems(order)

    @cached_property
    def input(self) -> Node:
        """The only Input."""
        return next(node for node in self.nodes.values() if node.kind == "Input")

    @cached_property
    def output(self) -> Node:
        """The only Output."""
        return next(node for node in self.nodes.values() if node.kind == "Output")

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """For each node the names of those that lead to it, in the order of the edges."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for a, b in self.edges:
            found[b].append(a)
        return found

    def order(self) -> list[Node]:
        """The nodes, each after all that lead to it.

        Raises
        ------
        UnsupportedModule
            There is a cycle.
        """
        waiting = dict.fromkeys(self.nodes, 0)
        following = defaultdict(list)
        for a, b in self.edges:
            waiting[b] += 1
            following[a].append(b)
        ready = deque(name for name, count in waiting.items() if not count)
        order = []
        while ready:
            name = ready.popleft()
            order.append(self.nodes[name])
            for after in following[name]:
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
        if len(order) < len(self.nodes):
            left = {name for name, count in waiting.items() if count}
            raise NoCounterpart(
                f"the graph has a cycle, {_cycle(left, following)}: recurrent connections have no hardware; "
                "remove them and train again"
            )
        return order

    def _node_problems(self) -> Iterator[tuple[str, SpikeloomError]]:
        for node in self.nodes.values():
            if len(node.name) > MAX_NAME:
                yield (
                    node.name,
                    InvalidValue(f"{node} has a name of {len(node.name)} characters, the limit is {MAX_NAME}"),
                )
            if node.kind in _REFUSED:
                yield node.name, NoCounterpart(f"{node} is not supported: {_REFUSED[node.kind]}")
            elif node.kind not in FIELDS:
                yield node.name, NoCounterpart(f"{node} is of no kind that is read; these are: {', '.join(FIELDS)}")
            for name in FIELDS.get(node.kind, ()):
                if node.values.get(name) is None:
                    yield node.name, InvalidValue(f"{node} has no {name}; export the graph again")
        for kind in ("Input", "Output"):
            names = [node.name for node in self.nodes.values() if node.kind == kind]
            if len(names) != 1:
                found = f"{len(names)} {kind} nodes ({', '.join(map(repr, names[:4]))})" if names else f"no {kind} node"
                yield "", InvalidValue(f"the graph has {found}, must have exactly one")

    def _edge_problems(self) -> Iterator[tuple[str, SpikeloomError]]:
        if len(self.edges) > MAX_EDGES:
            yield "", InvalidValue(f"the graph has {len(self.edges)} edges, the limit is {MAX_EDGES}")
            return
        seen = set()
        for a, b in self.edges:
            shown = f"edge {a[:80]!r} → {b[:80]!r}"
            missing = [end for end in (a, b) if end not in self.nodes]
            if missing:
                yield "", InvalidValue(f"{shown} dangles: there is no node {missing[0][:80]!r}")
                continue
            if (a, b) in seen:
                yield b, InvalidValue(f"{shown} stands twice: leave out one, or put a Scale of 2 there if it is meant")
            if self.nodes[b].kind == "Input" or self.nodes[a].kind == "Output":
                yield b, InvalidValue(f"{shown} leads into the Input or out of the Output; remove it")
            seen.add((a, b))

    def _reach_problems(self, order: list[Node]) -> Iterator[tuple[str, SpikeloomError]]:
        out_of = defaultdict(list)
        for a, b in self.edges:
            out_of[a].append(b)
        fed, used = {self.input.name}, {self.output.name}
        for node in order:
            if any(source in fed for source in self.sources[node.name]):
                fed.add(node.name)
        for node in reversed(order):
            if any(after in used for after in out_of[node.name]):
                used.add(node.name)
        for node in order:
            if node.name not in fed:
                yield node.name, InvalidValue(f"{node} is not fed by the Input; connect it or remove it")
            if node.name not in used:
                yield node.name, InvalidValue(f"{node} does not lead to the Output; connect it or remove it")


def _cycle(left: set[str], following: Mapping[str, list[str]]) -> str:
    """Some cycle among nodes that all lead back to one another or behind such, as text."""
    back = defaultdict(list)
    for a in left:
        for b in following[a]:
            back[b].append(a)
    name, path = min(left), [min(left)]
    places = {name: 0}
    while True:  # every node that is left waits for another one that is left
        name = next(source for source in back[name] if source in left)
        if name in places:
            loop = [*path[places[name] :], name][::-1]
            shown = [one[:40] for one in (loop if len(loop) <= 6 else [*loop[:5], "…"])]
            return " → ".join(shown)
        places[name] = len(path)
        path.append(name)


def _array(value: Any) -> Any:
    """NumPy for what exporters put into a node: tensors, numbers, tuples; texts and ``None`` stay."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if hasattr(value, "detach"):  # a tensor of torch, which is not imported here
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "biuf" else None


def _plain(node: Any) -> dict[str, Any]:
    """A node of the ``nir`` package as file contents would have it: ``type`` and values."""
    kind = type(node).__name__
    if kind == "NIRGraph":
        inner = {str(name): _plain(child) for name, child in node.nodes.items()}
        edges = [(str(a), str(b)) for a, b in node.edges]
        return {"type": kind, "nodes": inner, "edges": edges, "metadata": dict(node.metadata)}
    values: dict[str, Any] = {"type": kind}
    for one in fields(node):
        if one.name not in ("input_type", "output_type", "metadata"):
            values[one.name] = _array(getattr(node, one.name))
    if kind == "Input":
        values["shape"] = _array(node.input_type.get("input"))
    elif kind == "Output":
        values["shape"] = _array(node.output_type.get("output"))
    return values


def _spliced(links: list[tuple[str, str]], name: str, entry: list[str], leave: list[str]) -> list[tuple[str, str]]:
    """Edges that ended at an inner graph now end at what its Input led to, and likewise behind it."""
    result: list[tuple[str, str]] = []
    for a, b in links:
        if b == name:
            result += [(a, inside) for inside in entry]
        elif a == name:
            result += [(inside, b) for inside in leave]
        else:
            result.append((a, b))
        if len(result) > MAX_EDGES:
            raise InvalidValue(f"the graph has more than {MAX_EDGES} edges")
    return result


def _flattened(content: Mapping[str, Any], prefix: str, depth: int) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Nodes and edges of a graph with its inner graphs in their place."""
    if depth > MAX_DEPTH:
        raise InvalidValue(f"the graph holds graphs more than {MAX_DEPTH} deep; flatten it")
    inner, edges = content.get("nodes"), content.get("edges")
    if not isinstance(inner, Mapping) or not isinstance(edges, Sequence) or isinstance(edges, str):
        raise InvalidValue(
            f"graph {prefix.rstrip('.')[:80] or 'at the top'!r} has no nodes or no edges; export it again"
        )
    nodes: dict[str, Node] = {}
    for edge in edges:
        if isinstance(edge, str) or not isinstance(edge, Sequence) or [type(end) for end in edge] != [str, str]:
            raise InvalidValue(f"edge {str(edge)[:80]} is no pair of node names; export the graph again")
    links = [(prefix + a, prefix + b) for a, b in edges]
    for name, child in inner.items():
        full = prefix + name
        if not isinstance(child, Mapping) or not isinstance(child.get("type"), str):
            raise InvalidValue(f"node {full[:80]!r} has no type; export the graph again")
        if child["type"] != "NIRGraph":
            nodes[full] = Node(full, child["type"], {key: value for key, value in child.items() if key != "type"})
            continue
        below, between = _flattened(child, full + ".", depth + 1)
        ends = []
        for kind in ("Input", "Output"):
            found = [key for key, node in below.items() if node.kind == kind]
            if len(found) != 1:
                raise InvalidValue(f"inner graph {full[:80]!r} has {len(found)} {kind} nodes, must have exactly one")
            ends.append(found[0])
        entry, leave = ends
        links = _spliced(links, full, [b for a, b in between if a == entry], [a for a, b in between if b == leave])
        links += [(a, b) for a, b in between if a != entry and b != leave]
        nodes.update({key: node for key, node in below.items() if key not in ends})
    return nodes, links


def graph_of(content: Any, found: list[tuple[str, SpikeloomError]] | None = None) -> Graph:
    """A checked graph of a ``nir.NIRGraph``, or of a file's contents as nested mappings; ``found`` as in ``Graph``.

    Raises
    ------
    UnsupportedModule, InvalidValue
        As ``Graph``; or it is no graph at all.
    """
    plain = content if isinstance(content, Mapping) else _plain(content)
    kind = plain.get("type")
    if not isinstance(kind, str) or kind != "NIRGraph":
        raise InvalidValue(f"the top is of type {str(kind)[:40]}, must be a NIRGraph")
    nodes, edges = _flattened(plain, "", 0)
    metadata = plain.get("metadata")
    return Graph(nodes, edges, metadata if isinstance(metadata, Mapping) else {}, found)
