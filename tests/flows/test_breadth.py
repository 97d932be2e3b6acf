"""Every couple through its inputs and through both steps on the stand-in, in a non-diagonal supercell."""

import pytest
from valenceflow.flows.campaign import unrelaxed
from valenceflow.flows.campaign_file import read_campaign
from valenceflow.flows.dry_run import write_inputs
from valenceflow.flows.plan import plan_configurations
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host

# couple: working ion, the framework cation that balances it, its charge, total moments of both steps at x = 1/2 (muB)
MATERIALS = {
    "Mn2+/Mn3+": ("Li", "P", 5, (10.0, 18.0)),
    "Co2+/Co3+": ("Li", "P", 5, (6.0, 14.0)),
    "Ni2+/Ni3+": ("Na", "P", 5, (4.0, 10.0)),
    "V3+/V4+": ("Na", "Si", 4, (4.0, 6.0)),
}


@pytest.fixture(params=MATERIALS)
def campaign(request, tmp_path):
    couple = request.param
    ion, cation, charge, _ = MATERIALS[couple]
    element = get_couple(couple).element
    structure = get_host("olivine-NaFePO4").structure.copy()
    structure.replace_species({"Na": ion, "Fe": element, "P": cation})
    structure.to(filename=str(tmp_path / "host.cif"))
    path = tmp_path / "c.yaml"
    path.write_text(
        f"name: c\nhost: host.cif\nsupercell: [[1, 1, 0], [0, 1, 0], [0, 0, 1]]\ncouple: {couple}\n"
        f"oxidation_states: {{{ion}: 1, {cation}: {charge}, O: -2}}\n"
        f"working_ion: {{{ion}: {{fraction: 1/2, orderings: {{sample: 1}}}}}}\ncharge: {{sample: 1}}\n"
        "end_members: false\n"
    )
    return read_campaign(path)


def tag(folder, step, name):
    (text,) = [path.read_text() for path in folder.glob(f"*/{step}/INCAR")]
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} =")]
    return line.split("=")[1].strip()


def test_the_inputs_of_both_steps_carry_u_and_moments_of_the_couple(campaign, tmp_path):
    assert write_inputs(campaign, "vasp", tmp_path / "dry").steps == 2
    totals = MATERIALS[campaign.couple.name][3]
    u = campaign.protocol.hubbard_u[campaign.couple.element]
    for step, total in zip(("1-surrogate-relax", "2-relax"), totals, strict=True):
        assert float(tag(tmp_path / "dry", step, "NUPDOWN")) == total
        assert sorted(map(float, tag(tmp_path / "dry", step, "LDAUU").split()))[-1] == u
    (spec,) = [path.read_text() for path in (tmp_path / "dry").glob("*/1-surrogate-relax/POTCAR.spec")]
    assert campaign.protocol.potcar.label(campaign.couple.surrogate.element) in spec.split()


def test_both_steps_run_and_the_ordering_is_kept(campaign, rehearse, tmp_path):
    (document,) = plan_configurations(campaign, "rehearsal:springs")
    structure, sites = unrelaxed(campaign, document)
    maker = TwoStepRelaxMaker.from_protocol(campaign.protocol, campaign.couple)
    done = rehearse(maker.make(structure, sites=sites), tmp_path)
    assert done.documents["surrogate relax"].audit.passed
    assert done.documents["relax"].achieved.relation == "kept"
    assert done.documents["relax"].audit.passed
