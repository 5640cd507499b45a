"""A company's month, lived by the real program against both simulators."""
