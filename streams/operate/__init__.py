"""What a person does beside a running program, or before it runs."""
