"""From an image to labels."""
