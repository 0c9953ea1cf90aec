"""Bundled devices, one file each."""
