"""Data sets for training: selection, formats, manifest and card. Entry point: `data_set.export_set`."""
