"""The one place that imports huggingface_hub (extra `hub`)."""

from __future__ import annotations

from typing import Any


def hub_client(what: str) -> Any:
    """The module huggingface_hub, its errors within.

    Args:
        what: needs it, in words.

    Raises:
        ImportError: if it is not there, naming the extra.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ImportError(
            f"{what} needs huggingface_hub: pip install 'irno-graph[hub]', or use a folder on disk."
        ) from error
    return huggingface_hub
