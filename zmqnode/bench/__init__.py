"""The bench room: the floor loop, networks of real processes, load, and the report of the rows.

A figure of a machine means little alone, so every run measures the floor (``floor``) beside the
rows and goals that depend on the machine are ratios to it. ``cluster`` runs real nodes, ``load``
keeps them busy, ``rows`` measures one figure each, ``report`` puts runs and medians together.
"""
