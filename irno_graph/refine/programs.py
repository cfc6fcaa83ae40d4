"""Correctors and refinements on graphs that are tensors by name: what `refine.export` traces."""

from __future__ import annotations

from collections.abc import Callable as Function
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop

from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing
from irno_graph.correctors.geometry import Floor, Geometry, Waves
from irno_graph.refine.scaling import Scaling

Corrector = MessagePassing | MultiscaleMessagePassing | EdgeMessagePassing
KINDS = (MessagePassing, MultiscaleMessagePassing, EdgeMessagePassing)
PARTS = ("own", "restrict", "prolong")  # of a `Floor`
FIELDS = ("senders", "receivers", "features", "inverse_degree")  # of its edges
WAVES = {"wave_vectors": "vectors", "wave_weighted": "weighted", "wave_kernels": "waves"}  # of `Waves`


@dataclass(frozen=True, eq=False)
class Edges:
    """What correctors take of `OrderedEdges` in plain operations."""

    senders: Tensor
    receivers: Tensor
    features: Tensor
    inverse_degree: Tensor
    row_pointers: None = None


class Prepared(nn.Module):
    """A corrector in physical units, on graphs that are tensors."""

    def __init__(self, corrector: Corrector, scaling: Scaling | None) -> None:
        super().__init__()
        self.corrector, self.scaling = corrector, scaling

    def prepare(
        self, x: Tensor, graph: dict[str, Tensor], times: Tensor | None
    ) -> Function[[Tensor], Tensor]:
        """h -> Phi(x, h, graph), both `[samples, nodes, channels]`."""
        scaling, geometry = self.scaling, _geometry(graph)
        given = self.corrector.given(x if scaling is None else scaling.input(x), geometry, times)

        def phi(h: Tensor) -> Tensor:
            value = self.corrector.compute(h if scaling is None else scaling.state(h), given, geometry)
            return value if scaling is None else scaling.correction(value)

        return phi


class Phi(Prepared):
    """Phi(x, h, graph) with the tensors of the graph in the order of `names`."""

    def __init__(self, corrector: Corrector, scaling: Scaling | None, names: list[str]) -> None:
        super().__init__(corrector, scaling)
        self.names = names

    def forward(self, x: Tensor, h: Tensor, *tensors: Tensor) -> Tensor:
        """`[samples, nodes, channels]`."""
        return self.prepare(x, dict(zip(self.names, tensors, strict=True)), None)(h)


class Loop(Prepared):
    """h_{k+1} = h_k + alpha_k Phi(x, h_k, graph), see `export_refinement`."""

    def forward(
        self, x: Tensor, h: Tensor, sizes: Tensor, graph: dict[str, Tensor], times: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """h_K, the last residual and the steps taken."""
        phi = self.prepare(x, graph, times)
        share = (graph["mass"] / graph["mass"].sum()).to(h.dtype).unsqueeze(-1)  # [nodes, 1]
        count = sizes.shape[0]

        def go_on(k: Tensor, h: Tensor, residual: Tensor, taken: Tensor, alive: Tensor) -> Tensor:
            return k < count

        def step(k: Tensor, h: Tensor, residual: Tensor, taken: Tensor, alive: Tensor) -> tuple[Tensor, ...]:
            value = phi(h)
            new = h + sizes.index_select(0, k.reshape(1)) * value
            alive = alive & torch.isfinite(new).flatten(1).all(dim=1)
            kept = alive[:, None, None]
            moved = torch.where(kept, value, 0.0)
            residual = (moved.square() * share).sum(dim=1).sqrt()
            return k + 1, torch.where(kept, new, h), residual, taken + alive.long(), alive.clone()

        alive = torch.isfinite(h).flatten(1).all(dim=1)
        zero = torch.zeros((), dtype=torch.long, device=h.device)
        taken = torch.zeros_like(alive, dtype=torch.long)
        start = (zero, h.clone(), torch.zeros_like(h[:, 0]), taken, alive)
        _, h, residual, taken, _ = while_loop(go_on, step, start)
        return h, residual, taken


def _geometry(tensors: dict[str, Tensor]) -> Geometry:
    floors: list[Floor] = []
    while f"own{len(floors)}_senders" in tensors:
        parts = [
            Edges(*(tensors[f"{part}{len(floors)}_{name}"] for name in FIELDS))  # type: ignore[arg-type]
            if f"{part}{len(floors)}_senders" in tensors
            else None
            for part in PARTS
        ]
        floors.append(Floor(*parts))  # type: ignore[arg-type]
    waves = None
    if "wave_vectors" in tensors:
        waves = Waves(**{field: (tensors[name],) for name, field in WAVES.items()})
    return Geometry(tuple(floors), waves, tensors.get("static"))
