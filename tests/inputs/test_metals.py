"""The metal of a working ion: its crystal, and what its protocol shares with the campaign's."""

import pytest
from valenceflow.inputs.metals import metal_name, metal_protocol, metal_structure
from valenceflow.inputs.protocol import load_protocol
from valenceflow.inputs.vasp_sets import ChargeOrderedSetGenerator

PAPER = load_protocol("paper-2026")


@pytest.mark.parametrize(
    ("element", "name", "number"), [("Li", "Im-3m", 1), ("Na", "Im-3m", 1), ("K", "Im-3m", 1), ("Mg", "P6_3/mmc", 2)]
)
def test_crystals_of_metals_have_their_space_groups(element, name, number):
    structure = metal_structure(element)
    assert (structure.get_space_group_info()[0], len(structure)) == (name, number)
    assert metal_name(element).endswith(element)


@pytest.mark.parametrize("element", ["P", "C", "O", "Mn"])
def test_what_has_no_simple_metal_is_refused(element):
    with pytest.raises(ValueError, match=r"no bcc, fcc or hcp metal is known.*take `voltages` out"):
        metal_structure(element)


def test_inputs_share_functional_cutoff_and_potcar_and_have_a_metals_smearing_and_mesh():
    protocol = metal_protocol(PAPER, "Na")
    made = ChargeOrderedSetGenerator(protocol=protocol).get_input_set(metal_structure("Na"), potcar_spec=True)
    incar = made["INCAR"]
    own = PAPER.incar_tags("relax")
    assert {tag: incar[tag] for tag in ("ENCUT", "EDIFF", "EDIFFG", "PREC", "GGA")} == {
        **{tag: own[tag] for tag in ("ENCUT", "EDIFF", "EDIFFG", "PREC")}, "GGA": incar["GGA"],
    }  # fmt: skip
    assert str(incar["GGA"]).upper() == PAPER.functional
    assert (incar["ISMEAR"], incar["SIGMA"], incar["LREAL"]) == (1, 0.2, False)
    assert not {"LDAU", "LDAUU", "NUPDOWN", "TIME"} & set(incar)
    assert made["KPOINTS"].kpts[0] == (20, 20, 20)
    assert made["POTCAR.spec"].strip() == "Na_pv"


def test_the_metals_hash_is_its_own_and_moves_with_the_protocol():
    hashes = {metal_protocol(PAPER, element).hash for element in ("Na", "Li")}
    assert PAPER.hash not in hashes
    other = PAPER.model_copy(update={"incar": {**PAPER.incar, "ENCUT": 600.0}})
    assert metal_protocol(other, "Na").hash != metal_protocol(PAPER, "Na").hash
    gpaw = load_protocol("gpaw")
    assert metal_protocol(gpaw, "Na").hash == metal_protocol(gpaw.for_engine("vasp"), "Na").hash


def test_a_metal_is_not_rattled():
    rattled = metal_protocol(PAPER.model_copy(update={"rattle": 0.05}), "Na")
    assert rattled.rattle is None
    assert rattled.hash == metal_protocol(PAPER, "Na").hash
