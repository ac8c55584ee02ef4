"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.term import Term

DOMAIN_TERMS: dict[str, Part[Term]] = {}
