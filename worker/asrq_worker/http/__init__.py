"""The gateway: the queue over HTTP, as OpenAI's API for transcriptions. It holds no state, the queue has all."""
