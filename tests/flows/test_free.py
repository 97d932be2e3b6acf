"""The charge order left free: equal initial moments, the number of holes fixed, the order measured afterwards."""

import numpy as np
import pytest
from pymatgen.io.vasp import Incar
from valenceflow.flows.free import FreeRelaxMaker

STEP = "free relax"


@pytest.fixture(scope="module")
def done(half_filled, rehearse, tmp_path_factory):
    return rehearse(FreeRelaxMaker().make(half_filled(), n_high=1), tmp_path_factory.mktemp("free"))


def test_every_redox_site_starts_with_the_same_moment_and_nupdown_comes_from_the_count(done):
    incar = Incar.from_file(done.folders[STEP] / "INCAR.gz")
    document = done.documents[STEP]
    moments = dict(zip(document.site_order, incar["MAGMOM"], strict=True))
    # One Fe3+ (5 muB) and three Fe2+ (4 muB) on four sites.
    assert [moments[i] for i in document.redox_sites] == [4.25] * 4
    assert incar["NUPDOWN"] == 17


def test_no_order_was_intended_so_the_relation_is_never_kept(done):
    document = done.documents[STEP]
    assert document.intended_is_high is None
    assert document.achieved.relation in ("measured", "ambiguous", "delocalised")


def test_the_moments_of_the_first_ionic_step_are_kept(done):
    document = done.documents[STEP]
    job_store = done.stores.job_store()
    with job_store:
        frames = job_store.query_one({"uuid": document.uuid}, load=True)["output"]["frames"]
    assert document.first_magmoms == frames["magmoms"][0]
    assert len(document.first_magmoms) == len(document.structure)


def test_a_resolved_free_order_is_measured(rehearse, half_filled, tmp_path):
    """Four equal sites all in the high state: the toy solid gives them high moments, as neutrality asks for."""
    structure = half_filled(vacancies=(0, 1, 2, 3))
    document = rehearse(FreeRelaxMaker().make(structure, n_high=4), tmp_path).documents[STEP]
    assert document.achieved.relation == "measured"
    assert document.achieved.is_high == [True] * 4
    assert np.allclose(
        np.abs(document.first_magmoms)[document.site_order.index(document.redox_sites[0])], 4.33, atol=0.1
    )


def test_a_free_order_needs_the_number_of_high_states(half_filled):
    with pytest.raises(ValueError, match="n_high"):
        FreeRelaxMaker().make(half_filled())
    with pytest.raises(ValueError, match="n_high = 5 exceeds the 4 redox sites"):
        FreeRelaxMaker().make(half_filled(), n_high=5)
