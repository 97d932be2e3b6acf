"""The same frames, labels and runs on MongoDB (mongomock_ng behind maggma's MongoStore) as in SQLite."""

import mongomock_ng
import pytest
from maggma.stores import mongolike
from mongomock_ng.store import ServerStore
from valenceflow.stores.builders_labels import LabelsBuilder, labelled
from valenceflow.stores.building import run_builder
from valenceflow.stores.connect import stores_from_yaml
from valenceflow.stores.frame_filters import FrameFilters, exclusions
from valenceflow.stores.frames import iter_frames, oxidation_states
from valenceflow.stores.ingest import find_items, ingest
from valenceflow.stores.ingest_options import default_options
from valenceflow.stores.labelling_choice import choose_labelling, current_labelling, fit_labelling, published_labelling
from valenceflow.stores.overview import count_by


@pytest.fixture
def mongo(tmp_path, monkeypatch):
    server = ServerStore()
    monkeypatch.setattr(mongolike, "MongoClient", lambda *w, **options: mongomock_ng.MongoClient(_store=server))
    where = "host: db.example.org, port: 27017, database: frames"
    path = tmp_path / "store.yaml"
    path.write_text(
        f"docs_store: {{type: MongoStore, {where}, collection_name: results}}\n"
        f"additional_stores:\n  data: {{type: MongoStore, {where}, collection_name: blobs}}\n"
    )
    opened = stores_from_yaml(path)
    yield opened
    opened.close()


def contents(stores):
    both = [*iter_frames(stores), *iter_frames(stores, surrogate="only")]
    states = [oxidation_states(frame) for frame in both]
    documents = [{k: v for k, v in f.doc.items() if k not in ("_id", "last_updated")} for f in both]
    arrays = [(f.arrays.forces.tolist(), f.arrays.positions.tolist(), f.arrays.magmoms.tolist()) for f in both]
    return documents, arrays, [None if s is None else s.tolist() for s in states]


def fill(stores, paths):
    labelling = published_labelling(stores)
    choose_labelling(stores, labelling)
    first = ingest(stores, find_items(paths), default_options())
    again = ingest(stores, find_items(paths), default_options())
    for _ in run_builder(LabelsBuilder.of(stores, labelling), labelled):
        pass
    return first, again


def test_mongodb_holds_what_sqlite_holds(plain_folders, mongo, stores):
    paths = list(plain_folders.values())
    for opened in (mongo, stores):
        first, again = fill(opened, paths)
        assert (first.taken, again.unchanged, again.frames) == (2, 2, 0)
    assert contents(mongo) == contents(stores)
    fields = ("engine", "step", "label.verdict")
    assert sorted(count_by(mongo.collection("frames"), fields)) == sorted(count_by(stores.collection("frames"), fields))
    filters = FrameFilters(engine="rehearsal:springs")
    assert exclusions(mongo, filters) == exclusions(stores, filters)
    assert current_labelling(mongo).labelling_id == current_labelling(stores).labelling_id
    assert fit_labelling(mongo, current_labelling(mongo))[2] == fit_labelling(stores, current_labelling(stores))[2]


def test_a_run_that_changed_is_replaced_there_too(relax_folder, mongo):
    whole = (relax_folder / "vasprun.xml").read_text()
    (relax_folder / "vasprun.xml").write_text(whole[: int(len(whole) * 0.6)])
    assert ingest(mongo, find_items([relax_folder]), default_options()).salvaged == 1
    (relax_folder / "vasprun.xml").write_text(whole)
    assert ingest(mongo, find_items([relax_folder]), default_options()).taken == 1
    assert mongo.collection("runs").count({}) == 1
    assert mongo.collection("frames").count({}) == whole.count("</calculation>")
