"""Many files to transcripts in a folder that mirrors theirs: what they are, what is done, and the run over the rest."""
