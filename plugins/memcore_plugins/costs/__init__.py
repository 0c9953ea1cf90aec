"""Bundled costs, one file each."""
