"""The loss of the paper."""
