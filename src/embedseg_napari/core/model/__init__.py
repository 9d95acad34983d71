"""A model as people keep it: its file, the library, cards, and exchange with other programs."""
