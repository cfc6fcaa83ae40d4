"""Where a result comes from: config, seeds, commit."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from irno_graph.experiments.config import ExperimentConfig, all_sets
from irno_graph.refine import origin
from irno_graph.refine.storage import describe


def about(config: ExperimentConfig, start: str) -> dict[str, Any]:
    """What a model file keeps of its training."""
    return {
        "config": asdict(config),
        "start": describe(start)["about"] if start else None,
        "trajectory_base_seeds": [one.seed for one in all_sets(config.data)],
        "commit": commit(),
        "torch_threads": torch.get_num_threads(),
    }


def hardware() -> str:
    """The processor and how many of its cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores"


def commit() -> str:
    """The commit of the package, "unknown" outside a checkout."""
    return origin.commit() or "unknown"
