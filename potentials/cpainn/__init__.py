"""cPaiNN: PaiNN (arXiv:2102.03150) with magnetic moments and Bader charges (10.1002/aidi.202500065), written here.

`settings` has the presets, `model` the potential, `training` the loop, `calculator` the way in from ASE. torch is
imported by the modules that compute, not by this one.
"""
