# What committed transactions leave: a record each, from which it can be taken back.
KEPT_GENERATIONS=10 KEPT_KILOBYTES=262144

# touches PATH TYPE STATE: what this transaction changes, and what it was; of a file, a copy
# is kept. TYPE is that of a compiled table, or `-`.
touches() {
  printf '%s\n' "$@" >>"$HERE/touched" || no_room
  [ ! -f "$1" ] || keep "$1"
}

# keep PATH: copies go by their content.
keep() {
  [ -d "$STATE/before" ] || mkdir -p -m 0700 -- "$STATE/before"
  sum_of "$1"
  [ ! -e "$STATE/before/$sum" ] || return 0
  said=$(cp -aL -- "$1" "$STATE/before/.new" 2>&1) && digest "$STATE/before/.new" &&
    said=$(mv -f -- "$STATE/before/.new" "$STATE/before/$sum" 2>&1) ||
    stop failed "cannot keep a copy of $1: ${said##*: }"
}

# commit: the change stays. Every step may have been done before.
commit() {
  discard
  remove_emptied
  if [ -e "$HERE/manifest.json" ]; then
    [ -e "$HERE/before.json" ] || [ ! -e "$STATE/manifest.json" ] ||
      { cp -- "$STATE/manifest.json" "$HERE/before.new" && mv -f -- "$HERE/before.new" "$HERE/before.json"; }
    set --
    for name in paths units manifest.json; do
      [ ! -e "$HERE/$name" ] || set -- "$@" "$HERE/$name"
    done
    mv -f -- "$@" "$STATE/"
  fi
  [ ! -e "$STATE/pending" ] && [ ! -e "$STATE/manifest.next" ] ||
    rm -f -- "$STATE/pending" "$STATE/manifest.next"
  shorten_compiled
  record
  close_transaction COMMITTED
  prune_generations
}

# record: the generation's number, and what each path is now, behind what it was.
record() {
  [ ! -e "$HERE/record" ] || return 0
  [ -e "$HERE/generation" ] || {
    last=0
    [ ! -f "$STATE/generation" ] || read -r last <"$STATE/generation"
    number=$((last + 1))
    printf '%s\n' "$number" >"$STATE/generation" && printf '%s\n' "$number" >"$HERE/generation"
  }
  set --
  [ ! -f "$HERE/touched" ] || while IFS= read -r path && IFS= read -r type && IFS= read -r before; do
    set -- "$@" "$path"
  done <"$HERE/touched"
  {
    [ $# -eq 0 ] || path_states "$@" | while IFS= read -r after; do
      IFS= read -r path <&8 && IFS= read -r type <&8 && IFS= read -r before <&8
      printf '%s\n' "$path" "$type" "$before" "$after"
    done 8<"$HERE/touched"
    each_undo record_unit
  } >"$HERE/record.new" && mv -f -- "$HERE/record.new" "$HERE/record"
}

# record_unit: the verb that takes back what was done to it, or to the firewall.
record_unit() {
  case $1 in
    unit | firewall) printf '%s\n' "$1:$2" "$3" - - ;;
  esac
}

# remove_emptied: what others keep in a directory of ours keeps the directory.
remove_emptied() {
  [ -f "$HERE/emptied" ] || return 0
  while IFS= read -r path; do
    rmdir --ignore-fail-on-non-empty -- "$path" 2>/dev/null
  done <"$HERE/emptied"
}

shorten_compiled() {
  if [ -f "$STATE/compiled" ] && [ "$(wc -l <"$STATE/compiled")" -gt 1000 ]; then
    tail -n 500 "$STATE/compiled" >"$STATE/compiled.new" &&
      mv -f -- "$STATE/compiled.new" "$STATE/compiled"
  fi
}

# prune_generations: the last ten that were committed and the last ten that were not, fewer
# where their copies take much room; copies that nothing refers to go.
prune_generations() {
  committed=0 others=0 open=$(readlink -- "$OPEN")
  for each in $(ls -1r -- "$STATE/txn" 2>/dev/null); do
    [ "txn/$each" != "$open" ] || continue
    if [ -f "$STATE/txn/$each/generation" ]; then
      committed=$((committed + 1))
      [ "$committed" -gt "$KEPT_GENERATIONS" ] || continue
    else
      others=$((others + 1))
      [ "$others" -gt "$KEPT_GENERATIONS" ] || continue
    fi
    rm -rf -- "$STATE/txn/$each"
  done
  prune_copies
  while size=$(du -sk -- "$STATE/before" 2>/dev/null) && [ "${size%%[!0-9]*}" -gt "$KEPT_KILOBYTES" ]; do
    oldest=$(ls -1 -- "$STATE"/txn/*/generation 2>/dev/null | head -n 1)
    [ -n "$oldest" ] && [ "${oldest%/generation}" != "$HERE" ] || break
    rm -rf -- "${oldest%/generation}"
    prune_copies
  done 2>/dev/null
}

prune_copies() {
  wanted=$(grep -ohE '[0-9a-f]{64}' -- \
    "$STATE/manifest.json" "$STATE"/txn/*/record "$STATE"/txn/*/before.json 2>/dev/null)
  for copy in "$STATE"/before/*; do
    [ -f "$copy" ] || continue
    case $wanted in
      *"${copy##*/}"*) ;;
      *) rm -f -- "$copy" ;;
    esac
  done
}

# confirm RUN: over a new login. Whoever decided first has decided; it is read back.
confirm() {
  trap '' HUP INT TERM PIPE
  if is_open "$1"; then
    [ "$AT" != ACTIVE ] || decide confirmed
    if lock_host 20 && is_open "$1"; then
      recover live ''
    fi
    exec 9>&-
  fi
  tell_transaction "$1"
}

# tell_transaction RUN: how it ended.
tell_transaction() {
  HERE=$STATE/txn/$1 AT= UNTIL=0
  read_journal
  frame ended "$1" "${AT:-unknown}" "$UNTIL"
  cat -- "$HERE/outcome" 2>/dev/null
}
