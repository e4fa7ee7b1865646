"""Who speaks when: stretches of speech, told apart by their voices."""
