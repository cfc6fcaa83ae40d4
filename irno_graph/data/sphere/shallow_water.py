"""Files of shallow-water flows on a grid of the sphere, and of the same states on a coarser one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from irno_graph.data.blocks import Parts
from irno_graph.data.ce_gauss import snapshot_times
from irno_graph.data.sphere.file import Layout, write
from irno_graph.data.sphere.flow import DEPTH, ShallowWater
from irno_graph.data.sphere.solver import DAMPING, fields, solver_of, states
from irno_graph.files import atomic_path
from irno_graph.graph.spheres import SphereGrid, latitudes
from irno_graph.spectral.sphere import exact_degrees


def generate(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    flow: ShallowWater | None = None,
    seed: int = 0,
    nlat: int = 32,
    nlon: int = 64,
    grid: SphereGrid = "legendre-gauss",
    coarse: tuple[int, int] | None = None,
    save_every: float = 6.0,
    final_time: float = 72.0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Generate a file of shallow-water flows; it appears at `path` only when complete.

    The NetCDF4 file holds `height` (of the surface less its mean of 10 km, in m), `vorticity` and `divergence` (in
    1/s) [trajectory, time, lat, lon] float32, coordinates, and attributes that say how it was made; with `coarse` also
    `coarse_height` and so on, the same states on the coarser grid. Grids get the degrees of the solver's spherical
    harmonics whose squares they integrate exactly; nothing is interpolated.

    Trajectory i depends on `flow`, `seed` and i alone. Computed trajectories are kept in the folder `PATH.parts`
    until the file is complete: after an interruption the same call goes on, and gives the same values. It runs on one
    thread, whose order of summation is always the same.

    Args:
        path: file to write.
        trajectories: how many.
        flow: what is solved; default: random flows.
        seed: of the initial states.
        nlat: latitudes of the file's grid.
        nlon: longitudes of the file's grid.
        grid: "legendre-gauss", "equiangular" or "lobatto", of both grids.
        coarse: latitudes and longitudes of the coarser grid; None leaves it out.
        save_every: hours between snapshots; the first one is at the end of `flow.spin_up`.
        final_time: hour of the last snapshot after the spin-up, a multiple of `save_every`.
        progress: called as progress(done, total) after every trajectory.

    Raises:
        ValueError: for an argument out of its range, or `PATH.parts` of another call.
        FloatingPointError: naming trajectory and hour when a flow does not stay finite.
        ImportError: without torch-harmonics.
    """
    flow = ShallowWater() if flow is None else flow
    layout = Layout(nlat, nlon, grid, coarse)
    _check(trajectories, seed, flow, layout)
    times = snapshot_times(save_every, final_time)
    for name, hours in (
        ("save_every", save_every),
        ("final_time", final_time),
        ("spin_up", flow.spin_up),
    ):
        flow.steps(hours, name)
    solver_of(flow)
    attributes = _attributes(flow, layout, seed, times)
    parts = Parts.of(path, attributes)
    with _one_thread():
        for trajectory in range(trajectories):
            if parts.load(trajectory) is None:
                parts.save(trajectory, _solve(flow, layout, times, seed, trajectory))
            if progress is not None:
                progress(trajectory + 1, trajectories)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        write(file, layout, times, map(parts.take, range(trajectories)), trajectories)
        file.attrs.update(attributes)
    parts.remove()
    return Path(path)


def _solve(
    flow: ShallowWater, layout: Layout, times: np.ndarray, seed: int, trajectory: int
) -> dict[str, np.ndarray]:
    """One trajectory `[times, nlat, nlon, 3]` on each grid of `layout.shapes`."""
    gravity = float(solver_of(flow).gravity)
    found: dict[str, list[np.ndarray]] = {name: [] for name in layout.shapes}
    for state in states(flow, times, seed=seed, trajectory=trajectory):
        for name, shape in layout.shapes.items():
            values = fields(state, *shape, layout.grid, gravity=gravity)  # [nlat, nlon, 3]
            found[name].append(values.to(torch.float32).numpy())
    return {name: np.stack(values) for name, values in found.items()}


def _check(trajectories: int, seed: int, flow: ShallowWater, layout: Layout) -> None:
    if trajectories < 1:
        raise ValueError(f"`trajectories` should be at least 1, got {trajectories}: raise it.")
    if seed < 0:
        raise ValueError(f"`seed` should not be negative, got {seed}.")
    for nlat, nlon in layout.shapes.values():
        latitudes(nlat, layout.grid)
        if nlon < 4:
            raise ValueError(f"`nlon` should be at least 4, got {nlon}.")
    if layout.nlat > flow.solver_nlat or layout.nlon > 2 * flow.solver_nlat:
        raise ValueError(
            f"the file's grid of {layout.nlat} x {layout.nlon} should not be finer than the solver's of "
            f"{flow.solver_nlat} x {2 * flow.solver_nlat}: raise `solver_nlat`, or lower `nlat` and `nlon`."
        )
    if layout.coarse is not None:
        nlat, nlon = layout.coarse
        if nlat > layout.nlat or nlon > layout.nlon or (nlat, nlon) == (layout.nlat, layout.nlon):
            raise ValueError(
                f"`coarse` should be coarser than the file's grid of {layout.nlat} x {layout.nlon}, got "
                f"{nlat} x {nlon}."
            )


def _attributes(flow: ShallowWater, layout: Layout, seed: int, times: np.ndarray) -> dict[str, Any]:
    """What decides the values of a trajectory, and where they come from."""
    kept = {
        f"{name}_degrees": min(exact_degrees(*shape, layout.grid), flow.solver_degrees)
        for name, shape in layout.shapes.items()
    }
    return {
        "title": "Shallow water on the rotating earth", "generator": "irno_graph.data.sphere",
        "version": metadata.version("irno-graph"), "torch": str(torch.__version__),
        "torch_harmonics": metadata.version("torch-harmonics"),
        **asdict(flow), "published": int(flow.published), "seed": seed,
        "solver_grid": f"legendre-gauss {flow.solver_nlat} x {2 * flow.solver_nlat}",
        "solver_degrees": flow.solver_degrees, "depth": DEPTH, "damping_time": DAMPING,
        "scheme": "spherical harmonics, RK4, vorticity and divergence damped by the eighth derivative, float64",
        "grid": layout.grid, "nlat": layout.nlat, "nlon": layout.nlon,
        "save_every": float(times[1] - times[0]), "final_time": float(times[-1]),
        **({} if layout.coarse is None else {"coarse": list(layout.coarse)}), **kept,
    }  # fmt: skip


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
