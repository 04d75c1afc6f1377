#!/bin/sh
# Make the secrets that docker-compose.yml mounts as files; those that exist are kept.
# The folder is its owner's alone; the files in it are readable, because the containers' user is another than yours.
set -eu
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
chmod 700 "$folder"
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
for name in postgres-admin billing_engine_owner billing_engine billing_engine_views notifier_owner notifier \
    report_builder_owner report_builder tallyport_collector operator-token object-store-key object-store-secret; do
    [ -e "$folder/$name" ] || random > "$folder/$name"
done
hash="$(printf %s "$(cat "$folder/operator-token")" | sha256sum | cut -d ' ' -f 1)"
printf '[{"name":"operator","sha256":"%s","roles":["provider_administrator","provider_advanced_administrator"]}]\n' "$hash" > "$folder/tokens.json"
printf '{"endpoint":"http://object-store:9000","access_key_id":"%s","secret_access_key":"%s","region":"us-east-1","allow_http":true,"virtual_hosted_style_request":false}\n' \
    "$(cat "$folder/object-store-key")" "$(cat "$folder/object-store-secret")" > "$folder/object-store.json"
printf '[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n' \
    "$(cat "$folder/object-store-key")" "$(cat "$folder/object-store-secret")" > "$folder/object-store-credentials"
chmod 444 "$folder"/*
echo "secrets are in $folder; the operator's token is in $folder/operator-token"
