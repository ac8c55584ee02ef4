"""Names that stand for a composition."""

from __future__ import annotations

PRESETS: dict[str, str] = {"lpft": "probe>finetune"}
"""``lpft``: the head is solved on the frozen source first, then every parameter is trained (Kumar et al., ICLR 2022)."""
