"""What the commands share: the console and its progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False)


@contextmanager
def stage(sentence: str) -> Iterator[Callable[[int, int], None]]:
    """Say what is being done, and show progress(done, total) with the time left."""
    console.print(f"{sentence} ...", markup=False)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "elapsed,",
        TimeRemainingColumn(),
        "left",
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say_files(files: Iterable[tuple[str, Path]]) -> None:
    """Name the files that were written, and what is in them."""
    console.print("Written:")
    for what, path in files:
        console.print(f"  {path}  ({what})", markup=False, soft_wrap=True)
