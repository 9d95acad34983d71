"""What a network finds while it learns, as layers."""
