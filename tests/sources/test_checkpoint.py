"""A bare checkpoint: prefixes, wrappers, a head of another shape, and what is refused (each by its sentence)."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from headstart.errors import SourceError
from headstart.sources import load_source
from headstart.sources.checkpoint import PREFIXES, strip_prefix

ARCH = "timm/test_resnet"


def network(n: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=n).eval()


def same_features(path: Path, model: Any) -> None:
    source = load_source(str(path), arch=ARCH)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        wanted = model.forward_head(model.forward_features(x), pre_logits=True)
        torch.testing.assert_close(source.backbone(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.", "encoder.", "module.backbone.", "_orig_mod."])
def test_key_prefixes_are_taken_off(prefix: str, suffix: str, tmp_path: Path) -> None:
    model = network()
    state = {prefix + k: v for k, v in model.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    same_features(path, model)
    source = load_source(str(path), arch=ARCH)
    assert source.report.new == () and source.report.dropped == ()
    assert source.head is not None and torch.equal(source.head[0], model.state_dict()["fc.weight"])


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net"])
def test_wrapped_state_dicts_are_opened(wrapper: str, tmp_path: Path) -> None:
    model = network()
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({wrapper: state, "epoch": 7, "optimizer": {"lr": 0.1}}, tmp_path / "last.pt")
    same_features(tmp_path / "last.pt", model)


@given(st.lists(st.sampled_from(PREFIXES), max_size=3).map("".join))
@settings(max_examples=40, deadline=None)
def test_any_three_prefixes_are_found(prefix: str) -> None:
    wanted = {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"}
    assert strip_prefix([prefix + name for name in wanted], wanted) == prefix


def test_half_precision_is_widened_and_names_the_same_source(tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in network().state_dict().items()}
    wide = {k: v.float() if v.is_floating_point() else v for k, v in half.items()}
    save_file(half, tmp_path / "half.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in wide.items()}}, tmp_path / "wide.pt")
    one = load_source(str(tmp_path / "half.safetensors"), arch=ARCH)
    two = load_source(str(tmp_path / "wide.pt"), arch=ARCH)
    assert all(p.dtype == torch.float32 for p in one.backbone.parameters())
    assert one.head is not None and {part.dtype for part in one.head} == {torch.float32}
    assert one.digest == two.digest  # content only: not the route, the file or its precision


def test_other_weights_or_other_arithmetic_have_another_digest(tmp_path: Path) -> None:
    from headstart.sources.fingerprint import source_digest, weights_digest

    model = network()
    first = weights_digest(model)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    assert weights_digest(model) != first
    plain = source_digest(first, "timm", "mobilenetv1_100", {})
    assert source_digest(first, "timm", "mobilenetv1_100", {"pad_type": "same"}) != plain
    assert source_digest(first, "timm", "mobilenetv1_100.ra4_e3600_r224_in1k", {}) == plain


def test_a_head_of_another_width_or_name_is_dropped_and_said(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state["fc.weight"], state["fc.bias"] = torch.zeros(9, 3), torch.zeros(9)
    state["projection.weight"] = torch.zeros(4, 4)
    torch.save(state, tmp_path / "w.pt")
    source = load_source(str(tmp_path / "w.pt"), arch=ARCH)
    assert source.head is None and source.classes == ()
    assert source.report.dropped == ("fc.weight", "fc.bias", "projection.weight")
    n = source.report.total
    assert source.report.line() == f"loaded {n} of {n} backbone tensors; new: none; dropped: fc.weight, fc.bias, projection.weight"  # fmt: skip


def test_what_is_new_and_dropped_is_said_in_one_line(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state["unknown.weight"] = state.pop("bn1.weight")
    state["bn1.bias"] = torch.zeros(3)  # another shape
    torch.save(state, tmp_path / "w.pt")
    report = load_source(str(tmp_path / "w.pt"), arch=ARCH).report
    assert report.new == ("bn1.weight", "bn1.bias")
    assert set(report.dropped) == {"unknown.weight", "bn1.bias"}
    assert report.line().startswith(f"loaded {report.total - 2} of {report.total} backbone tensors; new: bn1.weight")
    assert "\n" not in report.line()


@pytest.mark.parametrize(("share", "kept"), [(0.4, False), (0.49, False), (0.51, True)])
def test_a_checkpoint_that_fills_under_half_is_refused(share: float, kept: bool, tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(dict(list(state.items())[: round(share * len(state))]), tmp_path / "w.pt")
    if kept:
        assert load_source(str(tmp_path / "w.pt"), arch=ARCH).report.loaded == round(share * len(state))
        return
    with pytest.raises(
        SourceError,
        match=rf"fills only {round(share * len(state))} of {len(state)} tensors of the backbone, under half.*Try: --arch",
    ):
        load_source(str(tmp_path / "w.pt"), arch=ARCH)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pt")
    with pytest.raises(SourceError, match=r"fills only 0 of \d+ tensors .*got 'names such as .*Try: --arch"):
        load_source(str(tmp_path / "vit.pt"), arch=ARCH)


def test_a_checkpoint_for_grey_images_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet", in_chans=1).state_dict(), tmp_path / "grey.pt")
    with pytest.raises(
        SourceError,
        match=r"for images of another number of channels in .*grey.pt: got '1 in conv1.*weight'; allowed: 3",
    ):
        load_source(str(tmp_path / "grey.pt"), arch=ARCH)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float, tmp_path: Path) -> None:
    state = network().state_dict()
    state["bn1.bias"][0] = bad
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(SourceError, match=r"hold NaN or infinity in .*w.pt: got 'bn1.bias'"):
        load_source(str(tmp_path / "w.pt"), arch=ARCH)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this code must not run",))


def test_a_pickle_with_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": network().state_dict(), "extra": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(
        SourceError,
        match=r"the checkpoint is not opened: got .*evil.pt'; allowed: .*could run code.*Try: save model.state_dict",
    ):
        load_source(str(tmp_path / "evil.pt"), arch=ARCH)
    assert "must not run" not in capsys.readouterr().out


def test_a_whole_pickled_model_is_not_opened(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(SourceError, match="it holds Python objects, which could run code, not only tensors"):
        load_source(str(tmp_path / "model.pt"), arch=ARCH)


@pytest.mark.parametrize("content", [[1, 2, 3], {"a": 1, "b": 2}, "text", {}])
def test_a_pickle_that_is_no_state_dict_is_said(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(
        SourceError, match=r"the file holds no state dict \(names -> tensors\): got .*x.pt'. Try: torch.save"
    ):
        load_source(str(tmp_path / "x.pt"), arch=ARCH)


def broken(kind: str) -> bytes:
    if kind == "plain pickle":
        return pickle.dumps({"a": [1, 2]})
    if kind == "text":
        return b"<html>404 not found</html>"
    if kind == "empty":
        return b""
    buffer = io.BytesIO()
    torch.save(network().state_dict(), buffer)
    return buffer.getvalue()[:5000]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["plain pickle", "text", "empty", "cut off"])
def test_a_file_that_is_no_checkpoint_is_said(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(broken(kind))
    with pytest.raises(SourceError, match=r"(the checkpoint is not opened|no state dict).*x.pt"):
        load_source(str(tmp_path / "x.pt"), arch=ARCH)
    (tmp_path / "x.safetensors").write_bytes(broken(kind))
    with pytest.raises(SourceError, match=r"the file is no safetensors file: got .*x.safetensors"):
        load_source(str(tmp_path / "x.safetensors"), arch=ARCH)


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        (None, r"a bare checkpoint does not say its architecture: got .*w.pt'; allowed: timm/NAME, torchvision/NAME. Try: --source .*w.pt --arch"),
        ("timm/resnet81", r"timm has no such architecture: got 'resnet81'; allowed: .*resnet18"),
        ("keras/resnet50", r"unknown library of an architecture: got 'keras/resnet50'; allowed: timm/NAME, torchvision/NAME"),
    ],
)  # fmt: skip
def test_an_architecture_is_needed_and_known(arch: str | None, said: str, tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "w.pt")
    with pytest.raises(SourceError, match=said):
        load_source(str(tmp_path / "w.pt"), arch=arch)
