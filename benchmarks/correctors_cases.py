"""What `benchmarks/correctors.py` measures, one case after the other, each in the process that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from correctors_tables import KINDS, Kind
from harness import added_peak, available_gib, interleaved, median_seconds, resident
from torch import Tensor, nn

import irno_graph as ig
from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.correctors.edge_message_passing import EdgeLayer
from irno_graph.correctors.geometry import floors
from irno_graph.correctors.layers import GraphLayer
from irno_graph.files import atomic_path
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.nn.pieces import OrderedEdges

FEATURES = 4  # numbers that describe an edge of a mesh in the plane
GEOMETRY = 8  # channels that a layer makes of them
CHANNELS = 4  # of x and of h
PRODUCTS = {"forward": 5, "train": 15}  # node-sized matrix products of our layer
LEAST, MOST = 3, 15  # calls that a median is taken of
TRIAD = 2**25  # floats of an array: 128 MiB, beyond any cache
PASSES = ("forward", "train")
Work = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """What all cases share.

    Attributes:
        device: "cpu" or "cuda".
        threads: of torch.
        budget: seconds that the calls of one pass should take, within 3 to 15 calls of each kind.
        limit_gib: what needs more by estimate is left out.
        meshes: folder that keeps meshes between cases.
    """

    device: str
    threads: int
    budget: float
    limit_gib: float
    meshes: Path

    @property
    def clock(self) -> str:
        """CPU seconds on one thread, else seconds on the wall."""
        return "cpu" if self.device == "cpu" and self.threads == 1 else "wall"


def box(nodes: int, settings: Settings) -> ig.Graph:
    """Irregular triangles of the periodic unit square, nodes along a Hilbert curve."""
    path = settings.meshes / f"box_{nodes}.npz"
    if not path.exists():
        mesh = periodic_box(nodes, seed=0)
        with atomic_path(path) as temporary:
            np.savez(temporary, points=mesh.points, cells=mesh.cells_of("triangle"))
    with np.load(path) as file:
        mesh = Mesh(file["points"], [("triangle", file["cells"])], period=(1.0, 1.0))
    return ig.Graph.from_mesh(mesh, order="hilbert").to(settings.device)


class Layers:
    """The layers of one size, as works to be timed: `forward` without gradients, `train` with all of them."""

    def __init__(self, nodes: int, width: int, samples: int, settings: Settings) -> None:
        self.edges = floors(box(nodes, settings), 0, False)[0].own
        self.width, self.samples, self.settings = width, samples, settings
        shape = (nodes, samples, width)
        self.h = torch.randn(shape, device=settings.device, requires_grad=True)
        self.state: Tensor | None = None

    @property
    def rows(self) -> int:
        """Edges times samples."""
        return len(self.edges.senders) * self.samples

    def need(self, kind: Kind, which: str) -> float:
        """Estimated GiB of one call."""
        return kind.rows[PASSES.index(which)] * self.rows * self.width * 4 / 2**30

    def works(self, kind: Kind) -> dict[str, Work]:
        """What to call, by pass."""
        layer, inputs, given = self._built(kind)
        called = torch.compile(layer, dynamic=False) if kind.compiled else layer
        mixed = torch.autocast(self.settings.device, torch.bfloat16, enabled=kind.bf16)

        def forward() -> object:
            with torch.no_grad(), mixed:
                return called(*given)

        def train() -> object:
            with mixed:
                found = called(*given)
            found = found if isinstance(found, tuple) else (found,)
            gradients = [self.h.detach(), *([] if self.state is None else [self.state.detach()])]
            return torch.autograd.grad(found, inputs, gradients[: len(found)])

        return {"forward": forward, "train": train}

    def _built(self, kind: Kind) -> tuple[nn.Module, list[Tensor], tuple[Any, ...]]:
        """A layer, what it is differentiated by, and its arguments; edges are encoded before."""
        torch.manual_seed(0)
        device, edges = self.settings.device, self.edges
        if not kind.ours:
            if self.state is None:
                shape = (len(edges.senders), self.samples, self.width)
                self.state = torch.randn(shape, device=device, requires_grad=True)
            block = EdgeLayer(self.width).to(device)
            return block, [self.h, self.state, *block.parameters()], (self.h, self.state, edges)
        options = Options(edge_hidden=GEOMETRY, memory=kind.memory)
        layer = GraphLayer(self.width, FEATURES, options).to(device)
        encoded = layer.encode(edges).detach().requires_grad_()
        used = [value for name, value in layer.named_parameters() if ".embed." not in name]
        return layer, [self.h, encoded, *used], (self.h, edges, encoded)


def layer_case(
    nodes: int, width: int, samples: int, kinds: Iterable[str], settings: Settings
) -> dict[str, Any]:
    """Seconds and MiB at the peak by pass and kind of layer, and what bytes and products alone would take."""
    layers = Layers(nodes, width, samples, settings)
    rate, product = bandwidth(settings), product_seconds(nodes, width, samples, settings)
    found: dict[str, Any] = {"edges": len(layers.edges.senders), "triad_gb_per_s": rate / 1e9}
    limit = min(settings.limit_gib, 0.8 * available_gib(settings.device))
    for which in PASSES:
        fits = {name: layers.need(KINDS[name], which) <= limit for name in kinds}
        works = {name: layers.works(KINDS[name])[which] for name in kinds if fits[name]}
        for name, work in works.items():
            if KINDS[name].compiled:
                work()
        peak = {name: added_peak(work, settings.device) for name, work in works.items()}
        least = moved_bytes(which, nodes, layers.edges, width, samples) / rate
        found[which] = {
            "seconds": timed(works, settings),
            "mib": peak,
            "bytes_seconds": least,
            "products_seconds": product * PRODUCTS[which],
            "left_out_gib": {name: layers.need(KINDS[name], which) for name in kinds if not fits[name]},
        }
    return found


def timed(works: Mapping[str, Work], settings: Settings) -> dict[str, float]:
    """Median seconds of each, called in turn; all were called before."""
    return interleaved(
        works, MOST, clock=settings.clock, device=settings.device, warm=0, least=LEAST, budget=settings.budget
    )


def bandwidth(settings: Settings) -> float:
    """Bytes per second of a = b + 2 c: three arrays, read or written once."""
    b, c = (torch.randn(TRIAD, device=settings.device) for _ in range(2))
    a = torch.empty_like(b)
    work = lambda: torch.add(b, c, alpha=2.0, out=a)  # noqa: E731
    return 12 * TRIAD / median_seconds(work, 7, clock=settings.clock, device=settings.device)


def product_seconds(nodes: int, width: int, samples: int, settings: Settings) -> float:
    """Seconds of one matrix product of the latents, `[nodes * samples, width]` times `[width, width]`."""
    latents, weight = (torch.randn(rows, width, device=settings.device) for rows in (nodes * samples, width))
    out = torch.empty_like(latents)
    work = lambda: torch.mm(latents, weight, out=out)  # noqa: E731
    return median_seconds(work, 7, clock=settings.clock, device=settings.device)


def moved_bytes(which: str, nodes: int, edges: OrderedEdges, width: int, samples: int) -> int:
    """Bytes that a layer has to move, float32, int64.

    Forward: latents read and written once, a row gathered for each edge and sample, one index and GEOMETRY numbers
    of each edge. Backward: latents and the gradient of the output read, that of the latents written; for each edge
    and sample a row gathered and a row of gradients added at the sender; indices and geometry read again, the gradient
    of the geometry written.
    """
    node, row = 4 * nodes * samples * width, 4 * len(edges.senders) * samples * width
    index, geometry = 8 * len(edges.senders), 4 * GEOMETRY * len(edges.senders)
    forward = 2 * node + row + index + geometry
    return forward if which == "forward" else forward + 3 * node + 2 * row + index + 2 * geometry


def unrolled(name: str, nodes: int, width: int, layers: int, steps: int, settings: Settings) -> Work:
    """Loss and gradients over all steps of a refinement: "standard", "ours" or "recompute"."""
    torch.manual_seed(0)
    cls = EdgeMessagePassing if name == "standard" else MessagePassing
    corrector = cls(CHANNELS, CHANNELS, hidden=width, layers=layers)
    model = ig.IRNO(ig.bases.Callable(lambda x, graph: x), corrector, alpha=0.25, steps=steps)
    graph = box(nodes, settings)
    model, x = model.to(settings.device), torch.randn(nodes, CHANNELS, device=settings.device)

    def train() -> object:
        out = model(x, graph, recompute=name == "recompute")
        return torch.autograd.grad(out.states[1:].square().mean(), list(corrector.parameters()))

    return train


def unrolled_case(nodes: int, width: int, layers: int, steps: int, settings: Settings) -> dict[str, Any]:
    """Seconds and MiB at the peak of a training step through all steps of a refinement."""
    names = ("standard", "ours", "recompute")
    works = {name: unrolled(name, nodes, width, layers, steps, settings) for name in names}
    peak = {name: added_peak(work, settings.device) for name, work in works.items()}
    return {"seconds": timed(works, settings), "mib": peak}


def refine_case(name: str, nodes: int, width: int, steps: int, settings: Settings) -> dict[str, float]:
    """A refinement without gradients by the "flat" or the "multiscale" corrector."""
    torch.manual_seed(0)
    corrector: nn.Module
    if name == "flat":
        corrector = MessagePassing(CHANNELS, CHANNELS, hidden=width, layers=6)
    else:
        corrector = MultiscaleMessagePassing(CHANNELS, CHANNELS, hidden=width)
    model = ig.IRNO(ig.bases.Callable(lambda x, graph: x), corrector, alpha=0.25, steps=steps)
    graph, device = box(nodes, settings), settings.device
    model, x = model.to(device), torch.randn(nodes, CHANNELS, device=device)

    @torch.no_grad()
    def work() -> object:
        return model(x, graph)

    added = added_peak(work, device)  # the first call: builds the hierarchy, encodes the edges
    found = {"mib": added, "seconds": timed({name: work}, settings)[name]}
    return found if device != "cpu" else {**found, "process_mib": resident("VmHWM")}


def hierarchy_case(nodes: int, settings: Settings) -> dict[str, float]:
    """CPU seconds that all levels of a graph take, once per graph; on one thread."""
    graph = box(nodes, settings)
    levels = len(floors(graph, None, False))
    return {
        "levels": levels,
        "seconds": median_seconds(
            lambda: floors(graph.clone(), None, False), LEAST, clock=settings.clock, warm=0
        ),
    }
