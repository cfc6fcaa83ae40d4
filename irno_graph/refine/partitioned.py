"""Refinement of one huge graph in parts: the result of the whole, in the memory of one part or on several ranks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from irno_graph.correctors.in_parts import Correction, FlatInParts, Join, Known, check_supported, run
from irno_graph.correctors.multiscale import MultiscaleMessagePassing
from irno_graph.correctors.multiscale_in_parts import MultiscaleInParts
from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph
from irno_graph.graph.partition import Method, Part, Partition, partition_of
from irno_graph.refine.boundary import Dirichlet
from irno_graph.refine.irno import IRNO
from irno_graph.refine.loop import Refinement
from irno_graph.refine.ranks import OneProcess, Ranks
from irno_graph.refine.schedules import Schedule

if TYPE_CHECKING:
    import torch.distributed as dist


class PartitionedIRNO(IRNO):
    """A model whose corrector is applied part by part: the same numbers, up to rounding, in less memory.

    Each part has a halo of the nodes that its own depend on, as many hops deep as Phi passes messages, times
    `exchange`. All else is the model's: base, schedule, solver, tolerance, guard, Dirichlet values, which see the
    fields of the whole graph. The memory that does not shrink is that of the graph, of these fields and of the base.
    Base and corrector are shared with `model`.

    Args:
        model: its corrector is `MessagePassing`, `EdgeMessagePassing` or `MultiscaleMessagePassing`.
        parts: their number, or a `Partition` of the one graph that it is asked on.
        exchange: steps between two exchanges of the halos' values: more of them mean fewer meetings of ranks and
            larger halos. Above 1 for correctors on the graph's own edges and plain steps.
        method: of the partition, see `Partition.of`.
        group: processes that share the work, part k on rank k mod (number of ranks). Each calls the model with the
            same x and graph and gets the same result.

    Raises:
        ValueError: for a corrector or solver that this is not for, or `exchange` below 1.

    >>> import irno_graph as ig
    >>> graph = ig.Graph.from_grid((8, 8))
    >>> model = ig.IRNO(lambda x, graph: x, ig.correctors.MessagePassing(1, 1, hidden=4, layers=2))
    >>> x = torch.ones(64, 1)
    >>> bool(torch.allclose(PartitionedIRNO(model, parts=4)(x, graph).value, model(x, graph).value))
    True
    """

    def __init__(
        self,
        model: IRNO,
        parts: int | Partition,
        *,
        exchange: int = 1,
        method: Method | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        check_supported(model.corrector)
        super().__init__(
            model.base,
            model.corrector,
            alpha=_step_size(model),
            steps=model.steps,
            scaling=model.scaling,
            solver=model.solver,
            guard=model.guard,
        )
        _check_exchange(exchange, self)
        self.train(model.training)
        self.parts, self.exchange, self.method = parts, int(exchange), method
        self.join: Join = OneProcess() if group is None else Ranks(group)
        self._ahead = 0  # steps of the refinement whose loop is asking for corrections

    def partition(self, graph: Graph) -> Partition:
        """That of `graph`, kept as long as the graph.

        Raises:
            ValueError: for a batch, or more parts than nodes.
        """
        if isinstance(self.parts, Partition):
            self.parts.check(graph)
            return self.parts
        return partition_of(graph, self.parts, self.method)

    def correction(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Time = None,
        lead_time: Time = None,
        fixed: Dirichlet | None = None,
    ) -> Correction:
        """The function h -> Phi(x, h, graph) in physical units, see `IRNO.correction`."""
        corrector = self.corrector
        x = self.join.enter(x if self.scaling is None else self.scaling.input(x))
        known = Known(corrector, x, graph, time=time, lead_time=lead_time)  # type: ignore[arg-type]
        partition = self.partition(graph)
        if isinstance(corrector, MultiscaleMessagePassing) and len(known.geometry.floors) > 1:
            coarse = MultiscaleInParts(corrector, known, partition)
            return self._physical(lambda h: coarse(h, self.join), fixed)
        rounds = self.exchange if self._ahead else 1
        flat = FlatInParts(corrector, known, partition, rounds)  # type: ignore[arg-type]
        return (
            _Ahead(self, flat, fixed) if rounds > 1 else self._physical(lambda h: flat(h, self.join), fixed)
        )

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        steps: int | None = None,
        time: Time = None,
        lead_time: Time = None,
        fixed: Dirichlet | None = None,
        tolerance: float | None = None,
        recompute: bool = False,
    ) -> Refinement:
        """Refine the base's answer, see `IRNO.forward`; parts are computed again in a backward pass in any case.

        Raises:
            ValueError: as `IRNO.forward` does, and for a batch of graphs.
        """
        _check_exchange(self.exchange, self)
        self._ahead = self.steps if steps is None else steps
        try:
            return super().forward(
                x, graph, steps=steps, time=time, lead_time=lead_time, fixed=fixed, tolerance=tolerance
            )
        finally:
            self._ahead = 0

    def sum_gradients(self) -> None:
        """Sum the gradients of the weights over the ranks, after a backward pass on each of them.

        Where all parts are computed in one process the gradients are whole already.
        """
        if isinstance(self.join, Ranks):
            self.join.sum_gradients(list(self.corrector.parameters()))

    def extra_repr(self) -> str:
        """Step size, number of steps and solver, and how it is cut."""
        parts = self.parts.parts if isinstance(self.parts, Partition) else self.parts
        return f"{super().extra_repr()}, parts={parts}, exchange={self.exchange}"

    def _physical(self, phi: Correction, fixed: Dirichlet | None) -> Correction:
        """`phi` of scaled fields, for fields in physical units."""
        scaling = self.scaling

        def correction(h: Tensor) -> Tensor:
            value = phi(h if scaling is None else scaling.state(h))
            value = value if scaling is None else scaling.correction(value)
            return value if fixed is None else fixed.vanish(value)

        return correction


class _Ahead:
    """h -> Phi(x, h, graph) for the loop of a refinement: parts take some steps alone, their halos are deep enough.

    Asked at h_k it computes Phi(h_k) ... Phi(h_{k+s-1}), the states between being those of plain steps. When it is
    asked at these, as it is unless a sample has stopped, they are known; at any other state it starts again.
    """

    def __init__(self, model: PartitionedIRNO, flat: FlatInParts, fixed: Dirichlet | None) -> None:
        self.model, self.flat, self.fixed = model, flat, fixed
        self.taken, self.horizon = 0, model._ahead
        self.next: list[tuple[Tensor, Tensor]] = []  # a state that plain steps lead to, and Phi there

    def __call__(self, h: Tensor) -> Tensor:
        """Phi at h."""
        if not (self.next and torch.equal(self.next[0][0], h.detach())):
            self._start(h)
        self.taken += 1
        return self.next.pop(0)[1]

    def _start(self, h: Tensor) -> None:
        self.flat.known.check(h)
        model, first = self.model, self.taken
        last = max(min(first + model.exchange, self.horizon) - 1, first)  # a schedule may end there
        sizes = [
            model.alpha if model.schedule is None else float(model.schedule(k)) for k in range(first, last)
        ]
        values, states = self._several(h, sizes), [h.detach()]
        for size, value in zip(sizes, values, strict=False):
            states.append(states[-1] + size * value.detach())
        self.next = list(zip(states, values, strict=True))

    def _several(self, h: Tensor, sizes: list[float]) -> tuple[Tensor, ...]:
        """Phi at h, and after each step of these sizes."""

        def of_part(part: Part, own: Tensor) -> Tensor:
            correction = self.model._physical(self.flat.local(part), self._fixed(part))
            values = [correction(own)]
            for size in sizes:
                own = own + size * values[-1]
                values.append(correction(own))
            return torch.stack([value[..., : part.reach[0], :] for value in values])

        join = self.model.join
        return run(self.flat.parts, join.enter(h), of_part, join).unbind(0)

    def _fixed(self, part: Part) -> Dirichlet | None:
        return None if self.fixed is None else replace(self.fixed, mask=self.fixed.mask[part.nodes])


def _step_size(model: IRNO) -> float | Schedule | Literal["auto"]:
    if math.isnan(model.alpha):
        return "auto"
    return model.alpha if model.schedule is None else model.schedule


def _check_exchange(exchange: int, model: IRNO) -> None:
    if exchange < 1:
        raise ValueError(f"`exchange` should be 1 or more steps, got {exchange}.")
    if exchange > 1 and isinstance(model.corrector, MultiscaleMessagePassing):
        raise ValueError(
            f"`exchange` should be 1 for MultiscaleMessagePassing, got {exchange}: its coarser graphs see all parts in "
            "every step."
        )
    if exchange > 1 and model.solver is not None:
        raise ValueError(
            f"`exchange` should be 1 with {model.solver}, got {exchange}: a solver looks at all parts in every step."
        )
