"""Where to look next: doubt about objects and images."""
