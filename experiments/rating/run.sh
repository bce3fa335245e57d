#!/bin/sh
# The demo's pictures beside real ones, rated by RATERS (2) programs in a real browser and read by imagen-rate results.
# From the project's root, after make demo; BIN: where the programs are; PORT (8000): of the server.
set -e
BIN=${BIN:-.venv/bin} RATERS=${RATERS:-2} PORT=${PORT:-8000}
if [ -e var/rated/study ]; then
  echo "error: var/rated/study is there already; imagen-rate results var/rated/study reads it; move var/rated away to rate anew" >&2
  exit 2
fi
"$BIN/imagen-evaluate" release=var/demo/release protocol=shapes out=var/evaluation
"$BIN/imagen-evaluate" generator=real protocol=shapes protocol.resolution=64 out=var/real
"$BIN/imagen-rate" new experiments/rating/study.yaml out=var/rated/study
"$BIN/imagen-rate" invite var/rated/study n="$RATERS" port="$PORT" out=var/rated/links.csv
"$BIN/imagen-rate" serve var/rated/study port="$PORT" &
server=$!
trap 'kill $server' EXIT
"$BIN/python" experiments/rating/simulated.py var/rated/links.csv --screenshot var/rated/page.png
"$BIN/imagen-rate" results var/rated/study out=var/rated
