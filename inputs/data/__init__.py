"""Data files: redox couples, hosts."""
