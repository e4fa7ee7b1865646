"""Where audio is kept while it is worked on, and what becomes of it where nothing can be kept."""
