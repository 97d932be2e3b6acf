"""Commented configuration for a cluster, written by `valenceflow init cluster`."""
