"""The report: one file, nothing from elsewhere, every label escaped, good at 400 and 1400 px in a real browser."""

import importlib.util
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import RunError
from headstart.evaluation.fonts import embedded_font, font_for, needs_font
from headstart.evaluation.report import write_report
from headstart.evaluation.words import WORDS

_spec = importlib.util.spec_from_file_location("runs", Path(__file__).with_name("runs.py"))
runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runs)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MANY = [f"class {i}" for i in range(70)]


class Balanced(HTMLParser):
    """Every tag that is opened is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr", "line", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page(run: Path, lang: str = "en") -> str:
    return write_report(run, lang=lang).read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("classes", [["a", "b", "c"], MANY, ["猫", "狗"]])
def test_it_is_whole_and_self_contained(tmp_path, classes, lang):
    text = page(runs.make_run(tmp_path / "run", classes), lang)
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text
    assert "nan" not in re.sub(r"data:[^\"')]+", "", text).lower().replace("finance", "").split()
    assert WORDS[lang]["level_helped"] in text


def test_both_languages_have_the_same_words():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", WORDS["zh"][key])), key


def test_labels_are_escaped(tmp_path):
    text = page(runs.make_run(tmp_path / "run", ["<script>alert(1)</script>", "a&b", '"quoted"']))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_verdict_is_red_where_transfer_hurt(tmp_path):
    text = page(runs.make_run(tmp_path / "run", ["a", "b", "c"], skill=0.5, rival=4))
    assert '<main class="hurt">' in text
    assert "Transfer hurt" in text
    assert "below training from scratch" in text
    assert "Another source" in text


def test_missing_pieces_leave_a_word_not_a_hole(tmp_path):
    run = runs.make_run(tmp_path / "run", ["a", "b"], steps=False, baselines=False)
    (run / "ranking.json").unlink()
    (run / "pictures.json").unlink()
    text = page(run)
    assert WORDS["en"]["no_baselines"].split("(")[0] in text
    assert "There are no curves" in text
    assert "The source was named by you" in text
    (run / "metrics.json").unlink()
    with pytest.raises(RunError, match="not a run folder"):
        write_report(run)


def test_many_classes_show_pairs_instead_of_a_matrix(tmp_path):
    text = page(runs.make_run(tmp_path / "run", MANY, skill=1.0))
    assert 'class="matrix"' not in text
    assert "With 70 classes a matrix is hard to read" in text
    assert "The 15 worst of 70 classes" in text


def test_only_used_characters_are_embedded():
    assert needs_font("cat 猫 dog 狗 猫") == "狗猫"
    assert embedded_font("only Latin, Ελληνικά, Русский") is None
    if font_for("猫") is None:
        pytest.skip("no Chinese font on this machine")
    few, more = embedded_font("猫"), embedded_font("猫狗图像分类迁移学习")
    assert few.startswith("data:font/woff;base64,")
    assert len(few) < len(more) < 60_000


def browse(path: Path, width: int, tmp_path: Path, dark: bool = False) -> tuple[np.ndarray, int]:
    """A screenshot of the page laid out at ``width`` in an iframe (a headless window has a least width), and its scroll width."""
    probe = path.read_text(encoding="utf-8").replace(
        "</body>",
        "<script>document.title=String(document.documentElement.scrollWidth)+'x'+innerWidth;parent.postMessage(document.title,'*')</script></body>",
    )
    (tmp_path / "probe.html").write_text(probe, encoding="utf-8")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f"<body style='margin:0'><iframe src='probe.html' style='border:0;width:{width}px;height:2400px'></iframe>"
        "<p id=out></p><script>onmessage=e=>out.textContent='size:'+e.data</script></body>"
    )
    common = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / f'profile{width}{dark}'}", f"--window-size={max(width, 600)},2400",
    ]  # fmt: skip
    if dark:
        common.append("--blink-settings=preferredColorScheme=0")
    picture = tmp_path / f"{width}.png"
    subprocess.run([*common, f"--screenshot={picture}", outer.as_uri()], capture_output=True, timeout=120, check=True)
    dom = subprocess.run(
        [*common, "--virtual-time-budget=2000", "--dump-dom", outer.as_uri()],
        capture_output=True,
        timeout=120,
        text=True,
        check=True,
    ).stdout
    scroll, inner = map(int, re.search(r"size:(\d+)x(\d+)", dom).groups())
    assert inner == width, "the page was not laid out at the width it was to be tested at"
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))[:, :width], scroll


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize(
    ("classes", "lang"), [(["a", "b", "a rather long name of a class"], "en"), (["猫", "狗", "鸟"], "zh"), (MANY, "en")]
)
def test_in_a_browser(tmp_path, classes, lang, width):
    path = write_report(runs.make_run(tmp_path / "run", classes), lang=lang)
    picture, scroll = browse(path, width, tmp_path)
    assert scroll <= width, f"the page is {scroll} px wide at {width} px: it scrolls sideways"
    assert picture.std() > 10, "the page is blank"
    dark = (picture.mean(2) < 110).mean(1)
    assert (dark > 0.002).mean() > 0.15, "there is hardly any text"
