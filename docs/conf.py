"""How Sphinx builds this documentation: `tox -e docs`."""

import sys
from pathlib import Path

import zmqnode

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "zmqnode"
author = "The zmqnode maintainers"
release = version = zmqnode.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "zmqnode_reference"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True
# Types of the standard library and of inner rooms have no pages here; links between pages do.
nitpick_ignore_regex = [("py:.*", ".*")]
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = f"zmqnode {version}"
