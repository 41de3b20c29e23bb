"""What each operator with multiply-accumulates is in layers. One function per operator."""
