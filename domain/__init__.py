"""The pure rules: facts in, facts and commands out.

Nothing here knows a clock, chance, I/O, floats or async. Everything that happens is an `Event`; `routing.step` folds it
into the `State` of one connection and says what follows as a `Decision`. The same events give the same decisions, byte
for byte.
"""
