"""From what a request names to speech that a backend can take: fetch, decode, find the speech, split it."""
