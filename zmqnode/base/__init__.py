"""What things are: frozen values that travel or are stored. Pure; imports nothing of the other rooms."""
