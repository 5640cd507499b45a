#!/usr/bin/env bash
# Send a webhook as its sender signs it, and print the gateway's answer:
#
#   WEBHOOK_SECRET=… examples/webhook.sh http://127.0.0.1:8090/webhooks/gocardless/acme < body.json
#   WEBHOOK_SECRET=… examples/webhook.sh http://127.0.0.1:8090/webhooks/zoho/acme < body.json
#
# 2xx: it is in the log. 401: nothing of it was kept. openssl takes the secret as an argument, which other users of the
# machine can see while it runs: use a secret of a trial, not the one of a live connection.
set -euo pipefail
: "${WEBHOOK_SECRET:?the secret that connect was given for this webhook}"
url=$1

body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat > "$body"

# The signature is over the bytes of the body. Zoho also signs the pairs of a query; this url has none.
signature=$(openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" -r < "$body" | cut -d ' ' -f 1)
case $url in
  */webhooks/gocardless/*) header="Webhook-Signature: $signature" ;;
  */webhooks/zoho/*) header="X-Zoho-Webhook-Signature: $signature" ;;
  *) echo "the url holds neither /webhooks/gocardless/ nor /webhooks/zoho/" >&2; exit 2 ;;
esac

curl --silent --show-error --output /dev/null --write-out '%{http_code}\n' \
  --header "$header" --header 'Content-Type: application/json' --data-binary "@$body" "$url"
