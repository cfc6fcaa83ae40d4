"""The picture of a validation rollout that training shows in TensorBoard. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from irno_graph.graph import Graph, vorticity
from irno_graph.mesh import Mesh
from irno_graph.report.figures import require_matplotlib, rollout_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VELOCITY = slice(1, 3)  # of the channels rho, vx, vy, p


def vorticity_picture(graph: Graph, states: Mapping[str, Tensor], times: Sequence[float]) -> Figure:
    """Vorticity of truth, base and refined, and both errors, after the first, a middle and the last time step.

    Args:
        graph: of triangles in the plane.
        states: "truth", "base" and "refined" to flows `[times, nodes, channels=4]`.
        times: of the snapshots.

    Raises:
        ImportError: if matplotlib is missing.
        MeshError: if the graph has no triangles.
    """
    require_matplotlib()
    last = len(times) - 1
    rows = sorted({min(1, last), (1 + last) // 2, last})
    fields = {name: vorticity(state[..., VELOCITY], graph).cpu().numpy() for name, state in states.items()}
    mesh = Mesh(graph.pos.cpu().numpy(), [("triangle", graph.face.T.cpu().numpy())], period=graph.period)
    return rollout_figure(mesh, fields, times=times, rows=rows)
