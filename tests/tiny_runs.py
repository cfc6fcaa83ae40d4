"""A config of whole training runs that take seconds, and its data: the wave of a single mode."""

from pathlib import Path

import h5py
import numpy as np

from irno_graph.mesh import periodic_box

CONFIG = """
name: tiny
folder: {folder}/run
data:
  folder: {folder}/data
  solver_res: 32
  final_time: 0.3
  train: [{{nodes: 80, trajectories: 3, seed: 1}}, {{nodes: 96, trajectories: 3, seed: 2}}]
  valid: [{{nodes: 80, trajectories: 2, seed: 3}}]
base: {{hidden: 8, processor_steps: 1, draws: 2, fit: {{optimizer_steps: {base}, batch_size: 4, epoch_batches: 4}}}}
corrector:
  {{hidden: 8, levels: 2, modes: 8, loss_modes: 8, steps: 2, single_steps: 3, refresh_every: 1, refresh_trajectories: 1,
    fit: {{optimizer_steps: {corrector}, batch_size: 4, epoch_batches: 4}}}}
"""


def write_set(path: Path, nodes: int, trajectories: int, seed: int) -> None:
    """A file as the generator writes it, of a travelling wave."""
    mesh = periodic_box(nodes, seed=seed)
    times = np.arange(4) * 0.1
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0, 2 * np.pi, (trajectories, 1, 1))
    wave = np.sin(2 * np.pi * mesh.points[:, 0] - 3 * times[:, None] + phase)  # [n, times, nodes]
    u = np.stack([0.1 + 0.001 * wave, wave, 0.5 * wave, 2.5 + 0.05 * wave, 6 + wave], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["u"], file["x"], file["t"] = u.astype(np.float32), mesh.points[None, None], times
        file["tri"] = mesh.cells_of("triangle").astype(np.int32)
        file.attrs.update(base_seed=seed, mesh_seed=seed, solver_res=32, points="mesh", period=[1.0, 1.0])


def config(folder: Path, base: int = 8, corrector: int = 6) -> Path:
    for name, nodes, count, seed in (("train-0", 80, 3, 1), ("train-1", 96, 3, 2), ("valid-0", 80, 2, 3)):
        write_set(folder / "data" / f"{name}.nc", nodes, count, seed)
    path = folder / "tiny.yaml"
    path.write_text(CONFIG.format(folder=folder, base=base, corrector=corrector))
    return path
