"""A run: what `fit` leaves in a folder, to look at and to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headstart.errors import RunError, sentence
from headstart.folder import partial_of, read_json


class Run:
    """A finished run folder.

    Args:
        path: the folder that :func:`headstart.fit` wrote.

    Raises:
        RunError: there is no finished run at ``path``.

    >>> run = Run("runs/flowers")                        # doctest: +SKIP
    >>> run.predict("photo.jpg")                         # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "metrics.json").is_file():
            fix = "headstart fit DATA --out " + str(path)
            if partial_of(self.path).is_dir():
                fix = f"headstart fit --resume --out {path} (this run is unfinished)"
            raise RunError(sentence("there is no finished run", where=str(path), fix=fix))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.verdict})"

    @property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``: scores with intervals, baselines, gains, costs."""
        return read_json(self.path / "metrics.json")

    @property
    def recipe(self) -> dict[str, Any]:
        """``recipe.yaml``: everything needed to do it again."""
        return yaml.safe_load((self.path / "recipe.yaml").read_text(encoding="utf-8"))

    @property
    def verdict(self) -> str:
        """Whether the transfer helped, in one sentence."""
        return self.metrics["why"]

    @property
    def accuracy(self) -> float:
        """Accuracy on the held-out test images, 0 to 1.

        Raises:
            RunError: the task of this run has none; see :attr:`metrics`.
        """
        target = self.metrics["target"]
        if "accuracy" not in target:
            raise RunError(
                sentence(f"a run of --task {self.metrics['task']} has no accuracy", where=str(self.path), allowed=list(target))
            )  # fmt: skip
        return target["accuracy"]["value"]

    def predict(self, inputs: Any, **options: Any) -> Any:
        """See :func:`headstart.predict`."""
        from headstart.verbs.predict import predict

        return predict(self.path, inputs, **options)

    def evaluate(self, data: Any, **options: Any) -> dict[str, Any]:
        """See :func:`headstart.evaluate`."""
        from headstart.verbs.evaluate import evaluate

        return evaluate(self.path, data, **options)

    def report(self, lang: str | None = None) -> Path:
        """Write the report again (from the folder's files alone) and give its path."""
        from headstart.verbs.report import report

        return report(self.path, lang=lang)


def load(path: str | Path) -> Run:
    """Open a finished run folder.

    Raises:
        RunError: there is none at ``path``.
    """
    return Run(path)
