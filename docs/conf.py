"""Sphinx configuration."""

import armillary

project = "Armillary"
author = "The Armillary authors"
copyright = "2026, the Armillary authors"
release = armillary.__version__
extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Armillary"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
copybutton_prompt_text = "$ "  # of a console block the commands alone, not what they print
copybutton_line_continuation_character = "\\"
exclude_patterns = ["_build"]
