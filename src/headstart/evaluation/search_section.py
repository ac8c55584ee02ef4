"""The report's section on a search: the figure that chose beside the one that is reported, importances, trials, curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from headstart.evaluation.charts import curves
from headstart.folder import read_json

SHOWN = 12
"""Trials in the table, the best first; the rest unfolds."""

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "The search", "line": "{n} trials ({judged} judged, {pruned} pruned{failed}), sampler {sampler}, pruner {pruner}; trial {best} was taken.",
        "failed": ", {n} failed", "nested": "The score of the best trial is the highest of many, so it is too high. The figure of this report comes from test images that no trial saw.",
        "chose": "what chose it", "reported": "what is reported", "on": "on {where}", "test": "on {n} test images, 95 % interval {low}–{high}",
        "start": "the defaults had {score} where the trials were judged", "parameter": "parameter", "space": "searched", "best": "best", "importance": "importance",
        "by": "Importance: share of the scores' spread that a parameter alone explains ({evaluator}, {n} trials; a pruned one counts with its last score). Few trials tell little.",
        "none": "Importances are not given: they need four trials with scores that differ.",
        "trials": "Trials", "number": "trial", "score": "score", "share": "of the training", "seconds": "seconds", "judged": "judged", "pruned": "pruned", "fail": "failed",
        "history": "best score so far", "trial_axis": "trial", "lines": "score during training, each trial", "share_axis": "share of the training (%)", "this": "the trial that was taken", "others": "the others", "so_far": "each trial", "more": "all trials",
    },
    "zh": {
        "title": "搜索", "line": "{n} 次试验（{judged} 次完成评估，{pruned} 次提前剪枝{failed}），采样器 {sampler}，剪枝器 {pruner}；采用第 {best} 次试验。",
        "failed": "，{n} 次失败", "nested": "最佳试验的得分是众多得分中的最大值，因此偏高。本报告的数字来自任何试验都未见过的测试图像。",
        "chose": "用于选择的得分", "reported": "所报告的得分", "on": "基于 {where}", "test": "基于 {n} 张测试图像，95 % 区间 {low}–{high}",
        "start": "默认设置在同一评估中的得分为 {score}", "parameter": "参数", "space": "搜索范围", "best": "最佳值", "importance": "重要性",
        "by": "重要性：单个参数所解释的得分差异的比例（{evaluator}，{n} 次试验；被剪枝的试验按其最后得分计入）。试验少则说明力弱。",
        "none": "未给出重要性：至少需要四次得分不同的试验。",
        "trials": "试验", "number": "试验", "score": "得分", "share": "训练完成比例", "seconds": "秒", "judged": "已评估", "pruned": "已剪枝", "fail": "失败",
        "history": "目前最佳得分", "trial_axis": "试验", "lines": "各次试验训练过程中的得分", "share_axis": "训练完成比例（%）", "this": "被采用的试验", "others": "其他试验", "so_far": "每次试验", "more": "全部试验",
    },
}  # fmt: skip

PAGE = """
<section>
<h2>{{ w.title }}</h2>
<p>{{ line }}</p>
<div class="facts">
<div><b>{{ t.optimised.value | shown }}</b><span>{{ w.chose }}<br>{{ w.on.format(where=t.optimised.on) }}</span></div>
<div><b class="mark">{{ reported.value | shown }}</b><span>{{ w.reported }}<br>{{ test }}</span></div>
</div>
<p class="note">{{ w.nested }}{% if t.defaults is not none %} {{ start }}.{% endif %}</p>
<div class="box"><table>
<tr><th scope="col">{{ w.parameter }}</th><th scope="col">{{ w.space }}</th><th scope="col">{{ w.best }}</th><th scope="col" class="n">{{ w.importance }}</th><td></td></tr>
{% for p in parameters %}<tr><td class="name">{{ p.name }}</td><td>{{ p.space }}</td><td>{{ p.best }}</td><td class="n">{{ '%.0f %%' | format(100 * p.share) if p.share is not none else '–' }}</td><td class="barcell"><div class="bar" style="width:{{ '%.0f' | format(100 * (p.share or 0)) }}%"></div></td></tr>
{% endfor %}
</table></div>
<p class="note">{{ by }}</p>
<div class="two">
{% if history %}<div><h3>{{ w.history }}</h3><p class="key"><i></i>{{ w.history }} <i class="o"></i>{{ w.so_far }}</p>{{ history }}</div>{% endif %}
{% if lines %}<div><h3>{{ w.lines }}</h3><p class="key"><i></i>{{ w.this }} <i class="o"></i>{{ w.others }}</p>{{ lines }}</div>{% endif %}
</div>
{% macro table(rows) %}
<div class="box"><table>
<tr><th scope="col" class="n">{{ w.number }}</th><td></td><th scope="col" class="n">{{ w.score }}</th><th scope="col" class="n">{{ w.share }}</th><th scope="col" class="n">{{ w.seconds }}</th>{% for p in parameters %}<th scope="col">{{ p.name }}</th>{% endfor %}<td></td></tr>
{% for r in rows %}<tr class="{{ 'chosen' if r.number == t.best else '' }}"><td class="n">{{ r.number }}</td><td>{{ w[r.state if r.state != 'failed' else 'fail'] }}</td><td class="n">{{ '%.3f' | format(r.score) if r.score is not none else '–' }}</td><td class="n">{{ '%.0f %%' | format(100 * r.share) }}</td><td class="n">{{ '%.1f' | format(r.seconds) if r.seconds is not none else '–' }}</td>{% for p in parameters %}<td>{{ r.said[p.name] }}</td>{% endfor %}<td class="free">{{ r.why }}</td></tr>
{% endfor %}
</table></div>
{% endmacro %}
<h3>{{ w.trials }}</h3>
{{ table(rows[:shown]) }}
{% if rows | length > shown %}<details><summary>{{ w.more }}</summary>{{ table(rows[shown:]) }}</details>{% endif %}
</section>
"""


def search_section(run: Path, m: dict[str, Any], lang: str) -> Markup:
    """The section as HTML, empty where the run was not searched for.

    Args:
        run: folder; ``tuning.json`` is read.
        m: metrics.json, whose ``target`` is what is reported.
        lang: ``"en"`` or ``"zh"``.
    """
    path = run / "tuning.json"
    if not path.exists():
        return Markup("")
    t, w = read_json(path), WORDS[lang]
    cell = m["target"][t["metric"]]
    percent, larger = t.get("percent", True), t.get("larger", True)

    def shown(value: float) -> str:
        return f"{value * 100:.1f} %" if percent else f"{value:.3g}"

    low, high = (shown(value) for value in cell["ci95"])
    shares = t["importance"]["values"]
    rows = [
        r | {"said": {n: _said(r["params"].get(n)) for n in t["space"]}}
        for r in t["rows"]
        if r["state"] in w or r["state"] == "failed"
    ]
    sign = 1 if larger else -1
    rows.sort(key=lambda r: (r["state"] != "judged", r["score"] is None, -sign * (r["score"] or 0), r["number"]))
    counts = t["counts"]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters["shown"] = shown
    text = page.from_string(PAGE).render(
        w=w, t=t, reported=cell, shown=SHOWN, rows=rows,
        line=w["line"].format(
            n=sum(counts.values()), judged=counts["judged"], pruned=counts["pruned"], sampler=t["sampler"], pruner=t["pruner"],
            best=t["best"], failed=w["failed"].format(n=counts["failed"]) if counts["failed"] else "",
        ),
        test=w["test"].format(n=m["n"]["test"], low=low, high=high),
        start=w["start"].format(score=f"{t['defaults']:.3f}" if t["defaults"] is not None else ""),
        parameters=[
            {"name": n, "space": d, "best": _said(t["params"].get(n)), "share": shares.get(n)} for n, d in t["space"].items()
        ],
        by=w["by"].format(evaluator=t["importance"]["evaluator"], n=t["importance"]["n"]) if shares else w["none"],
        history=_history(t, w), lines=_lines(t, w),
    )  # fmt: skip
    return Markup(text)


def _said(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _history(t: dict[str, Any], w: dict[str, str]) -> Markup | None:
    """Each judged trial's score, and the best so far."""
    points = [(float(r["number"]), float(r["score"])) for r in t["rows"] if r["state"] == "judged"]
    if len(points) < 2:
        return None
    best: list[tuple[float, float]] = []
    for number, score in points:
        better = max if t.get("larger", True) else min
        best.append((number, better(score, best[-1][1] if best else score)))
    return curves({"other": points, "model": best}, label=w["history"], x_label=w["trial_axis"])


def _lines(t: dict[str, Any], w: dict[str, str]) -> Markup | None:
    """The score of each trial over its training, the chosen one on top."""
    found = {int(number): [(100 * x, y) for x, y in line] for number, line in t["lines"].items()}
    if not found:
        return None
    named = {f"other trial-{number}": line for number, line in found.items() if number != t["best"]}
    if t["best"] in found:
        named["model"] = found[t["best"]]
    return curves(named, label=w["lines"], x_label=w["share_axis"])
