"""What moves: the log, the stages that read and write it, the wiring by role, and the command line."""
