"""The whole in one process: the production program against both simulators, in virtual time, from one seed."""
