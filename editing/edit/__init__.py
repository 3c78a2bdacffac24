"""An avatar edited by an instruction: Instruct-NeuralTalker ("the paper" in this package)."""
