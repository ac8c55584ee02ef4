"""The options of `fit` that train a model, shared with `pretrain`: each is a field of the recipe, with the same name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

DATA, TRAIN, AUGMENT, PROOF, MACHINE = "Data", "Training", "Augmentation and imbalance", "Proof", "Machine"

OPTIONS: dict[str, tuple[Any, str, str]] = {
    "task": (
        str,
        DATA,
        "classification, multilabel, regression, hierarchical, ordinal, embedding, token_classification, question_answering, "
        "translation or summarization [auto: by the labels].",
    ),
    "label_delimiter": (str, DATA, "What separates several labels in one cell of a table (multilabel)."),
    "order": (str, DATA, "Names of the ranks from low to high, with commas (ordinal) [by number]."),
    "path_col": (str, DATA, "Column of a table with the image path (guessed if left out)."),
    "text_col": (str, DATA, "Column of a table with the texts (guessed if left out)."),
    "label_col": (str, DATA, "Column of a table with the label (guessed if left out); several with commas."),
    "split_col": (str, DATA, "Column of a table with train/valid/test."),
    "group": (
        str,
        DATA,
        "What must stay in one split: a column, a pattern on the file name such as '(patient\\d+)', or auto.",
    ),
    "test_fraction": (float, DATA, "Share held out for the final test where the data has no test split [0.2]."),
    "valid_fraction": (
        float,
        DATA,
        "Share of the training images for validation [0.2 from 20 images a class on, else none].",
    ),
    "labels_per_class": (int, DATA, "Use only this many training labels a class."),
    "on_bad_sample": (str, DATA, "skip (count and name files that cannot be decoded) or fail [skip]."),
    "unlabelled": (
        str,
        DATA,
        "Images or texts of the target without labels (folder, table, of images .zip), for fixmatch, pseudo, mlm and clm.",
    ),
    "image_size": (int, DATA, "Input side in pixels [the source's own]."),
    "max_length": (int, DATA, "Tokens of a text at most [the source's own, at most 512]."),
    "pool": (
        str,
        DATA,
        "Tokens to one vector: mean, cls, last, or weighted, learned weights of all layers [the source's own].",
    ),
    "long": (str, DATA, "Longer texts: truncate, or chunks, windows whose vectors are averaged [truncate]."),
    "budget": (
        str,
        TRAIN,
        "Time for the whole job, such as 90s, 10m or 1h [120 s for the comparison, then what it takes].",
    ),
    "freeze": (str, TRAIN, "Layers that stay frozen: 'backbone[:-2]', or names of headstart sources NAME [none]."),
    "layer": (str, TRAIN, "Layer that the head of the probe reads: a name of rank --layers, last, or auto [last]."),
    "epochs": (
        int,
        TRAIN,
        "Passes over the training images [enough for about 200 steps, 4 to 60; texts from a source: 100, 4 to 20].",
    ),
    "lr": (
        str,
        TRAIN,
        "Peak learning rate; the new head learns 10 times faster; auto: a range test [with AdamW 5e-4; texts by the width of the source, MiniLM 2e-4].",
    ),
    "batch_size": (str, TRAIN, "Images a step; auto: 32, in pieces as large as memory allows [32]."),
    "optimizer": (str, TRAIN, "adamw or sgd [adamw]."),
    "momentum": (float, TRAIN, "Momentum of SGD [0.9]."),
    "weight_decay": (float, TRAIN, "Weight decay; none on biases and norms [0.01]."),
    "schedule": (str, TRAIN, "cosine, onecycle, slanted (ULMFiT's triangle) or constant [cosine]."),
    "warmup": (float, TRAIN, "Warm-up: below 1 a share of the steps, from 1 on a number of steps [0.1]."),
    "patience": (int, TRAIN, "Stop after this many epochs without a better validation score [a third of the epochs]."),
    "label_smoothing": (float, TRAIN, "Share of the target spread over all classes [0]."),
    "dropout": (float, TRAIN, "Dropout before the head [0]."),
    "embedding_loss": (
        str,
        TRAIN,
        "arcface, triplet, or ranking (pairs that belong together), for --task embedding [arcface].",
    ),
    "embedding_size": (int, TRAIN, "Numbers of an embedding [128]."),
    "margin": (float, TRAIN, "Margin of the embedding's loss [0.5 radians for arcface, 0.2 for triplet]."),
    "precision": (str, TRAIN, "auto, fp32, bf16 or fp16 [auto]."),
    "grad_clip": (float, TRAIN, "Largest norm of the gradient, 0 is off [1]."),
    "accumulate": (int, TRAIN, "Batches added up before one step [1]."),
    "average": (str, TRAIN, "Weights averaged along training: none, 'ema(0.99)' or 'swa(0.25)' [none]."),
    "soup": (str, TRAIN, "Mean of the weights of N trainings: N or greedy(N), uniform(N) [none]."),
    "wise": (str, TRAIN, "Between source (0) and tuned weights (1): a share, or auto, the best on validation [none]."),
    "calibrate": (str, TRAIN, "none, or temperature: honest confidences from held-out images [none]."),
    "augment": (
        str,
        AUGMENT,
        "none, light, standard, strong, randaugment, or a table: '{flip: 0.5, rotate: 10}', of texts '{swap: 0.1, delete: 0.1, mlm: 0.15}' [light for images, none for texts].",
    ),
    "synonyms": (
        str,
        AUGMENT,
        "File (CSV or JSON: word, synonyms) whose words replace a tenth of the words of training texts.",
    ),
    "back_translate": (
        str,
        AUGMENT,
        "Two folders of translation models, THERE,BACK, that say half of the training texts anew.",
    ),
    "mixup": (
        float,
        AUGMENT,
        "alpha of mixup's Beta distribution, 0 is off; of texts the sentence vectors are mixed [0].",
    ),
    "cutmix": (float, AUGMENT, "alpha of CutMix's Beta distribution, 0 is off [0]."),
    "repeats": (int, AUGMENT, "Each image comes this many times in a batch, each time augmented anew [1]."),
    "imbalance": (str, AUGMENT, "auto, none, weights, effective(beta=0.99), sampler, or 'rose=2,tulip=1' [auto]."),
    "loss": (str, AUGMENT, "cross_entropy, focal(gamma=2) or logit_adjusted(tau=1) [cross_entropy]."),
    "baselines": (
        str,
        PROOF,
        "What to compare with: scratch, probe, raw_pixels (of images), classical (of texts: TF-IDF), zeroshot (of texts: names of the classes alone); none turns it off.",
    ),
    "metric": (str, PROOF, "What gains and the best epoch go by, such as macro_f1 or mae [the task's headline]."),
    "source_data": (str, PROOF, "The source's own images: scored before and after (what was forgotten)."),
    "seed": (int, PROOF, "Seed of splits, weights, batches and augmentation [0]."),
    "seeds": (int, PROOF, "Repeat with this many seeds; report mean and standard deviation [1]."),
    "verify": (bool, PROOF, "Reload the saved model in a fresh process and compare its predictions [on]."),
    "lang": (str, PROOF, "Language of the report: en or zh [en]."),
    "log": (str, PROOF, "Also write: tensorboard."),
    "beams": (int, TRAIN, "Texts kept while one is written, for translation and summarization; 1 is greedy [1]."),
    "length_penalty": (float, TRAIN, "A beam's log-probability is divided by its length to this power [1]."),
    "max_new_tokens": (int, TRAIN, "Tokens of a written text at most [1.5 times the longest training target]."),
    "prefix": (str, TRAIN, "Text before each text, as T5's models expect [the source's own]."),
    "device": (str, MACHINE, "auto, cpu, cuda, cuda:1 or mps [auto]."),
    "workers": (int, MACHINE, "Threads that decode images [the cores]."),
}


def with_options(function: Callable[..., Any], names: list[str] | None = None) -> Callable[..., Any]:
    """Replace a command's ``**options`` by one typer option for each name, each ``None`` where the user is silent."""
    chosen = list(OPTIONS) if names is None else names
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for name in chosen:
        kind, panel, text = OPTIONS[name]
        flag = f"--{name.replace('_', '-')}"
        option = typer.Option(
            None, f"{flag}/--no-{name}" if kind is bool else flag, help=text, rich_help_panel=panel, show_default=False
        )
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)
        )
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the user set; a table for ``augment`` is read as YAML."""
    found = {name: value for name, value in options.items() if value is not None}
    if str(found.get("augment", "")).lstrip().startswith("{"):
        import yaml

        from headstart.errors import RecipeError, sentence

        try:
            found["augment"] = yaml.safe_load(found["augment"])
        except yaml.YAMLError:
            raise RecipeError(
                sentence("cannot read --augment", got=found["augment"], fix="--augment '{flip: 0.5, rotate: 10}'")
            ) from None
    return found
