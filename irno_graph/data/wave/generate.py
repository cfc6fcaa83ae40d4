"""Files of waves on one domain, in RIGNO's layout."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from irno_graph.data.blocks import write_in_blocks
from irno_graph.data.ce_gauss import snapshot_times
from irno_graph.data.flows import hashed_seeds
from irno_graph.data.wave.domain import Domain
from irno_graph.data.wave.equation import WaveEquation
from irno_graph.data.wave.initial import Draw, Waves

NAME = zlib.crc32(b"wave")


def generate(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    domain: Domain | None = None,
    waves: Waves | None = None,
    seed: int = 0,
    save_every: float = 0.1,
    final_time: float = 1.0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Generate a file of waves; it appears at `path` only when complete.

    The HDF5 file holds `u` [trajectories, times, nodes, 2] float32 (u, u_t; the speed c as a third channel where it
    varies), `x` [1, 1, nodes, dim], `t` [times], the `seed` [trajectories] of each trajectory, cells (triangles as
    `tri`, others by meshio's names) and attributes that say how it was made; `period` is 0 for an axis that is not
    periodic. Trajectory i depends on `domain`, `waves`, `seed` and i alone. Finished ones are kept in the folder
    `PATH.parts`: after an interruption the same call goes on.

    Args:
        path: file to write.
        trajectories: how many.
        domain: default: 1024 nodes of the periodic unit square.
        waves: what is solved; default: Gaussian bumps at rest.
        seed: base seed of the trajectories.
        save_every: time between snapshots, the first one is at t = 0.
        final_time: time of the last snapshot, a multiple of `save_every`.
        batch: trajectories that are solved at once.
        progress: called as progress(done, total) after every batch.

    Raises:
        ValueError: for an argument out of its range, or `PATH.parts` of another call.
    """
    for name, value in (("trajectories", trajectories), ("batch", batch)):
        if value < 1:
            raise ValueError(f"`{name}` should be at least 1, got {value}: raise it.")
    waves = Waves() if waves is None else waves
    times = snapshot_times(save_every, final_time)
    seeds = hashed_seeds(seed, trajectories, NAME)
    domain = Domain.box() if domain is None else domain
    equation = WaveEquation.of(domain.graph, domain.fixed)
    steps = equation.steps(save_every, waves.fastest, time_step=waves.time_step)
    with threadpool_limits(1, user_api="blas"):
        draw = Draw(domain, waves)
        return write_in_blocks(
            path,
            lambda part: solve(equation, draw, part, times, steps=steps),
            seeds=seeds,
            times=times,
            geometry={"x": domain.graph.pos.numpy(), **domain.cells, "fixed": domain.fixed.astype(np.uint8)},
            attributes=_attributes(domain, waves, seed, save_every / steps),
            batch=batch,
            progress=progress,
        )


def solve(
    equation: WaveEquation, draw: Draw, seeds: np.ndarray, times: np.ndarray, *, steps: int
) -> np.ndarray:
    """The trajectories of `seeds` `[trajectories, times, nodes, channels]`, float32.

    Args:
        equation: on the domain.
        draw: initial states.
        seeds: `[trajectories]`.
        times: equidistant from 0.
        steps: between two of them.
    """
    u, v, speed = draw(seeds)
    time_step = float(times[1] - times[0]) / steps
    later = itertools.islice(
        equation.march(u, v, speed=speed, time_step=time_step, steps=steps), len(times) - 1
    )
    result = np.empty((len(seeds), len(times), len(u), len(draw.waves.channels)), dtype=np.float32)
    for snapshot, fields in enumerate(itertools.chain([(u, v)], later)):
        for channel, field in enumerate((*fields, speed)[: result.shape[-1]]):
            result[:, snapshot, :, channel] = field.T
    return result


def _attributes(domain: Domain, waves: Waves, seed: int, time_step: float) -> dict[str, Any]:
    return {
        "title": "Waves", "flow": "wave", "channels": list(waves.channels),
        "generator": "irno_graph.data.wave", "base_seed": seed,
        **asdict(waves), "time_step": time_step,
        "scheme": "linear elements with lumped mass, leap-frog, float64", **domain.attributes,
    }  # fmt: skip
