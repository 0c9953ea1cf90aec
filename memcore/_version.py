"""The version, in one place; the build reads it by pattern."""

__version__ = "0.2.0rc1"
