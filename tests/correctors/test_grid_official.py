"""Checkpoints of the official code against a network with its names, written here from its description."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import irno_graph as ig
from irno_graph.correctors import UNet
from irno_graph.correctors.grid import read_official
from irno_graph.graph import Graph

SHAPE = (16, 32)


class OverChannels(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, field):
        return torch.einsum("nhwc->nchw", self.norm(torch.einsum("nchw->nhwc", field)))


def _norm(kind, channels):
    if kind == "layer":
        return OverChannels(channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(max(n for n in (1, 2, 4, 8) if channels % n == 0), channels)


def _circular(channels, out):
    return nn.Conv2d(channels, out, 3, padding=1, padding_mode="circular")


def _twice(channels, out, kind):
    parts = [_circular(channels, out), _norm(kind, out), nn.GELU()]
    return nn.Sequential(*parts, _circular(out, out), _norm(kind, out), nn.GELU())


class Reference(nn.Module):
    """The network that checkpoints of the official code are of."""

    def __init__(self, channels, out, base=4, depth=2, kind="layer"):
        super().__init__()
        sizes = [base << level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            _twice(channels if level == 0 else sizes[level - 1], sizes[level], kind) for level in range(depth)
        )
        self.bottleneck = _twice(sizes[-2], sizes[-1], kind)
        self.upconvs, self.decoders = nn.ModuleList(), nn.ModuleList()
        for size in reversed(sizes[:-1]):
            rise = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.upconvs.append(nn.Sequential(rise, _circular(2 * size, size)))
            self.decoders.append(_twice(2 * size, size, kind))
        self.output = nn.Conv2d(base, out, 1)

    def forward(self, field):
        kept = []
        for encoder in self.encoders:
            field = encoder(field)
            kept.append(field)
            field = nn.functional.max_pool2d(field, 2)
        field = self.bottleneck(field)
        for rise, decoder in zip(self.upconvs, self.decoders, strict=True):
            field = decoder(torch.cat([rise(field), kept.pop()], dim=1))
        return self.output(field)


def reference(**settings):
    """In evaluation mode, with weights and statistics of all layers away from their first values."""
    torch.manual_seed(2)
    network = Reference(5, 2, **settings)
    for value in network.state_dict().values():
        if value.dim() == 1:
            value.copy_(torch.rand_like(value) + 0.5)
    return network.eval()


def checkpoint_of(network, prefix=""):
    """As the official code writes it."""
    return {
        "epoch": 3,
        "model_state_dict": {prefix + name: value for name, value in network.state_dict().items()},
        "optimizer_state_dict": torch.optim.Adam(network.parameters()).state_dict(),
        "loss": np.mean([np.float32(0.25), np.float32(0.5)]),
        "K": 6,
    }


@pytest.mark.parametrize("kind", ["layer", "batch", "group"])
@pytest.mark.parametrize(("base", "depth"), [(4, 2), (12, 1), (8, 3)])
def test_the_same_numbers_as_the_network_of_the_checkpoint(kind, base, depth):
    network = reference(base=base, depth=depth, kind=kind)
    corrector = UNet.from_official(checkpoint_of(network), in_channels=3)
    assert (corrector.base_channels, corrector.depth, corrector.norm) == (base, depth, kind)
    assert not corrector.training
    fields = torch.randn(3, 5, *SHAPE)
    graph = Graph.from_grid(SHAPE, period=(2.0, 1.0))
    nodes = fields.flatten(2).transpose(1, 2)  # [samples, ny * nx, channels]
    value = corrector(nodes[..., :3], nodes[..., 3:], graph)
    expected = network(fields).flatten(2).transpose(1, 2)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_refinement_is_that_of_the_official_loop():
    """h <- h + alpha Phi([x, h]), K times with the checkpoint's K."""
    network = reference()
    found = read_official(checkpoint_of(network))
    assert found.steps == 6
    graph = Graph.from_grid(SHAPE, period=(1.0, 1.0))
    x, base = torch.randn(1, 3, *SHAPE), torch.randn(1, 2, *SHAPE)
    h = base
    for _ in range(6):
        h = h + 0.2 * network(torch.cat([x, h], dim=1))

    def on_nodes(field):
        return field.flatten(2).transpose(1, 2)

    model = ig.IRNO(lambda x, graph: on_nodes(base), UNet.from_official(found), alpha=0.2, steps=found.steps)
    torch.testing.assert_close(model(on_nodes(x), graph).value, on_nodes(h), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pickles_are_read_with_trust_alone(suffix, tmp_path):
    path = tmp_path / f"best_model{suffix}"
    network = reference()
    torch.save(checkpoint_of(network, prefix="module."), path)
    with pytest.raises(ValueError, match=r"pickle.*trust=True"):
        UNet.from_official(path)
    found = read_official(path, trust=True)
    assert (found.steps, found.in_channels, found.channels) == (6, 3, 2)
    assert torch.equal(found.tensors["last.weight"], network.output.weight)


def test_trusted_pickles_run_no_code(tmp_path):
    class Attack:
        def __reduce__(self):
            return (Graph.from_grid, ((2, 2),))

    path = tmp_path / "attack.pth"
    torch.save({"model_state_dict": {}, "K": Attack()}, path)
    with pytest.raises(ValueError, match="should be a checkpoint of tensors and numbers"):
        read_official(path, trust=True)


def test_safetensors_files_of_the_same_names(tmp_path):
    network = reference(kind="batch")
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    found = read_official(path)
    assert (found.norm, found.steps) == ("batch", None)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="should be a safetensors file"):
        read_official(path)


def test_what_was_taken_over_is_saved_and_loaded(tmp_path):
    corrector = UNet.from_official(checkpoint_of(reference(kind="batch")))
    again = ig.load(ig.save(corrector, tmp_path / "corrector.safetensors"))
    graph = Graph.from_grid(SHAPE, period=(1.0, 1.0))
    x, h = torch.randn(graph.num_nodes, 3), torch.randn(graph.num_nodes, 2)
    assert torch.equal(again(x, h, graph), corrector(x, h, graph))


def _without(name):
    def change(state):
        del state[name]

    return change


def _with(name, value):
    def change(state):
        state[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _without("encoders.1.3.bias"),
            "`encoders.1.3.bias` should be a tensor of 1 dimensions, got nothing",
        ),
        (_without("output.weight"), "`output.weight` should be a tensor"),
        (_with("bottleneck.0.weight", torch.ones(16, 8, 5, 5)), r"`bottleneck.0.weight` .*\[16, 8, 3, 3\]"),
        (_with("decoders.1.0.weight", torch.ones(4, 4, 3, 3)), r"`decoders.1.0.weight` .*\[4, 8, 3, 3\]"),
        (_with("attention.weight", torch.ones(3)), "`attention.weight` is not known"),
        (_with("upconvs.0.1.bias", "text"), "`upconvs.0.1.bias` should be a tensor of 1 dimensions, got str"),
        (_with("encoders.0.1.weight", torch.ones(4)), "`encoders.0.1.weight` is not known .* norm 'layer'"),
    ],
)
def test_the_first_name_that_does_not_fit_is_named(change, message):
    state = dict(reference().state_dict())
    change(state)
    with pytest.raises(ValueError, match=message):
        read_official(state)


def test_channels_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`in_channels` should be 3"):
        UNet.from_official(checkpoint_of(reference()), in_channels=4)
    network = Reference(2, 2)
    with pytest.raises(ValueError, match="x and the 2 channels of h, got 2"):
        read_official(network.state_dict())
    with pytest.raises(ValueError, match="`model_state_dict` should be a dict"):
        read_official({"model_state_dict": 3})
    torch.save([1.0], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="should hold a dict, got list"):
        read_official(tmp_path / "list.pt", trust=True)
    with pytest.raises(ValueError, match="should be a file"):
        read_official(tmp_path / "missing.pt", trust=True)
