"""How well a potential does: errors, rankings, orderings achieved, moments, hulls, embeddings.

`reference` reads a data set; `frames` and `relaxed` run a model over it; `errors`, `rankings`, `orderings` and `hull`
score numbers and need no torch; `scores` has the documents; `run` puts it all together and goes on after a kill.
"""
