"""Models in folders and in repositories of the Hugging Face hub: a model file, and a card made of what it says."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable as Function
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from irno_graph.bases.hub_client import hub_client
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.refine.facts import facts, kind_of, weights_of
from irno_graph.refine.limits import StorageError
from irno_graph.refine.storage import describe, load, save

WEIGHTS = "model.safetensors"
CARD = "README.md"
MARK = "<!-- written by irno_graph: what model.safetensors says of itself -->"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def save_pretrained(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    about: dict[str, Any] | None = None,
    repository: str | None = None,
) -> Path:
    """Write `model.safetensors` and a model card, `README.md`, to a folder; no network is asked.

    A `README.md` that is there and is not such a card stays.

    Args:
        model: what `irno_graph.save` takes.
        folder: made where it is missing.
        about: see `irno_graph.save`; the card shows it.
        repository: its name in the card, by default the folder's.

    Raises:
        ValueError: see `irno_graph.save`.
    """
    place = Path(folder)
    path = save(model, place / WEIGHTS, about=about)
    card = place / CARD
    if not card.is_file() or MARK in card.read_text(encoding="utf-8", errors="replace"):
        text = model_card(describe(path), weights_of(model), repository or str(folder))
        with atomic_path(card) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return place


def from_pretrained(
    folder_or_repository: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
    token: str | bool | None = None,
    base: nn.Module | Function[[Tensor, Graph], Tensor] | None = None,
) -> Any:
    """The model in a folder, or in a repository of the hub where there is no such folder; on the CPU, to be evaluated.

    Of a repository `model.safetensors` alone is fetched, and read as `irno_graph.load` reads it: nothing is executed.

    Args:
        folder_or_repository: a folder, a model file, a shipped model's name, or "name/repo".
        revision: branch, tag or commit of the repository; the commit's 40 digits name what cannot change.
        cache: a directory for fetched files; by default that of huggingface_hub.
        offline: take what the cache has, ask no server, as with HF_HUB_OFFLINE=1.
        token: of the hub, for private repositories; by default the one that is logged in.
        base: see `irno_graph.load`.

    Raises:
        ImportError: for a repository, without huggingface_hub (extra `hub`).
        ValueError: if there is neither such a folder nor such a repository, it has no model, or the model is damaged.
    """
    place = Path(folder_or_repository)
    if place.is_dir():
        if not (place / WEIGHTS).is_file():
            found = sorted(file.name for file in place.iterdir())
            raise StorageError(
                f"`{place}` should hold {WEIGHTS}, got {found}: write it by `save_pretrained`."
            )
        return load(place / WEIGHTS, base=base)
    name = os.fspath(folder_or_repository)
    if place.is_file() or place.suffix == ".safetensors" or REPOSITORY.fullmatch(name) is None:
        return load(place, base=base)
    client = hub_client("fetching a model")
    try:
        path = client.hf_hub_download(
            name, WEIGHTS, revision=revision, cache_dir=cache, local_files_only=offline, token=token
        )
    except (OSError, ValueError, client.errors.EntryNotFoundError) as error:
        at = "" if revision is None else f" at `{revision}`"
        raise StorageError(
            f"`{name}`{at} should be a folder, or a repository of the hub with {WEIGHTS}, got: {error}"
        ) from error
    return load(path, base=base)


def push_to_hub(
    model: Any,
    repository: str,
    *,
    about: dict[str, Any] | None = None,
    branch: str | None = None,
    private: bool | None = None,
    message: str = "Model and card written by irno_graph",
    token: str | None = None,
    card: bool = True,
) -> str:
    """Write the model and its card to a repository of the hub in one commit, and return the commit's address.

    Args:
        model: what `irno_graph.save` takes.
        repository: "name/repo"; made where it is missing.
        about: see `irno_graph.save`; the card shows it.
        branch: made where it is missing; None is `main`.
        private: whether a repository that is made is private; None is the account's default.
        message: of the commit.
        token: of the hub; by default the one that is logged in.
        card: whether `README.md` is written too; False leaves the repository's own.

    Raises:
        ImportError: without huggingface_hub (extra `hub`).
        ValueError: see `irno_graph.save`; for a name of another form.
    """
    if REPOSITORY.fullmatch(repository) is None:
        raise ValueError(f"`repository` should be 'name/repo', got '{repository}'.")
    api = hub_client("writing a model to the hub").HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        place = save_pretrained(model, folder, about=about, repository=repository)
        if not card:
            (place / CARD).unlink()
        api.create_repo(repository, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repository, branch=branch, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=place, commit_message=message, revision=branch, repo_type="model"
        )
    return str(done.commit_url)


def model_card(description: dict[str, Any], weights: dict[str, int], repository: str) -> str:
    """The card in Markdown: what the description says and nothing else.

    Args:
        description: of `refine.storage.describe`.
        weights: see `refine.facts.facts`.
        repository: what to load the model by.
    """
    if "module" in description:
        title, call = kind_of(description["module"]), "irno_graph.refine.hub.from_pretrained"
    else:
        title = f"{kind_of(description['base'])} refined by {kind_of(description['corrector'])}"
        call = "irno_graph.IRNO.from_pretrained"
    own = ", base=base" if "own" in description.get("base", {}) else ""
    rows = [f"| {_cell(name)} | {_cell(text)} |" for name, text in facts(description, weights)]
    about = json.dumps(description.get("about") or {}, indent=1)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", about)), 3)
    lines = [
        "---",
        "library_name: irno_graph",
        "tags:",
        "- neural-operator",
        "- pde",
        "---",
        MARK,
        "",
        f"# {_cell(title)}",
        "",
        "```python",
        "import irno_graph.refine.hub",
        "",
        f"model = {call}({json.dumps(repository)}{own})",
        "```",
        "",
        "| | |",
        "| -- | -- |",
        *rows,
        "",
        "## Saved with it",
        "",
        f"{fence}json",
        about,
        fence,
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Words in a table of Markdown, none of them a tag, a link or the end of the cell."""
    return re.sub(r"([\\|<>\[\]`*_#])", r"\\\1", " ".join(text.split()))
