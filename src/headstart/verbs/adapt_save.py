"""What `adapt` leaves in its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from headstart.data.dataset import Dataset
from headstart.folder import disk_errors, write_json, write_text
from headstart.verbs.adapt_work import Answer
from headstart.verbs.domains import Domains

CARD = """# An adapted model

Method `{method}` ({task}), learned on {source} ({n_source} rows) and adapted to {target} ({n_target} rows). {why}

{how}
"""
GENERAL = """# A model of several domains

Method `{method}` ({task}), learned on {source} ({n_source} rows), for a domain that nobody has seen. {why}

{how}
"""
OF_FEATURES = """`headstart predict {run} {new}` uses it{on}; in Python `joblib.load("model.joblib")` gives a table with
`scaler`, `estimator`, `columns`, `task`, `classes`, `kind` and `backbone`. A joblib file can run code when it is loaded: open it
only where you trust who made it. It needs the versions of scikit-learn and headstart in `env.json`."""
OF_IMAGES = """`headstart predict {run} {new}` uses it, and `--source {run}` takes its backbone further. The backbone is
`model.safetensors`, in the library's own layout; the new layers and the head behind it are in `neck.safetensors`."""
NEW = {
    "rows": ("NEW.csv", " on rows with the same columns"),
    "images": ("IMAGES", ""),
    "texts": ("NEW.csv", " on texts"),
}


def save(work: Path, recipe: dict[str, Any], result: Answer, domains: Domains) -> None:
    """Write everything but the report."""
    run, whole = recipe["out"], not isinstance(result.adapted.inputs[0], np.ndarray)
    new, on = NEW[domains.kind]
    card = (CARD if recipe["target"] is not None else GENERAL).format(
        method=result.adapted.method, task=recipe["task"], source=domains.source.origin, target=domains.target.origin,
        n_source=len(domains.source.X), n_target=len(domains.target.X), why=result.metrics["why"],
        how=OF_IMAGES.format(run=run, new=new) if whole else OF_FEATURES.format(run=run, new=new, on=on),
    )  # fmt: skip
    more: dict[str, Any] = {}
    with disk_errors(work):
        (work / "model").mkdir(exist_ok=True)
        if whole:
            assert domains.images is not None
            more["reload_check"] = save_network(work, result, domains.reader, domains.images[1], card)
        else:
            import joblib

            joblib.dump(result.saved, work / "model" / "model.joblib", compress=3)
            write_text(work / "model" / "README.md", card)
    save_tables(work, recipe, result, more)


def save_tables(work: Path, recipe: dict[str, Any], result: Answer, more: dict[str, Any]) -> None:
    """Write the recipe, what was measured (``more`` joins the metrics) and what was predicted."""
    import pandas as pd
    import sklearn

    import headstart
    from headstart.verbs.work import peak_mb

    write_text(work / "recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False))
    with disk_errors(work):
        pd.DataFrame(result.predictions).to_csv(work / "predictions.csv", index=False, encoding="utf-8")
    metrics = {
        **result.metrics,
        **more,
        "seconds": result.seconds,
        "notes": result.notes,
        "peak_memory_mb": round(peak_mb(), 1),
    }
    write_json(work / "metrics.json", finite(metrics))
    write_json(work / "adaptation.json", finite(result.extras))
    write_json(
        work / "env.json",
        {"headstart": headstart.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__},
    )


def save_network(
    work: Path, result: Answer, reader: Any, images: Dataset, card: str, *, neck: bool = True
) -> dict[str, Any]:
    """The whole network of images or texts as an ordinary model folder, the new layers beside it; checked in a fresh process.

    Args:
        reader: the bare source that the network began from.
        images: those that ``result.probabilities`` are of.
        neck: whether there are new layers; without them the head is saved with the backbone.

    Raises:
        WorkError: it cannot be loaded, or predicts something else there.
    """
    from headstart.data.augment import flips
    from headstart.deploy.neck import neck_of, save_neck
    from headstart.deploy.taps import save_taps
    from headstart.sources import save_model
    from headstart.verbs.save import verify

    deep = result.adapted.model
    classes = tuple(str(c) for c in deep.classes_)
    backbone, layers = neck_of(deep.model_.backbone) if neck else (deep.model_.backbone, None)
    task = {"name": deep.task_.name, **deep.task_.state()}
    save_model(
        work / "model", reader, backbone, None if neck else deep.model_.head, classes, reader.preprocessing, card,
        extra={"precision": "fp32", "flip": images.modality == "image" and flips(result.saved.get("augment") or "light"), "task": task},
    )  # fmt: skip
    if layers is not None:
        save_neck(work / "model", layers, deep.model_.head)
    elif images.modality == "text":
        save_taps(work / "model", reader, (deep.model_.head.weight.detach(), deep.model_.head.bias.detach()))
    own = [result.saved["classes"].index(c) for c in classes]
    return verify(work, images, result.probabilities[:, own].astype(np.float32))


def finite(value: Any) -> Any:
    """The same for JSON: what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
