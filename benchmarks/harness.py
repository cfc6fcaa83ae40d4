"""What the benchmarks share: machine and versions, medians, peak memory, cases in processes, tables and JSON files.

Imports nothing but the standard library until it is asked, so that any Python can use it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "scipy", "irno-graph")
CLOCKS: dict[str, Callable[[], float]] = {"cpu": time.process_time, "wall": time.perf_counter}
Work = Callable[[], object]


def machine() -> dict[str, Any]:
    """CPU model, cores that this process may use, memory in GiB, and the GPU's name or None."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": _cpu_model(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": _gpu(),
    }


def versions(*more: str) -> dict[str, str | None]:
    """Of Python and the packages, None where one is not installed, and the checkout's git commit."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (*PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return {**found, "commit": commit()}


def commit() -> str | None:
    """The checkout's git commit, with "-dirty" where files of it are changed; None outside of one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def about(*more: str) -> dict[str, Any]:
    """What every result file begins with: "machine" and "versions"."""
    return {"machine": machine(), "versions": versions(*more)}


def sentence(found: Mapping[str, Any]) -> str:
    """`about()` in one line.

    >>> sentence({"machine": {"cpu": "X", "cores": 2, "memory_gib": 24.0, "gpu": None}, "versions": {"numpy": "2.3"}})
    'X, 2 cores, 24.0 GiB; numpy 2.3'
    """
    given = found["machine"]
    gpu = f", {given['gpu']}" if given["gpu"] else ""
    names = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    return f"{given['cpu']}, {given['cores']} cores, {given['memory_gib']} GiB{gpu}; {names}"


def seconds(work: Work, *, clock: str = "wall", device: str = "cpu") -> float:
    """Seconds of one call, of this process's CPUs ("cpu") or on the wall; work on a GPU is waited for."""
    now = CLOCKS[clock]
    _synchronise(device)
    start = now()
    work()
    _synchronise(device)
    return now() - start


def median_seconds(
    work: Work, repeats: int, *, clock: str = "wall", device: str = "cpu", warm: int = 1
) -> float:
    """Median of `repeats` calls after `warm` that are not counted, see `seconds`."""
    return interleaved({"": work}, repeats, clock=clock, device=device, warm=warm)[""]


def interleaved(
    works: Mapping[str, Work],
    repeats: int,
    *,
    clock: str = "wall",
    device: str = "cpu",
    warm: int = 1,
    least: int = 3,
    budget: float = math.inf,
) -> dict[str, float]:
    """Median seconds of each work; all are called in turn, so that what else the machine does meets all alike.

    There are `repeats` rounds after `warm` that are not counted, but only `least` where they take `budget` seconds.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    start = time.perf_counter()
    for number in range(warm + repeats):
        if number == warm:
            start = time.perf_counter()
        if number >= warm + least and time.perf_counter() - start > budget:
            break
        for name, work in works.items():
            once = seconds(work, clock=clock, device=device)
            if number >= warm:
                taken[name].append(once)
    return {name: statistics.median(values) for name, values in taken.items()}


def resident(name: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at the peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def forget_peak() -> None:
    """Let VmHWM begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def available_gib(device: str = "cpu") -> float:
    """Memory that is free, or can be freed by the system (Linux), or is free on a GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info()[0] / 2**30
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


def added_peak(work: Work, device: str = "cpu") -> float:
    """MiB that `work` adds at its peak: to the process (Linux with glibc), or to what torch holds on a GPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system: nothing is reused unseen
    forget_peak()
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def own_process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that `command`, run in a process of its own, prints last; exits where it fails."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with code {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def markdown_row(cells: Iterable[object]) -> str:
    """A line of a Markdown table.

    >>> markdown_row(["a", 1])
    '| a | 1 |'
    """
    return "| " + " | ".join(map(str, cells)) + " |"


def markdown_table(names: Sequence[str], rows: Iterable[Iterable[object]], *, words: int = 1) -> str:
    """A Markdown table whose first `words` columns are words and whose others are numbers."""
    line = "|" + "---|" * words + "--:|" * (len(names) - words)
    return "\n".join([markdown_row(names), line, *map(markdown_row, rows)])


def write_json(path: Path, results: Mapping[str, Any], found: Mapping[str, Any] | None = None) -> None:
    """Write `results` behind the machine and the versions (`found`, by default of here), whole or not at all."""
    from irno_graph.files import atomic_path

    with atomic_path(path) as temporary:
        text = json.dumps({**(found or about()), **results}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
