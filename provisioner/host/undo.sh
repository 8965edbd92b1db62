# The way back. What a rename will replace gets a second name first; until the change has
# proved healthy, `abort` puts everything back and says so.
ACTIVATED=

# undo_entry KIND PATH HOW: three lines, so that no name can be mistaken for another.
undo_entry() {
  printf '%s\n%s\n%s\n' "$1" "$2" "$3" >>"$STATE/undo" || no_room
}

# backup PATH: a hard link costs no space and keeps every attribute; undo renames it back.
backup() {
  locate "$1"
  printf '%s\n' "$staged" >>"$STATE/staged"
  for file in "$target" "$target.db" "$target.lmdb" "$target.cdb"; do
    second=$staged${file#"$target"}.old
    if [ -f "$file" ]; then
      ln -f -- "$file" "$second" 2>/dev/null || cp -a -- "$file" "$second" ||
        stop failed "cannot back up $file"
      undo_entry old "$file" "$second"
    elif [ "$file" = "$target" ] || [ -e "$staged${file#"$target"}" ]; then
      undo_entry new "$file" -
    fi
  done
}

backup_attributes() {
  locate "$1"
  undo_entry attributes "$1" "$(stat -L -c '%U %G %a' -- "$1")"
}

# undo_files: each path as it was; fails if one cannot be.
undo_files() {
  [ -f "$STATE/undo" ] || return 0
  failed=
  while IFS= read -r kind && IFS= read -r path && IFS= read -r how; do
    case $kind in
      old) [ ! -e "$how" ] || mv -f -- "$how" "$path" || failed="$failed $path" ;;
      new) rm -f -- "$path" || failed="$failed $path" ;;
      attributes)
        { chown -- "${how%% *}" "$path" && chmod -- "${how##* }" "$path"; } || failed="$failed $path"
        group=${how#* }
        chgrp -- "${group% *}" "$path" || failed="$failed $path" ;;
      firewall) firewall_do $path >/dev/null 2>&1 || failed="$failed firewall" ;;
      # What is staged in it goes first, and inner ones before outer ones.
      directory) MADE="$path
$MADE" ;;
    esac
  done <"$STATE/undo"
  sync
  rm -f -- "$STATE/undo"
  [ -z "$failed" ]
}

# abort MESSAGE: after the first rename. A throttled smtpd comes back only with stop and
# start, so the undo of an activated change always restarts.
abort() {
  SWAPPED=
  frame step undo
  if ! undo_files; then
    stop conflict "$1; and could not be undone:$failed"
  fi
  if [ -n "$ACTIVATED" ]; then
    said=$(control_unit restart "$ACTIVATED" 2>&1) && wait_alive ||
      stop conflict "$1; the files are as they were, but Postfix does not start: $said"
  fi
  rm -f -- "$STATE/pending"
  [ -n "$UNFINISHED" ] || rm -f -- "$STATE/manifest.next"
  stop rolled_back "$1; everything is as it was before"
}
