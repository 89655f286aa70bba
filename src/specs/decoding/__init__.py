"""Running a solve: a method's requests become engine calls, whose answers and costs are kept.

`stream` runs it, `loop` is the state machine inside, and the other modules are its parts. Knows engines by their
protocol (`specs.engines.protocol`) and methods by theirs (`specs.methods`); nothing here loads a model or prints.
"""
