"""Black-box tests: the installed script and the public names, against real processes on loopback.

They know the command line's contract and nothing of the code behind it.
"""
