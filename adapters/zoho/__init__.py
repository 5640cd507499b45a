"""Zoho Books API v3: tokens, calls, webhooks, polls, and what its answers mean to us."""
