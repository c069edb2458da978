"""What things are: frozen values that travel or are stored. Pure; imports only errors."""
