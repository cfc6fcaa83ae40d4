"""`irno-graph cache`: the eigenbases kept on disk."""

from __future__ import annotations

import typer

from irno_graph.cli.console import console

app = typer.Typer(help="The eigenbases kept on disk.")


@app.callback()
def cache() -> None:
    """The eigenbases kept on disk."""


@app.command("info")
def info() -> None:
    """Where the files are, how many, how large, and the limit ($IRNO_GRAPH_CACHE, $IRNO_GRAPH_CACHE_BYTES)."""
    from irno_graph.spectral.store import cache_directory, cache_files, cache_limit

    found = cache_files(cache_directory())
    rows = (
        ("directory", str(cache_directory())),
        ("files", str(len(found))),
        ("size", readable(sum(state.st_size for _, state in found))),
        ("limit", readable(cache_limit())),
    )
    for name, value in rows:
        console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)


@app.command("clear")
def clear() -> None:
    """Delete them all; they are computed again when they are needed."""
    from irno_graph.spectral.store import cache_directory, cache_files, clear_cache

    size = sum(state.st_size for _, state in cache_files(cache_directory()))
    count = clear_cache(cache_directory())
    console.print(f"Deleted {count} files ({readable(size)}).", markup=False)


def readable(size: int) -> str:
    """`size` in bytes as a person reads it.

    >>> [readable(size) for size in (0, 999, 1500, 67_200_000, 2_000_000_000)]
    ['0 B', '999 B', '1.5 kB', '67.2 MB', '2.0 GB']
    """
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
