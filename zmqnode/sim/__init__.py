"""The seeded world: clusters of the real core in virtual time, with faults, traitors, checkers.

Theory. The core is a function, so a run of a cluster is a function too: of a
:class:`~zmqnode.sim.plan.Plan`, which is drawn from a seed or written by hand. Everything that is
chance in the real world (delays, losses, crashes, torn tails, durations of the application) comes
from one seeded generator; nothing depends on the order of a set, on the real clock or on Python's
hash seed. The digest of a run's transcript is therefore the same on any machine, and a failing seed
is a bug report.

What is modelled: every message by itself (delay, loss, reordering, duplication, cuts one way or
both); the disk as an append-only journal whose unsynced tail may be lost, whole or in part, and a
store that lags behind it; a crash before or after any effect of one node or of all; slow syncs and
a slow application; clocks that are wrong or jump; members with names that betray (betrayals.py);
clients that send again; standbys with disks and keys of their own, and operators who hand votes
over, take them over, force, cancel and consent (stories.py, operators.py). The checkers
(checkers.py, handover_watch.py) share no rules with the core: they count quorums, verify voteproofs
and look at the simulated disks by themselves, and know who votes from a twin of the authority that
reads the committed seals (epochs.py).

What is not: bytes on a wire (base.codec has its own tests), the ZeroMQ sockets, real Ed25519 (a
keyed hash stands in; traitors sign only with keys they own), damage in the middle of a journal.

Sources: FoundationDB's and TigerBeetle's simulators for the manner; Bano et al., "Twins: BFT
Systems Made Robust" (OPODIS 2021) for the members that run twice under one key.
"""
