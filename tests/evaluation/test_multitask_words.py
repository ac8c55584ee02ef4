"""The report of several tasks says the same in both languages."""

import re

from headstart.evaluation.multitask_words import WORDS, verdict_zh


def test_both_languages_have_the_same_words():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", WORDS["zh"][key])), key


def cell(value, judged=True, metric="accuracy", **spec):
    gain = {"value": value, "ci95": [value - 0.01, value + 0.01], "p_value": 0.001 if value else 1.0, "n": 200}
    shown = {"larger": True, "percent": True, "unit": ""} | spec
    return {"judged": judged, "metric": metric, "metrics": {metric: shown}} | ({"gain": gain} if judged else {})


def test_the_verdict_of_a_target():
    tasks = {"birds": cell(0.05), "cars": cell(0, judged=False), "cats": cell(0, judged=False)}
    why, advice = verdict_zh({"tasks": tasks, "judged": "birds", "level": "helped"})
    assert why.startswith(
        "与 cars、cats 共同训练帮助了 birds：birds 的准确率比单独训练高 5.0 个百分点（95 % 区间 +4.0 至 +6.0"
    )
    assert len(advice) == 1
    tasks["birds"] = cell(-0.05)
    why, advice = verdict_zh({"tasks": tasks, "judged": "birds", "level": "hurt"})
    assert "负迁移" in why and "低 5.0" in why and "--pairs" in advice[-1]
    tasks["birds"] = cell(0.0)
    why, advice = verdict_zh({"tasks": tasks, "judged": "birds", "level": "no_evidence"})
    assert "没有证据" in why and "与单独训练相同" in why and len(advice) == 1


def test_the_verdict_of_all_tasks():
    years = cell(-2.0, metric="rmse", larger=False, percent=False, unit=" of years")
    why, advice = verdict_zh({"tasks": {"birds": cell(0.05), "years": years}, "judged": None, "level": "hurt"})
    assert "共同训练有帮助：birds" in why and "共同训练有害：years 的均方根误差比单独训练差 2" in why
    assert "单独训练 years" in advice[0]
