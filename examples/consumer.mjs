// A consumer in JavaScript, without a library: it reads what `events` prints, on either engine.
//
//   zoho-gocardless events --topic reconciled-payments --from 0 --limit 100000 --json | node examples/consumer.mjs
//   zoho-gocardless events --topic reconciled-payments --from 0 --follow --json | node examples/consumer.mjs
//
// Each record names its resource by its key and carries a rising version: keep the highest version of a key, and records
// that come twice, or in another order, do no harm. On a cluster any Kafka client can read the topic itself instead.
import { createInterface } from "node:readline";

const newest = new Map();

function take({ key, value: payment }) {
  if (payment.version <= (newest.get(key)?.version ?? -1)) return;
  newest.set(key, payment);
  const { invoice_number, status, amount_minor, currency } = payment;
  console.log(invoice_number, status, amount_minor, currency);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { ok, data, error } = JSON.parse(line);
  if (!ok) {
    console.error(`${error.code}: ${error.what}; at ${error.where}; ${error.remedy}`);
    process.exit(1);
  }
  // One envelope with all records, or with --follow an envelope a record, and one without any at the end.
  for (const record of data.records ?? [data]) take(record);
}
