"""Searching orderings with a potential, and selecting what goes to DFT."""
