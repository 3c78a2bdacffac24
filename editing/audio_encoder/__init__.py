"""How the bundled audio encoder is made: a corpus of synthetic speech, training, ONNX export and evaluation."""
