"""A corrector trained on files of an operator's answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch

from irno_graph.correctors import MultiscaleMessagePassing
from irno_graph.experiments.answer_files import FIELDS, checked_shape, opened_answers, tensor_of, times_of
from irno_graph.experiments.evaluation import usable_device
from irno_graph.experiments.provenance import commit
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.refine import IRNO, LeftOut, save
from irno_graph.training.answers import Answers
from irno_graph.training.answers_fit import AnswersFit, Fitted, fit_corrector
from irno_graph.training.processes import first_process_first, join_processes, rank_and_size

VALID_SHARE = 0.2  # of the samples, the last ones, where there is no file of validation samples


class Architecture(NamedTuple):
    """Of the corrector, a `MultiscaleMessagePassing`, and of the refinement."""

    hidden: int = 64
    layers: int = 1
    levels: int = 4
    modes: int = 0
    steps: int = 4
    alpha: float = 0.4


def read_answers(path: str | os.PathLike[str], graph: Graph) -> Answers:
    """All samples of a file with `x`, `h` and `truth` (and `time`, `lead_time`), see `refine_file`; in memory.

    Raises:
        ValueError: if an array is missing, damaged, or does not fit the graph.
    """
    file = Path(path)
    with opened_answers(file) as arrays:
        shape = checked_shape(arrays, file, graph.num_nodes)
        if "truth" not in arrays:
            raise ValueError(
                f"`{file}` should hold `truth`, what `h` should be, got {sorted(arrays)}: add it."
            )
        x, h, y = (
            tensor_of(arrays[name], ...).reshape(-1, graph.num_nodes, arrays[name].shape[-1])
            for name in FIELDS
        )
        count = shape[0] if len(shape) == 3 else 1
        given = times_of(arrays, slice(None), torch.device("cpu"))
        times = {name: value if value.dim() else value.expand(count) for name, value in given.items()}
    try:
        return Answers(graph, x, h, y, times)
    except ValueError as error:
        raise ValueError(f"`{file}`: {error}") from error


def fit_file(
    mesh: Mesh,
    field: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str],
    architecture: Architecture | None = None,
    settings: AnswersFit | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = print,
) -> Fitted:
    """Train a corrector on an operator's answers in a file, and write the refined model without the operator.

    Args:
        mesh: of all samples.
        field: see `read_answers`.
        out: model file; `refine_file` and `ig.load(out, base=...)` take it.
        valid: like `field`, of other trajectories; None takes the last fifth of the samples of `field`.
        folder: for checkpoint and logs; the same call goes on from there.
        architecture: of the corrector.
        settings: of the training.
        device: "cpu" or "cuda".
        report: gets a sentence now and then.

    Raises:
        ValueError: if files, mesh and options do not fit each other.
    """
    usable_device(device)
    device = join_processes(device)
    report = report if rank_and_size()[0] == 0 else lambda _: None
    architecture, settings = architecture or Architecture(), settings or AnswersFit()
    graph = Graph.from_mesh(mesh).to(device)
    train = read_answers(field, graph)
    if valid is None:
        train, held = _parted(train, Path(field))
        report(f"the last {len(held.x)} of {len(train.x) + len(held.x)} samples are kept for validation")
    else:
        held = read_answers(valid, graph)
    torch.manual_seed(settings.seed)
    hidden, layers, levels, modes, steps, alpha = architecture
    corrector = MultiscaleMessagePassing(
        train.x.shape[-1], train.y.shape[-1], hidden=hidden, layers=layers, levels=levels, modes=modes
    )
    model = IRNO(LeftOut("operator"), corrector, alpha=alpha, steps=steps).to(device)
    report(f"training on {len(train.x)} samples: {settings.optimizer_steps} steps, logs in {folder}")
    found = fit_corrector(model, [train], [held], folder, settings=settings, about={"commit": commit()})
    about = {
        "training": asdict(settings),
        "files": {"train": str(field), "valid": str(valid or field)},
        "left on validation": found.left,
        "commit": commit(),
    }
    with first_process_first() as first:
        if first:
            save(model.cpu(), out, about=about)
    return found


def _parted(all_of: Answers, file: Path) -> tuple[Answers, Answers]:
    """Samples to train on, and the last ones."""
    count = len(all_of.x)
    first = count - max(1, round(VALID_SHARE * count))
    if first < 1:
        raise ValueError(
            f"`{file}` should have at least 2 samples, got {count}: some are kept for validation."
        )

    def samples(part: slice) -> Answers:
        times = {name: own[part] for name, own in all_of.times.items()}
        return Answers(all_of.graph, all_of.x[part], all_of.h[part], all_of.y[part], times)

    return samples(slice(0, first)), samples(slice(first, count))
