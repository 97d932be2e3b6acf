"""Interatomic potentials that know charge states: species, training, use. The only room that imports torch."""
