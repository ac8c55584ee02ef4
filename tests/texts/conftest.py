import pytest

from .tiny_bert import tiny_bert


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A source of texts in a folder."""
    pytest.importorskip("transformers")
    return tiny_bert(tmp_path_factory.mktemp("sources") / "tiny")
