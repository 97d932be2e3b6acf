"""What runs in GPAW's own Python: job.json in, frames and result.json out. Imports nothing but ASE, GPAW and NumPy.

That Python is another one than valenceflow's (Debian's, say), so nothing of valenceflow is imported here and everything
is handed over in files. Python 3.10 or later.
"""
