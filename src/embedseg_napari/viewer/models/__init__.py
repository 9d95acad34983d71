"""Choosing, describing and managing models."""
