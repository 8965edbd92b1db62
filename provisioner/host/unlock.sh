# Ending a run by hand.

# unlock RUN OWNER: what it changed is undone. A shell of it that hangs is killed; what cannot
# be undone is left as it is, and no longer in the way.
unlock() {
  trap '' HUP INT TERM PIPE
  read_transaction || end failed "no run holds this host"
  [ "$RUN" = "$1" ] || end failed "it is run $RUN that holds this host: $WHO"
  lock_host 1 || {
    kill_shell
    lock_host 60 || end failed "somebody still holds the lock: $(cat "$STATE/owner" 2>/dev/null)"
  }
  printf '%s\n' "$2" 2>/dev/null >"$STATE/owner"
  is_open "$1" || end ok "its guard has undone it"
  if recover live yes; then
    [ -z "$OUTCOME" ] || frame note "$SAID"
  else
    abandon
    frame note "$SAID; left as it stands"
  fi
  end ok "$1"
}

# kill_shell: the one that opened the transaction, if it is still that process.
kill_shell() {
  read -r pid 2>/dev/null <"$HERE/shell" || return 0
  for descriptor in "/proc/$pid/fd/"*; do
    [ "$(readlink -- "$descriptor")" != "$STATE/lock" ] || {
      kill -9 "$pid"
      return
    }
  done
}

# abandon: the files stay as they are. What stood there before is not forgotten, nor that
# Postfix may have to be told.
abandon() {
  [ "$LEVEL" = none ] || printf '%s\n' "$LEVEL $RUN" >"$STATE/pending"
  [ ! -e "$HERE/manifest.json" ] || [ -e "$STATE/manifest.next" ] ||
    mv -f -- "$HERE/manifest.json" "$STATE/manifest.next"
  discard
  close_transaction ABANDONED
}
