"""Which ZeroMQ this is, for those who may not import it."""

import zmq


def libzmq_version() -> str:
    """The version of the C library, as ``4.3.5``."""
    return zmq.zmq_version()


def pyzmq_version() -> str:
    """The version of its binding."""
    return zmq.pyzmq_version()
