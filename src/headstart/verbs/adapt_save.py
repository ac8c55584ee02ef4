"""What `adapt` leaves in its run folder, and how a later `predict` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from headstart.data.feature_tables import FeatureTable, read_rows
from headstart.errors import DataError, sentence
from headstart.folder import disk_errors, write_json, write_text
from headstart.verbs.adapt_work import Answer

if TYPE_CHECKING:
    import pandas as pd

CARD = """# An adapted model

Method `{method}` ({task}), learned on {source} ({n_source} rows) and adapted to {target} ({n_target} rows). {why}

`headstart predict {run} NEW.csv` uses it on rows with the same columns; in Python `joblib.load("model.joblib")` gives a table with
`scaler`, `estimator`, `columns`, `task` and `classes`. A joblib file can run code when it is loaded: open it only where you trust
who made it. It needs the versions of scikit-learn and headstart in `env.json`.
"""


def save(work: Path, recipe: dict[str, Any], result: Answer, source: FeatureTable, target: FeatureTable) -> None:
    """Write everything but the report."""
    import joblib
    import pandas as pd
    import sklearn

    import headstart
    from headstart.verbs.work import peak_mb

    write_text(work / "recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False))
    metrics = {
        **result.metrics,
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
    with disk_errors(work):
        pd.DataFrame(result.predictions).to_csv(work / "predictions.csv", index=False, encoding="utf-8")
        (work / "model").mkdir(exist_ok=True)
        joblib.dump(result.model, work / "model" / "model.joblib", compress=3)
    card = CARD.format(
        method=result.method, task=recipe["task"], source=source.origin, target=target.origin, n_source=len(source.X),
        n_target=len(target.X), why=metrics["why"], run=Path(recipe["target"]).stem,
    )  # fmt: skip
    write_text(work / "model" / "README.md", card)


def finite(value: Any) -> Any:
    """The same for JSON: what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def predict_rows(run: Path, inputs: Any) -> pd.DataFrame:
    """Predictions of an adapted model for the rows of tables or ``.npz`` files with the run's columns.

    Raises:
        DataError: the model is about images, or columns are missing.
    """
    import joblib
    import pandas as pd

    from headstart.adapters.scorers import probabilities

    saved = joblib.load(run / "model" / "model.joblib")
    frames = []
    for path in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if not isinstance(path, (str, Path)) or not Path(path).suffix:
            fix = "a .csv or .npz with the columns of the source"
            raise DataError(sentence("this run predicts rows of features", got=str(path)[:60], fix=fix))
        rows = saved["scaler"].transform(read_rows(Path(path), saved["columns"]))
        out: dict[str, Any] = {
            "path": str(path),
            "row": np.arange(len(rows)),
            "predicted": saved["estimator"].predict(rows),
        }
        if saved["task"] == "classification":
            found = probabilities(saved["estimator"], rows)
            out["confidence"] = found.max(1)
        frames.append(pd.DataFrame(out))
    return pd.concat(frames, ignore_index=True)
