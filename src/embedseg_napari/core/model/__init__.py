"""The network, what its output means, and the files it is kept in."""
