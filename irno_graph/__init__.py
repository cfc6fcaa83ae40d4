"""Iterative refinement of neural operators on irregular meshes.

>>> import irno_graph as ig
>>> graph = ig.Graph.from_grid((8, 8), period=(1.0, 1.0))
>>> graph.num_nodes
64

Names are imported when they are first used, so that a command's `--help` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irno_graph import bases, correctors, losses, metrics, refine
    from irno_graph.graph import Graph
    from irno_graph.mesh import Mesh, MeshError, MeshWarning, read_mesh, write_mesh, write_series
    from irno_graph.refine import (
        IRNO,
        Certificate,
        Dirichlet,
        Refinement,
        Scaling,
        Status,
        certify,
        load,
        save,
    )
    from irno_graph.rollout import Trajectory, rollout
    from irno_graph.spectral import ChebyshevBank, EigenBasis

__all__ = [
    "IRNO",
    "Certificate",
    "ChebyshevBank",
    "Dirichlet",
    "EigenBasis",
    "Graph",
    "Mesh",
    "MeshError",
    "MeshWarning",
    "Refinement",
    "Scaling",
    "Status",
    "Trajectory",
    "bases",
    "certify",
    "correctors",
    "load",
    "losses",
    "metrics",
    "read_mesh",
    "refine",
    "rollout",
    "save",
    "write_mesh",
    "write_series",
]

_ROOMS = (
    "bases",
    "correctors",
    "losses",
    "metrics",
    "refine",
    "rollout",
)  # `rollout` is a module that can be called
_HOMES = {
    "Graph": "graph",
    **dict.fromkeys(("ChebyshevBank", "EigenBasis"), "spectral"),
    "Trajectory": "rollout",
    **dict.fromkeys(("Mesh", "MeshError", "MeshWarning", "read_mesh", "write_mesh", "write_series"), "mesh"),
    **dict.fromkeys(("IRNO", "Certificate", "Dirichlet", "Refinement", "Scaling", "Status"), "refine"),
    **dict.fromkeys(("certify", "load", "save"), "refine"),
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"irno_graph.{name}")
    if name in _HOMES:
        return getattr(import_module(f"irno_graph.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'irno_graph' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
