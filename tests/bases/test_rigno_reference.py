"""Experiment folders as the reference implementation writes them, made here with the same storage library."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, Architecture, RegionalSettings, load_reference
from irno_graph.bases.rigno.datasets import DATASETS
from irno_graph.bases.rigno.weights import PADDED, flax_parameters
from irno_graph.cli import run

tensorstore = pytest.importorskip("tensorstore", reason="tensorstore reads orbax checkpoints")

FLAGS = {
    "datapath": "unstructured/CE-Gauss",
    "stepper": "res",
    "rmesh_levels": 3,
    "mesh_subsample_factor": 4.0,
    "overlap_factor_p2r": 1.0,
    "overlap_factor_r2p": 2.0,
    "node_coordinate_freqs": 2,
    "time_downsample_factor": 2,
}
MODEL = {
    "name": None,
    "num_outputs": 4,
    "processor_steps": 2,
    "node_latent_size": 12,
    "edge_latent_size": 8,
    "mlp_hidden_layers": 1,
    "concatenate_t": True,
    "concatenate_tau": True,
    "conditioned_normalization": True,
    "cond_norm_hidden_size": 6,
    "p_edge_masking": 0.5,
}


def operator() -> RIGNO:
    """What the folder of `experiment` describes."""
    torch.manual_seed(0)
    sizes = Architecture(processor_steps=2, node_hidden=12, edge_hidden=8, correction_hidden=6, head_hidden=4)
    base = RIGNO(
        4,
        4,
        architecture=sizes,
        regional=RegionalSettings(levels=3, coordinate_frequencies=2, cover=False),
        domain=((0.0, 0.0), (1.0, 1.0)),
        stepper="residual",
    )
    base.set_statistics(torch.arange(4.0), torch.arange(1.0, 5.0), -torch.arange(4.0), torch.full((4,), 0.5))
    return base.eval()


def flax_value(parameter: torch.Tensor) -> np.ndarray:
    """The array as the reference lays it out; kernels are `[in, out]`."""
    value = parameter.detach().numpy()
    return value.T if value.ndim == 2 else value


def experiment(folder: Path) -> RIGNO:
    """Write the operator as an experiment folder."""
    base = operator()
    folder.mkdir(parents=True)
    (folder / "configs.json").write_text(json.dumps({"flags": FLAGS, "model_configs": MODEL}))
    shaped = {
        name: getattr(base, name).double().numpy().reshape(1, 1, 1, 4)
        for name in ("input_mean", "input_std", "target_mean", "target_std")
    }
    statistics = {
        "u": {"mean": shaped["input_mean"], "std": shaped["input_std"]},
        "c": {"mean": None, "std": None},
        "t": {"min": np.zeros((1, 1, 1, 1)), "max": np.ones((1, 1, 1, 1))},
        "res": {"mean": shaped["target_mean"], "std": shaped["target_std"]},
        "der": {"mean": shaped["target_mean"], "std": 7 * shaped["target_std"]},
    }
    (folder / "stats.pkl").write_bytes(pickle.dumps(statistics))
    for epoch in (20, 100):
        arrays: dict[str, np.ndarray] = {}
        for path, parameter in flax_parameters(base.network).items():
            value = flax_value(parameter)
            if path == PADDED:  # the reference's kernel has rows for six features that are zero
                value = np.concatenate([np.full((6, value.shape[1]), 3.0, np.float32), value])
            name = path.replace("/", ".")
            for where in (f"state.params.{name}", f"state.opt_state.0.mu.{name}"):
                arrays[where] = value if epoch == 100 else 0 * value
        checkpoint(folder / "checkpoints" / str(epoch) / "default", arrays)
    return base


def checkpoint(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """An OCDBT store of zarr arrays, made in memory and written at once: every write of its own waits for the disk."""
    memory = tensorstore.Context()
    for name, value in arrays.items():
        spec = {"driver": "zarr", "kvstore": {"driver": "memory", "path": f"{name}/"}}
        array = tensorstore.open(spec, create=True, shape=value.shape, dtype="float32", context=memory)
        array.result().write(value).result()
    made = tensorstore.KvStore.open({"driver": "memory"}, context=memory).result()
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/"}).result()
    with tensorstore.Transaction() as writing:
        for key in made.list().result():
            store.with_transaction(writing)[key] = made[key]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> tuple[RIGNO, Path]:
    """The operator and its folder."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    return experiment(folder), folder


@pytest.fixture
def folder(stored, tmp_path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(stored[1], tmp_path / "run")


def test_a_folder_becomes_the_operator_that_was_trained(stored):
    base, folder = stored
    loaded = load_reference(folder)
    assert loaded.config() == base.config()
    for name, value in base.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0, msg=name)
    first = load_reference(folder, epoch=20)
    assert not any(parameter.any() for parameter in first.parameters())


def test_convert_writes_a_model_that_load_reads(stored, tmp_path, box, capsys):
    base, folder = stored
    assert run(["convert", "rigno", str(folder), str(tmp_path / "base.safetensors")]) == 0
    assert "base.safetensors" in capsys.readouterr().out
    x = torch.randn(2, box.num_nodes, 4)
    torch.testing.assert_close(ig.load(tmp_path / "base.safetensors")(x, box), base(x, box))


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def test_a_pickle_that_holds_more_than_arrays_is_refused_and_not_run(folder, tmp_path, monkeypatch):
    (folder / "stats.pkl").write_bytes(pickle.dumps({"u": Harm()}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="only numpy arrays are let in"):
        load_reference(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "configs.json").unlink(), "configs.json"),
        (lambda run: (run / "configs.json").write_text("{"), "should be JSON"),
        (
            lambda run: (run / "configs.json").write_text('{"flags": {}, "model_configs": {}}'),
            "'datapath' is missing",
        ),
        (
            lambda run: (run / "configs.json").write_text(
                json.dumps({"flags": FLAGS, "model_configs": {**MODEL, "num_outputs": 40}})
            ),
            "describes 40 channels",
        ),
        (lambda run: (run / "stats.pkl").write_bytes(b"\x80\x04"), "pickle of numpy arrays"),
        (lambda run: (run / "stats.pkl").write_bytes(pickle.dumps({"u": {}})), "should hold u/mean"),
        (lambda run: (run / "checkpoints").rename(run / "elsewhere"), "found epochs"),
        (lambda run: (run / "checkpoints" / "100" / "default").rename(run / "gone"), "default"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(folder, tmp_path, damage, message, capsys):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        load_reference(folder)
    assert run(["convert", "rigno", str(folder), str(tmp_path / "out.safetensors")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_that_do_not_fit_are_named():
    base = operator()
    params = {path: flax_value(value) for path, value in flax_parameters(base.network).items()}
    parts = {
        "model": MODEL,
        "builder": {
            "periodic": True,
            "rmesh_levels": 3,
            "subsample_factor": 4,
            "overlap_factor_p2r": 1,
            "overlap_factor_r2p": 2,
            "node_coordinate_freqs": 2,
        },
        "nvar": 4,
        "ncoef": 0,
        "domain": [[0, 0], [1, 1]],
    }
    gone = dict(params)
    del gone["processor/gnn/processor_1_edges_r2r/layers_0/bias"]
    with pytest.raises(ValueError, match="missing: processor/gnn/processor_1_edges_r2r/layers_0/bias"):
        RIGNO.from_flax(parts, gone)
    with pytest.raises(ValueError, match="unknown: somewhere"):
        RIGNO.from_flax(parts, {**params, "somewhere": np.zeros(3)})
    bias = "decoder/gnn/decoder_nodes_pnodes/layers_0/bias"
    with pytest.raises(ValueError, match=r"decoder_nodes_pnodes/layers_0/bias.*shape \[4\], got \[5\]"):
        RIGNO.from_flax(parts, {**params, bias: np.zeros(5)})
    nested: dict = {}
    for path, value in params.items():
        place = nested
        *folders, last = path.split("/")
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    for given in (nested, {"params": nested}, {f"params/{path}": value for path, value in params.items()}):
        torch.testing.assert_close(
            dict(RIGNO.from_flax(parts, given).named_parameters()),
            dict(base.named_parameters()),
            rtol=0,
            atol=0,
        )
    few = {"u": {"mean": np.zeros(3), "std": np.ones(3)}, "der": {"mean": np.zeros(4), "std": np.ones(4)}}
    with pytest.raises(ValueError, match="4 numbers as u/mean, got 3"):
        RIGNO.from_flax(parts, params, statistics=few)
    with pytest.raises(ValueError, match="true or false as concatenate_t, got 'False'"):
        RIGNO.from_flax({**parts, "model": {**MODEL, "concatenate_t": "False"}}, params)
    with pytest.raises(ValueError, match=r"number \(int\) as processor_steps, got None"):
        RIGNO.from_flax({**parts, "model": {**MODEL, "processor_steps": None}}, params)
    with pytest.raises(ValueError, match="nested dictionaries"):
        RIGNO.from_flax({**parts, "model": None}, params)
    with pytest.raises(ValueError, match="'builder' is missing"):
        RIGNO.from_flax({"model": MODEL}, params)


@pytest.mark.parametrize(
    ("data", "channels", "coefficients", "model"),
    [
        ("unstructured/Wave-Layer", 1, 1, {}),
        ("unstructured/Poisson-Gauss", 1, 0, {"concatenate_t": False, "concatenate_tau": False}),
        ("unstructured/AF", 1, 0, {"concatenate_t": False, "concatenate_tau": False}),
        ("unstructured/NS-SL", 2, 0, {"conditioned_normalization": False}),
        ("poseidon/ACE", 1, 0, {"mlp_hidden_layers": 2}),
    ],
)
def test_other_data_sets_are_taken_over(data, channels, coefficients, model):
    """Domain, time, coefficients and steady stepper come from the data set's name and the first kernel's shape."""
    info = DATASETS[data]
    arguments = {**MODEL, "num_outputs": channels, **model}
    conditioned = arguments.get("conditioned_normalization", True)
    sizes = Architecture(
        processor_steps=2,
        node_hidden=12,
        edge_hidden=8,
        mlp_hidden_layers=arguments["mlp_hidden_layers"],
        correction_hidden=6 if conditioned else None,
        head_hidden=channels,
        use_time=arguments["concatenate_t"],
        use_lead_time=arguments["concatenate_tau"],
    )
    written = RIGNO(
        channels + coefficients,
        channels,
        architecture=sizes,
        regional=RegionalSettings(levels=3, coordinate_frequencies=2, cover=False),
        periodic=info.periodic,
        domain=info.domain,
        stepper="residual" if info.time_span else "output",
        time_span=info.time_span or (0.0, 1.0),
        lead_time=info.time_span[1] / 10 if info.time_span else 1.0,
    )
    params = {path: flax_value(value) for path, value in flax_parameters(written.network).items()}
    width = params[PADDED].shape[1]
    params[PADDED] = np.concatenate([np.ones((written.network.features, width), np.float32), params[PADDED]])
    params["decoder/gnn/processor_0_nodes_rnodes/layers_0/kernel"] = np.ones((12, 12), np.float32)
    moments = {"mean": np.full((1, 1, 1, channels), 2.0), "std": np.full((1, 1, 1, channels), 3.0)}
    statistics = {
        "u": moments,
        "c": {"mean": np.full(coefficients, 4.0), "std": np.full(coefficients, 5.0)}
        if coefficients
        else None,
        "t": {"min": None, "max": None},
        "res": moments,
    }
    config = {"flags": {**FLAGS, "datapath": data}, "model_configs": arguments}
    base = RIGNO.from_flax(config, params, statistics=statistics)
    assert base.config() == written.config()
    torch.testing.assert_close(
        dict(base.named_parameters()), dict(written.named_parameters()), rtol=0, atol=0
    )
    assert base.input_mean.tolist() == [2.0] * channels + [4.0] * coefficients
    assert base.target_std.tolist() == [3.0] * channels
    points = np.random.default_rng(0).uniform(size=(80, 2))
    low, high = np.array(info.domain)
    graph = ig.Graph.from_points(
        low + points * (high - low), period=tuple(high - low) if info.periodic else None
    )
    assert torch.isfinite(base(torch.randn(80, channels + coefficients), graph)).all()
