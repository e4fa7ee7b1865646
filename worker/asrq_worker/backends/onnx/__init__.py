"""ONNX exports of Whisper and GigaAM: experimental."""
