-- The books of each month, for finance or a BI tool. Read only, with a user who may only read:
--
--   sqlite3 -readonly store.db < examples/month.sql
--   psql --file examples/month.sql postgresql://reader@db.example/zoho_gocardless
--
-- Amounts are integers in minor units: pence, cents. docs/projections.md says what each table holds.

-- What moved on each account in a month, and what it came to at its end. Above zero debits, below zero credits.
WITH moved AS (
    SELECT connection, currency, account, substr(date, 1, 7) AS month, sum(amount_minor) AS moved_minor
    FROM ledger_lines
    GROUP BY connection, currency, account, substr(date, 1, 7)
)
SELECT connection, month, currency, account, moved_minor,
    sum(moved_minor) OVER (PARTITION BY connection, currency, account ORDER BY month) AS balance_minor
FROM moved
ORDER BY connection, month, currency, account;

-- What each payout brought, and what it cost.
SELECT connection, arrival_date, reference, currency, gross_minor, fee_minor, vat_minor, amount_minor AS net_minor, stage
FROM payouts
ORDER BY connection, arrival_date, reference;

-- What clearing consists of now; the sum of each currency is the balance of clearing.
SELECT connection, currency, since, name, amount_minor
FROM open_items
ORDER BY connection, currency, since, name;
