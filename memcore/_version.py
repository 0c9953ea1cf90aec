"""The version, in one place; the build reads it by pattern."""

__version__ = "0.1.0"
