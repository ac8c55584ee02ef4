"""Ask 9: frozen means eval mode, batch norms included, and the plan says so (keras #9965, #9214, #9522, #20285; ultralytics #8753)."""

import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError
from headstart.progress import SILENT
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import handshake
from headstart.strategies.terms.term import Start
from headstart.strategies.tuning.tuning import parts_of
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.loop import train
from headstart.training.objective import bind, unbind
from headstart.training.optim import Optimisation

LAYERS = [Layer("one", ("0", "1")), Layer("two", ("3", "4"))]
TASK = Classification(("a", "b"))


def trained(strategy):
    """State before and after four epochs on images far from the source's mean."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    before = {key: value.clone() for key, value in net.state_dict().items()}
    how = parse_strategy(strategy)
    objective = bind(
        how,
        how.tuning.stages(LAYERS),
        Start(Model(net, TASK.head(4)), LAYERS, TASK, list, torch.device("cpu"), 0, size=8),
    )
    batch = Batch(torch.randn(8, 3, 8, 8) + 4, torch.arange(8) % 2)
    fitted = train(
        objective, lambda epoch: [batch], 1, Optimisation(epochs=4, lr=0.01), device=torch.device("cpu"), seed=0,
        progress=SILENT,
    )  # fmt: skip
    unbind(how, fitted.model)
    return before, fitted.model.backbone.state_dict()


STATISTICS = {f"{i}.{name}" for i in (1, 4) for name in ("running_mean", "running_var", "num_batches_tracked")}
WEIGHTS = {f"{i}.{name}" for i in (0, 1, 3, 4) for name in ("weight", "bias")}


@pytest.mark.parametrize(
    ("strategy", "moved"),
    [
        ("head", set()),
        ("last(1)", {k for k in STATISTICS | WEIGHTS if k[0] in "34"}),
        ("finetune+freeze('two')", {k for k in STATISTICS | WEIGHTS if k[0] in "01"}),
        ("finetune(bn=frozen)", WEIGHTS),
        ("finetune", WEIGHTS | STATISTICS),
        ("norms(bn=adapt)", {k for k in WEIGHTS | STATISTICS if k[0] in "14"}),
        ("norms", {k for k in WEIGHTS if k[0] in "14"}),
        ("bitfit", {k for k in WEIGHTS if k.endswith("bias")}),
        ("lora", {"0.weight", "3.weight"}),  # what stands around frozen weights keeps the source's statistics
        ("lora(bn=adapt)", {"0.weight", "3.weight"} | STATISTICS),
        ("ia3", {"0.weight", "0.bias", "3.weight", "3.bias"}),
    ],
)
def test_exactly_what_is_said_moves_and_all_else_is_bit_equal(strategy, moved):
    before, after = trained(strategy)
    assert {key for key in before if not torch.equal(before[key], after[key])} == moved


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("finetune(bn=frozen)", "says what batch norms do, but this backbone has none.*leave out bn="),
        ("lora(bn=adapt)", "says what batch norms do"),
        ("norms", "moves norm layers, but this backbone has none"),
        ("bitfit", "moves biases, but this backbone has none"),
        ("last(1)>finetune(bn=frozen)", "says what batch norms do"),
        ("finetune(bn=frozen)+freeze('two')", "says what batch norms do"),
        ("last(1, layer_decay=0.5)", "one layer alone moves, so that layer_decay would do nothing"),
        ("lora+l2sp", "compares weights with those of the source, but the tuning moves adapters beside them"),
    ],
)
def test_an_argument_that_would_do_nothing_is_refused(strategy, words):
    bare = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False))
    has = [name for name, there in parts_of(bare).items() if there]
    layers = [Layer("one", ("0",)), Layer("two", ("2",))]
    with pytest.raises(HandshakeError, match=words):
        handshake(parse_strategy(strategy), layers, TASK, pretrained=True, has=has)


def test_norms_and_biases_of_other_libraries_are_known():
    import timm

    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32)
    assert parts_of(vit) == {"batch_norms": False, "norms": True, "biases": True}
    assert parts_of(nn.MultiheadAttention(4, 2)) == {"batch_norms": False, "norms": False, "biases": True}
    assert parts_of(nn.Sequential(nn.RMSNorm(4)))["norms"]
    assert parts_of(nn.Sequential(nn.BatchNorm2d(4)))["batch_norms"]
