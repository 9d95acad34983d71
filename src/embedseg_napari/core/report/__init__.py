"""An overview of a folder's results: pictures with outlines, sizes, and which images stand out; one page of HTML."""
