"""The VASP stand-in: makes every line but the physics run for real. It is not DFT and says so."""
