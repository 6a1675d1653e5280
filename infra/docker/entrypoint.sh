#!/bin/sh
# What the container runs: front, broker, audit, or `cli` with a command of `holdfast`. `single` in its own image only.
set -eu
service="${1:-}"
case "$service" in
  front | broker | audit | single | cli) shift ;;
  *)
    echo "Name what to run: front, broker, audit, single or cli (holdfast's commands)." >&2
    exit 64
    ;;
esac
exec node --enable-source-maps "/app/dist/services/$service/main.js" "$@"
