#!/bin/sh
# Tells nginx whether the service is there, and the token that TorchServe made at this start:
# hand_token.sh open|close, as root. TorchServe listens before it is ready, and refuses the token of
# the start before by 400, which would tell callers that they did something wrong.
set -eu
umask 077
service=${SERVICE:-/run/fraud-detect}
proxy=${PROXY:-/run/fraud-detect-proxy}
case $1 in
    close) told='set $is_closed 1;' ;;
    open)
        set -- "$service"/fraud-*/token # one: there is one server for each state
        [ $# -eq 1 ] && [ -f "$1" ] || { echo "no token in $service, or several" >&2; exit 1; }
        told="set \$upstream_token \"Bearer $(cat "$1")\";"
        ;;
    *) echo "usage: hand_token.sh open|close" >&2; exit 2 ;;
esac
mkdir -p "$proxy"
printf '%s\n' "$told" >"$proxy/token.conf.new"
mv "$proxy/token.conf.new" "$proxy/token.conf"
${RELOAD:-systemctl try-reload-or-restart nginx.service}
