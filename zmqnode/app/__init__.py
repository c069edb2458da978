"""Applications: what users write against, and the engine that executes it.

* ``application``: ``App`` and ``Reject``, all that an application's author needs;
* ``values`` and ``schema``: the closed set of types, and what can be called with them;
* ``texts``: arguments and results as a command line or JSON spells them;
* ``state`` and ``execution``: the overlay, and one block's operations on it;
* ``loading``: ``load_app`` from a name; ``template``: ``app new``; ``trial``: without a network;
* ``checking``, ``lint`` and ``sampling``: ``app check``.
"""

from zmqnode.app.application import Answer, App, Reject
from zmqnode.app.execution import Context, Execution, SealResult, Unexecutable
from zmqnode.app.loading import load_app
from zmqnode.app.schema import Argument, Schema, Signature
from zmqnode.app.state import HostFault, State, View, merge_scan
from zmqnode.app.values import BadArgument, Type

__all__ = [
    "Answer",
    "App",
    "Argument",
    "BadArgument",
    "Context",
    "Execution",
    "HostFault",
    "Reject",
    "Schema",
    "SealResult",
    "Signature",
    "State",
    "Type",
    "Unexecutable",
    "View",
    "load_app",
    "merge_scan",
]
