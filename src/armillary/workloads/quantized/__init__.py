"""Whole networks in int8: read from a float ONNX file, quantised per tensor, run by ONNX Runtime and by NumPy."""
