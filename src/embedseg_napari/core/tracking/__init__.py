"""Objects of a time-lapse linked into tracks with divisions, and links corrected by hand."""
