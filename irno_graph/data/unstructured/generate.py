"""Files of CE-Gauss with obstacles: one per geometry, in RIGNO's layout."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from threadpoolctl import threadpool_limits

from irno_graph.data.blocks import write_in_blocks
from irno_graph.data.ce_gauss import CHANNELS, snapshot_times
from irno_graph.data.euler import GAMMA
from irno_graph.data.flows import OBSTACLES, hashed_seeds
from irno_graph.data.readers.hdf5 import opened
from irno_graph.data.readers.mesh_trajectories import MeshTrajectories
from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.flow import Flow, Solver
from irno_graph.data.unstructured.geometry import MedianDual

NAME, SHAPES = zlib.crc32(OBSTACLES.encode()), zlib.crc32(b"obstacles")
BATCH = 32  # trajectories between two looks at the disk, two groups of the solver
FILE = "geometry_{:03d}.nc"


def generate_obstacles(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    geometries: int = 1,
    domain: Domain | None = None,
    nodes: int = 1024,
    holes: int = 3,
    flow: Flow | None = None,
    seed: int = 0,
    save_every: float = 0.1,
    final_time: float = 0.7,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Generate CE-Gauss between walls: Euler flows from random vortices in boxes with holes, or on a mesh.

    gamma, density, pressure and vortices are CE-Gauss's; nothing flows through the walls. Where `flow.fine` is set, the
    flow is solved on the mesh with each triangle split in four that often (new nodes on circles where they lie on
    holes), whose nodes hold those of the file, and the values there are written.

    Each file holds `u` [trajectories, times, nodes, 5] float32 (rho, vx, vy, p, E), `x` [1, 1, nodes, 2], `t`,
    triangles `tri`, which leave holes out, `wall` [nodes], `holes` [holes, 3] (x, y, radius) where they are circles,
    the `seed` of each trajectory, and attributes that say how it was made; `open_data` reads it. Trajectory k of
    geometry g depends on (seed, g, k) and the settings alone. What is finished is kept: after an interruption the same
    call goes on, and gives the same files.

    Args:
        path: file to write; with several geometries a folder of files geometry_000.nc and so on, see `open_geometries`.
        trajectories: how many in all, shared evenly among the geometries.
        geometries: boxes with other holes and other meshes.
        domain: one that is given, instead of boxes with holes.
        nodes: of each box.
        holes: in each box.
        flow: default: widths from 0.03 on, solved on the nodes of the file.
        seed: base seed of geometries and trajectories.
        save_every: time between snapshots, the first one is at t = 0.
        final_time: time of the last snapshot, a multiple of `save_every`.
        threads: default: the CPUs this process may use; values do not depend on it.
        progress: called as progress(done, total) in trajectories.

    Returns:
        The files.

    Raises:
        ValueError: for an argument out of its range, what is left of another call, or, naming seed and time, a
            trajectory whose density or pressure does not stay positive.
        ImportError: when numba is missing.
    """
    for name, value, least in (("geometries", geometries, 1), ("trajectories", trajectories, geometries)):
        if value < least:
            raise ValueError(f"`{name}` should be at least {least}, got {value}: raise it.")
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` should be at least 1, got {threads}: leave it out to use all CPUs.")
    if domain is not None and geometries > 1:
        raise ValueError(f"`geometries` should be 1 for a domain that is given, got {geometries}.")
    targets = _targets(Path(path), geometries)
    flow, times = flow or Flow(), snapshot_times(save_every, final_time)
    shapes = hashed_seeds(seed, geometries, SHAPES)
    counts = [len(part) for part in np.array_split(np.arange(trajectories), geometries)]
    cpus = threads or _available_cpus()
    report = _Together(progress, trajectories, geometries)

    def write(number: int) -> Path:
        place = domain or Domain.drawn(nodes, holes=holes, seed=int(shapes[number]))
        about: dict[str, Any] = {"base_seed": seed, "geometry": number}
        if domain is None:
            about |= {"geometry_seed": int(shapes[number])}
        seeds = hashed_seeds(seed, counts[number], NAME, number)
        inner = max(1, cpus // geometries)
        return _write(targets[number], place, flow, seeds, times, about, inner, report.of(number))

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(cpus, geometries)) as pool:
        tasks = [pool.submit(write, number) for number in range(geometries)]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def open_geometries(folder: str | os.PathLike[str]) -> list[MeshTrajectories]:
    """The files geometry_000.nc, geometry_001.nc ... of a folder that `generate_obstacles` wrote, in this order.

    Raises:
        ValueError: if there is none, or one is damaged.
    """
    found = sorted(Path(folder).glob(FILE.format(0).replace("000", "[0-9]*")))
    if not found:
        raise ValueError(f"`{folder}` should hold {FILE.format(0)} and so on, found none: check the path.")
    return [MeshTrajectories(path) for path in found]


class _Together:
    """Progress of all geometries as one."""

    def __init__(self, tell: Callable[[int, int], None] | None, total: int, geometries: int) -> None:
        self.tell, self.total, self.done, self.lock = tell, total, [0] * geometries, threading.Lock()

    def of(self, number: int) -> Callable[[int, int], None]:
        def progress(done: int, _: int) -> None:
            with self.lock:
                self.done[number] = done
                if self.tell is not None:
                    self.tell(sum(self.done), self.total)

        return progress


def _targets(path: Path, geometries: int) -> list[Path]:
    if geometries == 1:
        if path.is_dir():
            raise ValueError(f"`{path}` should be a file to write, found a folder: name a file in it.")
        return [path]
    if path.suffix or path.is_file():
        raise ValueError(
            f"`{path}` should be a folder for {geometries} geometries, one file each: leave the suffix out."
        )
    return [path / FILE.format(number) for number in range(geometries)]


def _write(
    path: Path,
    domain: Domain,
    flow: Flow,
    seeds: np.ndarray,
    times: np.ndarray,
    about: dict[str, Any],
    threads: int,
    progress: Callable[[int, int], None],
) -> Path:
    nodes = len(domain.mesh.points)
    geometry = {"x": domain.mesh.points, "tri": domain.mesh.cells_of("triangle").astype(np.int32)}
    geometry["wall"] = _wall_nodes(domain).astype(np.uint8)
    if domain.holes is not None:
        geometry["holes"] = np.column_stack([domain.holes.centres, domain.holes.radii])
    attributes = {**_attributes(domain, flow), **about}
    if _is_there(path, attributes, geometry, seeds, times):
        progress(len(seeds), len(seeds))
        return path
    made: list[Solver] = []

    def states(part: np.ndarray) -> np.ndarray:
        if not made:
            made.append(Solver(domain, flow, times, threads=threads))
        rho, vx, vy, p = np.moveaxis(made[0].states(part, nodes), -1, 0)
        return np.stack([rho, vx, vy, p, p / (GAMMA - 1) + 0.5 * rho * (vx**2 + vy**2)], axis=-1)

    return write_in_blocks(
        path,
        states,
        seeds=seeds,
        times=times,
        geometry=geometry,
        attributes=attributes,
        batch=BATCH,
        progress=progress,
    )


def _wall_nodes(domain: Domain) -> np.ndarray:
    dual = MedianDual.of(domain.mesh, wall=domain.wall)
    found = np.zeros(len(domain.mesh.points), dtype=bool)
    found[dual.sides[dual.wall].ravel()] = True
    return found


def _is_there(
    path: Path,
    attributes: dict[str, Any],
    geometry: dict[str, np.ndarray],
    seeds: np.ndarray,
    times: np.ndarray,
) -> bool:
    """Whether `path` is already what this call would write."""
    if not path.is_file():
        return False
    try:
        with opened(path) as file:
            return (
                all(np.array_equal(file.attrs[name], value) for name, value in attributes.items())
                and np.array_equal(file["seed"], seeds)
                and np.array_equal(file["t"], times)
                and np.array_equal(np.asarray(file["x"])[0, 0], geometry["x"])
                and isinstance(file["u"], h5py.Dataset)
            )
    except (ValueError, KeyError, OSError):
        return False


def _attributes(domain: Domain, flow: Flow) -> dict[str, Any]:
    return {
        "title": "CE-Gauss with obstacles", "flow": OBSTACLES, "channels": list(CHANNELS), "gamma": GAMMA,
        "domain": "mesh", "period": [length or 0.0 for length in domain.mesh.period or (None, None)],
        "generator": "irno_graph.data.unstructured",
        "mesh": "own" if domain.holes is None else "unit box with circular holes, relaxed Delaunay triangles",
        "walls": "slip" if domain.wall is None else "slip where `wall` is set, open to fluid at rest elsewhere",
        "scheme": "finite volumes on median duals, least-squares slopes, U-MUSCL (kappa 1/3), HLLC, SSP-RK3, float64",
        "initial": "vorticity of 100 Gaussians, -lap psi = w0 by linear elements, psi = 0 on the boundary",
        "sampling": "nodes of the file are nodes of the solver's finer mesh" if flow.fine else "the solver's nodes",
        **asdict(flow),
    }  # fmt: skip


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
