"""Both networks: shapes, text masks, context computed once, checkpointing, rebuilding, gradients."""

import json

import pytest
import torch
from torch import Tensor, nn

from imagen.nn import NETWORKS, EfficientUNet, TextContext, UNet

TEXT_DIM, LENGTH = 24, 5

MAKERS = {
    "base": lambda **kw: UNet(TEXT_DIM, 16, [1, 2], 1, [False, True], head_channels=16, **kw),
    "base_sr": lambda **kw: UNet(
        TEXT_DIM, 16, [1, 2], 1, [True, False], head_channels=8, embed_dim=40, lowres=True, **kw
    ),
    "base_pooled": lambda **kw: UNet(
        TEXT_DIM, 16, [1, 2], 1, [False, True], head_channels=16, conditioning="attention_pooling", **kw
    ),
    "base_mean": lambda **kw: UNet(
        TEXT_DIM, 16, [1, 2], 1, [False, True], head_channels=16, conditioning="mean_pooling", **kw
    ),
    "sr_self": lambda **kw: EfficientUNet(TEXT_DIM, [8, 16], [1, 2], ["none", "self"], heads=2, **kw),
    "sr_cross": lambda **kw: EfficientUNet(TEXT_DIM, [8, 16], [1, 2], ["none", "cross"], heads=2, **kw),
}
each_network = pytest.mark.parametrize("kind", MAKERS)


def network(kind: str, seed: int = 0, **kw) -> UNet | EfficientUNet:
    """One whose residual branches and output are not zero, as after training."""
    torch.manual_seed(seed)
    net = MAKERS[kind](**kw)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net


def inputs(kind: str, size=(8, 16), batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "z": torch.randn(batch, 3, *size, generator=generator),
        "logsnr": torch.linspace(-8, 8, batch),
    }
    if kind in ("base_sr", "sr_self", "sr_cross"):
        tensors["lowres"] = torch.randn(batch, 3, *size, generator=generator)
        tensors["lowres_logsnr"] = torch.linspace(3, -3, batch)
    return tensors


def text(batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    mask = torch.ones(batch, LENGTH, dtype=torch.bool)
    mask[0, 3:] = False
    return torch.randn(batch, LENGTH, TEXT_DIM, generator=generator), mask


@each_network
def test_starts_at_zero_with_the_shape_of_z(kind):
    torch.manual_seed(0)
    net = MAKERS[kind]()
    given = inputs(kind)
    out = net(context=net.text(*text()), **given)
    assert out.shape == given["z"].shape
    assert not out.any()


@each_network
@pytest.mark.parametrize("size", [(4, 4), (8, 20), (12, 4)])
def test_any_resolution_that_divides(kind, size):
    net = network(kind)
    assert all(side % net.downsampling == 0 for side in size)
    assert net(context=net.text(*text()), **inputs(kind, size)).shape == (2, 3, *size)


@each_network
def test_hidden_tokens_do_not_matter(kind):
    net, (emb, mask) = network(kind), text()
    given = inputs(kind)
    expected = net(context=net.text(emb, mask), **given)
    other = torch.where(mask[..., None], emb, 100 * torch.randn_like(emb))
    torch.testing.assert_close(net(context=net.text(other, mask), **given), expected)
    longer = torch.cat([emb, torch.randn(2, 3, TEXT_DIM)], dim=1), torch.nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(net(context=net.text(*longer), **given), expected)
    seen = emb.clone()
    seen[1, 2] += 1
    changed = net(context=net.text(seen, mask), **given)
    assert not torch.allclose(changed[1], expected[1])
    torch.testing.assert_close(changed[0], expected[0])


@each_network
def test_context_once_equals_context_every_time(kind):
    net, (emb, mask) = network(kind).eval(), text()
    with torch.no_grad():
        context = net.text(emb, mask)
        assert isinstance(context, TextContext)
        for logsnr in (-6.0, 0.0, 6.0):
            given = inputs(kind) | {"logsnr": torch.full((2,), logsnr)}
            assert torch.equal(
                net(context=context, **given), net(context=net.text(emb.clone(), mask), **given)
            )


@each_network
def test_pictures_of_a_batch_are_apart(kind):
    net, (emb, mask) = network(kind), text()
    given = inputs(kind)
    together = net(context=net.text(emb, mask), **given)
    alone = net(context=net.text(emb[1:], mask[1:]), **{k: v[1:] for k, v in given.items()})
    torch.testing.assert_close(alone, together[1:])


@each_network
def test_told_the_noise_levels(kind):
    net, (emb, mask) = network(kind), text()
    given, context = inputs(kind), net.text(emb, mask)
    out = net(context=context, **given)
    for name in {"logsnr", "lowres_logsnr"} & set(given):
        changed = given | {name: given[name] + torch.tensor([1.0, 0.0])}
        other = net(context=context, **changed)
        assert not torch.allclose(other[0], out[0])
        torch.testing.assert_close(other[1], out[1])


@each_network
def test_gradients_reach_every_parameter(kind):
    net = network(kind)
    net(context=net.text(*text()), **inputs(kind)).square().mean().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@each_network
def test_checkpointing_changes_no_gradient(kind):
    gradients = []
    for checkpointing in (False, True):
        net = network(kind, checkpointing=checkpointing)
        net(context=net.text(*text()), **inputs(kind)).square().mean().backward()
        gradients.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("kind", "checkpointing"), [("base_sr", False), ("sr_self", True)])
def test_compiled_in_place_it_is_the_same_network(kind, checkpointing):
    """One graph without breaks; the weights keep their names, so that checkpoints do not know of it."""
    net, compiled = network(kind, checkpointing=checkpointing), network(kind, checkpointing=checkpointing)
    compiled.compile(fullgraph=True, backend="aot_eager")
    assert list(compiled.state_dict()) == list(net.state_dict())
    for one in (net, compiled):
        one(context=one.text(*text()), **inputs(kind)).square().sum().backward()
    for own, other in zip(net.parameters(), compiled.parameters()):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        expected, out = (one(context=one.text(*text()), **inputs(kind)) for one in (net, compiled))
    torch.testing.assert_close(out, expected)


@each_network
def test_arguments_rebuild_it(kind):
    net = network(kind)
    arguments = json.loads(json.dumps(net.arguments))
    again = NETWORKS[type(net).__name__](**arguments)
    again.load_state_dict(net.state_dict(), strict=True)
    assert again.text_dim == TEXT_DIM
    given = inputs(kind)
    assert torch.equal(again(context=again.text(*text()), **given), net(context=net.text(*text()), **given))


@each_network
def test_channels_last_from_any_layout(kind):
    net, given = network(kind), inputs(kind)
    context = net.text(*text())
    out = net(context=context, **given)
    assert out.is_contiguous(memory_format=torch.channels_last)
    given["z"] = given["z"].contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net(context=context, **given), out)


@each_network
def test_bfloat16(kind):
    net, (emb, mask) = network(kind), text()
    given = inputs(kind)
    expected = net(context=net.text(emb, mask), **given)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(context=net.text(emb, mask), **given)
    half = net.bfloat16()
    low = {k: v.bfloat16() if k in ("z", "lowres") else v for k, v in given.items()}
    pure = half(context=half.text(emb, mask), **low)
    for out in (mixed, pure):
        assert (out.float() - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize(
    "values",
    [
        {"width": 1}, {"text_dim": 0}, {"blocks": 0}, {"multipliers": [1, 0]}, {"head_channels": 0}, {"embed_dim": 0},
        {"widths": [8, -16]}, {"widths": []}, {"blocks": [1, 0]}, {"heads": 0},
    ],
)  # fmt: skip
def test_sizes_are_at_least_one(values):
    base = {"text_dim": 8, "width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [False, True]}
    large = {"text_dim": 8, "widths": [8, 16], "blocks": [1, 1], "attention": ["none", "self"]}
    name = next(iter(values))
    make, given = (
        (EfficientUNet, large)
        if name in ("widths", "heads") or values == {"blocks": [1, 0]}
        else (UNet, base)
    )
    if values == {"widths": []}:
        given = {**given, "blocks": [], "attention": []}
    with pytest.raises(ValueError, match=f"^{name}=.*must be at least"):
        make(**(given | values))


def test_levels_that_do_not_match():
    with pytest.raises(ValueError, match=r"attention=.*2 levels of multipliers"):
        UNet(TEXT_DIM, 16, [1, 2], 1, [True])
    with pytest.raises(ValueError, match=r"blocks=.*2 levels of widths"):
        EfficientUNet(TEXT_DIM, [8, 16], [1], ["none", "self"])
    with pytest.raises(ValueError, match="'both' is none of none, self, cross"):
        EfficientUNet(TEXT_DIM, [8, 16], [1, 1], ["none", "both"])  # pyright: ignore[reportArgumentType]
