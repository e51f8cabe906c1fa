#!/bin/sh
# access.sh KEPT SCRAPE: the secret that tokens are signed with, the first admin's token, and Prometheus' own.
# Run at each `docker compose up`; what is there stays, so that tokens in use stay good.
set -eu
umask 077

kept=$1
scrape=$2
secret=$kept/token.secret
admin=$kept/first-admin.token
prometheus=$scrape/prometheus.token
export TICKETFLOW_TOKEN_SECRET_FILE="$secret"

# issue FILE OPTION...: a token into a file, which is there whole or not at all.
issue() {
    file=$1
    shift
    ticketflow token "$@" >"$file.new"
    mv "$file.new" "$file"
}

if [ ! -s "$secret" ]; then
    # Tokens of another secret are worth nothing, and an empty file is what an interrupted start leaves.
    rm -f "$secret" "$admin" "$prometheus"
    ticketflow token secret "$secret"
fi
if [ ! -s "$admin" ]; then
    issue "$admin" --role admin --subject first-admin
fi
if [ ! -s "$prometheus" ] || [ -n "$(find "$prometheus" -mtime +180)" ]; then
    issue "$prometheus" --role agent --subject prometheus --scope metrics --expires 365d
    # Prometheus is another user in another container, and this token is good for figures alone.
    chmod 0444 "$prometheus"
fi

echo "The first admin's token is in $admin. To see it: docker compose exec api cat $admin"
echo "Another: docker compose run --rm --entrypoint ticketflow access token --role admin --subject YOU"
