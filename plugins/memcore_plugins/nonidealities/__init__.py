"""Bundled nonidealities, one file each."""
