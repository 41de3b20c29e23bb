"""What a choice means: templates, and energies by technology."""
