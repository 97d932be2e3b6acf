"""Data files: charge-state species."""
