"""Charge and working-ion orderings: symmetry group, identity, listing, sampling."""
