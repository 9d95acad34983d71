"""From offsets, margins and a seed map to objects."""
