"""What is told about a converted network: geometry, errors, yields, provenance."""
