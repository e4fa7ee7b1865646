"""Where audio is kept while it is worked on, and what happens if it cannot be kept."""
