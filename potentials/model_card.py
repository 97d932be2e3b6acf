"""The card of a trained potential (its README.md): what a user must know before trusting it."""

from __future__ import annotations

from ..stores.model_documents import ModelDoc
from .baseline import no_better_than_a_constant
from .learning_curve import in_milli
from .model_folder import CURVE_FILE, LOG_FILE
from .species import species_names

_USE = """```python
from valenceflow.potentials.open_models import charge_state_calculator

atoms.calc = charge_state_calculator("this-folder")  # ASE; charge states in the array `oxidation_state`
```"""


def model_card(doc: ModelDoc) -> str:
    """Text of the card.

    Parameters
    ----------
    doc : the model.
    """
    data = doc.data_set
    parts = [f"# {doc.name}: {doc.preset}, seed {doc.seed}"]
    if data.engine.startswith("rehearsal"):
        parts.append(f"**REHEARSAL, not DFT**: trained on numbers of the stand-in `{data.engine}`.")
    parts += [
        f"Identity `{doc.model_id}`. {doc.n_parameters:,} parameters. Weights in `{doc.weights}` hold no code.",
        "## What it knows",
        *_species(doc),
        "## Data",
        f"{data.name}: {data.n_train} frames to train on, {data.n_valid} to validate. Engine {data.engine}, protocol "
        f"{data.protocol or 'not named'} (hash `{data.protocol_hash}`): its energies compare with no others. Manifest "
        f"SHA-256 `{data.checksum}`.",
        "## Training",
        f"Began from {doc.parent or 'random weights'}. {doc.n_epochs} epochs in {doc.seconds:.0f} s ({doc.stopped}); "
        f"the weights are those of epoch {doc.best_epoch}, which had the smallest validation loss. Every setting is in "
        f"`model.json`, every epoch in `{LOG_FILE}`.",
        f"![learning curve]({CURVE_FILE})",
        "## Errors on the validation frames",
        _errors(doc),
        _verdict(doc),
        "## Use",
        _USE,
        "## Versions",
        ", ".join(f"{package} {number}" for package, number in doc.versions.items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _species(doc: ModelDoc) -> list[str]:
    known = f"Trained on {species_names(doc.species, doc.species_map)}; it refuses structures with anything else."
    if not doc.charge_states:
        return [known, "It does not know charge states: every atom goes by its element."]
    rows = [
        f"| {element}{abs(state)}{'-' if state < 0 else '+'} | {number} |"
        for element, states in doc.species_map.states.items()
        for state, number in states.items()
        if number in doc.species
    ]
    energies = ", ".join(
        f"{species_names([number], doc.species_map)} ({number}) {energy:.4f}"
        for number, energy in sorted(doc.reference_energies.items())
        if number in doc.species
    )
    return [
        known,
        f"Charge states are species of their own (map `{doc.species_map.name}`); energies compare between neutral "
        "labellings only.",
        "\n".join(["| charge state | atomic number in the model |", "| --- | --- |", *rows]),
        f"Reference energies, eV per atom, charge states tied: {energies}.",
    ]


def _verdict(doc: ModelDoc) -> str:
    said = "The constant is the composition's mean energy, zero force and stress, the species' mean moment and charge."
    missed = no_better_than_a_constant(doc.errors, doc.baseline)
    return said + (f" **No better than a constant, so not learned: {', '.join(missed)}.**" if missed else "")


def _errors(doc: ModelDoc) -> str:
    lines = ["| target | MAE | RMSE | MAE of a constant | unit |", "| --- | --- | --- | --- | --- |"]
    for target, score in doc.errors.items():
        mae, unit = in_milli(score.mae, score.unit)
        rmse = "" if score.rmse is None else f"{in_milli(score.rmse, score.unit)[0]:.3g}"
        known = doc.baseline.get(target)
        constant = "" if known is None else f"{in_milli(known.mae, known.unit)[0]:.3g}"
        lines.append(f"| {target} | {mae:.3g} | {rmse} | {constant} | {unit} |")
    return "\n".join(lines)
