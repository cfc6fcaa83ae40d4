"""The runs that `kill_resume.py` kills: tiny configs, their commands, and processes."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = """
  solver_res: 32
  final_time: 0.2
  train: [{nodes: 64, trajectories: 2, seed: 1}, {nodes: 72, trajectories: 2, seed: 2}]
  valid: [{nodes: 64, trajectories: 2, seed: 3}]
"""
FIT = "batch_size: 2, epoch_batches: 3, validate_every: 1"
MODELS = f"""
base: {{hidden: 8, processor_steps: 1, draws: 2, fit: {{optimizer_steps: 30, {FIT}, ema: 0.8, keep_best: true}}}}
corrector:
  {{hidden: 8, levels: 2, modes: 8, loss_modes: 8, steps: 2, single_steps: 3, refresh_every: 3, refresh_trajectories: 1,
    fit: {{optimizer_steps: 16, {FIT}, accumulate: 2, ema: 0.8}}}}
"""


@dataclass
class Run:
    """A kind of run: its command in a folder, where it keeps its checkpoints, and the model file it ends with."""

    name: str
    reference: Path
    own_data: bool = False
    fresh: bool = False

    def command(self, folder: Path) -> list[str]:
        """Arguments of `irno-graph`."""
        if self.name == "fit":
            mesh, field = self.reference / "mesh.vtu", self.reference / "field.npz"
            sizes = [
                "--hidden",
                "8",
                "--levels",
                "2",
                "--optimizer-steps",
                "40",
                "--batch",
                "2",
                "--steps",
                "2",
            ]
            return ["fit", str(mesh), str(field), "--out", str(folder / "fit.safetensors"), *sizes]
        data = folder if self.own_data else self.reference
        base = "" if self.name == "base" else f"base_file: {self.reference / 'base.safetensors'}\n"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"name: killed\nfolder: {folder}\n{base}data:\n  folder: {data / 'data'}{DATA}{MODELS}"
        (folder / "killed.yaml").write_text(text)
        return ["train", str(folder / "killed.yaml"), "--stage", self.name]

    def checkpoints(self, folder: Path) -> Path:
        """The folder of its logs and checkpoints."""
        return folder / self.name

    def model(self, folder: Path) -> Path:
        """The file it ends with."""
        return folder / f"{'model' if self.name == 'corrector' else self.name}.safetensors"


@dataclass
class Process:
    """A process of its own group, with the part of `Popen` that is needed."""

    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self) -> int:
        """The exit code, when it has one."""
        while self.poll() is None:
            time.sleep(0.02)
        assert self.code is not None
        return self.code


def started(arguments: list[str], log: Path, fresh: bool) -> Process:
    """`irno-graph` with these arguments; what it prints goes to `log`."""
    if fresh:
        command = [sys.executable, "-m", "irno_graph", *arguments]
        with log.open("ab") as out:
            return Process(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True).pid)
    from irno_graph.cli import run

    pid = os.fork()
    if pid:
        return Process(pid)
    os.setsid()
    code = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(out, number)
        code = run(arguments)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def warm() -> None:
    """Import what the commands import, so that forks have it."""
    for name in ("experiments.train", "experiments.fit_answers", "report", "mesh", "training.fit"):
        importlib.import_module(f"irno_graph.{name}")
    for name in (
        "matplotlib.ticker",
        "matplotlib.figure",
        "tensorboard.summary.writer.event_file_writer",
        "numba",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def prepare(folder: Path) -> None:
    """A mesh and an operator's answers on it, for `fit`."""
    from irno_graph.mesh import periodic_box, write_mesh

    mesh = periodic_box(64, seed=5)
    write_mesh(folder / "mesh.vtu", mesh)
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (12, 1, 1))
    truth = np.sin(2 * np.pi * mesh.points[None, :, :1] + phase).astype(np.float32)
    np.savez(folder / "field.npz", x=truth, h=0.8 * truth + 0.05, truth=truth)
