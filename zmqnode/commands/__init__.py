"""What a person types: one file per command group, registered by name in ``main``."""
