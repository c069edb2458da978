"""How the chain lies on disk; no other room knows.

Two places, with two promises:

- the *journal* (`journal.py`) is synced before a vote leaves. It holds what this instance must not
  forget: its ballots, and whatever those rest on. Append-only, checksummed, pruned by height.
- the *store* (`store.py` the contract, `lmdb.py`, `memory.py`) holds blocks, voteproofs, state and
  indexes. It may lag behind the journal by a group commit and is replayed from it after a crash:
  what it holds is always a whole number of blocks, `durable_height` says how many.

Over the store lies the *state tree* (`pages.py`), which gives every version of the state its root.
"""
