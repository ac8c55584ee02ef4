"""Names that stand for a composition."""

from __future__ import annotations

PRESETS: dict[str, str] = {"lpft": "probe>finetune", "ulmfit": "gradual(layer_decay=0.3846)"}
"""``lpft``: the head is solved on the frozen source first, then every parameter is trained (Kumar et al., ICLR 2022).

``ulmfit``: gradual unfreezing with rates that fall by 2.6 a layer (Howard and Ruder, ACL 2018, sections 3.2 and 3.3); the paper's language
model on the target's texts is ``mlm>ulmfit`` or ``clm>ulmfit``, its schedule ``--schedule slanted``."""
