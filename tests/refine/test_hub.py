"""Models in folders and repositories: what is written is read again, and a folder is enough without a client."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from fake_hub import Hub

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine.hub import CARD, MARK, WEIGHTS, from_pretrained, push_to_hub, save_pretrained
from irno_graph.refine.storage import describe

NAME = "someone/waves"


@pytest.fixture(autouse=True)
def _no_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the client is not asked for, there is none."""
    if "extras" not in request.keywords:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def refined() -> ig.IRNO:
    sizes = Architecture(processor_steps=1, node_hidden=6, edge_hidden=4, correction_hidden=None)
    base = ig.bases.RIGNO(2, 2, architecture=sizes)
    return ig.IRNO(base, ig.correctors.MessagePassing(2, 2, hidden=6, layers=1), alpha=0.3, steps=5)


def same(model: Any, other: Any, graph: ig.Graph) -> bool:
    x = torch.randn(graph.num_nodes, 2)
    return torch.equal(model(x, graph).states, other(x, graph).states)


def test_a_folder_needs_no_client(tmp_path: Path, box: ig.Graph) -> None:
    model = refined()
    folder = model.save_pretrained(tmp_path / "waves", about={"error": 0.25})
    assert {file.name for file in folder.iterdir()} == {WEIGHTS, CARD}
    assert same(ig.IRNO.from_pretrained(folder), model, box)
    assert same(ig.IRNO.from_pretrained(folder / WEIGHTS), model, box)
    assert describe(folder / WEIGHTS)["about"] == {"error": 0.25}
    assert ig.IRNO.from_pretrained("ce-gauss-small").steps == 3


def test_parts_alone_and_left_out_bases(tmp_path: Path, box: ig.Graph) -> None:
    model = refined()
    folder = save_pretrained(model.corrector, tmp_path / "part")
    assert type(from_pretrained(folder)) is ig.correctors.MessagePassing
    with pytest.raises(ValueError, match="should hold an IRNO, got MessagePassing"):
        ig.IRNO.from_pretrained(folder)

    def persistence(x: torch.Tensor, graph: ig.Graph) -> torch.Tensor:
        return x

    own = ig.IRNO(persistence, model.corrector)
    again = ig.IRNO.from_pretrained(own.save_pretrained(tmp_path / "own"), base=persistence)
    assert same(again, own, box)
    assert "base=base" in (tmp_path / "own" / CARD).read_text()


def test_the_card_says_what_the_file_says_and_no_more(tmp_path: Path) -> None:
    about = {"error": 0.0625, "note": "```\n# |<b>x</b>|"}
    folder = refined().save_pretrained(tmp_path / "waves", about=about)
    card = (folder / CARD).read_text()
    said = describe(folder / WEIGHTS)
    for words in (MARK, "# RIGNO refined by MessagePassing", "| alpha | 0.3 |", "| steps | 5 |"):
        assert words in card
    assert said["weights_hash"] in card
    head, _, body = card.partition("## Saved with it")
    assert "0.0625" not in head
    fence = body.split()[0].removesuffix("json")
    assert fence == "````"  # longer than any in what it holds
    assert json.loads(body.split(fence)[1].removeprefix("json")) == about


def test_a_card_of_ones_own_stays_and_a_written_one_follows_the_model(tmp_path: Path) -> None:
    model = refined()
    model.save_pretrained(tmp_path)
    model.steps = 9
    model.save_pretrained(tmp_path)
    assert "| steps | 9 |" in (tmp_path / CARD).read_text()
    (tmp_path / CARD).write_text("mine\n")
    model.save_pretrained(tmp_path)
    assert (tmp_path / CARD).read_text() == "mine\n"


def test_what_is_no_folder_and_no_repository_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    with pytest.raises(ValueError, match=r"should hold model\.safetensors, got \['other.txt'\]"):
        ig.IRNO.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Shipped models"):
        ig.IRNO.from_pretrained("nothing")
    with pytest.raises(ValueError, match="found nothing"):
        ig.IRNO.from_pretrained("runs/nothing.safetensors")
    folder = refined().save_pretrained(tmp_path / "waves")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        ig.IRNO.from_pretrained(folder)


def test_without_the_client_the_extra_is_named() -> None:
    with pytest.raises(ImportError, match=r"irno-graph\[hub\]"):
        ig.IRNO.from_pretrained(NAME)
    with pytest.raises(ImportError, match=r"irno-graph\[hub\]"):
        refined().push_to_hub(NAME)
    with pytest.raises(ValueError, match="name/repo"):
        refined().push_to_hub("waves")


def test_what_the_client_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: ig.Graph) -> None:
    """The client's functions by their names; that they do what they say is tested with the client."""
    asked: list[tuple[str, Any]] = []

    class Api:
        def __init__(self, token: Any = None) -> None:
            asked.append(("token", token))

        def create_repo(self, repo_id: str, **options: Any) -> None:
            asked.append(("create", (repo_id, options)))

        def create_branch(self, repo_id: str, **options: Any) -> None:
            asked.append(("branch", (repo_id, options)))

        def upload_folder(self, *, folder_path: Path, **options: Any) -> Any:
            for file in folder_path.iterdir():
                (tmp_path / file.name).write_bytes(file.read_bytes())
            asked.append(("upload", options))
            return SimpleNamespace(commit_url="an address")

    class EntryNotFoundError(Exception):
        pass

    def download(name: str, file: str, **options: Any) -> str:
        asked.append(("download", (name, file, options)))
        if options["revision"] == "none":
            raise EntryNotFoundError("it has no such file")
        return str(tmp_path / file)

    client, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
    vars(errors)["EntryNotFoundError"] = EntryNotFoundError
    vars(client).update(HfApi=Api, hf_hub_download=download, errors=errors)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    model = refined()
    assert model.push_to_hub(NAME, branch="next", private=True, token="hf_x", card=False) == "an address"
    assert [name for name, _ in asked] == ["token", "create", "branch", "upload"]
    assert asked[0][1] == "hf_x"
    assert asked[1][1] == (NAME, {"private": True, "exist_ok": True})
    assert asked[3][1]["revision"] == "next"
    assert [file.name for file in tmp_path.iterdir()] == [WEIGHTS]
    assert same(ig.IRNO.from_pretrained(NAME, cache="here", offline=True), model, box)
    options = {"revision": None, "cache_dir": "here", "local_files_only": True, "token": None}
    assert asked[4] == ("download", (NAME, WEIGHTS, options))
    with pytest.raises(ValueError, match=r"`someone/waves` at `none` should be a folder.*no such file"):
        ig.IRNO.from_pretrained(NAME, revision="none")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine, which the client takes for its own."""
    constants = pytest.importorskip("huggingface_hub.constants")
    found = Hub()
    with found.serving() as address:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield found


@pytest.mark.extras
def test_a_model_goes_to_the_hub_and_comes_back(hub: Hub, box: ig.Graph, tmp_path: Path) -> None:
    model = refined()
    address = model.push_to_hub(NAME, about={"error": 0.25}, token="hf_mine", message="first")
    assert hub.files[NAME]["main"].keys() >= {WEIGHTS, CARD}
    assert f'IRNO.from_pretrained("{NAME}")' in hub.files[NAME]["main"][CARD].decode()
    assert address.endswith(hub.commit(NAME, "main"))
    assert hub.messages == ["first"]
    assert "Bearer hf_mine" in hub.tokens
    hub.requests.clear()
    assert same(ig.IRNO.from_pretrained(NAME, token=False), model, box)
    assert any(method == "GET" and path.endswith(WEIGHTS) for method, path in hub.requests)
    assert not any(CARD in path for _, path in hub.requests)
    model.steps = 2
    push_to_hub(model, NAME, branch="short", token="hf_mine")
    found = [ig.IRNO.from_pretrained(NAME, revision=name, token=False).steps for name in ("main", "short")]
    assert found == [5, 2]


@pytest.mark.extras
@pytest.mark.parametrize("how", ["offline", "HF_HUB_OFFLINE"])
def test_offline_the_cache_is_enough(
    hub: Hub, box: ig.Graph, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model = refined()
    model.push_to_hub(NAME, token="hf_mine")
    ig.IRNO.from_pretrained(NAME, token=False)
    hub.requests.clear()
    if how == "HF_HUB_OFFLINE":  # the variable is read when the client is imported
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert same(ig.IRNO.from_pretrained(NAME, offline=how == "offline"), model, box)
    with pytest.raises(ValueError, match="`someone/else` should be a folder, or a repository"):
        ig.IRNO.from_pretrained("someone/else", offline=how == "offline")
    assert hub.requests == []


@pytest.mark.extras
def test_repositories_without_a_model_are_named(hub: Hub) -> None:
    with pytest.raises(ValueError, match=r"`someone/waves` should be a folder, or a repository"):
        ig.IRNO.from_pretrained(NAME, token=False)
    hub.files[NAME] = {"main": {CARD: b"nothing"}}
    with pytest.raises(ValueError, match=r"`someone/waves`.*with model\.safetensors"):
        ig.IRNO.from_pretrained(NAME, token=False)
    with pytest.raises(ValueError, match="at `v2` should be"):
        ig.IRNO.from_pretrained(NAME, revision="v2", token=False)
    hub.files[NAME]["main"][WEIGHTS] = b"not a model"
    with pytest.raises(ValueError, match=r"should be a model written by irno_graph\.save"):
        ig.IRNO.from_pretrained(NAME, token=False)
