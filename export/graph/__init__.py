"""A transformer → model.onnx over packed texts."""
