"""What runs inside Triton: these modules are copied beside each model.py, byte for byte."""
