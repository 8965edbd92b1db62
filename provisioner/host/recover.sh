# What becomes of a transaction that its own shell did not finish.

# recover live|boot FORCE: as the journal says; the lock is held. With FORCE the time for the
# confirmation is over. Fails where the transaction must stay open: $OUTCOME is `waiting` or
# `conflict`, and $SAID says more.
recover() {
  OUTCOME= SAID=
  read_transaction || return 0
  case $AT in
    '' | BEGUN | STAGED | PREPARED)
      back_out
      return 0 ;;
    COMMITTED | UNDONE | ABANDONED)
      discard
      close_transaction "$AT"
      return 0 ;;
  esac
  decided
  if [ -z "$DECISION" ]; then
    if [ "$AT" = ACTIVE ] && [ -z "$2" ] && [ "$(date +%s)" -lt "$UNTIL" ]; then
      OUTCOME=waiting
      SAID="$WHO, run $RUN: made a change that waits for its confirmation until $(clock "$UNTIL"); then the host undoes it"
      return 1
    fi
    decide undone
  fi
  if [ "$DECISION" = confirmed ]; then
    commit
    return 0
  fi
  if [ "$AT" = ACTIVE ]; then
    undo_change "$1" "nobody confirmed the change"
  else
    undo_change "$1" "the run was cut short"
  fi
  [ "$OUTCOME" != conflict ]
}

clock() {
  date -u -d "@$1" '+%H:%M:%S UTC'
}

# recover_first RUN: for a program that wants the host to itself. What it had to undo it says.
recover_first() {
  if ! recover live ''; then
    case $OUTCOME in
      waiting) end locked "$SAID" ;;
      *) end conflict "run $RUN ($WHO): $SAID" ;;
    esac
  fi
  [ -z "$OUTCOME" ] || frame note "run $RUN was not finished: $SAID"
}

# recover_host OWNER: nothing but that.
recover_host() {
  trap '' HUP INT TERM PIPE
  [ -d "$STATE" ] || return 0
  lock_host 20 || end locked "$(cat "$STATE/owner" 2>/dev/null)"
  printf '%s\n' "$1" 2>/dev/null >"$STATE/owner"
  recover_first
  exec 9>&-
  frame result ok
  frame recovered
}

# lock_host: waits a little for a guard that is looking.
lock_host() {
  exec 9>>"$STATE/lock"
  flock -w "$1" 9
}

# end OUTCOME MESSAGE: of the whole program.
end() {
  frame result "$1"
  printf '%s\n' "$2"
  frame end
  exit 0
}
