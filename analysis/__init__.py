"""Hulls, moments, distributions, tables and figures."""
