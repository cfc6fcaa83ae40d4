"""Keep what was computed from a graph for as long as the graph lives and does not change."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import ref

from irno_graph.graph.pyg import Data

P = ParamSpec("P")
T = TypeVar("T")
G = TypeVar("G", bound=Data)


def per_graph(build: Callable[Concatenate[G, P], T]) -> Callable[Concatenate[G, P], T]:
    """Memoise `build(graph, *hashable)` on the identity, the device and the state of the graph's tensors."""
    kept: dict[int, tuple[ref[G], tuple[object, ...], dict[Any, T]]] = {}  # by id, until the graph goes

    @wraps(build)
    def cached(graph: G, *args: P.args, **kwargs: P.kwargs) -> T:
        stamp = tuple(
            (tensor.data_ptr(), tensor._version, tensor.device) for tensor in (graph.pos, graph.edge_index)
        )
        number = id(graph)
        found = kept.get(number)
        if found is None or found[0]() is not graph or found[1] != stamp:
            gone = ref(graph, lambda _: kept.pop(number, None))
            found = kept[number] = (gone, stamp, {})
        key = (args, tuple(sorted(kwargs.items())))
        if key not in found[2]:
            found[2][key] = build(graph, *args, **kwargs)
        return found[2][key]

    return cached
