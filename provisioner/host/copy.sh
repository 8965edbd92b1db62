# The scene of a rehearsal where there are no namespaces: a copy of the configuration, with other
# paths in it, below a directory that only root and Postfix can enter.
COPIES=/var/spool/provisioner-copy

# What makes an end of such a copy ($1): no process, no file. Whoever was started for it has its
# name in his command line or, as all that master(8) starts, in his environment; of master the
# whole process group goes. Twice nobody is found before it counts.
SWEEP='rounds=0 quiet=0
while [ "$quiet" -lt 2 ] && [ "$rounds" -lt 200 ]; do
  found=$(printf "%s/" "$1" | grep -aslF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ)
  rounds=$((rounds + 1)) quiet=$((quiet + 1))
  for file in $found; do
    quiet=0 pid=${file#/proc/} pid=${pid%/*}
    kill -KILL "-$pid" 2>/dev/null
    kill -KILL "$pid" 2>/dev/null
  done
  sleep 0.02
done
rm -rf -- "$1"'

# play_copy SCENE CONFIG DIRECTORY...: as `play`. Its end is made by a process of its own, as soon
# as this shell says so or is gone: both close the pipe. What a power failure left is found later.
play_copy() {
  find "${COPIES%/*}" -maxdepth 1 -name "${COPIES##*/}.*" -mmin +5 -exec sh -c "$SWEEP" sh {} \;
  copy=$(mktemp -d "$COPIES.XXXXXX" 2>&1) && said=$(mkfifo "$copy/alive" 2>&1) || {
    printf 'finding the rehearsal cannot be set up: %s\ncomplete\n' "${said:-$copy}"
    return 0
  }
  said=
  exec 8<>"$copy/alive"
  setsid sh -c "cat >/dev/null; $SWEEP" sh "$copy" <"$copy/alive" >/dev/null 2>&1 8>&- 9>&- &
  keeper=$!
  MAIL_CONFIG=$copy$2 timeout -k 2 120 perl - "$2" "$copy" "$weaker" "$@" 2>&1 8>&- 9>&-
  late $?
  exec 8>&-
  wait "$keeper"
  [ ! -e "$copy" ] || sh -c "$SWEEP" sh "$copy"
}
