"""Exported sets as frames to train on: the same from every format, encoded anew, refused where labels are missing."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="potentials need their extra")

from valenceflow.potentials.species import SpeciesMap
from valenceflow.potentials.training_frames import (
    READABLE,
    choose_species_map,
    open_set,
    read_frames,
)
from valenceflow.stores.frame_filters import FrameFilters

from .sets import make_set

PAPER = SpeciesMap.shipped("paper")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, rock_salt):
    """A set in all formats."""
    return make_set(tmp_path_factory.mktemp("set") / "set", rock_salt)


def only(folder, name):
    """The set, as if it had been exported in one format."""
    source = open_set(folder)
    source.manifest["formats"] = {name: source.manifest["formats"][name]}
    return source


def test_every_format_gives_the_same_frames(exported):
    sides = {name: read_frames(only(exported, name), "train", PAPER) for name in READABLE}
    for name, frames in sides.items():
        assert len(frames) == 9
        for found, meant in zip(frames, sides["parquet"], strict=True):
            assert (found.crystal.species == meant.crystal.species).all(), name
            assert np.allclose(found.crystal.positions, meant.crystal.positions, atol=1e-12)
            assert found.energy == pytest.approx(meant.energy, rel=1e-14)
            assert np.allclose(found.forces, meant.forces, atol=0)
            assert np.allclose(found.stress, meant.stress, atol=1e-15)
            assert np.allclose(found.magmoms, meant.magmoms, atol=0)


@pytest.mark.parametrize("name", READABLE)
def test_one_set_is_encoded_by_any_map_or_none(name, exported):
    source = only(exported, name)
    for species_map, high in ((PAPER, 31), (choose_species_map(source, True), 84)):
        counts = [np.bincount(f.crystal.species, minlength=95)[[26, high]].tolist() for f in
                  read_frames(source, "valid", species_map)]  # fmt: skip
        assert counts == [[2, 1]] * 3
    plain = read_frames(source, "valid", choose_species_map(source, False))
    assert all((frame.crystal.species == [11, 26, 26, 26, 8, 8, 8, 8]).all() for frame in plain)


def test_a_map_without_charge_states_is_refused_for_a_training_with_them(exported):
    with pytest.raises(ValueError, match="'elements' has no charge states"):
        choose_species_map(open_set(exported), True, "elements")


def test_frames_without_labels_are_refused_with_their_number(tmp_path, rock_salt):
    unresolved = {"verdict": "ambiguous", "source": "moments", "couples": ["Fe2+/Fe3+"], "redox_elements": ["Fe"]}
    from .sets import labelled

    folder = make_set(
        tmp_path / "set", rock_salt, marked=labelled(0, **unresolved), formats=["cpainn"],
        filters=FrameFilters(ambiguous=False), species=SpeciesMap.shipped("elements"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"9 of 9 frames have no charge states .* train with --no-charge-states"):
        read_frames(open_set(folder), "train", PAPER)
    assert len(read_frames(open_set(folder), "train", SpeciesMap.shipped("elements"))) == 9


def test_frames_that_are_not_neutral_are_refused(tmp_path, rock_salt):
    from .sets import labelled

    marked = {**labelled(0), "states": [2, 2, 2], "n_high": 0}
    folder = make_set(tmp_path / "set", rock_salt, n_runs=2, marked=marked, formats=["cpainn"])
    source = open_set(folder)
    side = "train" if source.manifest["counts"]["train"] else "valid"
    with pytest.raises(ValueError, match=r"in 3 of 3 frames the charge states do not sum to zero"):
        read_frames(source, side, PAPER)


def test_a_set_without_any_redox_element_says_so(exported):
    manganese = SpeciesMap(name="mine", states={"Mn": {2: 25, 3: 85}})
    with pytest.raises(ValueError, match="none of its frames holds Mn"):
        read_frames(open_set(exported), "train", manganese)


def test_a_folder_that_is_no_set_or_was_changed_is_refused(tmp_path, rock_salt):
    with pytest.raises(ValueError, match="is no data set"):
        open_set(tmp_path)
    folder = make_set(tmp_path / "set", rock_salt, formats=["cpainn"])
    with pytest.raises(ValueError, match="has no test frames"):
        read_frames(open_set(folder), "test", PAPER)
    path = folder / "cpainn" / "train.xyz"
    path.write_text(path.read_text().replace("REF_energy=-", "REF_energy=-1"))
    with pytest.raises(ValueError, match="was changed after its export"):
        read_frames(open_set(folder), "train", PAPER)
    path.unlink()
    with pytest.raises(ValueError, match="is missing; export the set again"):
        read_frames(open_set(folder), "train", PAPER)
    (folder / "manifest.json").write_text(json.dumps({"document": "another"}))
    with pytest.raises(ValueError, match="is not of a data set"):
        open_set(folder)
