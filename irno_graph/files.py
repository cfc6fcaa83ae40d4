"""Files: existence with a clear error, and writing that never leaves half a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class MissingFileError(FileNotFoundError, ValueError):
    """A path that the user gave does not lead to a file."""


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a `Path`.

    Raises:
        MissingFileError: if there is no file at `path`.
    """
    found = Path(path)
    if not found.is_file():
        what = "a directory" if found.is_dir() else "nothing"
        raise MissingFileError(f"`{found}` should be a file, found {what}: check the path.")
    return found


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is renamed onto `path`, on failure removed.

    The temporary name keeps the suffix of `path`, since many writers choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
