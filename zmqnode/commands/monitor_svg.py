"""Pictures of the monitor as SVG files: for the documentation, and for the key s.

The same frame that the terminal shows, drawn by rich. The picture names no font to load from
elsewhere: it shows as it is without a network.
"""

from __future__ import annotations

import io
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from zmqnode.commands.monitor_ink import Frame

THEME: Final = TerminalTheme(
    (16, 20, 24),
    (214, 219, 224),
    [
        (33, 38, 45),
        (240, 113, 120),
        (127, 200, 120),
        (230, 180, 80),
        (89, 160, 240),
        (190, 140, 230),
        (90, 200, 210),
        (214, 219, 224),
    ],
    [
        (110, 120, 132),
        (255, 140, 140),
        (150, 220, 140),
        (250, 205, 110),
        (120, 180, 255),
        (210, 165, 250),
        (120, 220, 230),
        (255, 255, 255),
    ],
)
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
font-family: monospace;
font-size: {char_height}px;
line-height: {line_height}px;
font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def svg(frame: Frame, columns: int, *, title: str = "zmqnode monitor") -> str:
    """A frame as an SVG document; the same frame gives the same text."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=columns,
        height=max(1, len(frame.lines)),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        highlight=False,
        no_color=False,
        _environ={},
    )
    console.print(frame)
    return console.export_svg(
        title=title, theme=THEME, code_format=FORMAT, unique_id="zmqnode-monitor"
    )
