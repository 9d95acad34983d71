"""The crops a network learns from: where they are cut, how they are varied."""
