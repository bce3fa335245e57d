#!/bin/sh
# The demo's pictures beside real ones, rated by RATERS (2) programs in a real browser and read by imagen-rate results.
# From the project's root, after make demo; BIN: where the programs are; PORT (8000): of the server. Killed, it goes on; another study
# begins where var/rated was moved away.
set -e
BIN=${BIN:-.venv/bin} RATERS=${RATERS:-2} PORT=${PORT:-8000}
"$BIN/imagen-evaluate" release=var/demo/release protocol=shapes out=var/evaluation
"$BIN/imagen-evaluate" generator=real protocol=shapes protocol.resolution=64 out=var/real
if [ -e var/rated/study ]; then
  echo "goes on with var/rated/study"
else
  "$BIN/imagen-rate" new experiments/rating/study.yaml out=var/rated/study
fi
[ -e var/rated/links.csv ] || "$BIN/imagen-rate" invite var/rated/study n="$RATERS" port="$PORT" out=var/rated/links.csv
"$BIN/imagen-rate" serve var/rated/study port="$PORT" &
server=$!
trap 'kill $server' EXIT
"$BIN/python" experiments/rating/simulated.py var/rated/links.csv --screenshot var/rated/page.png
"$BIN/imagen-rate" results var/rated/study out=var/rated
