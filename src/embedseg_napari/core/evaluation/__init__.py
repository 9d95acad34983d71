"""Scores of labels against the truth, and what they say about thresholds."""
