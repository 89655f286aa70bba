"""Runs a solve: turns a method's requests into engine calls, and records their results and costs.

`stream` is the entry point, `loop` the state machine inside, and the other modules are its parts. The package uses
engines and methods only through their protocols (`specs.engines.protocol`, `specs.methods`); nothing here loads a model
or prints.
"""
