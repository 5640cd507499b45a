"""A payer as GoCardless reads it, for whoever asks."""

from domain import events

EMAIL = "a1@example.test"


def keep_payer(company, key="CU1", email=EMAIL, link=""):
    metadata = {"zoho_contact_id": link} if link else {}
    company.world[f"gocardless.read_payer:{key}"] = [
        events.PayerRead(key, company.now, email, "Name", metadata=metadata)
    ]
