#!/bin/sh
# The demo's pictures beside real ones, rated by RATERS (2) programs in a real browser and read by imagen-rate results.
# From the project's root, after make demo; BIN: where the programs are; PORT (8000): of the server.
set -e
BIN=${BIN:-.venv/bin} RATERS=${RATERS:-2} PORT=${PORT:-8000}
"$BIN/imagen-evaluate" release=var/demo/release protocol=shapes out=var/evaluation
"$BIN/imagen-evaluate" generator=real protocol=shapes protocol.resolution=64 out=var/real
"$BIN/imagen-rate" new experiments/rating/study.yaml out=var/study
"$BIN/imagen-rate" invite var/study n="$RATERS" port="$PORT" out=var/links.csv
"$BIN/imagen-rate" serve var/study port="$PORT" &
server=$!
trap 'kill $server' EXIT
"$BIN/python" experiments/rating/simulated.py var/links.csv --screenshot var/rated.png
"$BIN/imagen-rate" results var/study out=var/rated
