"""Controls that several panels are made of."""
