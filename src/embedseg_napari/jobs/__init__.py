"""What a person asks for, from start to end, without a viewer: the command line and the panels run these."""
