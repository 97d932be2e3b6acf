"""Charge-ordered DFT campaigns, and potentials that know charge states, for mixed-valence materials."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("valenceflow")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0+unknown"
