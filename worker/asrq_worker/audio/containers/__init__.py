"""Where in a file containers begin and end, by their own structure.

FFmpeg stops at the end of the first, and passes over what is missing. These are pure readers of bytes: each takes the
file, where a container of its kind begins, and the size of the file, and returns a `Part`.
"""
