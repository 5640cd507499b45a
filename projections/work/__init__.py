"""Work: what is to be sent, looked up and polled, and who may; most of it outlives a rebuild."""
