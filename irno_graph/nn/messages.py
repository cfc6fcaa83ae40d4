"""Mean messages along edges without edge-sized matrix products, some thousand rows at a time, differentiated by hand.

What lies between nodes and nodes stays in the processor's cache; the backward pass computes it again, so that nothing
of the size of the edges is kept.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn import functional

from irno_graph.nn.modes import is_eager, is_transformed
from irno_graph.nn.pieces import OrderedEdges, Piece
from irno_graph.nn.segment import gather, segment_mean

Memory = Literal["auto", "recompute", "keep"]


class Messages(NamedTuple):
    """What messages are computed from.

    Attributes:
        sent: `[senders, samples, width]`.
        received: `[receivers, samples, width]`, None for messages that do not see their receiver.
        features: `[edges, features]` of the geometry alone, in the order of the edges.
        weight: `[2 * width, features]`: shift, then gate.
    """

    sent: Tensor
    received: Tensor | None
    features: Tensor
    weight: Tensor


def mean_messages(given: Messages, edges: OrderedEdges, memory: Memory = "auto") -> Tensor:
    """mean over edges e = (j, i) of silu(sent_j + received_i + S e) * (1 + G e) at i, `[receivers, samples, width]`.

    Args:
        given: nodes, geometry e and the weight [S; G].
        edges: sorted by receiver.
        memory: "recompute" computes edges in pieces, in the backward pass again; "keep" is plain torch, which keeps
            them; "auto" is the first on a CPU and the second elsewhere. Both give the same numbers, up to rounding,
            and derivatives of all orders. Compiled, under autocast, in transforms of `torch.func` and for dual
            numbers all are plain.
    """
    if not _in_pieces(given, memory):
        return _plain(given, edges)
    tensors = [part for part in given if part is not None]
    if torch.is_grad_enabled() and any(part.requires_grad for part in tensors):
        return _Mean.apply(edges, *given)
    return _run(given, edges)


def _in_pieces(given: Messages, memory: Memory) -> bool:
    if memory == "keep" or not is_eager(given.sent.device.type):
        return False
    tensors = [part for part in given if part is not None]
    alike = all(part.dtype == given.sent.dtype and unpack_dual(part).tangent is None for part in tensors)
    return alike and (memory == "recompute" or given.sent.device.type == "cpu")


def _plain(given: Messages, edges: OrderedEdges) -> Tensor:
    weight = given.weight.T.contiguous()  # its gradient is then the product of a fast shape
    shift, gate = torch.mm(given.features, weight).unsqueeze(1).chunk(2, dim=-1)
    message = gather(given.sent, edges.senders) + shift
    if given.received is not None:
        message = message + gather(given.received, edges.receivers)
    active = functional.silu(message)
    gated = torch.addcmul(active, active, gate)
    return segment_mean(gated, edges.receivers, edges.inverse_degree, pointers=edges.row_pointers)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: OrderedEdges, *tensors: Any) -> Tensor:
        ctx.edges, ctx.alone = edges, tensors[1] is None
        ctx.save_for_backward(*(part for part in tensors if part is not None))
        return _run(Messages(*tensors), edges)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        given = Messages(*ctx.saved_tensors) if not ctx.alone else _without_receiver(ctx.saved_tensors)
        if torch.is_grad_enabled() or is_transformed():  # differentiated or mapped in turn
            return None, *_plain_gradients(given, ctx.edges, grads[0], ctx.needs_input_grad[1:])
        return None, *_gradients(given, ctx.edges, grads[0].contiguous(), ctx.needs_input_grad[3])


def _without_receiver(saved: tuple[Tensor, ...]) -> Messages:
    sent, features, weight = saved
    return Messages(sent, None, features, weight)


def _plain_gradients(
    given: Messages, edges: OrderedEdges, grad: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        own = _views(given)
        value = _plain(own, edges)
    inputs = [part for part, needed in zip(own, wanted, strict=True) if part is not None and needed]
    found = iter(torch.autograd.grad(value, inputs, grad, create_graph=again))
    return tuple(next(found) if needed else None for needed in wanted)


def _views(given: Messages) -> Messages:
    """The same tensors, none of them the same as another or made of it: their gradients do not mix."""
    sent, received, features, weight = given
    return Messages(
        sent.view_as(sent),
        None if received is None else received.view_as(received),
        features.view_as(features),
        weight.view_as(weight),
    )


def _run(given: Messages, edges: OrderedEdges) -> Tensor:
    samples, width = given.sent.shape[1:]
    out = given.sent.new_zeros(len(edges.inverse_degree), samples, width)
    pieces, weight = edges.pieces(samples), given.weight.T.contiguous()
    space = _space(given, pieces, 2)
    for piece in pieces:
        value, other = (part[: len(piece.index)] for part in space)
        active = functional.silu(_before(given, weight, piece, value, other), inplace=True)
        _gate(given, weight, piece, active)
        total = out.flatten(1)[piece.receivers]
        total.index_add_(0, piece.index, active).mul_(piece.inverse.to(total.dtype).unsqueeze(1))
    return out


def _space(given: Messages, pieces: list[Piece], count: int) -> Tensor:
    """Room for `count` values of each edge of a piece, `[count, edges, samples * width]`."""
    most = max((len(piece.index) for piece in pieces), default=0)
    return given.sent.new_empty(count, most, given.sent.shape[1:].numel())


def _before(given: Messages, weight: Tensor, piece: Piece, value: Tensor, other: Tensor) -> Tensor:
    """Sums before the activation, `[edges, samples * width]`, in `value`; `other` is used up."""
    samples, width = given.sent.shape[1:]
    torch.index_select(given.sent.flatten(1), 0, piece.senders, out=value)
    features, shift = given.features[piece.edges], weight[:, :width]
    if samples == 1:
        value.addmm_(features, shift)
    else:
        value.view(len(value), samples, width).add_(torch.mm(features, shift).unsqueeze(1))
    if given.received is not None:
        received = given.received.flatten(1)[piece.receivers]
        value += torch.index_select(received, 0, piece.index, out=other)
    return value


def _gate(given: Messages, weight: Tensor, piece: Piece, value: Tensor) -> None:
    """`value` `[edges, samples * width]` times 1 + G e, in place."""
    samples, width = given.sent.shape[1:]
    by_sample = value.view(len(value), samples, width)
    by_sample.addcmul_(by_sample, torch.mm(given.features[piece.edges], weight[:, width:]).unsqueeze(1))


def _gradients(
    given: Messages, edges: OrderedEdges, grad: Tensor, for_features: bool
) -> tuple[Tensor | None, ...]:
    samples, width = given.sent.shape[1:]
    d_sent = torch.zeros_like(given.sent, memory_format=torch.contiguous_format)
    d_received = None if given.received is None else d_sent.new_zeros(grad.shape)
    # [features, 2 * width], as are its gradient and that of the features: products of this shape are the fast ones
    weight = given.weight.T.contiguous()
    d_weight = torch.zeros_like(weight)
    d_features = weight.new_empty(len(weight), len(given.features)) if for_features else None
    pieces = edges.pieces(samples)
    space = _space(given, pieces, 4)
    for piece in pieces:
        parts = space[:, : len(piece.index)]
        d_value, d_gate = _piece_gradients(given, weight, piece, grad.flatten(1), parts)
        d_sent.flatten(1).index_add_(0, piece.senders, d_value)
        if d_received is not None:
            d_received.flatten(1)[piece.receivers].index_add_(0, piece.index, d_value)
        d_shift, d_gate = (
            part if samples == 1 else part.view(len(part), samples, width).sum(1)
            for part in (d_value, d_gate)
        )
        features = given.features[piece.edges].T
        d_weight[:, :width].addmm_(features, d_shift)
        d_weight[:, width:].addmm_(features, d_gate)
        if d_features is not None:
            place = torch.mm(weight[:, :width], d_shift.T).addmm_(weight[:, width:], d_gate.T)
            d_features[:, piece.edges] = place
    return d_sent, d_received, None if d_features is None else d_features.T, d_weight.T


def _piece_gradients(
    given: Messages, weight: Tensor, piece: Piece, grad: Tensor, space: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the sums before the activation and of the gate, `[edges, samples * width]`, in `space`."""
    value, sigmoid, d_gated, product = space
    _before(given, weight, piece, value, sigmoid)
    torch.sigmoid(value, out=sigmoid)
    active = value.mul_(sigmoid)
    mean = grad[piece.receivers] * piece.inverse.to(grad.dtype).unsqueeze(1)
    torch.index_select(mean, 0, piece.index, out=d_gated)
    torch.mul(d_gated, active, out=product)
    _gate(given, weight, piece, d_gated)
    slope = active.addcmul_(active, sigmoid, value=-1.0).add_(sigmoid)
    return d_gated.mul_(slope), product
