"""The outside world: both APIs, their webhooks, time, secrets. The simulators live here too, and share no code with the
rest.
"""
