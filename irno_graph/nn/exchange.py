"""Messages along edges and what the receivers make of them, some thousand rows at a time, differentiated by hand.

What lies between the inputs and the outputs stays in the processor's cache. For the backward pass the sums before each
silu and layer norm are kept, or nothing, and all of it is computed again. Tensors are `[rows, samples, channels]`; in
here rows and samples are one axis, samples fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from irno_graph.nn.blocks import EPS
from irno_graph.nn.pieces import Piece

aten = torch.ops.aten


class Plan(NamedTuple):
    """What an exchange consists of.

    Attributes:
        pieces: of the edges, which are in the order of their receivers.
        static: whether the edges are given as their part of the first layer, the same for all samples; they have no
            new value then.
        depth: number of the message's tensors (W, b, W, b, ...) after its first layer.
        recompute: whether the backward pass computes all again instead of having it kept.
    """

    pieces: list[Piece]
    static: bool
    depth: int
    recompute: bool


class Given(NamedTuple):
    """The tensors that an exchange is computed from.

    Attributes:
        edge: `[edges, samples, channels]`, static `[edges, 1, hidden]`.
        sent: `[senders, samples, hidden]`, the senders' part of the message's first layer, bias included.
        receiver: `[receivers, samples, channels]`.
        scale: `[graphs, samples or 1, channels]` after the message's layer norm, as is `shift`.
        update_scale: the same for the update, as is `update_shift`.
        weights: of the message's first layer for edge and receiver, its later W, b, ..., then of the update's first
            layer for receiver and mean, its bias, its later W, b, ...
    """

    edge: Tensor
    sent: Tensor
    receiver: Tensor
    scale: Tensor
    shift: Tensor
    update_scale: Tensor
    update_shift: Tensor
    weights: tuple[Tensor, ...]

    @staticmethod
    def of(tensors: Sequence[Tensor]) -> Given:
        """From all tensors in a row."""
        edge, sent, receiver, scale, shift, update_scale, update_shift, *weights = tensors
        return Given(edge, sent, receiver, scale, shift, update_scale, update_shift, tuple(weights))


def exchange(plan: Plan, given: Given) -> tuple[Tensor, Tensor | None]:
    """r + g(r, mean m) `[receivers, samples, channels]`, and e + m `[edges, samples, channels]` unless `plan.static`.

    m = f(e, s, r) on each edge; f and g are perceptrons with silu and a layer norm at the end.
    """
    tensors = (*given[:-1], *given.weights)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Exchange.apply(plan, *tensors)
    return _run(plan, given)


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, Tensor | None]:
        ctx.plan = plan
        ctx.save_for_backward(*tensors)
        ctx.kept = [] if plan.recompute else [_Kept([], [], []) for _ in plan.pieces]
        return _run(plan, Given.of(tensors), ctx.kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_new: Tensor, d_edge: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        given = Given.of(tensors)
        grads = [value.new_zeros(value.shape) for value in tensors]
        for piece in ctx.plan.pieces:
            kept = ctx.kept.pop(0) if ctx.kept else _again(ctx.plan, piece, given)
            _backward(ctx.plan, piece, given, Given.of(grads), kept, d_new, d_edge)
        return None, *grads


class _Kept(NamedTuple):
    """What a piece's backward pass needs beside the inputs, once the forward pass has filled it in."""

    message: list[Tensor]  # sums before each silu and the layer norm
    update: list[Tensor]
    mean: list[Tensor]  # one: the mean messages


def _run(plan: Plan, given: Given, kept: Sequence[_Kept] = ()) -> tuple[Tensor, Tensor | None]:
    receiver = given.receiver
    new = receiver.new_empty(receiver.shape)
    edge = None if plan.static else receiver.new_empty(given.edge.shape)
    for number, piece in enumerate(plan.pieces):
        nodes = receiver[piece.receivers].flatten(0, 1)
        message, update = _values(plan, piece, given, nodes, kept[number] if kept else None)
        torch.add(nodes, update, out=new[piece.receivers].view_as(nodes))
        if edge is not None:
            torch.add(_edge(piece, given), message, out=edge[piece.edges].view_as(message))
    return new, edge


def _values(
    plan: Plan, piece: Piece, given: Given, nodes: Tensor, kept: _Kept | None
) -> tuple[Tensor, Tensor]:
    """Messages `[edges x samples, channels]` and updates `[receivers x samples, channels]` of one piece."""
    rest, (node_weight, mean_weight, bias, *update_rest) = _later(plan, given)
    graph = piece.graph
    value = _perceptron(_first(plan, piece, given), rest, None if kept is None else kept.message)
    message = _norm(value, given.scale[graph], given.shift[graph])
    mean = _mean(piece, message, given.sent.shape[1])
    value = functional.linear(nodes, node_weight, bias).addmm_(mean, mean_weight.T)
    value = _perceptron(value, update_rest, None if kept is None else kept.update)
    if kept is not None:
        kept.mean.append(mean)
    return message, _norm(value, given.update_scale[graph], given.update_shift[graph])


def _again(plan: Plan, piece: Piece, given: Given) -> _Kept:
    """What was not kept."""
    kept = _Kept([], [], [])
    _values(plan, piece, given, given.receiver[piece.receivers].flatten(0, 1), kept)
    return kept


def _later(plan: Plan, given: Given) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The message's tensors after its first layer, and all of the update."""
    return given.weights[2 : 2 + plan.depth], given.weights[2 + plan.depth :]


def _edge(piece: Piece, given: Given) -> Tensor:
    return given.edge[piece.edges].flatten(0, 1)


def _first(plan: Plan, piece: Piece, given: Given) -> Tensor:
    """The message's first sums `[edges x samples, hidden]`."""
    hidden, samples = given.sent.shape[-1], given.sent.shape[1]
    first = given.sent.flatten(1).index_select(0, piece.senders)
    received = torch.mm(given.receiver[piece.receivers].flatten(0, 1), given.weights[1].T)
    first += received.view(-1, samples * hidden).index_select(0, piece.index)
    if plan.static:
        first.view(-1, samples, hidden).add_(given.edge[piece.edges])
        return first.view(-1, hidden)
    return first.view(-1, hidden).addmm_(_edge(piece, given), given.weights[0].T)


def _mean(piece: Piece, message: Tensor, samples: int) -> Tensor:
    """Mean message `[receivers x samples, channels]`."""
    rows = message.view(-1, samples * message.shape[1])  # [edges, samples x channels]
    total = rows.new_zeros(len(piece.inverse), rows.shape[1]).index_add_(0, piece.index, rows)
    return total.mul_(piece.inverse.unsqueeze(1)).view(-1, message.shape[-1])


def _perceptron(value: Tensor, rest: Sequence[Tensor], kept: list[Tensor] | None) -> Tensor:
    """The layers after the first; `value` and all later sums go into `kept`, else `value` is used up."""
    for weight, bias in zip(rest[::2], rest[1::2], strict=True):
        if kept is not None:
            kept.append(value)
        value = functional.linear(functional.silu(value, inplace=kept is None), weight, bias)
    if kept is not None:
        kept.append(value)
    return value


def _norm(value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm of `value` `[rows x samples, channels]`, then scale and shift `[samples or 1, channels]`."""
    width = (value.shape[-1],)
    if len(scale) == 1:
        return functional.layer_norm(value, width, scale[0], shift[0], EPS)
    normed = functional.layer_norm(value, width, eps=EPS)
    normed.view(-1, *scale.shape).mul_(scale).add_(shift)
    return normed


def _backward(
    plan: Plan, piece: Piece, given: Given, grads: Given, kept: _Kept, d_new: Tensor, d_edge: Tensor | None
) -> None:
    """Add what one piece gives to the gradients."""
    rest, update = _later(plan, given)
    d_rest, d_update = _later(plan, grads)
    graph, nodes = piece.graph, given.receiver[piece.receivers].flatten(0, 1)
    d_nodes = d_new[piece.receivers].reshape(nodes.shape)
    d_nodes, d_mean = _update_backward(piece, given, grads, kept, nodes, d_nodes, update, d_update)
    d_mean = d_mean.view(len(piece.inverse), -1).mul_(piece.inverse.unsqueeze(1))
    d_message = d_mean.index_select(0, piece.index).view(kept.message[-1].shape)
    d_edge = None if d_edge is None else d_edge[piece.edges].reshape(d_message.shape)  # of e + m
    if d_edge is not None:
        d_message += d_edge
    d_value = _norm_backward(
        d_message, kept.message[-1], given.scale[graph], grads.scale[graph], grads.shift[graph]
    )
    d_first = _perceptron_backward(d_value, kept.message, rest, d_rest)
    _first_backward(plan, piece, given, grads, nodes, d_nodes, d_first, d_edge)


def _update_backward(
    piece: Piece,
    given: Given,
    grads: Given,
    kept: _Kept,
    nodes: Tensor,
    d_new: Tensor,
    update: Sequence[Tensor],
    d_update: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """The gradients of the receivers and of their mean messages, `[receivers x samples, channels]`."""
    node_weight, mean_weight, _, *rest = update
    d_node_weight, d_mean_weight, d_bias, *d_rest = d_update
    graph = piece.graph
    d_value = _norm_backward(
        d_new,
        kept.update[-1],
        given.update_scale[graph],
        grads.update_scale[graph],
        grads.update_shift[graph],
    )
    d_first = _perceptron_backward(d_value, kept.update, rest, d_rest)
    d_node_weight.addmm_(d_first.T, nodes)
    d_mean_weight.addmm_(d_first.T, kept.mean[0])
    d_bias += d_first.sum(0)
    return torch.addmm(d_new, d_first, node_weight), torch.mm(d_first, mean_weight)


def _first_backward(
    plan: Plan,
    piece: Piece,
    given: Given,
    grads: Given,
    nodes: Tensor,
    d_nodes: Tensor,
    d_first: Tensor,
    d_edge: Tensor | None,
) -> None:
    """Add to the gradients of edges, senders and receivers; uses `d_nodes` up."""
    samples, hidden = given.sent.shape[1:]
    by_edge = d_first.view(-1, samples * hidden)  # [edges, samples x hidden]
    if plan.static:
        grads.edge[piece.edges] = by_edge.view(-1, samples, hidden).sum(1, keepdim=True)
    else:
        grads.weights[0].addmm_(d_first.T, _edge(piece, given))
        place = grads.edge[piece.edges].flatten(0, 1)
        torch.mm(d_first, given.weights[0], out=place)
        if d_edge is not None:
            place += d_edge
    grads.sent.flatten(1).index_add_(0, piece.senders, by_edge)
    d_received = by_edge.new_zeros(len(piece.inverse), by_edge.shape[1]).index_add_(0, piece.index, by_edge)
    d_received = d_received.view(-1, hidden)
    grads.weights[1].addmm_(d_received.T, nodes)
    d_nodes.addmm_(d_received, given.weights[1])
    grads.receiver[piece.receivers] = d_nodes.view(-1, samples, nodes.shape[1])


def _perceptron_backward(
    d_value: Tensor, kept: Sequence[Tensor], rest: Sequence[Tensor], d_rest: Sequence[Tensor]
) -> Tensor:
    """The gradient of the first sums; those of the weights are added to `d_rest`."""
    for number in range(len(rest) // 2 - 1, -1, -1):
        before = kept[number]
        d_rest[2 * number].addmm_(d_value.T, functional.silu(before))
        d_rest[2 * number + 1].add_(d_value.sum(0))
        d_value = aten.silu_backward(torch.mm(d_value, rest[2 * number]), before)
    return d_value


def _norm_backward(d: Tensor, value: Tensor, scale: Tensor, d_scale: Tensor, d_shift: Tensor) -> Tensor:
    """The gradient of what is normed; those of scale and shift are added to `d_scale` and `d_shift`."""
    width = [value.shape[-1]]
    normed, mean, deviation = aten.native_layer_norm(value, width, None, None, EPS)
    if len(scale) == 1:
        made = aten.native_layer_norm_backward(
            d, value, width, mean, deviation, scale[0], scale[0], [True, True, True]
        )
        d_scale[0] += made[1]
        d_shift[0] += made[2]
        return made[0]
    by_sample = d.view(-1, *scale.shape)  # [rows, samples, channels]
    d_shift += by_sample.sum(0)
    d_scale += normed.view_as(by_sample).mul_(by_sample).sum(0)
    d, only = (by_sample * scale).view(value.shape), [True, False, False]
    return aten.native_layer_norm_backward(d, value, width, mean, deviation, None, None, only)[0]
