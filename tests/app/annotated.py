"""An application whose annotations are texts (PEP 563), as many authors write them."""

from __future__ import annotations

from zmqnode.app import App, Context, View

app = App("annotated", version=3)


@app.op
def move(
    ctx: Context, to: str, amounts: dict[str, list[int]], note: bytes | None = None, fee: int = 1
) -> None:
    ctx.state[to] = [amounts, note, fee]


@app.query
def moved(view: View, to: str, deep: bool = False) -> list[int] | None:
    found: list[int] | None = view.get(to)
    return found if deep else None
