"""The stand-in refuses what VASP refuses: a message, an exit status, and no vasprun.xml."""

from __future__ import annotations

import pytest
from valenceflow.flows.rehearsal.incar import read_incar
from valenceflow.flows.rehearsal.inputs import read_inputs


def change(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def set_tag(folder, tag, value):
    lines = [line for line in (folder / "INCAR").read_text().splitlines() if not line.startswith(f"{tag} ")]
    (folder / "INCAR").write_text("\n".join([*lines, f"{tag} = {value}"]) + "\n")


def assert_refused(folder, rehearse, capfd, *words):
    (folder / "vasprun.xml").write_text("left by an earlier attempt")
    assert rehearse(folder) == 1
    printed = capfd.readouterr()
    for word in words:
        assert word in printed.out
        assert word in printed.err
    assert "I REFUSE TO CONTINUE" in printed.out
    assert not (folder / "vasprun.xml").exists()


@pytest.mark.parametrize("name", ["INCAR", "POSCAR", "POTCAR"])
def test_a_missing_file_is_refused(half_sodium, rehearse, capfd, name):
    (half_sodium / name).unlink()
    assert_refused(half_sodium, rehearse, capfd, f"{name} file not found")


def test_kpoints_may_be_missing_only_with_kspacing(half_sodium, rehearse, capfd):
    (half_sodium / "KPOINTS").unlink()
    assert_refused(half_sodium, rehearse, capfd, "KPOINTS file not found and no KSPACING")
    set_tag(half_sodium, "KSPACING", "0.3")
    assert read_inputs(half_sodium).mesh.divisions == (3, 4, 5)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("NSW", "many"), ("EDIFF", "small"), ("LWAVE", "perhaps"), ("LDAUU", "0 5.3 zero 0"), ("ENCUT", "")],
)
def test_a_value_of_the_wrong_type_is_a_read_error(half_sodium, rehearse, capfd, tag, value):
    set_tag(half_sodium, tag, value)
    # custodian knows these two lines as `read_error`, which it does not try to mend.
    assert_refused(half_sodium, rehearse, capfd, f"Error reading item '{tag}'", "Error code was IERR= 5")


@pytest.mark.parametrize(
    ("tag", "value"), [("ISPIN", "3"), ("ALGO", "Best"), ("IBRION", "0"), ("ISIF", "7"), ("GGA", "XX")]
)
def test_a_value_that_is_none_of_the_possible_ones_is_refused(half_sodium, rehearse, capfd, tag, value):
    set_tag(half_sodium, tag, value)
    assert_refused(half_sodium, rehearse, capfd, f"{tag} = {value}")


@pytest.mark.parametrize("moments", ["2*0 2*5 2*4 19*0", "2*0 2*5 2*4 21*0"])
def test_magmom_needs_one_value_per_site(half_sodium, rehearse, capfd, moments):
    set_tag(half_sodium, "MAGMOM", moments)
    assert_refused(half_sodium, rehearse, capfd, "Error reading item 'MAGMOM'", "expected 26: one per site")


@pytest.mark.parametrize("tag", ["LDAUL", "LDAUU", "LDAUJ"])
def test_plus_u_tags_need_one_value_per_species_block(half_sodium, rehearse, capfd, tag):
    set_tag(half_sodium, tag, "2 0 0")
    assert_refused(half_sodium, rehearse, capfd, f"Error reading item '{tag}'", "expected 4: one per species block")


def test_potcar_order_must_be_that_of_the_poscar(half_sodium, rehearse, capfd):
    sets = (half_sodium / "POTCAR").read_text().split(" End of Dataset\n")[:-1]
    swapped = [sets[1], sets[0], *sets[2:]]
    (half_sodium / "POTCAR").write_text("".join(one + " End of Dataset\n" for one in swapped))
    assert_refused(half_sodium, rehearse, capfd, "type information on POSCAR and POTCAR are incompatible")


def test_potcar_needs_a_potential_for_every_block(half_sodium, rehearse, capfd):
    sets = (half_sodium / "POTCAR").read_text().split(" End of Dataset\n")[:-1]
    (half_sodium / "POTCAR").write_text("".join(one + " End of Dataset\n" for one in sets[:3]))
    assert_refused(
        half_sodium, rehearse, capfd, "incompatible with number of species", "3 potentials, 4 species blocks"
    )


def test_an_unsorted_poscar_needs_a_potential_per_block(half_sodium, rehearse, capfd):
    # Na Fe P O with one sodium put behind the iron, as atomate2 0.1.5 leaves mixed cells unsorted.
    lines = (half_sodium / "POSCAR").read_text().splitlines()
    lines[5], lines[6] = "Na Fe Na P O", "1 4 1 4 16"
    (half_sodium / "POSCAR").write_text("\n".join(lines) + "\n")
    assert_refused(half_sodium, rehearse, capfd, "4 potentials, 5 species blocks")


def test_a_poscar_that_is_cut_off_is_refused(half_sodium, rehearse, capfd):
    lines = (half_sodium / "POSCAR").read_text().splitlines()
    (half_sodium / "POSCAR").write_text("\n".join(lines[:20]) + "\n")
    assert_refused(half_sodium, rehearse, capfd, "26 sites but holds 12 positions")


def test_a_potcar_that_is_cut_off_is_refused(half_sodium, rehearse, capfd):
    text = (half_sodium / "POTCAR").read_text()
    (half_sodium / "POTCAR").write_text(text[: len(text) - 40])
    assert_refused(half_sodium, rehearse, capfd, "POTCAR ends before")


def test_an_unknown_tag_is_ignored_with_a_warning(half_sodium, rehearse, capfd):
    set_tag(half_sodium, "NSWW", "3")
    assert rehearse(half_sodium, "--steps", "1") == 0
    assert "the INCAR tag NSWW is unknown" in capfd.readouterr().out


def test_incar_is_read_with_comments_separators_continuations_and_repeats():
    tags, unknown = read_incar("nsw = 3 ! steps\nISPIN=2; LWAVE = .FALSE. # no\nMAGMOM = 2*5 \\\n -4 0.6\nEDIFF=1d-5\n")
    assert tags == {"NSW": 3, "ISPIN": 2, "LWAVE": False, "MAGMOM": [5.0, 5.0, -4.0, 0.6], "EDIFF": 1e-5}
    assert unknown == []


def test_potcar_spec_stands_in_for_potcar(half_sodium):
    full = read_inputs(half_sodium)
    (half_sodium / "POTCAR").unlink()
    (half_sodium / "POTCAR.spec").write_text("Na_pv\nFe_pv\nP\nO")
    labels = read_inputs(half_sodium)
    assert labels.n_electrons == full.n_electrons == 2 * 7 + 4 * 14 + 4 * 5 + 16 * 6
    assert [p.header for p in labels.potentials][1] == "PAW_PBE Fe_pv 02Aug2007"


def test_poscar_may_be_cartesian_and_scaled(half_sodium):
    direct = read_inputs(half_sodium).crystal
    rows = "\n".join(" ".join(f"{x / 2:.12f}" for x in row) for row in direct.cartesian)
    cell = "\n".join(" ".join(f"{x / 2:.12f}" for x in row) for row in direct.lattice)
    (half_sodium / "POSCAR").write_text(f"half the size\n2.0\n{cell}\nNa Fe P O\n2 4 4 16\nCartesian\n{rows}\n")
    # VASP scales Cartesian positions like the lattice.
    scaled = read_inputs(half_sodium).crystal
    assert abs(scaled.lattice - direct.lattice).max() < 1e-9
    assert abs(scaled.positions - direct.positions).max() < 1e-9
