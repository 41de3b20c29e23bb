"""One file per published table or figure, printed beside the published numbers."""
