"""A mesh of 2 million nodes refined by `irno-graph refine --parts`: memory of its processes, time, errors.

    python benchmarks/huge_mesh.py [--nodes 2000000] [--parts 32] [--folder build/huge_mesh] [--out FILE.json]

The operator's answers are the truth, waves of 16 to 64 spacings in random directions, with white noise at every node,
a tenth of the waves' root mean square; its input is the answer. `irno-graph fit` trains a corrector (4 steps) on
`TRAIN_NODES` nodes; its samples and meshes are other ones. Then `irno-graph refine` reads the huge mesh (VTU) and the
answers (HDF5), refines and writes. The memory is what the command and the processes that it starts hold together,
looked at 20 times a second; the log is what the command printed. Files that are there already are taken as they are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from harness import about, markdown_table, sentence, write_json

from irno_graph.files import atomic_path
from irno_graph.mesh import Mesh, write_mesh
from meshes import square

TRAIN_NODES, SAMPLES, STEPS, NOISE = 2_500, 32, 4, 0.1
COMMAND = [sys.executable, "-m", "irno_graph"]


def write_answers(path: Path, mesh: Mesh, samples: int, seed: int) -> None:
    """`x`, `h` and `truth` [samples, nodes, 1]."""
    generator = np.random.default_rng(seed)
    spacing = len(mesh.points) ** -0.5
    truth = np.zeros((samples, len(mesh.points), 1), dtype=np.float32)
    for own in truth:
        for _ in range(8):
            angle, phase = generator.uniform(0.0, 2.0 * np.pi, 2)
            length = spacing * generator.uniform(16.0, 64.0)
            along = mesh.points @ np.array([np.cos(angle), np.sin(angle)])
            own[:, 0] += 0.5 * np.sin(2.0 * np.pi * along / length + phase)
    noise = generator.standard_normal(truth.shape, dtype=np.float32)
    answer = truth + NOISE * np.sqrt(np.mean(truth**2)) * noise
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["x"], file["h"], file["truth"] = answer, answer, truth


def made(folder: Path, name: str, nodes: int, samples: int, seed: int) -> tuple[Path, Path]:
    """Files of a mesh and of answers on it."""
    mesh_file, answers = folder / f"{name}.vtu", folder / f"{name}.h5"
    if not answers.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        mesh = square(nodes)
        write_mesh(mesh_file, mesh)
        write_answers(answers, mesh, samples, seed)
    return mesh_file, answers


def trained(folder: Path) -> Path:
    """The corrector."""
    model = folder / "model.safetensors"
    if not model.is_file():
        mesh, answers = made(folder, "small", TRAIN_NODES, SAMPLES, seed=1)
        options = ["--hidden", "64", "--steps", str(STEPS), "--optimizer-steps", "250", "--batch", "4"]
        subprocess.run([*COMMAND, "fit", str(mesh), str(answers), "--out", str(model), *options], check=True)
    return model


def held(process: int) -> float:
    """MiB of a process and of those that it has started (Linux)."""
    total, waiting = 0.0, [process]
    while waiting:
        here = waiting.pop()
        try:
            status = Path(f"/proc/{here}/status").read_text().splitlines()
            total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
            for task in Path(f"/proc/{here}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue  # it has ended
    return total


def watched(command: list[str], log: Path, threads: int) -> dict[str, float]:
    """GiB at the peak and seconds of a command whose output goes to `log`."""
    before, began, peak = os.times(), time.perf_counter(), 0.0
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "COLUMNS": "120"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            peak = max(peak, held(process.pid))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with code {process.returncode}:\n{log.read_text()[-2000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"peak_gib": peak / 1024, "wall_s": time.perf_counter() - began, "cpu_s": cpu}


def main() -> None:
    """Train, make the mesh, refine, print and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=2_000_000)
    parser.add_argument("--parts", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("build/huge_mesh"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    here = about("meshio")
    print(sentence(here), flush=True)
    model = trained(given.folder)
    mesh, answers = made(given.folder, f"square-{given.nodes}", given.nodes, 1, seed=2)
    out, log = given.folder / "refined.h5", given.folder / "refine.log"
    command = [*COMMAND, "refine", str(mesh), str(answers), "--model", str(model), "--out", str(out)]
    command += ["--steps", str(STEPS)]
    found: dict[str, Any] = watched([*command, "--parts", str(given.parts)], log, given.threads)
    with h5py.File(answers) as before, h5py.File(out) as after:
        truth = before["truth"][:]
        norm = float(np.sqrt(np.mean(truth**2)))
        for name, file, key in (("given", before, "h"), ("refined", after, "value")):
            found[name] = float(np.sqrt(np.mean((file[key][:] - truth) ** 2))) / norm
        found |= {"nodes": truth.shape[-2], "steps": int(after["steps_taken"][0]), "parts": given.parts}
    print(log.read_text(), flush=True)
    names = ("nodes", "steps", "parts", "peak_gib", "wall_s", "cpu_s", "given", "refined")
    print(markdown_table(names, [[f"{found[name]:.4g}" for name in names]], words=0))
    if given.out:
        write_json(given.out, {"threads": given.threads, "log": log.read_text().splitlines(), **found}, here)


if __name__ == "__main__":
    main()
