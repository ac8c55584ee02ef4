"""What the report shows of texts, ready for its templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.evaluation.charts import histograms
from headstart.folder import read_json


def text_section(run: Path, words: dict[str, str]) -> dict[str, Any] | None:
    """The content of ``texts.json`` with its histogram drawn; ``None`` for a run that is not of texts."""
    path = run / "texts.json"
    if not path.exists():
        return None
    found = read_json(path)
    lengths = found["lengths"]
    chart = histograms(lengths["edges"], lengths["shares"], label=words["lengths"], x_label=words["tokens"])
    return found | {"chart": chart}
