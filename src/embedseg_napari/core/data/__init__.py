"""Files and arrays to training crops."""
