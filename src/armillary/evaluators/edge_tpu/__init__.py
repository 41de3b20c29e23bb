"""The Edge TPU template's compiler and timing model."""
