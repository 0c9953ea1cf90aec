"""From names to plugins: what is installed, what a name stands for, and whether it conforms."""

from memcore.registry.registry import Registry
from memcore.registry.scan import Provider

__all__ = ["Provider", "Registry"]
