"""Simulators of both APIs, with money that moves, on one simulated clock. Knows nothing of the program under test.

In-process: `async with running_sandbox(SandboxConfig(...)) as sandbox` from `sandbox.server`; as a process:
`python -m sandbox`.
"""
