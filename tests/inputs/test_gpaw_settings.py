"""What a protocol says to GPAW: VASP's words mapped, GPAW's own block, and a hash that covers what GPAW reads."""

import pytest
from pymatgen.core import Lattice
from valenceflow.inputs.gpaw_settings import cell_relaxes, gpaw_parameters
from valenceflow.inputs.protocol import Protocol, load_protocol


def changed(protocol, **fields):
    return Protocol.model_validate(protocol.model_dump() | fields)


def with_block(protocol, **fields):
    return changed(protocol, gpaw=protocol.gpaw.model_dump() | fields)


@pytest.fixture
def protocol():
    return load_protocol("gpaw")


def test_the_papers_numbers_reach_gpaw_under_its_names(protocol):
    found = gpaw_parameters(protocol, {"Na", "Fe", "P", "O"}, (3, 1, 3))
    assert found["xc"] == "PBE"
    assert found["cutoff_ev"] == 520
    assert found["occupations"] == {"name": "fermi-dirac", "width": 0.1}
    assert found["k_mesh"] == [3, 1, 3]
    assert found["hubbard_u"] == {"Fe": 5.3}
    assert found["scale_u"] is True
    assert found["fix_total_moment"] is True
    assert (protocol.max_force, cell_relaxes(protocol)) == (0.03, True)


def test_the_quick_preset_is_the_gamma_point_at_400_ev_with_looser_scfs_and_else_the_same(protocol):
    quick = load_protocol("gpaw-quick")
    lattice = Lattice.orthorhombic(10.4, 6.2, 4.9)
    assert quick.kpoints(lattice) == (1, 1, 1)
    assert protocol.kpoints(lattice) == (3, 4, 6)
    ours, theirs = (gpaw_parameters(p, {"Fe"}, (1, 1, 1)) for p in (quick, protocol))
    assert ours | {"cutoff_ev": 520.0, "convergence": theirs["convergence"]} == theirs
    assert ours["cutoff_ev"] == 400
    assert all(ours["convergence"][name] >= value for name, value in theirs["convergence"].items())


def test_a_vasp_protocol_is_run_by_gpaw_with_the_shipped_block():
    paper = load_protocol("paper-2026")
    assert paper.for_engine("gpaw").hash == load_protocol("gpaw").hash
    assert paper.for_engine("vasp") is paper
    assert paper.for_engine("rehearsal:chgnet").hash == paper.hash


@pytest.mark.parametrize("name", ["gpaw", "gpaw-quick"])
def test_a_gpaw_protocol_in_vasps_hands_is_the_paper(name):
    paper = load_protocol("paper-2026")
    assert load_protocol(name).for_engine("vasp").hash == paper.hash
    assert load_protocol(name).for_engine("vasp").incar_tags("relax") == paper.incar_tags("relax")


@pytest.mark.parametrize(
    "fields",
    [
        {"scale_u": False},
        {"smearing": None},
        {"screening": 0.5},
        {"mixing": {"method": "separate"}},
        {"cutoff": 450},
        {"k_mesh": "gamma"},
        {"starts": ("ionic", "atoms")},
        {"setups": {"Na": "1"}},
        {"convergence": {"energy": 1e-6, "density": 1e-4, "eigenstates": 4e-8}},
    ],
)
def test_the_hash_covers_gpaws_own_physics(protocol, fields):
    assert with_block(protocol, **fields).hash != protocol.hash


def test_the_hash_ignores_limits_and_what_is_vasps_alone(protocol):
    limits = {"scf": 300, "hops": 9, "steps": 10}
    potcar = protocol.potcar.model_dump() | {"functional": "PBE_64"}
    incar = dict(protocol.incar) | {"ALGO": "Normal"}
    assert with_block(protocol, limits=limits).hash == protocol.hash
    assert changed(protocol, potcar=potcar, incar=incar).hash == protocol.hash


@pytest.mark.parametrize(
    ("fields", "way_out"),
    [
        ({"starts": ("ionic", "random")}, "'random' is none of them"),
        ({"starts": ("ionic", "ionic")}, "different ones"),
        ({"starts": ("ionic d6",)}, "ionic d1 to ionic d5"),
        ({"ions": {"Xx": 1}}, "'Xx' is no element"),
        ({"convergence": {"energy": 1e-5}}, "give exactly energy, density, eigenstates"),
        ({"limits": {"scf": 0, "hops": 0, "steps": 1}}, "at least 1"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_way_out(protocol, fields, way_out):
    with pytest.raises(ValueError, match=way_out):
        with_block(protocol, **fields)


def test_the_papers_smearing_has_its_own_name_in_gpaw(protocol):
    # VASP's ISMEAR 0 (Gaussian) is Methfessel and Paxton's order 0.
    plain = with_block(protocol, smearing=None)
    found = gpaw_parameters(plain, {"Fe"}, (1, 1, 1))["occupations"]
    assert found == {"name": "methfessel-paxton", "order": 0, "width": 0.01}


@pytest.mark.parametrize(
    ("fields", "way_out"),
    [
        ({"functional": "AM"}, "take one of PE"),
        ({"ldau_type": 4}, "Dudarev"),
        ({"incar": {"ISMEAR": -5}}, "take 0"),
        ({"relax": {"ISIF": 4}}, "take 3"),
    ],
)
def test_what_gpaw_cannot_do_is_refused_by_name(protocol, fields, way_out):
    protocol = with_block(protocol, smearing=None)
    merged = {k: getattr(protocol, k) | v if isinstance(v, dict) else v for k, v in fields.items()}
    with pytest.raises(ValueError, match=way_out):
        _ = changed(protocol, **merged).hash


def test_a_protocol_of_your_own_changes_one_word_of_the_block(tmp_path, protocol):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: gpaw-quick\ngpaw: {scale_u: false}\n", encoding="utf-8")
    mine = load_protocol(path)
    assert not mine.gpaw.scale_u
    assert mine.gpaw.cutoff == 400
    path.write_text("extends: gpaw\ngpaw: {scaled: true}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"unknown field 'gpaw\.scaled'"):
        load_protocol(path)


def test_an_element_without_a_charge_is_named(protocol):
    with pytest.raises(ValueError, match="which ion Zr is"):
        protocol.gpaw.ion("Zr")
