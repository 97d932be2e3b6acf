"""Documents of trained potentials: what a model is, what it was trained on and how well it did.

`potentials` writes and reads them, as `model.json` in a model's folder and in the collection `models`. No torch here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..inputs.species import SpeciesMap

ModelKind = Literal["chgnet", "mace", "cpainn"]
KINDS: tuple[ModelKind, ...] = ("chgnet", "mace", "cpainn")


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TargetScore(_Document):
    """Error of one target over frames."""

    mae: float = Field(description="mean absolute error, in `unit`; of components for forces and stress")
    rmse: float | None = Field(
        default=None, description="root mean square error, in `unit`; where the trainer tells it"
    )
    unit: str = Field(description="eV/atom, eV/A, eV/A^3, muB or e")


class EpochDoc(_Document):
    """One epoch of a training: a line of `log.jsonl`."""

    epoch: int = Field(description="counted from 1")
    learning_rate: float = Field(description="during it; at its end where the trainer changes it within")
    training_loss: float = Field(description="of the trainer's own weighting, mean over batches while weights changed")
    validation_loss: float = Field(description="of the same weighting, after the epoch; decides which epoch is best")
    errors: dict[str, TargetScore] = Field(description="on the validation frames: energy, forces, stress, ...")
    seconds: float = Field(description="wall time, validation included")


class DataSetRef(_Document):
    """The data set that a model was trained on."""

    name: str = Field(description="title of its manifest")
    folder: str = Field(description="where it was, for people")
    checksum: str = Field(description="SHA-256 of manifest.json, which holds the checksum of every file")
    engine: str = Field(description="that computed every frame")
    protocol: str | None = Field(default=None, description="name of the protocol, where it has one")
    protocol_hash: str = Field(description="of the protocol that every frame was computed with")
    n_train: int
    n_valid: int


class ModelDoc(_Document):
    """A trained potential: `model.json` in its folder."""

    document: Literal["ModelDoc"] = "ModelDoc"
    version: int = Field(default=1, description="of this document's layout")
    model_id: str = Field(description="hash of kind, configuration, seed, species map and data")
    kind: ModelKind
    preset: str = Field(description="the configuration began as this one")
    charge_states: bool = Field(description="whether charge states are species of their own")
    species_map: SpeciesMap = Field(description="(element, oxidation state) -> number that the model knows it by")
    species: list[int] = Field(description="model numbers that occurred in training; of others it knows nothing")
    data_set: DataSetRef
    config: dict[str, Any] = Field(description="architecture and training, complete")
    seed: int
    parent: str | None = Field(default=None, description="what its weights began from; None: random")
    reference_energies: dict[int, float] = Field(description="model number -> eV per atom, charge states tied")
    n_parameters: int
    n_epochs: int = Field(description="that were done")
    best_epoch: int = Field(description="whose weights are kept, from 1")
    stopped: str = Field(description="why the training ended")
    errors: dict[str, TargetScore] = Field(description="on the validation frames, of the best epoch")
    baseline: dict[str, TargetScore] = Field(
        default_factory=dict,
        description="errors of constants on the same frames (`potentials.baseline`); empty in older models",
    )
    seconds: float = Field(description="wall time of all epochs")
    versions: dict[str, str] = Field(description="package -> version that trained it")
    made: datetime
    weights: str = Field(default="model.pt", description="file of the weights, in the same folder")
    weights_sha256: str

    @property
    def name(self) -> str:
        """Kind, whether charge states are known, and the data: for tables."""
        return f"{self.kind} {'with' if self.charge_states else 'without'} charge states"


class ModelEntryDoc(_Document):
    """A model in the registry: collection `models`."""

    document: Literal["ModelEntryDoc"] = "ModelEntryDoc"
    model_id: str = Field(description="key")
    folder: str = Field(description="where it was when it was registered")
    model: ModelDoc
    scores: dict[str, Any] = Field(default_factory=dict, description="data set -> what `evaluate` found on it")
