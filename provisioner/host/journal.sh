# The journal. A transaction is a directory, txn/RUN; while it is not finished, the symbolic
# link `open` leads to it. Each state is on disk before what it allows is done:
#   BEGUN      nothing is staged yet
#   STAGED     the new files stand beside the live ones
#   PREPARED   proved; the undo list and the backups are on disk
#   ARMED      the guard waits; renames may have happened. From here on: undo
#   SWAPPED    every rename has happened, Postfix is about to be told (not synced: a reboot
#              makes it meaningless)
#   ACTIVE     healthy; waits for the confirmation until the time that stands behind it
#   COMMITTED, UNDONE, ABANDONED   the end; nothing of it is left beside the live files
# Before ARMED an unfinished transaction is discarded. From ARMED on the link `decision`
# says what becomes of it; where there is none yet, it is undone.
OPEN=$STATE/open HERE= AT= SWITCHED= UNTIL=0

# read_transaction: where the open one is, who began it and how far it came; fails if there
# is none. A line that a power failure cut short does not count.
read_transaction() {
  [ -L "$OPEN" ] || return 1
  HERE=$STATE/$(readlink -- "$OPEN") AT= SWITCHED= UNTIL=0
  RUN=${HERE##*/}
  read_journal
}

read_journal() {
  { read -r WHO && read -r LEVEL && read -r UNIT && read -r QUEUE && read -r WINDOW; } \
    2>/dev/null <"$HERE/about"
  [ ! -f "$HERE/journal" ] || while read -r state rest; do
    AT=$state
    case $state in
      SWAPPED) SWITCHED=yes ;;
      ACTIVE) UNTIL=$rest ;;
    esac
  done <"$HERE/journal"
  return 0
}

# is_open RUN: that one is the open transaction.
is_open() {
  read_transaction && [ "$RUN" = "$1" ]
}

decided() {
  DECISION=$(readlink -- "$HERE/decision")
}
