"""Protocols: presets against the published values, hash, user files, k-mesh."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice
from valenceflow.inputs.kmesh import KMesh, points_per_reciprocal_length
from valenceflow.inputs.protocol import Protocol, load_protocol, protocol_names

OLIVINE = (10.4063, 6.2187, 4.9469)  # A, Moreau et al. 2010
PUBLISHED_MESHES = {(1, 3, 2): (3, 1, 3), (1, 2, 2): (3, 2, 3), (1, 1, 1): (3, 4, 6)}

# The authors' public inputs, typed from their table and not read from our data.
DTU = {
    "GGA": "PE", "PREC": "Accurate", "ENCUT": 520, "ALGO": "All", "TIME": 0.05, "ISMEAR": 0, "SIGMA": 0.05,
    "EDIFF": 1e-6, "NELM": 300, "NELMIN": 8, "LREAL": "Auto", "LORBIT": 12, "LASPH": True, "LMAXMIX": 4,
    "ISPIN": 2, "ISYM": 0, "SYMPREC": 1e-7, "ISTART": 0, "ICHARG": 2, "LWAVE": False, "LCHARG": False,
    "ISIF": 3, "IBRION": 2, "NSW": 999, "EDIFFG": -0.02,
}  # fmt: skip
PAPER = DTU | {"SIGMA": 0.01, "EDIFF": 1e-5, "EDIFFG": -0.03}


def olivine(multiples):
    return Lattice.orthorhombic(*(n * length for n, length in zip(multiples, OLIVINE, strict=True)))


def changed(protocol, **fields):
    return Protocol.model_validate(protocol.model_dump() | fields)


@pytest.fixture
def protocol():
    return load_protocol("paper-2026")


@pytest.fixture
def own_file(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(("name", "table"), [("dtu-polyanion", DTU), ("paper-2026", PAPER)])
def test_a_preset_has_every_published_tag_and_no_other(name, table):
    preset = load_protocol(name)
    assert preset.name == name
    assert preset.incar_tags("relax") == table
    relaxation_only = {"ISIF", "EDIFFG"}
    assert preset.incar_tags("static") == {
        tag: value for tag, value in (table | {"NSW": 0, "IBRION": -1}).items() if tag not in relaxation_only
    }
    assert preset.hubbard_u == {"Fe": 5.3, "Mn": 3.9, "Ni": 6.2, "Co": 3.32, "V": 3.25}
    assert preset.ldau_type == 2
    assert preset.nupdown == "sum of initial moments"
    assert preset.spin_order == "FM"
    assert preset.potcar.functional == "PBE_54"
    assert [preset.potcar.label(el) for el in ("Na", "Ga", "Fe", "P", "O")] == [
        "Na_pv",
        "Ga_d",
        "Fe_pv",
        "P",
        "O",
    ]
    assert preset.potcar.dates == {"Fe": "02Aug2007", "P": "06Sep2000", "O": "08Apr2002", "Na": "19Sep2006"}
    assert (preset.max_stress_kbar, preset.volume_bound, preset.axis_bound) == (5, 0.08, 0.08)


def test_what_no_source_states_about_potcars_is_marked_as_assumed(protocol):
    cited = {"Na", "Fe", "Ga", "P", "O"}
    assert set(protocol.potcar.assumed) == (set(protocol.potcar.labels) - cited) | {"functional"}


def test_the_hashes_of_the_presets_never_change_unnoticed():
    # Configuration ids in users' stores contain them: a change here orphans every stored configuration.
    hashes = {name: load_protocol(name).hash for name in protocol_names()}
    assert hashes == {
        "dtu-polyanion": "dda51633a98c1b56",
        "paper-2026": "7c4bc48d57068034",
        "gpaw": "91da6ed32260c4ac",
        "gpaw-quick": "c48f720c26505f7b",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "another"},
        {"title": "words"},
        {"source": "elsewhere"},
        {"limits": {"NELM": 60, "NSW": 50}},
        {"output": {"LORBIT": 11, "LWAVE": True, "LCHARG": True}},
        {"max_stress_kbar": 1.0},
        {"volume_bound": 0.2},
        {"axis_bound": 0.2},
    ],
)
def test_the_hash_ignores_what_moves_no_energy(protocol, fields):
    assert changed(protocol, **fields).hash == protocol.hash


def test_the_hash_ignores_provenance_of_potcars_and_mesh(protocol):
    potcar = protocol.potcar.model_dump() | {"assumed": ()}
    same_density = protocol.k_mesh.model_dump() | {
        "mesh": (3, 2, 3),
        "cell_lengths": (10.4063, 12.4374, 9.8938),
    }
    assert changed(protocol, potcar=potcar).hash == protocol.hash
    assert changed(protocol, k_mesh=same_density).hash == protocol.hash


@pytest.mark.parametrize(
    "fields",
    [
        {"functional": "PS"},
        {"hubbard_u": {"Fe": 4.0}},
        {"ldau_type": 4},
        {"nupdown": "free"},
        {"spin_order": "as given"},
        {"rattle": 0.05},
        {"static": {"IBRION": -1, "EDIFF": 1e-7}},
        {"relax": {"IBRION": 2, "ISIF": 2, "EDIFFG": -0.03}},
    ],
)
def test_the_hash_follows_every_physics_field(protocol, fields):
    assert changed(protocol, **fields).hash != protocol.hash


def test_the_hash_follows_every_incar_tag_potcar_and_mesh(protocol):
    variants = [changed(protocol, incar=protocol.incar | {tag: 3}) for tag in protocol.incar if tag != "ISPIN"]
    potcar = protocol.potcar.model_dump()
    variants += [
        changed(protocol, potcar=potcar | {"functional": "PBE_64"}),
        changed(protocol, potcar=potcar | {"labels": potcar["labels"] | {"Fe": "Fe"}}),
        changed(protocol, k_mesh=protocol.k_mesh.model_dump() | {"length": 27.4}),
        changed(protocol, k_mesh=protocol.k_mesh.model_dump() | {"rule": "fixed"}),
    ]
    hashes = [variant.hash for variant in variants]
    assert len({protocol.hash, *hashes}) == len(hashes) + 1


@given(st.permutations(sorted(DTU.keys() - {"GGA", "NELM", "NSW", "ISIF", "IBRION", "EDIFFG"} - {"LORBIT"})))
def test_the_hash_does_not_depend_on_the_order_of_tags(tags):
    protocol = load_protocol("dtu-polyanion")
    incar = {tag: protocol.incar[tag] for tag in tags if tag in protocol.incar}
    assert changed(protocol, incar=incar).hash == protocol.hash


def test_a_protocol_survives_json(protocol):
    again = Protocol.model_validate_json(protocol.model_dump_json())
    assert again == protocol
    assert again.hash == protocol.hash


def test_one_spelling_of_a_number_has_one_hash(protocol, own_file):
    # YAML reads 1e-5 as text and 520 as a whole number.
    path = own_file("extends: paper-2026\nincar: {EDIFF: 1e-5, ENCUT: 520.0}\n")
    assert load_protocol(path).hash == protocol.hash


def test_a_file_of_ones_own_starts_from_a_preset(protocol, own_file):
    own = load_protocol(own_file("extends: paper-2026\nincar: {ENCUT: 600}\nhubbard_u: {Fe: 4.9, V: null}\n"))
    assert own.incar == protocol.incar | {"ENCUT": 600.0}
    assert own.hubbard_u == {"Fe": 4.9, "Mn": 3.9, "Ni": 6.2, "Co": 3.32}
    assert own.potcar == protocol.potcar
    # It does not pass for the preset.
    assert own.name == "mine"
    assert own.title == ""
    assert own.source == "paper-2026, changed in mine.yaml"
    assert own.hash != protocol.hash


def test_a_file_may_extend_a_file_beside_it(own_file):
    own_file("extends: dtu-polyanion\nincar: {ENCUT: 600}\n", "base.yaml")
    own = load_protocol(own_file("extends: base.yaml\nincar: {SIGMA: 0.02}\n"))
    assert (own.incar["ENCUT"], own.incar["SIGMA"], own.incar["EDIFF"]) == (600.0, 0.02, 1e-6)


def test_files_that_extend_each_other_are_refused(own_file):
    own_file("extends: mine.yaml\n", "base.yaml")
    with pytest.raises(ValueError, match="goes round in a circle"):
        load_protocol(own_file("extends: base.yaml\n"))


def test_an_unknown_protocol_is_told_the_known_ones():
    known = "dtu-polyanion, gpaw, gpaw-quick, paper-2026"
    with pytest.raises(ValueError, match=f"unknown protocol 'paper'; known: {known}, or"):
        load_protocol("paper")


def test_a_missing_file_is_told_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"no such protocol file .*none\.yaml'; known: dtu-polyanion"):
        load_protocol(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ENCUT: 600", r"unknown field 'ENCUT'; an INCAR tag goes under `incar`"),
        ("MAGMOM: 5", r"unknown field 'MAGMOM'; MAGMOM is written from `initial_moments`"),
        ("hubard_u: {Fe: 4}", r"unknown field 'hubard_u'; did you mean 'hubbard_u'\?"),
        ("encut: 600", r"unknown field 'encut'; an INCAR tag goes under `incar`"),
        ("ncore: 4", r"NCORE changes no energy; give it per launch"),
        ("colour: red", r"unknown field 'colour'; known: name, title"),
        ("k_mesh: {density: 3}", r"unknown field 'k_mesh.density'; known: rule, mesh, cell_lengths, length"),
        ("incar: {MAGMOM: 5}", r"MAGMOM is written from `initial_moments`; set it there"),
        ("incar: {LDAUU: 5}", r"LDAUU is written from `hubbard_u`"),
        ("incar: {KSPACING: 0.2}", r"KSPACING is written from `k_mesh`"),
        ("incar: {NCORE: 4}", r"NCORE changes no energy; give it per launch"),
        ("incar: {ENCUTT: 600}", r"unknown INCAR tag ENCUTT under `incar`; did you mean ENCUT\?"),
        ("incar: {encut: 600}", r"ENCUT is given twice under `incar`"),
        ("incar: {ENCUT: [5, 6]}", r"incar.ENCUT: \[5, 6\] is not one number"),
        ("incar: {MAGMOM: [5, 5]}", r"incar.MAGMOM: \[5, 5\] is not one number, .* written from the charge states"),
        ("incar: {LDAUU: {Fe: 1}}", r"incar.LDAUU: \{'Fe': 1\} is not one number"),
        ("incar: {ENCUT: null}", r"`incar` lacks ENCUT"),
        ("relax: {EDIFFG: 0.001}", r"EDIFFG = 0.001 is no force criterion"),
        ("incar: {ISPIN: 1}", r"ISPIN = 1: charge states are read from moments"),
        ("output: {LORBIT: 0}", r"LORBIT = 0 prints no site moments"),
        ("limits: {NSW: 0}", r"both at least 1"),
        ("rattle: 0", r"rattle: 0 A must be above 0 and at most 0.3, such as 0.05; `rattle: null` takes"),
        ("rattle: .nan", r"rattle: nan A must be above 0"),
        ("rattle: 1", r"rattle: 1 A must be above 0 and at most 0.3"),
        ("hubbard_u: {O: 5}", r"O is no d element"),
        ("hubbard_u: {Fe: 0}", r"Fe: U = 0.0 eV must be positive; `Fe: null`"),
        (
            "k_mesh: {length: 40}",
            r"length = 40.0 A gives \(4, 2, 4\), not mesh .* take 26.02 <= length < 27.98",
        ),
        ("incar: {ENCUT: 600", r"mine.yaml, line \d"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_the_way_out(own_file, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_protocol(own_file(f"extends: paper-2026\n{text}\n"))
    assert "\n" not in str(caught.value)


def test_a_protocol_cannot_be_changed_in_place(protocol):
    with pytest.raises(ValueError, match="frozen"):
        protocol.functional = "PS"


def test_an_element_without_a_potcar_label_is_refused(protocol):
    with pytest.raises(ValueError, match=r"no POTCAR label for Zr; .*labels: \{Zr: Zr\}"):
        protocol.potcar.label("Zr")


@pytest.mark.parametrize(("multiples", "mesh"), PUBLISHED_MESHES.items())
def test_the_same_density_rule_gives_every_published_mesh(protocol, multiples, mesh):
    assert protocol.kpoints(olivine(multiples)) == mesh


def test_the_lengths_that_give_every_published_mesh_are_27_21_to_27_98():
    windows = [
        KMesh.length_window(mesh, tuple(n * length for n, length in zip(multiples, OLIVINE, strict=True)))
        for multiples, mesh in PUBLISHED_MESHES.items()
    ]
    low, high = max(low for low, _ in windows), min(high for _, high in windows)
    assert (low, high) == (pytest.approx(27.208, abs=1e-3), pytest.approx(27.984, abs=1e-3))
    # The same window, found by trying lengths.
    working = [
        length
        for length in (26 + 0.01 * i for i in range(300))
        if all(
            KMesh.model_construct(length=length).same_density(olivine(multiples)) == mesh
            for multiples, mesh in PUBLISHED_MESHES.items()
        )
    ]
    assert (working[0], working[-1]) == (pytest.approx(27.21), pytest.approx(27.98))


def test_the_mesh_of_a_skew_cell_follows_its_reciprocal_lengths(protocol):
    skew = Lattice.from_parameters(10, 10, 10, 60, 60, 60)
    # |b_i| is 1/d_i with d_i the distance of lattice planes, 10 sqrt(2/3) A here, less than the edge.
    assert points_per_reciprocal_length((1, 1, 1), skew) == pytest.approx([10 * (2 / 3) ** 0.5] * 3)
    assert protocol.kpoints(skew) == (3, 3, 3)


def test_a_very_long_cell_keeps_one_point(protocol):
    assert protocol.kpoints(Lattice.cubic(100)) == (1, 1, 1)


def test_a_fixed_mesh_on_a_cell_of_another_density_warns_with_both(protocol):
    fixed = changed(protocol, k_mesh=protocol.k_mesh.model_dump() | {"rule": "fixed"})
    message = (
        r"fixed k-mesh 3 1 3 has 31\.2 6\.2 14\.8 points per reciprocal length \(A\) here, "
        r"against 31\.2 18\.7 29\.7 on the cell it was published for; .* would take 3 4 6"
    )
    with pytest.warns(UserWarning, match=message):
        assert fixed.kpoints(olivine((1, 1, 1))) == (3, 1, 3)


def test_a_fixed_mesh_on_its_own_cell_a_little_strained_is_silent(protocol):
    fixed = changed(protocol, k_mesh=protocol.k_mesh.model_dump() | {"rule": "fixed"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fixed.kpoints(Lattice(olivine((1, 3, 2)).matrix * 0.985)) == (3, 1, 3)
