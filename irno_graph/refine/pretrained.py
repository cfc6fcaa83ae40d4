"""What `IRNO` has of the Hugging Face hub's way to keep models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self


class Pretrained:
    """Folders and repositories that hold a model; see `irno_graph.refine.hub` for what is in them."""

    def save_pretrained(self, folder: str | os.PathLike[str], *, about: dict[str, Any] | None = None) -> Path:
        """Write the model to a folder, see `refine.hub.save_pretrained`; no network, no extra."""
        from irno_graph.refine import hub

        return hub.save_pretrained(self, folder, about=about)

    @classmethod
    def from_pretrained(cls, folder_or_repository: str | os.PathLike[str], **options: Any) -> Self:
        """The model in a folder, or in a repository ("name/repo") of the hub, see `refine.hub.from_pretrained`.

        Raises:
            ValueError: see there; if it holds a part alone.
        """
        from irno_graph.refine import hub

        found = hub.from_pretrained(folder_or_repository, **options)
        if not isinstance(found, cls):
            raise ValueError(
                f"`{folder_or_repository}` should hold an {cls.__name__}, got {type(found).__name__}: load it by "
                "`irno_graph.refine.hub.from_pretrained`."
            )
        return found

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Write the model to a repository of the hub, see `refine.hub.push_to_hub` (extra `hub`)."""
        from irno_graph.refine import hub

        return hub.push_to_hub(self, repository, **options)
