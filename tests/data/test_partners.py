"""Pairs of texts that belong together, as identities."""

import numpy as np
import pytest

from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.errors import DataError


def test_rows_that_share_a_text_are_of_one_identity(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text(
        "q,a\nhow far is it,two miles\nis it far,two miles\nwho are you,nobody\nHi,你好\n", encoding="utf-8"
    )
    data = read_dataset(path, task="embedding", text_col="q,a")
    assert list(data.inputs) == ["how far is it", "two miles", "is it far", "who are you", "nobody", "Hi", "你好"]
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert (data.task, data.modality, len(data.classes)) == ("embedding", "text", 3)
    assert "4 pairs of 'q' and 'a': 7 different texts of 3 identities" in data.notes[-1]
    with pytest.raises(DataError, match="pairs are of two columns"):
        read_dataset(path, task="embedding", text_col="q,a,b")
    with pytest.raises(DataError, match="no column 'b'"):
        read_dataset(path, task="embedding", text_col="q,b")


def test_identities_are_whole_in_every_split(tmp_path):
    texts, others = [f"question {i}" for i in range(40)], [f"answer {i}" for i in range(40)]
    data, _ = scan(read_dataset((texts, others), task="embedding", text_col="q,a"), cache_dir=tmp_path)
    split = make_splits(data, seed=0)
    for name in ("train", "valid", "test"):
        part = split.select(name)
        assert len(part) and (np.bincount(part.labels)[np.unique(part.labels)] == 2).all()


def test_an_identity_in_two_splits_is_refused(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("q,a,split\na b,c d,train\ne f,c d,test\n", encoding="utf-8")
    with pytest.raises(DataError, match="belong together stand in two splits"):
        read_dataset(path, task="embedding", text_col="q,a", split_col="split")
