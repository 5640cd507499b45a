"""GoCardless's API (version 2015-07-06): calls, webhooks, polls, and what its answers mean to us."""
