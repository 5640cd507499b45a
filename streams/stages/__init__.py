"""The stages, one file each: what comes in, what goes out, and what is made durable in between."""
