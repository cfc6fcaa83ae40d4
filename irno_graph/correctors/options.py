"""What all correctors by message passing can be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from irno_graph.graph.walls import wall_channels
from irno_graph.nn.messages import Memory


@dataclass(frozen=True)
class Options:
    """What a corrector is given beside x and h, and how it treats edges.

    Attributes:
        static: channels of `graph.static` `[nodes, static]`: node types, distances to a wall, material, ...
        walls: whether nodes know where the graph's boundary is (`graph.walls.wall_features`), after those.
        time: whether Phi depends on the time, `lead_time` whether on the lead time; both then have to be passed.
        lead_time: see `time`.
        invariant: whether moving, turning or reflecting the mesh changes nothing: edges are seen by their lengths
            alone, and coarser graphs are chosen by masses and lengths. For scalar fields.
        edge_hidden: channels that a layer makes of an edge's geometry, once per graph; 0 uses it as it is.
        memory: see `nn.messages.mean_messages`; "recompute" on a GPU where memory is short.
        small: gain of the last layer's initialisation, so that refinement starts near the base.
    """

    static: int = 0
    walls: bool = False
    time: bool = False
    lead_time: bool = False
    invariant: bool = False
    edge_hidden: int = 8
    memory: Memory = "auto"
    small: float = 0.1

    def __post_init__(self) -> None:
        if self.static < 0 or self.edge_hidden < 0:
            raise ValueError(
                f"`static` and `edge_hidden` should be 0 or more, got {self.static} and {self.edge_hidden}."
            )
        if self.walls and self.invariant:
            raise ValueError("`walls` should be False with `invariant`, got True: they have a direction.")
        if self.memory not in ("auto", "recompute", "keep"):
            raise ValueError(f"`memory` should be 'auto', 'recompute' or 'keep', got {self.memory!r}.")

    @property
    def times(self) -> int:
        """How many times Phi depends on."""
        return int(self.time) + int(self.lead_time)

    def node_features(self, dim: int) -> int:
        """Numbers that describe a node in `dim` dimensions, which x and h do not change."""
        return self.static + (wall_channels(dim) if self.walls else 0)

    def edge_features(self, dim: int) -> int:
        """Numbers that describe an edge in `dim` dimensions."""
        return 2 if self.invariant else dim + 2

    def config(self) -> dict[str, object]:
        """Constructor arguments."""
        return asdict(self)
