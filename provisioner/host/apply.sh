# One host's transaction. Everything is received and staged before the first rename, so
# a controller that goes away changes nothing, or changes nothing of the outcome.
RUN= SWAPPED= MADE= UNFINISHED= TRUSTED=$NL

# stop OUTCOME MESSAGE: end with that result. What is staged goes; a failure after the
# first rename is undone.
stop() {
  if [ "$1" = failed ] && [ -n "$SWAPPED" ]; then
    abort "$2"
  fi
  [ "$1" = ok ] || undo_files
  discard
  remove_directories
  frame result "$1"
  printf '%s\n' "$2"
  frame end
  exit 0
}

no_room() {
  stop failed "cannot write to $STATE (no space left?)"
}

# Only names that we gave are ever removed.
discard() {
  [ ! -f "$STATE/staged" ] || while IFS= read -r path; do
    case ${path##*/} in
      .*.provisioner-*) rm -f -- "$path" "$path".* ;;
    esac
  done <"$STATE/staged"
  rm -f -- "$STATE/staged" "$STATE/undo" "$STATE"/*.new
}

# remove_directories: those that undo found to be ours, unless others use them by now.
remove_directories() {
  printf '%s' "$MADE" | while IFS= read -r path; do
    rmdir -- "$path" 2>/dev/null
  done
}

# begin RUN OWNER: the lock is held by descriptor 9, which no child may inherit.
begin() {
  trap '' HUP INT TERM PIPE
  RUN=$1
  found=$(untrusted "$STATE")
  [ -z "$found" ] || stop failed "$(in_words "$found"): what is kept there cannot be trusted"
  said=$(mkdir -p -m 0700 -- "$STATE" 2>&1 && touch -- "$STATE/lock" 2>&1) ||
    stop failed "cannot write to $STATE: ${said##*: }"
  exec 9>>"$STATE/lock"
  if ! flock -n 9; then
    frame result locked
    cat "$STATE/owner" 2>/dev/null
    frame end
    exit 0
  fi
  printf '%s\n' "$2" >"$STATE/owner"
  discard
  rm -f -- "$STATE/emptied"
  unblock_starts
  frame step lock
}

# expect SIGNATURES PATH...: the world is still the one that was planned for. The signatures
# are lines, in the order of the paths.
expect() {
  wanted=$1
  shift
  found=$(path_states "$@")
  [ "$found" != "$wanted" ] || return 0
  for path; do
    [ "${found%%"$NL"*}" = "${wanted%%"$NL"*}" ] ||
      stop stale "$path is not what it was when this was planned"
    found=${found#*"$NL"} wanted=${wanted#*"$NL"}
  done
}

# locate PATH: $target is the file behind symlinks, $staged its successor beside it,
# $subject what people call it.
locate() {
  subject=$1
  real "$1"
  target=$real
  [ -n "$target" ] || stop failed "$1: its directory does not exist"
  staged=${target%/*}/.${target##*/}.provisioner-$RUN
  trusted "${target%/*}"
}

# trusted DIRECTORY: nobody but root can swap what we write there for something else, such as
# a link to a file that is none of our business.
trusted() {
  case $TRUSTED in *"$NL$1$NL"*) return ;; esac
  found=$(untrusted "$1")
  [ -z "$found" ] || stop failed \
    "$subject: $(in_words "$found"), who could put other files in the way of root"
  TRUSTED=$TRUSTED$1$NL
}

# secure DIRECTORY OWNER GROUP MODE: before anything is staged in it.
secure() {
  locate "$1"
  backup_attributes "$1"
  attributes "$@"
}

# replaceable PATH: a rename over $target, or its removal, will succeed. Found out without
# touching it, before anything else has moved: files that are immutable (chattr) refuse to
# be opened for writing, even by root.
replaceable() {
  [ -f "$target" ] || return 0
  cut -d ' ' -f 5 /proc/self/mountinfo 2>/dev/null | grep -qxF -- "$target" &&
    stop failed "$1 is a mount point of its own and cannot be replaced"
  said=$( (: <>"$target") 2>&1) ||
    stop failed "$1 cannot be replaced: ${said##*: } (immutable? see lsattr)"
}

stage_begin() {
  fresh=
  locate "$1"
  [ -d "${target%/*}" ] || stop failed "$1: its directory does not exist"
  [ ! -e "$staged" ] && [ ! -L "$staged" ] ||
    stop failed "there is something where $subject is to be staged: $staged"
  printf '%s\n' "$staged" >>"$STATE/staged" || no_room
  if [ -e "$target" ]; then
    replaceable "$1"
    # Owner, mode, ACLs, extended attributes and security label come along.
    said=$(cp -a --attributes-only -- "$target" "$staged" 2>&1) ||
      said=$(cp -p -- "$target" "$staged" 2>&1 && printf '' 2>&1 >"$staged") || cannot_stage
  else
    said=$(touch -- "$staged" 2>&1) || cannot_stage
    fresh=1
  fi
}

# cannot_stage: what the last command said is the reason.
cannot_stage() {
  stop failed "cannot write beside $subject: ${said##*: }"
}

stage_take() {
  said=$(take "$1" "$2" 2>&1 >>"$staged") || cannot_stage
}

# stage_keep OFFSET LENGTH: that part of what stands there now.
stage_keep() {
  said=$(dd if="$target" iflag=skip_bytes,count_bytes,fullblock bs=65536 skip="$1" count="$2" \
    status=none 2>&1 >>"$staged") || cannot_stage
}

# stage_rest OFFSET: from there to the end.
stage_rest() {
  said=$(dd if="$target" iflag=skip_bytes,fullblock bs=65536 skip="$1" \
    status=none 2>&1 >>"$staged") || cannot_stage
}

stage_kept_copy() {
  chmod 0600 -- "$staged"
  said=$(cp -a -- "$STATE/before/$1" "$staged" 2>&1) || cannot_stage
}

# stage_end DIGEST: what was staged is what was planned, byte for byte.
stage_end() {
  [ "$(digest "$staged")" = "$1" ] ||
    stop failed "the new $subject did not arrive whole (connection lost?)"
  # Postfix programs wait for a main.cf that is younger than two seconds.
  touch -d "@$(($(date +%s) - 10))" -- "$staged"
}

# stage_attributes OWNER GROUP MODE NEWMODE: `-` keeps; NEWMODE is for a file that is new.
# They come before the content: what becomes secret is at no time readable as it was before.
stage_attributes() {
  mode=$3
  [ "$mode" = - ] && [ -n "$fresh" ] && mode=$4
  attributes "$staged" "$1" "$2" "$mode"
  fresh=
}

# attributes_of_staged OWNER GROUP MODE: those of a copy that has some.
attributes_of_staged() {
  attributes "$staged" "$@"
  fresh=
}

# Owner before mode: a change of owner clears set-id bits.
attributes() {
  [ "$2" = - ] || chown -- "$2" "$1" || stop failed "$1: no such owner: $2"
  [ "$3" = - ] || chgrp -- "$3" "$1" || stop failed "$1: no such group: $3"
  [ "$4" = - ] || chmod -- "$4" "$1" || stop failed "cannot set the mode of $1"
}

# stage_compile PATH TYPE: beside, then renamed; a running smtpd never sees half a table.
# postmap exits 0 on malformed lines and duplicate keys, so any warning is a failure.
stage_compile() {
  locate "$1"
  if [ ! -e "$staged" ]; then
    printf '%s\n' "$staged" >>"$STATE/staged"
    said=$(cp -a -- "$target" "$staged" 2>&1) || cannot_stage
  fi
  flags=
  [ "$(stat -c %u -- "$staged")" = 0 ] || flags=-o
  case $2 in
    alias-*) said=$(postalias $flags "${2#alias-}:$staged" 2>&1 9>&-) ;;
    *) said=$(postmap $flags "$2:$staged" 2>&1 9>&-) ;;
  esac
  status=$?
  # Postfix 3.11 deplores every hash and btree table, and a directory whose owner this plan
  # may be about to mend; neither is a fault of this table.
  said=$(printf '%s\n' "$said" | grep -vE 'hash/btree support is deprecated|NON_BERKELEYDB_README|Creating root-owned database file')
  if [ "$status" -ne 0 ] || [ -n "$said" ]; then
    stop failed "postmap $2:$1: $(printf '%s' "$said" | sed "s|\.\([^/]*\)\.provisioner-$RUN|\1|g")"
  fi
  compiled=$target$(suffix "$2")
  [ ! -e "$compiled" ] || chown -- "$(stat -c %u:%g -- "$compiled")" "$staged$(suffix "$2")"
}

# keep PATH: a copy of what stood there before us, kept for as long as we manage it.
keep() {
  locate "$1"
  mkdir -p -m 0700 -- "$STATE/before"
  kept=$STATE/before/$(digest "$target")
  [ -e "$kept" ] && return 0
  cp -a -- "$target" "$STATE/before/.new" && mv -f -- "$STATE/before/.new" "$kept" ||
    stop failed "cannot keep a copy of $1"
}

make_directory() {
  locate "$1"
  if [ ! -d "$1" ]; then
    said=$(mkdir -m 0755 -- "$1" 2>&1) || stop failed "cannot create $1: ${said##*: }"
    undo_entry directory "$1" -
  fi
  attributes "$1" "$2" "$3" "$4"
}

# sync_staged: on disk before any name points at it.
sync_staged() {
  set --
  [ -f "$STATE/staged" ] || return 0
  while IFS= read -r path; do
    for file in "$path" "$path.db" "$path.lmdb" "$path.cdb"; do
      [ -e "$file" ] && set -- "$@" "$file"
    done
  done <"$STATE/staged"
  for file in "$STATE"/*.new; do
    [ -e "$file" ] && set -- "$@" "$file"
  done
  [ $# -eq 0 ] || sync -- "$@" 2>/dev/null || sync
  frame step stage
}

# A run that ends between here and the activation leaves word of what is still to be done.
mark_pending() {
  printf '%s\n' "$1 $RUN" >"$STATE/pending" || no_room
  sync -- "$STATE/pending" 2>/dev/null || sync
}

# begin_swap: from here on, failing means undoing.
# Should this shell die from here on, manifest.next is how the next probe knows what stood
# here before us; one that a dead run left is contained in ours.
begin_swap() {
  [ ! -e "$STATE/manifest.next" ] || UNFINISHED=yes
  [ ! -e "$STATE/manifest.json.new" ] ||
    mv -f -- "$STATE/manifest.json.new" "$STATE/manifest.next" || no_room
  SWAPPED=yes
  mark_log
}

# swap PATH TYPE: the compiled table first, so that source and compiled form are never
# newer in the wrong order; TYPE `-` is no table.
swap() {
  locate "$1"
  if [ "$2" != - ]; then
    mv -f -- "$staged$(suffix "$2")" "$target$(suffix "$2")" ||
      stop failed "cannot rename the compiled $1 into place"
  fi
  mv -f -- "$staged" "$target" || stop failed "cannot rename $1 into place"
}

swap_compiled() {
  locate "$1"
  mv -f -- "$staged$(suffix "$2")" "$target$(suffix "$2")" ||
    stop failed "cannot rename the compiled $1 into place"
  rm -f -- "$staged"
}

# drop PATH TYPE: the compiled form of a table that is compiled otherwise by now, or not at all.
drop() {
  locate "$1"
  rm -f -- "$target$(suffix "$2")" || stop failed "cannot remove the compiled form of $1"
}

remove() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    # Backups stand in it until all is well: it goes last.
    printf '%s\n' "$1" >>"$STATE/emptied" || stop failed "cannot write to $STATE"
    return
  fi
  rm -f -- "$1" || stop failed "cannot remove $1"
  [ "$2" = - ] || rm -f -- "$1$(suffix "$2")"
}

# sync_directories PATH...: those that their names stand in, behind symbolic links.
sync_directories() {
  for path; do
    locate "$path"
    shift
    set -- "$@" "${target%/*}/"
  done
  sync -- "$@" 2>/dev/null || sync
  frame step swap
}

master_alive() {
  read -r pid 2>/dev/null <"$1/pid/master.pid" || return 1
  [ "$(cat "/proc/${pid:-0}/comm" 2>/dev/null)" = master ]
}

# wait_alive: Postfix runs, at the latest after five seconds.
wait_alive() {
  tries=0
  sleep 0.1
  until master_alive "$QUEUE"; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || return 1
    sleep 0.1
  done
}

# make_queue QUEUE: backends have their sockets there, and where Postfix was never started
# the directories may be missing; postfix(1) check creates them.
make_queue() {
  [ -d "$1/private" ] && return 0
  said=$(postfix check 2>&1 9>&-) || stop failed "postfix check: $said"
}

# activate reload|restart UNIT QUEUE: and Postfix runs afterwards.
activate() {
  ACTIVATED=$2 QUEUE=$3
  case $1 in
    reload) said=$(postfix reload 2>&1 9>&-) ;;
    restart) said=$(control_unit restart "$2" 2>&1) ;;
  esac || stop failed "$1 of Postfix failed: $said$(last_words)"
  wait_alive || stop failed "Postfix does not run after the $1$(last_words)"
  frame step "$1"
}

# control_unit VERB UNIT: on whatever init system there is. What is started without
# systemd would inherit the signals that we ignore.
control_unit() (
  if [ -d /run/systemd/system ]; then
    [ "$(systemctl show -p NeedDaemonReload --value -- "$2" 2>/dev/null)" != yes ] ||
      systemctl daemon-reload 9>&-
    systemctl "$1" -- "$2" 9>&-
    exit
  fi
  trap - INT TERM PIPE
  # A daemon keeps the output it is started with: not ours, which is read to its end.
  init_script "$1" "$2" >"$STATE/said.new" 2>&1 </dev/null 9>&-
  status=$?
  cat -- "$STATE/said.new"
  rm -f -- "$STATE/said.new"
  exit "$status"
)

# init_script VERB NAME: by OpenRC, or by System V's scripts.
init_script() {
  if command -v rc-service >/dev/null; then
    case $1 in
      enable) rc-update add "$2" default ;;
      disable) rc-update del "$2" default ;;
      *) rc-service "$2" "$1" ;;
    esac
  else
    case $1 in
      enable | disable) update-rc.d "$2" "$1" ;;
      *) service "$2" "$1" ;;
    esac
  fi
}

control() {
  said=$(control_unit "$1" "$2" 2>&1) || stop failed "$1 $2: $said"
  frame step "$1" "$2"
}

remember_compiled() {
  compiled_line "$1" "$2" >>"$STATE/compiled"
}

# receive LENGTH HOW NAME DIGEST: one of our own files, put in place by `finish`.
receive() {
  said=$(take "$1" "$2" 2>&1 >"$STATE/$3.new") || stop failed "cannot write to $STATE: ${said##*: }"
  [ "$(digest "$STATE/$3.new")" = "$4" ] ||
    stop failed "$3 did not arrive whole (connection lost?)"
}

# remove_emptied: what others keep in a directory of ours keeps the directory.
remove_emptied() {
  [ -f "$STATE/emptied" ] || return 0
  while IFS= read -r path; do
    rmdir --ignore-fail-on-non-empty -- "$path" 2>/dev/null
  done <"$STATE/emptied"
  rm -f -- "$STATE/emptied"
}

# finish RUN: applied; the controller confirms over a new login.
finish() {
  if [ -f "$STATE/compiled" ] && [ "$(wc -l <"$STATE/compiled")" -gt 1000 ]; then
    tail -n 500 "$STATE/compiled" >"$STATE/compiled.new" &&
      mv -f -- "$STATE/compiled.new" "$STATE/compiled"
  fi
  rm -f -- "$STATE/pending"
  for name in paths units; do
    [ ! -e "$STATE/$name.new" ] || mv -f -- "$STATE/$name.new" "$STATE/$name" ||
      stop failed "cannot write $STATE/$name"
  done
  [ ! -e "$STATE/manifest.next" ] || mv -f -- "$STATE/manifest.next" "$STATE/manifest.json" ||
    stop failed "cannot write $STATE/manifest.json"
  discard
  remove_emptied
  printf '%s\n' "$RUN" >"$STATE/unconfirmed"
  stop ok "$RUN"
}

confirm() {
  if [ "$(cat "$STATE/unconfirmed" 2>/dev/null)" = "$1" ]; then
    rm -f -- "$STATE/unconfirmed"
    frame confirmed yes
  else
    frame confirmed no
  fi
}

# ---- packages ------------------------------------------------------------------------

# Debian's maintainer scripts start what they install; the policy says not to. It is
# ours only if it carries our name.
block_starts() {
  [ -e /usr/sbin/policy-rc.d ] && return 0
  printf '#!/bin/sh\n# provisioner: no starts while packages are installed\nexit 101\n' \
    >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d
}

unblock_starts() {
  grep -qs '^# provisioner:' /usr/sbin/policy-rc.d && rm -f /usr/sbin/policy-rc.d
  return 0
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold install -- "$@" </dev/null 9>&- 2>&1
}

# install_packages NAME...: what was installed before stays at its version.
install_packages() {
  frame step packages
  if command -v apt-get >/dev/null; then
    block_starts
    said=$(apt_install "$@") ||
      said=$(apt-get -q update </dev/null 9>&- 2>&1 && apt_install "$@")
    status=$?
    unblock_starts
  elif command -v dnf >/dev/null; then
    said=$(dnf -y install -- "$@" </dev/null 9>&- 2>&1)
    status=$?
  elif command -v apk >/dev/null; then
    said=$(apk add -- "$@" </dev/null 9>&- 2>&1)
    status=$?
  else
    stop failed "no package manager that is known here (apt-get, dnf, apk)"
  fi
  [ "$status" -eq 0 ] ||
    stop failed "cannot install $*: $(printf '%s\n' "$said" | grep -v '^$' | tail -n 5)"
  frame result ok
  frame end-packages
}
