"""Sphinx configuration."""

import armillary

project = "Armillary"
author = "The Armillary authors"
copyright = "2026, the Armillary authors"
release = armillary.__version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
html_theme = "furo"
html_title = "Armillary"
exclude_patterns = ["_build"]
