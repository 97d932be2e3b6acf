"""The VASP stand-in: makes every line but the physics run for real. It is not DFT and says so.

executable.py is the command, run.py one run, command.py the string for ATOMATE2_VASP_CMD. inputs.py, incar.py,
crystal.py, kpoints.py and pseudopotentials.py read the input files; outcar.py, vasprun.py and oszicar.py write the
outputs from frames.py, outputs.py all of them; wavecar.py is a stub. descent.py walks downhill. engines.py names the
physics: springs.py (with states.py) and pretrained.py (with chgnet_loading.py). faults.py breaks runs on request
(fault_requests.py: which and where; faulty_values.py, faulty_ends.py, messages.py). potcars.py makes stub POTCARs.
"""
