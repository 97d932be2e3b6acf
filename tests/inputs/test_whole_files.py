"""Files that appear whole or not at all."""

import pytest
from valenceflow.inputs.whole_files import write_whole, written_whole


def test_a_file_has_its_text_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "new" / "a.json", "Å")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_text(encoding="utf-8") == "Å"


def interrupted(path):
    with written_whole(path) as partial:
        partial.write_text("aft", encoding="utf-8")
        raise RuntimeError("half way")


def test_what_was_there_stays_where_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "before")
    with pytest.raises(RuntimeError, match="half way"):
        interrupted(path)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_an_interrupted_writing_left_is_swept_away_and_folders_appear_whole_too(tmp_path):
    path = tmp_path / "cifs"
    (tmp_path / ".cifs.partial").mkdir()
    (tmp_path / ".cifs.partial" / "old.cif").touch()
    with written_whole(path) as partial:
        assert not path.exists()
        partial.mkdir()
        (partial / "new.cif").touch()
    assert [child.name for child in path.iterdir()] == ["new.cif"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("inside", ["x.html", "folder/x.html"])
def test_a_place_within_a_file_is_refused_by_the_files_name(tmp_path, inside):
    (tmp_path / "afile").touch()
    with pytest.raises(
        ValueError, match=f"{tmp_path / 'afile'} is a file and no folder, so .*{inside} cannot be written"
    ):
        write_whole(tmp_path / "afile" / inside, "text")
