"""The recipe: everything that `fit` can be told, in one flat table (YAML in and out). Nothing below the verbs sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.errors import RecipeError, near, sentence

AUTO_BATCH = 32
"""Images a step, unless told otherwise: what the default learning rates and the number of epochs are made for."""

STEPWISE = (
    "epochs", "lr", "batch_size", "optimizer", "schedule", "weight_decay", "warmup", "momentum", "augment", "synonyms", "back_translate", "mixup", "cutmix",
    "label_smoothing", "dropout", "precision", "grad_clip", "accumulate", "patience", "average", "soup", "wise", "loss", "repeats",
    "embedding_loss", "margin",
)  # fmt: skip
"""Options that only gradient steps obey."""


OF_TUNE = ("space", "trials", "sampler", "pruner", "folds", "storage")
"""What a recipe may say of a search beside these fields; `headstart tune` reads it."""

BASELINES = ("scratch", "probe", "raw_pixels", "classical", "zeroshot", "copy", "dictionary", "lead")
"""What a run is compared with; of all but the first two those that are for its kind of inputs and its task."""

METRICS = (
    "auto", "accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "micro_f1", "rmse", "mae", "r2",
    "quadratic_kappa", "equal_error_rate", "tar_at_far_0.01", "tar_at_far_0.001", "recall_at_1", "recall_at_5", "mean_reciprocal_rank", "ndcg_at_10",
    "hierarchical_distance", "f1", "exact_match", "precision", "recall", "bleu", "chrf", "rouge_l", "rouge_1", "rouge_2",
)  # fmt: skip
"""Metrics of all tasks; nested classes also have ``accuracy_level_1``, ``accuracy_level_2``, ..."""


TaskName = Literal[
    "auto", "classification", "multilabel", "regression", "ordinal", "embedding", "hierarchical", "token_classification", "question_answering",
    "translation", "summarization",
]  # fmt: skip


class Recipe(BaseModel):
    """What to fit and how. Every field is also a flag of `headstart fit` and a keyword of :func:`headstart.fit`."""

    model_config = ConfigDict(extra="forbid", validate_default=True, arbitrary_types_allowed=True)

    data: Any = Field(
        description="Folder of class folders, .zip of the same, CSV/TSV/JSONL/Parquet, or (images, labels)."
    )
    source: str = Field("auto", description="Source model; 'auto' ranks the bundled ones (and --sources) first.")
    sources: list[str] = Field(default_factory=list, description="Candidates for --source auto.")
    arch: str | None = Field(None, description="Architecture of a bare checkpoint file, e.g. timm/resnet18.")
    strategy: str = Field(
        "auto",
        description="A tuning, + terms, such as probe, last(2), finetune+l2sp(0.01), probe>finetune(layer_decay=0.75); 'auto' "
        "compares probe, head2toe, lpft and finetune on folds.",
    )
    freeze: str | None = Field(
        None,
        description="Layers that stay as the source left them: backbone[:-2] (all but the last two), [:3], or names separated "
        "by commas; becomes +freeze(...) of the strategy.",
    )
    budget: str | None = Field(
        None, description="Time for the whole job, such as 90s, 10m or 1h: comparison, epochs, baselines are fitted in."
    )
    layer: str = Field(
        "last",
        description="Layer of the source that the head of the probe reads: a name, last, or auto (ranks them first).",
    )
    source_data: str | None = Field(None, description="The source's own data: evaluated before and after (forgetting).")

    task: TaskName = Field(
        "auto",
        description="What is predicted; 'auto' guesses classification, multilabel, regression or hierarchical from the labels.",
    )
    label_delimiter: str | None = Field(None, description="Between the labels in one cell of a table (multilabel).")
    order: list[str] | None = Field(None, description="Names of the ranks from low to high (ordinal).")
    path_col: str | None = Field(None, description="Column of a table that holds the image path.")
    text_col: str | None = Field(None, description="Column of a table that holds the texts.")
    label_col: str | None = Field(
        None, description="Column of a table that holds the label; several with commas: 0/1 columns, or levels."
    )
    split_col: str | None = Field(None, description="Column of a table that holds train/valid/test.")
    group: str | None = Field(
        None,
        description="Column, or regular expression on the file name: one group stays in one split; 'auto' guesses.",
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share held out for the final test, where none is.")
    valid_fraction: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the training part for validation; default: 0.2 from 20 a class on, else none.",
    )
    labels_per_class: int | None = Field(None, ge=1, description="Use only this many training labels a class.")
    on_bad_sample: Literal["skip", "fail"] = Field("skip", description="What to do with a file that cannot be decoded.")

    unlabelled: str | None = Field(
        None, description="Folder, .zip or table of target inputs without labels, for fixmatch, pseudo, mlm and clm."
    )

    seed: int = Field(0, ge=0, description="Seed of splits, weights, batches and augmentation.")
    seeds: int = Field(1, ge=1, description="Repeat with this many seeds and report mean and standard deviation.")
    image_size: int | None = Field(None, ge=16, le=2048, description="Input side in pixels; default: the source's own.")
    max_length: int | None = Field(None, ge=4, le=32768, description="Tokens of a text at most; default: the source's.")

    pool: Literal["mean", "cls", "last", "weighted"] | None = Field(
        None, description="Tokens of a text to one vector; weighted: learned weights of layers; default: the source's."
    )
    long: Literal["truncate", "chunks"] | None = Field(
        None, description="What is longer than max_length loses its end, or is read in windows; default: the source's."
    )

    epochs: int | None = Field(
        None, ge=1, description="Default: about 200 steps, 4 to 60; from a source of texts 100 steps, 4 to 20."
    )
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        None,
        description="Peak learning rate of the source's weights; default 5e-4 from a source, 2e-3 from scratch (AdamW; texts: by width, 2e-4 for MiniLM, 5e-5 for "
        "BERT; 5e-4), 20 times that for SGD; 'auto': a range test of 3 x 40 steps. The scratch baseline keeps its own default.",
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        AUTO_BATCH, description="Images a step; 'auto' is 32 in pieces as large as memory allows, found by trial steps."
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with momentum.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled for AdamW, L2 for SGD; none on biases and norms.")
    schedule: Literal["cosine", "onecycle", "slanted", "constant"] = Field(
        "cosine", description="Learning-rate schedule over the steps."
    )
    warmup: float = Field(0.1, ge=0, description="Below 1 a share of the steps, from 1 on a number of steps.")
    augment: Any = Field(
        "auto",
        description="none, light, standard, strong, or a table: of images {flip: .., rotate: ..} (and randaugment), of texts {swap: .., "
        "delete: .., mlm: ..}; auto: light for images, none for texts.",
    )
    synonyms: str | None = Field(None, description="File of synonyms (CSV, JSON) that replace words of training texts.")
    back_translate: str | None = Field(
        None, description="Two folders of translation models, there and back, that say training texts anew."
    )
    mixup: float = Field(0.0, ge=0, description="alpha of mixup's Beta distribution; 0 is off.")
    cutmix: float = Field(0.0, ge=0, description="alpha of CutMix's Beta distribution; 0 is off.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head.")
    repeats: int = Field(1, ge=1, description="Each image comes this many times in a batch, each time augmented anew.")
    imbalance: Any = Field(
        "auto", description="auto, none, weights, effective(beta=0.99), sampler, or a table {class: weight}."
    )
    loss: str = Field("cross_entropy", description="cross_entropy, focal(gamma=2) or logit_adjusted(tau=1).")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Of training; auto is bf16 on a GPU that has it and, for texts, on a CPU that has it; else fp32.",
    )
    grad_clip: float = Field(1.0, ge=0, description="Largest norm of the gradient; 0 is off.")
    accumulate: int = Field(1, ge=1, description="Batches added up before one step.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop after this many epochs without a better validation score; default: a third of the epochs, at least 5.",
    )

    baselines: list[str] = Field(
        default_factory=lambda: list(BASELINES),
        description="What to compare with: scratch, probe, raw_pixels (images), classical (texts: TF-IDF), zeroshot (texts: names of the classes); 'none' turns it off.",
    )
    average: str = Field(
        "none", description="Weights averaged along training: none, ema(decay) or swa(share of the updates at the end)."
    )
    soup: Annotated[int, Field(ge=1)] | str = Field(
        "none",
        description="Mean of the weights of N trainings, other seeds and rates: none, N, greedy(N) or uniform(N).",
    )
    wise: Annotated[float, Field(ge=0, le=1)] | Literal["none", "auto"] = Field(
        "none",
        description="Between the source (0) and the tuned weights (1): a share, or auto (the best on validation images).",
    )
    calibrate: Literal["none", "temperature"] = Field(
        "none", description="Make confidences honest: a temperature from held-out images."
    )

    metric: str = Field(
        "auto", description="What gains are measured in and the best epoch is chosen by; 'auto': the task's headline."
    )
    embedding_loss: Literal["arcface", "triplet", "ranking"] = Field(
        "arcface", description="Loss of --task embedding; ranking is for pairs that belong together."
    )
    embedding_size: int = Field(128, ge=2, description="Numbers of an embedding.")
    margin: float | None = Field(
        None, gt=0, lt=1.57, description="Margin of the embedding's loss; default 0.5 radians (arcface), 0.2 (triplet)."
    )
    beams: int = Field(1, ge=1, le=64, description="Texts kept while one is written (beam search); 1 is greedy.")
    length_penalty: float = Field(1.0, description="Power of its length that a beam's log-probability is divided by.")
    max_new_tokens: int | None = Field(
        None, ge=1, description="Tokens of a written text at most; default: 1.5 times the longest training target."
    )
    prefix: str | None = Field(
        None, description="Text before each text, as T5's models expect; default: the source's own."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    workers: int | None = Field(None, ge=1, description="Threads that decode images; default: the cores.")
    verify: bool = Field(True, description="Reload the saved model in a fresh process and compare its predictions.")
    log: list[str] = Field(default_factory=list, description="Also write: tensorboard.")
    lang: Literal["en", "zh"] = Field("en", description="Language of the report.")

    @property
    def input_size(self) -> int | None:
        """Side of an image in pixels or tokens of a text, where one is asked for."""
        return self.image_size if self.max_length is None else self.max_length

    @property
    def reading(self) -> dict[str, Any]:
        """What :func:`headstart.sources.load_source` is told of how inputs are read."""
        return {"arch": self.arch, "image_size": self.input_size, "pool": self.pool, "long": self.long}

    @property
    def stepwise_set(self) -> list[str]:
        """Options set by the user, different from the default, that only gradient steps obey."""
        fields = type(self).model_fields
        return [k for k in STEPWISE if k in self.model_fields_set and getattr(self, k) != fields[k].default]

    def to_yaml(self) -> str:
        values = self.model_dump()
        if not isinstance(self.data, str):
            values["data"] = "<arrays in memory>"
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Check values and fill in defaults.

    Raises:
        RecipeError: an unknown key (the nearest known one is offered) or a value out of range, all of them in one message.
    """
    values = {k: _plain(k, v) for k, v in values.items()}
    known = list(Recipe.model_fields)
    values, problems = _folded(values)
    for key in values:
        if key not in known:
            close = near(key, known, 1)
            fix = (
                "headstart tune RECIPE.yaml (which reads it)"
                if key in OF_TUNE
                else close[0]
                if close
                else "headstart fit --help"
            )
            problems.append(sentence("unknown key", where="the recipe", got=key, fix=fix))
    baselines = values.get("baselines")
    if baselines is not None:
        values["baselines"] = [] if baselines in ("none", ["none"], []) else baselines
        for name in values["baselines"]:
            if name not in BASELINES:
                problems.append(
                    sentence(
                        "unknown baseline",
                        where="the recipe",
                        got=name,
                        allowed=[*BASELINES, "none"],
                    )
                )
    for name in values.get("log") or []:
        if name != "tensorboard":
            problems.append(sentence("unknown tracker", where="the recipe", got=name, allowed=["tensorboard"]))
    metric = values.get("metric", "auto")
    if metric not in METRICS and not str(metric).startswith("accuracy_level_"):
        close = near(str(metric), METRICS, 1)
        problems.append(
            sentence(
                "bad value of metric",
                where="the recipe",
                got=metric,
                allowed=list(METRICS),
                fix=close[0] if close else None,
            )
        )
    imbalance = values.get("imbalance", "auto")
    simple = ("auto", "none", "weights", "sampler")
    if not isinstance(imbalance, dict) and imbalance not in simple and not str(imbalance).startswith("effective"):
        problems.append(
            sentence(
                "bad value of imbalance",
                where="the recipe",
                got=imbalance,
                allowed=["auto", "none", "weights", "effective(beta)", "sampler", "{class: weight}"],
                fix=next(iter(near(str(imbalance), [*simple, "effective"], 1)), None),
            )
        )
    if not problems:
        try:
            return Recipe(**values)
        except ValidationError as error:
            rules: dict[str, list[str]] = {}  # a value that may be a number or a word breaks a rule of each
            came: dict[str, Any] = {}
            for e in error.errors():
                name = str(e["loc"][0])
                if e["type"] == "missing":
                    problems.append(sentence(f"the recipe lacks {name!r}", fix="headstart fit DATA"))
                else:
                    rule = e["msg"][0].lower() + e["msg"][1:]
                    if e["type"] == "float_parsing":
                        rule = "a number"
                    rules.setdefault(name, []).append(rule.removeprefix("input should be "))
                    came[name] = e["input"]
            problems += [
                sentence(
                    f"bad value of {name}",
                    where="the recipe",
                    got=came[name],
                    allowed=" or ".join(found),
                    fix=_nearest(name, came[name], " ".join(found)),
                )
                for name, found in rules.items()
            ]  # fmt: skip
    raise RecipeError(" · ".join(problems))


def _nearest(name: str, got: Any, allowed: str) -> str | None:
    """The flag with the allowed word that a misspelt one is nearest to."""
    close = near(got, re.findall(r"'(\w+)'", allowed), 1) if isinstance(got, str) else []
    return f"--{name.replace('_', '-')} {close[0]}" if close else None


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys of a YAML recipe; ``data``, ``source_data``, ``unlabelled`` and a local ``source`` are relative to its file.

    Raises:
        RecipeError: no such file, or not a table of keys.
    """
    path = Path(path)
    if not path.is_file():
        raise RecipeError(
            sentence("no such recipe", got=str(path), fix="headstart fit DATA (a folder of class folders)")
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(sentence("the recipe is not YAML", where=str(path), got=str(error).splitlines()[0])) from None
    if not isinstance(values, dict):
        raise RecipeError(sentence("the recipe is not a table of keys", where=str(path), fix="data: my_folder"))
    for key in ("data", "source_data", "unlabelled", "source"):
        value = values.get(key)
        if (
            isinstance(value, str)
            and not Path(value).is_absolute()
            and (key != "source" or (path.parent / value).exists())
        ):
            values[key] = str(path.parent / value)
    return values


def _plain(key: str, value: Any) -> Any:
    """Undo YAML's and shells' surprises: '1e-4' is a number, `no` and false mean none, 'a,b' is a list."""
    if isinstance(value, Path):
        value = str(value)
    if key in ("data", "source_data", "unlabelled", "source") and isinstance(value, str):
        # a saved recipe must find its data from anywhere; names of sources are not paths
        if key == "source" and value.startswith("random/") and os.path.exists(value.removeprefix("random/")):
            return f"random/{os.path.abspath(value.removeprefix('random/'))}"
        named = key == "source" and value.partition("/")[0] in ("bundled", "timm", "torchvision", "hf", "random")
        if value.count(",") == 1 and all(os.path.exists(part.strip()) for part in value.split(",")):
            return ",".join(os.path.abspath(part.strip()) for part in value.split(","))  # two parallel files
        return os.path.abspath(value) if not named and os.path.exists(value) else value
    if key == "strategy":
        return compose(value)
    if key in ("baselines", "augment", "imbalance") and value is False:
        return "none"
    if key in ("baselines", "sources", "log", "order") and isinstance(value, str):
        return [
            part.strip().replace("-", "_") if key == "baselines" else part.strip()
            for part in value.split(",")
            if part.strip()
        ]
    if key == "imbalance" and isinstance(value, str) and "=" in value and not value.startswith("effective("):
        try:
            return {name.strip(): float(weight) for name, weight in (part.rsplit("=", 1) for part in value.split(","))}
        except ValueError:
            return value
    if isinstance(value, str) and key in (
        "lr",
        "weight_decay",
        "warmup",
        "grad_clip",
        "mixup",
        "cutmix",
        "dropout",
        "wise",
    ):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _folded(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``freeze`` as a part of the strategy; and what is wrong with it."""
    what, strategy = values.get("freeze"), values.get("strategy", "auto")
    if not isinstance(what, str) or not isinstance(strategy, str):
        return values, []
    if strategy.endswith(f"+freeze({what!r})"):  # said twice, as in a resumed run
        return {**values, "freeze": None}, []
    if strategy == "auto":
        return values, [
            sentence(
                "freeze needs a strategy that trains the other layers, and none is named", where="the recipe", got=what,
                fix=f"--strategy finetune --freeze '{what}'",
            )
        ]  # fmt: skip
    return {**values, "strategy": f"{strategy}+freeze({what!r})", "freeze": None}, []


def compose(value: Any) -> Any:
    """The forms that YAML and Python have for a strategy -> its text; anything else comes back as it is.

    A list is phases, a mapping is one phase: part -> its arguments, as a mapping, a list, a single value or nothing; a
    :class:`headstart.strategies.strategy.Strategy` is its name.

    >>> compose(["probe", {"finetune": {"layer_decay": 0.75}, "l2sp": 0.01}])
    'probe>finetune(layer_decay=0.75)+l2sp(0.01)'
    """
    if isinstance(value, list) and value:
        return ">".join(str(compose(phase)) for phase in value)
    if isinstance(value, dict) and value:
        return "+".join(f"{name}{_arguments(arguments)}" for name, arguments in value.items())
    return getattr(value, "name", value)


def _arguments(values: Any) -> str:
    if values is None:
        return ""
    if isinstance(values, dict):
        return f"({', '.join(f'{key}={_written(value)}' for key, value in values.items())})"
    return f"({', '.join(map(_written, values if isinstance(values, list) else [values]))})"


def _written(value: Any) -> str:
    """A number or a name as it is; other text, such as the name of a layer, in quotes."""
    return repr(value) if isinstance(value, str) and not value.isidentifier() and not _number(value) else str(value)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
