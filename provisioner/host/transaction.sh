# Writing the journal: a transaction is opened, decided and closed.

# persist FILE...: on disk, and directories with the names in them.
persist() {
  sync -- "$@" 2>/dev/null 9>&- || sync 9>&-
}

# journal STATE [TIME]
journal() {
  printf '%s\n' "$*" 2>/dev/null >>"$HERE/journal" && persist "$HERE/journal" || return 1
  AT=$1
}

# open_transaction HOW WHAT LEVEL UNIT QUEUE WINDOW: HOW and WHAT are the guard's program, which
# `take` makes; it is there before anything else is, so that nothing can be left by a shell that
# is killed. What an undo has to know is written down first. WINDOW is for how many seconds the
# host waits for a confirmation.
open_transaction() {
  HERE=$STATE/txn/$RUN LEVEL=$3 UNIT=$4 QUEUE=$5 WINDOW=$6
  mkdir -p -- "$STATE/txn" && mkdir -- "$HERE" && store "$HERE/guard" "$1" "$2" || no_room
  shift 2
  start_guard
  printf '%s\n' "$OWNER" "$@" >"$HERE/about" && printf '%s\n' $$ >"$HERE/shell" &&
    ln -sn -- "txn/$RUN" "$OPEN" &&
    { [ ! -f "$STATE/left" ] || mv -f -- "$STATE/left" "$HERE/staged"; } &&
    printf 'BEGUN\n' >"$HERE/journal" &&
    persist "$HERE/about" "$HERE/journal" "$HERE/" "$STATE/" || no_room
  AT=BEGUN
}

# decide confirmed|undone: one of those who try wins; $DECISION is what it said.
decide() {
  ln -sn -- "$1" "$HERE/decision" 2>/dev/null && persist "$HERE/"
  decided
}

# close_transaction STATE: the end. Nothing but the record stays.
close_transaction() {
  [ "$AT" = "$1" ] || journal "$1"
  disarm
  rm -rf -- "$HERE/staged" "$HERE/undo" "$HERE/emptied" "$HERE"/renames.* "$HERE/looked" "$HERE/healthy" \
    "$HERE/touched" "$HERE/guard" "$HERE/guard.pid" "$HERE/shell" "$HERE"/*.new \
    "$HERE/rehearsal" "$HERE/scene" "$HERE/report" "$HERE/known" "$OPEN"
  persist "$STATE/"
}

# forget_transaction: it came to nothing.
forget_transaction() {
  disarm
  rm -f -- "$OPEN"
  persist "$STATE/"
  rm -rf -- "$HERE"
}

# discard: only names that we gave are ever removed. What cannot be removed (the file system
# turned read-only) goes with the next transaction.
discard() {
  set --
  [ ! -f "$HERE/staged" ] || while IFS= read -r path; do
    case ${path##*/} in
      .*.provisioner-*) set -- "$@" "$path" "$path".* ;;
    esac
  done <"$HERE/staged"
  rm -f -- "$STATE"/*.new "$@" 2>/dev/null || for path; do
    [ ! -e "$path" ] && [ ! -L "$path" ] || printf '%s\n' "$path"
  done >>"$STATE/left"
}
