#!/bin/sh
# parallel.sh SCRIPT OUTPUT SSH_CONFIG HOST...: one ssh process a host, all at once.
script=$1 output=$2 config=$3
shift 3
command=$(cat "$script")
pids=
for host; do
  ssh -F "$config" "$host" "$command" </dev/null >"$output/$host" 2>&1 &
  pids="$pids $!"
done
for pid in $pids; do
  wait "$pid" || failed=yes
done
[ -z "$failed" ]
