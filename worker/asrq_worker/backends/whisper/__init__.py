"""The Whisper backend."""
