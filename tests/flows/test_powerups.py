"""atomate2's powerups on our flows and makers, and the overrides that the charge states forbid."""

import json

import pytest
from atomate2.vasp.powerups import (
    add_metadata_to_flow,
    update_user_incar_settings,
    update_user_kpoints_settings,
    update_user_potcar_functional,
    update_user_potcar_settings,
    update_vasp_custodian_handlers,
    use_auto_ispin,
)
from custodian.vasp.handlers import VaspErrorHandler
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.io.vasp import Incar
from valenceflow.flows.free import FreeRelaxMaker
from valenceflow.flows.static import StaticMaker
from valenceflow.flows.two_step import TwoStepRelaxMaker

FIRST, SECOND = "surrogate relax", "relax"


@pytest.fixture(scope="module")
def powered(half_filled, rehearse, tmp_path_factory):
    flow = TwoStepRelaxMaker().make(half_filled())
    flow = update_user_incar_settings(flow, {"NCORE": 4, "NSW": 300})
    flow = add_metadata_to_flow(flow, {"project": "olivines"})
    flow = update_vasp_custodian_handlers(flow, (VaspErrorHandler(),))
    return rehearse(flow, tmp_path_factory.mktemp("powered"))


def test_user_incar_settings_reach_both_steps(powered):
    for folder in powered.folders.values():
        incar = Incar.from_file(folder / "INCAR.gz")
        assert (incar["NCORE"], incar["NSW"]) == (4, 300)


def test_metadata_reaches_the_task_documents(powered):
    job_store = powered.stores.job_store()
    with job_store:
        for document in powered.documents.values():
            stored = job_store.query_one({"uuid": document.uuid}, load=True)
            assert stored["output"]["task"]["project"] == "olivines"


def test_custodian_handlers_are_those_that_were_asked_for(half_filled):
    flow = update_vasp_custodian_handlers(TwoStepRelaxMaker().make(half_filled()), (VaspErrorHandler(),))
    for job in flow.jobs:
        assert [type(handler).__name__ for handler in job.maker.run_vasp_kwargs["handlers"]] == ["VaspErrorHandler"]
        assert "custodian_kwargs" in job.maker.run_vasp_kwargs  # ours are kept beside


def test_a_flow_with_powerups_keeps_its_ordering(powered):
    assert powered.documents[SECOND].achieved.relation == "kept"


def test_powerups_work_on_the_maker_as_on_the_flow(half_filled):
    maker = update_user_incar_settings(TwoStepRelaxMaker(), {"NCORE": 8})
    flow = maker.make(half_filled())
    settings = [job.maker.input_set_generator.user_incar_settings for job in flow.jobs]
    assert settings == [{"NCORE": 8}] * 2
    assert TwoStepRelaxMaker().relax_maker.input_set_generator.user_incar_settings == {}


def test_powerups_work_on_the_free_and_the_static_maker(half_filled):
    for maker in (FreeRelaxMaker(), StaticMaker()):
        flow = update_user_incar_settings(maker.make(half_filled(), n_high=2), {"KPAR": 2})
        assert flow.jobs[0].maker.input_set_generator.user_incar_settings == {"KPAR": 2}


def test_a_powerup_can_be_kept_to_one_step_by_its_name(half_filled):
    flow = update_user_incar_settings(TwoStepRelaxMaker().make(half_filled()), {"NCORE": 2}, name_filter=FIRST)
    assert [job.maker.input_set_generator.user_incar_settings for job in flow.jobs] == [{"NCORE": 2}, {}]


@pytest.mark.parametrize(
    ("powerup", "content", "way_out"),
    [
        (update_user_kpoints_settings, {"reciprocal_density": 200}, "kpoints_mesh"),
        (update_user_potcar_settings, {"Fe": "Fe"}, "not in protocol paper-2026"),
        (update_user_potcar_functional, "PBE_64", "not protocol paper-2026's PBE_54"),
        (use_auto_ispin, True, "auto_ispin"),
    ],
)
def test_a_powerup_that_would_change_the_protocol_is_refused_at_once(powerup, content, way_out, half_filled):
    with pytest.raises(ValueError, match=way_out):
        powerup(TwoStepRelaxMaker().make(half_filled()), content)
    with pytest.raises(ValueError, match=way_out):
        powerup(TwoStepRelaxMaker(), content)


@pytest.mark.parametrize(
    ("override", "tag"),
    [
        ({"MAGMOM": {"Fe": 5}}, "MAGMOM"),
        ({"LDAUU": {"Fe": 4}}, "LDAUU"),
        ({"NUPDOWN": -1}, "NUPDOWN"),
        ({"ENCUT": 680}, "ENCUT"),
    ],
)
def test_an_override_against_the_charge_states_is_refused_before_vasp_runs(override, tag, half_filled):
    """T4: an element-level MAGMOM would flatten 4 and 5 muB to one value."""
    flow = update_user_incar_settings(TwoStepRelaxMaker().make(half_filled()), override)
    for job in flow.jobs:
        prepared = job.maker.prepare(half_filled(), flow.jobs[0].function_kwargs["sites"])
        with pytest.raises(ValueError, match=f"override {tag} = .* contradicts"):
            job.maker.input_set_generator.get_input_set(prepared.structure, potcar_spec=True)


def test_a_flow_survives_being_written_as_json(half_filled):
    """As jobflow-remote and FireWorks hand it over."""
    flow = TwoStepRelaxMaker().make(half_filled(high=(0, 2)))
    again = MontyDecoder().decode(json.dumps(flow, cls=MontyEncoder))
    assert [job.uuid for job in again.jobs] == [job.uuid for job in flow.jobs]
    assert again.jobs[0].function_kwargs["sites"] == flow.jobs[0].function_kwargs["sites"]
    assert again.jobs[1].maker.as_dict() == flow.jobs[1].maker.as_dict()
    assert again.jobs[0].function_kwargs["reference"] == flow.jobs[0].function_kwargs["reference"]
