"""The run folder is written aside and renamed when whole; a full disk is one sentence."""

import errno

import pytest

from headstart.errors import DiskFull, RunError
from headstart.folder import begin, disk_errors, finish, next_free, partial_of, read_json, write_json


def test_nothing_is_at_out_before_the_end(tmp_path):
    out = tmp_path / "run"
    work = begin(out, resume=False, force=False)
    write_json(work / "metrics.json", {"a": 1})
    assert not out.exists()
    finish(work, out)
    assert read_json(out / "metrics.json") == {"a": 1}
    assert not work.exists()


def test_an_existing_run_is_refused_without_force_and_kept_until_the_new_one_stands(tmp_path):
    out = tmp_path / "run"
    finish(begin(out, resume=False, force=False), out)
    write_json(out / "metrics.json", {"old": True})
    with pytest.raises(RunError, match="the run folder exists and is not overwritten.*Try: --force, or another --out"):
        begin(out, resume=False, force=False)
    work = begin(out, resume=False, force=True)
    assert read_json(out / "metrics.json") == {"old": True}, "the old run is there while the new one is made"
    finish(work, out)
    assert not (out / "metrics.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["run"], "nothing is left beside it"


def test_unfinished_runs_ask_for_resume_or_force(tmp_path):
    out = tmp_path / "run"
    work = begin(out, resume=False, force=False)
    with pytest.raises(RunError, match="an unfinished run is there.*--resume"):
        begin(out, resume=False, force=False)
    assert begin(out, resume=True, force=False) == work
    assert next_free(tmp_path, "run").name == "run-2"


def test_nothing_to_resume(tmp_path):
    with pytest.raises(RunError, match="there is no unfinished run to resume"):
        begin(tmp_path / "run", resume=True, force=False)
    finish(begin(tmp_path / "done", resume=False, force=False), tmp_path / "done")
    with pytest.raises(RunError, match="this run is finished, there is nothing to resume.*--extend"):
        begin(tmp_path / "done", resume=True, force=False)
    assert partial_of(tmp_path / "done").name == ".done.partial"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed: file write failed")],
)
def test_a_full_disk_is_one_sentence(tmp_path, error):
    with (
        pytest.raises(DiskFull, match="the disk is full; what was finished is kept.*--resume"),
        disk_errors(tmp_path / "x"),
    ):
        raise error


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("headstart.folder.os.replace", full)
    with pytest.raises(DiskFull):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_missing_or_broken_files_of_a_run(tmp_path):
    with pytest.raises(RunError, match="not a run folder: a file is missing"):
        read_json(tmp_path / "metrics.json")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="not JSON"):
        read_json(tmp_path / "metrics.json")
