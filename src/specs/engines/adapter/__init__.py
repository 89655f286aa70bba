"""Models behind short Python classes: `interface` says what a class has to have, `models` adapts it to the protocol."""
