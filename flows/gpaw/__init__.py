"""GPAW as an engine: real PBE+U without a licence, run in GPAW's own Python and kept as VASP's runs are."""
