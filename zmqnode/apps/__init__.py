"""The applications that come with zmqnode."""
