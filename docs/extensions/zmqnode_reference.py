"""A Sphinx directive: ``{zmqnode} commands`` stands for that page of the reference."""

from __future__ import annotations

from docutils import nodes
from reference_pages import PAGES
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Reference(SphinxDirective):
    """Puts a generated page where it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = PAGES[self.arguments[0]]()
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx asks for this."""
    app.add_directive("zmqnode", Reference)
    return {"parallel_read_safe": True}
