"""Where in a file containers begin and end, by their own structure.

FFmpeg stops at the end of the first, and passes over what is missing. These are pure readers of bytes: each takes those
of the file, and where a container of its kind begins, and returns a `Part`.
"""
