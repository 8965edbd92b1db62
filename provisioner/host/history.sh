# What the transactions of this host left, for the history and for going back.

# tell_history yes|no: with `yes`, also what was remembered before each.
tell_history() {
  for about in "$STATE"/txn/*/about; do
    [ -f "$about" ] || continue
    HERE=${about%/about} AT= UNTIL=0 WHO= LEVEL= number=0
    read_journal
    [ ! -f "$HERE/generation" ] || read -r number <"$HERE/generation"
    frame generation "${HERE##*/}" "${AT:-BEGUN}" "$number" "${LEVEL:-none}"
    printf '%s\n' "$WHO"
    tr '\n' ' ' 2>/dev/null <"$HERE/outcome"
    printf '\n'
    cat -- "$HERE/record" 2>/dev/null
    if [ "$1" = yes ] && [ -f "$HERE/before.json" ]; then
      frame before "${HERE##*/}"
      cat -- "$HERE/before.json"
    fi
  done
  frame end
}
