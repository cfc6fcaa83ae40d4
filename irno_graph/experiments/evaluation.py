"""Rollouts of flow models from trajectory files: their errors per time step, and their fields."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from irno_graph.data import TrajectoryFile
from irno_graph.data.readers.hdf5 import words
from irno_graph.data.readers.mesh_trajectories import MeshTrajectories
from irno_graph.data.sets import ChannelGroups
from irno_graph.data.trajectories import DOMAINS
from irno_graph.files import existing_file
from irno_graph.graph import Graph, vorticity
from irno_graph.metrics import fluctuation_errors
from irno_graph.refine import IRNO, Status, load
from irno_graph.rollout import rollout

CHANNELS = ("rho", "vx", "vy", "p")
GROUPS = ("velocity", "pressure", "density", "vorticity")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """Relative errors of rollouts from the same starts.

    Attributes:
        errors: rollout ("base", "refined" and, where there was one, "control") to group (`GROUPS`) to
            `[time_steps, samples]`; infinite after a sample's rollout has ended.
        ended: for each rollout the number of samples that became NaN or infinite.
        steps: refinement steps K of the refined rollout.
    """

    errors: dict[str, dict[str, Tensor]]
    ended: dict[str, int]
    steps: int

    @staticmethod
    def joined(parts: Sequence[Evaluation]) -> Evaluation:
        """The samples of several, one after the other.

        Raises:
            ValueError: if they have different numbers of time steps.
        """
        first = parts[0]
        counts = {part.errors["base"]["velocity"].shape[0] for part in parts}
        if len(counts) > 1:
            raise ValueError(
                f"the files should have as many snapshots each, got rollouts of {sorted(counts)} steps."
            )
        errors = {
            run: {group: torch.cat([part.errors[run][group] for part in parts], dim=1) for group in GROUPS}
            for run in first.errors
        }
        ended = {run: sum(part.ended[run] for part in parts) for run in first.ended}
        return Evaluation(errors, ended, first.steps)

    def error(self, rollout: str, group: str) -> Tensor:
        """Mean over the samples of the relative error, `[time_steps]`."""
        return self.errors[rollout][group].mean(dim=1)

    def gain(self, group: str, rollout: str = "refined") -> Tensor:
        """100 (1 - error / error of the base) per cent, `[time_steps]`."""
        return 100.0 * (1.0 - self.error(rollout, group) / self.error("base", group))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON holds it: lists of numbers, None where a number is not finite.

        `groups` has for each group the lists `base`, `refined`, `gain`, and `control`, `control_gain` where
        there was a control; `per_sample` has the errors `[time_steps][samples]`.
        """
        first = self.errors["base"]["velocity"]
        groups = {}
        for group in GROUPS:
            entry = {name: _numbers(self.error(name, group)) for name in self.errors}
            entry["gain"] = _numbers(self.gain(group))
            if "control" in self.errors:
                entry["control_gain"] = _numbers(self.gain(group, "control"))
            groups[group] = entry
        return {
            "groups": groups,
            "time_steps": first.shape[0],
            "samples": first.shape[1],
            "steps": self.steps,
            "ended": dict(self.ended),
            "per_sample": {
                group: {name: [_numbers(row) for row in self.errors[name][group]] for name in self.errors}
                for group in GROUPS
            },
        }


def flow_errors(states: Tensor, truth: Tensor, graph: Graph, mean: Tensor) -> dict[str, Tensor]:
    """||states - truth|| / ||truth - mean|| per group, in the mass-weighted 2-norm over the nodes.

    "velocity" takes both components as one vector, without a mean; "pressure" and "density" are measured
    against their fluctuations about the mean state; "vorticity" is that of both velocities on the graph.

    Args:
        states: `[..., nodes, channels=4]` (rho, vx, vy, p); leading dimensions are kept.
        truth: likewise.
        graph: of both.
        mean: mean state `[4]`.

    Raises:
        ValueError: if shapes do not fit or the truth is not finite.
    """
    errors = fluctuation_errors(states, truth, graph, ChannelGroups.of(CHANNELS), mean)
    return {group: errors[group] for group in GROUPS}


def compare_rollouts(
    model: IRNO,
    trajectories: Tensor,
    graph: Graph,
    *,
    steps: int | None = None,
    control: nn.Module | None = None,
    mean: Tensor | None = None,
    chunk: int = 16,
    progress: Progress | None = None,
    look: Callable[[str, Tensor, Tensor], object] | None = None,
) -> Evaluation:
    """Roll out base, refined model and control from the first snapshots, and measure them at all later ones.

    Args:
        model: its base alone is the rollout "base".
        trajectories: truths `[samples, times, nodes, channels=4]`, a model's time step apart.
        graph: of the nodes; the rollouts run on its device.
        steps: refinement steps of "refined"; None is the model's own number.
        control: another model, a base or an `IRNO`, to measure beside it.
        mean: mean state `[4]` that fluctuations are about; None is that of the model's training data.
        chunk: samples rolled out at once.
        progress: called as progress(done, total) after every chunk.
        look: called as look(rollout, states, truth) with the `[time_steps, samples, nodes, channels]` of every chunk.

    Raises:
        ValueError: if the model is not refined, shapes do not fit, or a truth is not finite.
    """
    if not isinstance(model, IRNO):
        raise ValueError(f"`model` should be a refined model (IRNO), got a {type(model).__name__}.")
    if trajectories.dim() != 4 or trajectories.shape[0] < 1 or trajectories.shape[1] < 2:
        raise ValueError(
            "`trajectories` should have shape [samples >= 1, times >= 2, nodes, channels=4], got "
            f"{list(trajectories.shape)}."
        )
    mean = _mean_state(model) if mean is None else mean
    runs: list[tuple[str, nn.Module, int | None]] = [("base", model, 0), ("refined", model, steps)]
    if control is not None:
        runs.append(("control", control, None))
    parts = trajectories.split(chunk)
    errors, ended = {}, {}
    for number, (name, runner, count) in enumerate(runs):
        found: list[dict[str, Tensor]] = []
        ended[name] = 0
        for place, part in enumerate(parts):
            truth = part.to(graph.pos.device).transpose(0, 1)  # [times, samples, nodes, channels]
            out = rollout(runner, truth[0], graph, len(truth) - 1, steps=count)
            found.append(flow_errors(out.states[1:], truth[1:], graph, mean))
            if look is not None:
                look(name, out.states[1:], truth[1:])
            ended[name] += int((out.status == int(Status.NOT_FINITE)).sum())
            if progress is not None:
                progress(number * len(parts) + place + 1, len(runs) * len(parts))
        joined = {group: torch.cat([own[group] for own in found], dim=1).cpu() for group in GROUPS}
        errors[name] = {group: torch.where(e.isnan(), torch.inf, e) for group, e in joined.items()}
    return Evaluation(errors, ended, model.steps if steps is None else steps)


def open_flows(path: str | os.PathLike[str]) -> TrajectoryFile | MeshTrajectories:
    """A file of flows in a periodic rectangle, or between walls.

    Raises:
        ValueError: if it is none, or one between walls whose channels do not begin with `CHANNELS`.
    """
    try:
        with h5py.File(existing_file(path), "r") as file:
            domain = words(file.attrs["domain"])[0] if "domain" in file.attrs else ""
    except OSError:  # `TrajectoryFile` says what is wrong
        domain = ""
    if domain not in DOMAINS:
        return TrajectoryFile(path)
    source = MeshTrajectories(path)
    if source.channels[: len(CHANNELS)] != CHANNELS:
        raise ValueError(
            f"`{path}` should have the channels {', '.join(CHANNELS)} first, got {', '.join(source.channels)}."
        )
    return source


def snapshots(source: TrajectoryFile | MeshTrajectories, lead_time: float) -> Tensor:
    """The trajectories of a file at every `lead_time`, `[samples, times, nodes, channels=4]`.

    Raises:
        ValueError: if the file's snapshots are not so spaced that one in every few fits.
    """
    spacing = np.diff(source.times)
    stride = round(lead_time / spacing[0]) if len(spacing) and spacing[0] > 0 else 0
    if stride < 1 or np.abs(spacing * stride - lead_time).max() > 1e-4 * lead_time:
        raise ValueError(
            f"`{source.path}` should have snapshots that are {lead_time:g}, the model's time step, apart, or "
            f"an even part of it, got times {np.round(source.times, 6).tolist()}: generate it with "
            f"--save-every {lead_time:g}."
        )
    return source.read()[:, ::stride, :, : len(CHANNELS)]


def usable_device(name: str) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1").

    Raises:
        ValueError: if torch knows no such device or it is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"`device` should be 'cpu' or 'cuda', got '{name}'.") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"`device` should be 'cpu' or 'cuda', got '{name}'.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"`device` should be there, got '{name}' with {torch.cuda.device_count()} CUDA devices: "
            "use 'cpu'."
        )
    return device


def load_model(
    path_or_name: str | os.PathLike[str], device: str = "cpu", *, kinds: tuple[type[nn.Module], ...] = (IRNO,)
) -> Any:
    """A model file, or a shipped model, on `device`.

    Raises:
        ValueError: if it is not there, of none of these `kinds`, or the device is not there.
    """
    where, model = usable_device(device), load(path_or_name)
    if not isinstance(model, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"`{path_or_name}` should hold a {names}, got a {type(model).__name__} alone.")
    return model.to(where)


def flow_fields(states: Tensor, graph: Graph) -> dict[str, np.ndarray]:
    """Density, velocity, pressure and vorticity, `[times, nodes]` or `[times, nodes, 2]`."""
    state = states.detach()
    fields = {
        "density": state[..., 0],
        "velocity": state[..., 1:3],
        "pressure": state[..., 3],
        "vorticity": vorticity(state[..., 1:3], graph),
    }
    return {name: field.cpu().numpy() for name, field in fields.items()}


def _mean_state(model: IRNO) -> Tensor:
    if model.scaling is None:
        raise ValueError("`model` has no scaling that holds the mean of its training data: pass `mean`.")
    return model.scaling.mean


def _numbers(values: Tensor) -> list[float | None]:
    return [number if np.isfinite(number) else None for number in values.tolist()]
