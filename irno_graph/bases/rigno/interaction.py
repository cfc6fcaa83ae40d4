"""One exchange of messages along an edge set, all at once or in pieces that fit into a processor's cache.

Source: RIGNO (arXiv 2501.19205), section 3. Tensors are `[rows, samples, channels]`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from irno_graph.bases.rigno.edges import Edges
from irno_graph.nn import Affine, Block, gather, segment_mean
from irno_graph.nn.blocks import add_product, affine_norm, perceptron
from irno_graph.nn.exchange import Given, Plan, exchange
from irno_graph.nn.pieces import OrderedEdges


class Interaction(nn.Module):
    """m = f(e, s, r) on the edges; r <- r + g(r, mean m) at the receivers.

    Args:
        message: f, of inputs edge, sender, receiver.
        update: g, of inputs receiver, mean message.
    """

    def __init__(self, message: Block, update: Block) -> None:
        super().__init__()
        self.message, self.update = message, update

    def forward(
        self,
        static: Tensor | None,
        edge: Tensor | None,
        sender: Tensor,
        receiver: Tensor,
        edges: Edges,
        affines: tuple[Affine, Affine],
    ) -> tuple[Tensor, Tensor | None]:
        """New receivers `[receivers, samples, channels]`, and `edge` + m where `edge` is given.

        Args:
            static: `[edges, 1, hidden]`, the first layer's part for edges that are the same for all samples.
            edge: `[edges, samples or 1, channels]`, else.
            sender: `[senders, samples or 1, channels]`; `receiver` `[receivers, samples or 1, channels]`.
            edges: who sends to whom.
            affines: of message and update.
        """
        weights, bias, rest = self.message.tensors
        first = gather(functional.linear(sender, weights[1], bias), edges.senders)
        first = first + gather(functional.linear(receiver, weights[2]), edges.receivers)
        if static is not None:
            first = first + static
        elif edge is not None:
            first = add_product(first, edge, weights[0])
        graphs = edges.receiver_graph
        of_edge = affines[0].of_rows(None if graphs is None else graphs[edges.receivers])
        message = affine_norm(perceptron(first, rest), *of_edge)
        mean = segment_mean(message, edges.receivers, edges.inverse_degree)
        new = receiver + self.update(receiver, mean, affine=affines[1].of_rows(graphs))
        return new, None if edge is None else edge + message

    def in_pieces(
        self,
        static: Tensor | None,
        edge: Tensor | None,
        sender: Tensor,
        receiver: Tensor,
        edges: OrderedEdges,
        affines: tuple[Affine, Affine],
        *,
        recompute: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """What `forward` returns, from edges and their features in the order of their receivers.

        A few thousand rows at a time, so that what lies between the layers stays in the cache; the result can be
        differentiated once. With `recompute` the backward pass computes again what lies between.
        """
        (edge_weight, sender_weight, receiver_weight), bias, rest = self.message.tensors
        update_weights, update_bias, update_rest = self.update.tensors
        weights = (edge_weight, receiver_weight, *rest, *update_weights, update_bias, *update_rest)
        samples = max(sender.shape[1], receiver.shape[1])
        rows = static if edge is None else edge.expand(-1, samples, -1)
        assert rows is not None
        sent = functional.linear(sender, sender_weight, bias).expand(-1, samples, -1)
        receiver = receiver.expand(-1, samples, -1)
        pieces = edges.pieces(samples, by_graph=len(affines[0].scale) > 1)
        plan = Plan(pieces, edge is None, len(rest), recompute)
        return exchange(plan, Given(rows, sent, receiver, *affines[0], *affines[1], weights))
