"""Missing values of tables of several domains: refused in words, filled by what the sources say, or their columns left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from headstart.errors import DataError, RecipeError, sentence

CELLS = ("", "?", "NA", "NaN", "nan")
"""Texts of a cell that stand for no value."""
POLICIES = ("mean", "drop")
SHOWN = 8


@dataclass
class Missing:
    """What is done about missing values, and, once :meth:`settle` has run, what was done.

    Attributes:
        policy: ``None``: they are refused; ``"mean"``: numbers become the mean of the column over the rows of all sources, a missing text is
            none of the column's values; ``"drop"``: columns with a missing value in any domain are left out.
        fill: with ``"mean"`` the mean of every column of numbers, for rows that come later.
        notes: sentences for the user.
    """

    policy: str | None = None
    fill: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def settle(self, frames: Sequence[pd.DataFrame], origins: Sequence[str], sources: int) -> list[pd.DataFrame]:
        """Frames of the same columns without missing numbers; texts that are missing become None.

        Args:
            sources: how many of the frames are sources, which stand first; nothing is learned from the others.

        Raises:
            RecipeError: an unknown policy. DataError: missing values, where the policy is ``None``; a
                column without a value in the sources, or none that is left.
        """
        if self.policy not in (None, *POLICIES):
            raise RecipeError(
                sentence("unknown way with missing values", got=f"--missing {self.policy}", allowed=POLICIES)
            )
        masks = [frame.apply(empty) for frame in frames]
        count = pd.concat([mask.sum() for mask in masks], axis=1).sum(axis=1)
        names = [name for name in frames[0].columns if count[name]]
        if not names:
            if self.policy == "mean":
                self._means(frames[:sources], masks[:sources])
            return list(frames)
        told = ", ".join(f"{name} ({int(count[name]):,})" for name in names[:SHOWN])
        told += f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        if self.policy is None:
            where = [origin for origin, mask in zip(origins, masks, strict=True) if mask.to_numpy().any()]
            raise DataError(
                sentence(
                    f"values are missing in {len(names)} of {len(frames[0].columns)} columns", where=", ".join(where[:3]), got=told,
                    fix="--missing mean (the source's means stand in for them), or --missing drop (these columns are left out)",
                )
            )  # fmt: skip
        if self.policy == "drop":
            if len(names) == len(frames[0].columns):
                raise DataError(
                    sentence("every column has missing values, and none would be left", got=told, fix="--missing mean")
                )
            self.notes.append(f"Columns with missing values were left out: {told}.")
            return [frame.drop(columns=names) for frame in frames]
        self._means(frames[:sources], masks[:sources])
        self.notes.append(
            f"Values were missing in {told}: numbers were filled with the mean of the source's rows, a missing text is none of its column's values."
        )
        out = []
        for frame, mask in zip(frames, masks, strict=True):
            filled = frame.copy()
            for name in names:
                column = frame[name].astype(object).mask(mask[name], None)
                if name not in self.fill:
                    filled[name] = column
                    continue
                kept = frame[name].dtype if frame[name].dtype.kind == "f" else np.dtype(np.float64)
                filled[name] = pd.to_numeric(column).astype(float).fillna(self.fill[name]).astype(kept)
            out.append(filled)
        return out

    def _means(self, frames: Sequence[pd.DataFrame], masks: Sequence[pd.DataFrame]) -> None:
        for name in frames[0].columns:
            cells = pd.concat(
                [frame[name].astype(object)[~mask[name]] for frame, mask in zip(frames, masks, strict=True)]
            )
            if not len(cells):
                raise DataError(
                    sentence("a column has no value in the source that could stand in for the missing ones", where=f"column {name}", fix="--missing drop")
                )  # fmt: skip
            numbers = pd.to_numeric(cells, errors="coerce")
            if numbers.notna().all():
                self.fill[name] = float(numbers.astype(float).mean())


def empty(column: pd.Series) -> pd.Series:
    """Which cells of a column hold no value, bool (n,)."""
    found = column.isna()
    return found if column.dtype.kind in "fiub" else found | column.astype(str).str.strip().isin(CELLS)
