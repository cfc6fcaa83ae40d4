"""A step size chosen on validation samples: the best one that is proven to contract, or else that was seen to."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph
from irno_graph.refine.certificate import FAR, Certificate, certify, contraction
from irno_graph.refine.irno import IRNO
from irno_graph.refine.loop import Status, refine

START = 0.25  # step size to the limit where the model has none yet
CANDIDATES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)


class AlphaChoice(NamedTuple):
    """What `choose_alpha` found.

    Attributes:
        alpha: the step size, which the model now has.
        proven: whether a certificate proves that it contracts on every sample.
        certificate: of the samples; q and floor are those of the step size that the model had before.
        candidates: step sizes that were tried, empty where one is proven.
        contraction: the largest observed contraction over the samples for each of them.
        score: error after K steps for each of them, mean over the samples; without a truth the residual.
    """

    alpha: float
    proven: bool
    certificate: Certificate
    candidates: tuple[float, ...]
    contraction: tuple[float, ...]
    score: tuple[float, ...]


def choose_alpha(
    model: IRNO,
    x: Tensor,
    graph: Graph,
    truth: Tensor | None = None,
    *,
    time: Time = None,
    lead_time: Time = None,
    iterations: int = 60,
) -> AlphaChoice:
    """Give the model the step size that validation samples x `[samples, nodes, in_channels]` ask for.

    Where certificates have m > 0 for all samples: the least m / M_A^2 over them, which makes the bound
    q^2 <= 1 - 2 alpha m + alpha^2 M_A^2 least for the sample that allows least. Otherwise of `CANDIDATES` those
    whose steps shrink in the later half of 8 K steps for every sample, and of these the one with the least error after
    the model's K steps, or without a truth the least residual |Phi(x, h_K)|.

    Args:
        model: refined operator; a schedule of step sizes is replaced.
        x: inputs that were not trained on.
        graph: of x.
        truth: `[samples, nodes, channels]`.
        time: as the model takes it.
        lead_time: likewise.
        iterations: products with the Jacobian, see `certify`.

    Raises:
        ValueError: if no step size down to 0.05 is seen to contract.
    """
    before = model.alpha
    if math.isnan(before):
        model.alpha = START
    try:
        found = certify(model, x, graph, truth, time=time, lead_time=lead_time, iterations=iterations)
    finally:
        model.alpha = before
    if bool((found.alpha_max > 0).all()):
        best = (found.monotonicity / found.bound.square()).min()
        model.schedule, model.alpha = None, float(best.clamp(max=1.0))
        return AlphaChoice(model.alpha, True, found, (), (), ())
    phi = model.correction(x, graph, time=time, lead_time=lead_time)
    with torch.no_grad():
        start = model(x, graph, steps=0, time=time, lead_time=lead_time).value
    space = model.space(start, graph)
    seen, score = [], []
    for alpha in CANDIDATES:
        with torch.no_grad():
            out = refine(phi, start, graph, steps=FAR * max(model.steps, 1), alpha=alpha)
            ended = bool((out.status == int(Status.NOT_FINITE)).any())
            seen.append(float("inf") if ended else float(contraction(out.states, space).max()))
            state = out.states[model.steps]
            wrong = phi(state) if truth is None else state - truth
        score.append(float("inf") if ended else float(space.norm(wrong).mean()))
    allowed = [number for number, rate in enumerate(seen) if rate < 1]
    if not allowed:
        raise ValueError(
            f"no step size from {CANDIDATES[0]} down to {CANDIDATES[-1]} is seen to contract on these samples, the "
            f"least growth is {min(seen):.3f}: refine no further than the trained steps, or train for contraction."
        )
    model.schedule, model.alpha = None, CANDIDATES[min(allowed, key=lambda number: score[number])]
    return AlphaChoice(model.alpha, False, found, CANDIDATES, tuple(seen), tuple(score))
