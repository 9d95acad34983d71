"""Code that is compiled for this machine, and how the rest does not wait for it."""
