"""What happens: the protocol as a deterministic machine, without clock, chance, thread, file or
socket.
"""
