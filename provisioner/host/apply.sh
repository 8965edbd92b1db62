# One host's transaction. Everything is received and staged before the first rename, so
# a controller that goes away changes nothing, or changes nothing of the outcome.
RUN= OWNER= COPIED= CHANGING= TRUSTED=$NL MOUNTS=

# stop OUTCOME MESSAGE: end with that result. Before the guard is armed, what is staged goes;
# afterwards everything is put back first.
stop() {
  case $AT in
    ARMED | SWAPPED)
      [ -z "$CHANGING" ] || frame step undo
      decide undone
      undo_change live "$2"
      [ "$OUTCOME" = untouched ] || end "$OUTCOME" "$SAID" ;;
    *)
      if [ -n "$HERE" ]; then back_out; else discard; fi ;;
  esac
  end "$1" "$2"
}

no_room() {
  stop failed "cannot write to $STATE (no space left?)"
}

# begin RUN OWNER: the lock is held by descriptor 9, which no lasting child may inherit. What
# an earlier run left is finished first.
begin() {
  trap '' HUP INT TERM PIPE
  untrusted "$STATE"
  [ -z "$found" ] || end failed "$(in_words "$found"): what is kept there cannot be trusted"
  said=$(mkdir -p -m 0700 -- "$STATE" 2>&1 && chmod 0700 -- "$STATE" 2>&1 &&
    true 2>&1 >>"$STATE/lock") ||
    end failed "cannot write to $STATE: ${said##*: }"
  lock_host 3 || end locked "$(cat "$STATE/owner" 2>/dev/null)"
  recover_first
  # Nothing is open: what has a guard still was cut short before its guard could start.
  for each in "$STATE"/txn/*/guard; do
    [ ! -e "$each" ] || rm -rf -- "${each%/*}"
  done
  RUN=$1 OWNER=$2 HERE= AT= CHANGING=
  printf '%s\n' "$OWNER" 2>/dev/null >"$STATE/owner" || no_room
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
  untrusted "$1"
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
  [ -n "$MOUNTS" ] || MOUNTS=$NL$(cut -d ' ' -f 5 /proc/self/mountinfo 2>/dev/null)$NL
  case $MOUNTS in
    *"$NL$target$NL"*) stop failed "$1 is a mount point of its own and cannot be replaced" ;;
  esac
  true 2>/dev/null <>"$target" || said=$( (: <>"$target") 2>&1) ||
    stop failed "$1 cannot be replaced: ${said##*: } (immutable? see lsattr)"
}

stage_begin() {
  locate "$1"
  [ -d "${target%/*}" ] || stop failed "$1: its directory does not exist"
  [ ! -e "$staged" ] && [ ! -L "$staged" ] ||
    stop failed "there is something where $subject is to be staged: $staged"
  printf '%s\n' "$staged" >>"$HERE/staged" || no_room
  if [ -e "$target" ]; then
    replaceable "$1"
    # Owner, mode, ACLs, extended attributes and security label come along.
    said=$(cp -a --attributes-only -- "$target" "$staged" 2>&1) ||
      said=$(cp -p -- "$target" "$staged" 2>&1 && printf '' 2>&1 >"$staged") || cannot_stage
  else
    # What is new is readable by all, unless `stage_attributes` says otherwise.
    umask 022
    true 2>/dev/null >"$staged" || said=$(touch -- "$staged" 2>&1) || cannot_stage
    umask 077
  fi
}

# cannot_stage: what the last command said is the reason.
cannot_stage() {
  stop failed "cannot write beside $subject: ${said##*: }"
}

stage_take() {
  store "$staged" "$@" || cannot_stage
}

# stage_keep OFFSET LENGTH: that part of what stands there now.
stage_keep() {
  said=$(dd if="$target" iflag=skip_bytes,count_bytes,fullblock bs=65536 skip="$1" count="$2" \
    status=none 2>&1 >>"$staged" 9>&-) || cannot_stage
}

# stage_rest OFFSET: from there to the end.
stage_rest() {
  said=$(dd if="$target" iflag=skip_bytes,fullblock bs=65536 skip="$1" \
    status=none 2>&1 >>"$staged" 9>&-) || cannot_stage
}

stage_kept_copy() {
  chmod 0600 -- "$staged"
  said=$(cp -a -- "$STATE/before/$1" "$staged" 2>&1) || cannot_stage
}

# stage_end DIGESTS PATH...: what was staged is what was planned, byte for byte. The digests are
# lines, in the order of the paths.
stage_end() {
  wanted=$1 files=
  shift
  for path; do
    locate "$path"
    files=$files$staged$NL
    shift
    set -- "$@" "$staged"
  done
  digests "$files"
  for staged; do
    sum_of "$staged"
    [ "$sum" = "${wanted%%"$NL"*}" ] || stop failed \
      "the new $(as_called "$staged") did not arrive whole (connection lost, or the old one edited?)"
    wanted=${wanted#*"$NL"}
  done
  # Postfix programs wait for a main.cf that is younger than two seconds.
  touch -d "@$(($(date +%s) - 10))" -- "$@"
}

# as_called TEXT: with the names of live files for those that are staged beside them.
as_called() {
  printf '%s' "$1" | sed "s|\.\([^/]*\)\.provisioner-$RUN|\1|g"
}

# stage_attributes OWNER GROUP MODE: `-` keeps. They come before the content: what becomes secret
# is at no time readable as it was before.
stage_attributes() {
  attributes "$staged" "$@"
}

# Owner before mode: a change of owner clears set-id bits.
attributes() {
  case $2:$3 in
    -:* | *:-) false ;;
    *) chown -- "$2:$3" "$1" 2>/dev/null ;;
  esac || {
    [ "$2" = - ] || chown -- "$2" "$1" || stop failed "$1: no such owner: $2"
    [ "$3" = - ] || chgrp -- "$3" "$1" || stop failed "$1: no such group: $3"
  }
  [ "$4" = - ] || chmod -- "$4" "$1" || stop failed "cannot set the mode of $1"
}

# stage_compile PATH TYPE...: beside, then renamed; a running smtpd never sees half a table.
stage_compile() {
  count=$#
  while [ $count -gt 0 ]; do
    locate "$1"
    if [ ! -e "$staged" ]; then
      printf '%s\n' "$staged" >>"$HERE/staged" || no_room
      said=$(cp -a -- "$target" "$staged" 2>&1) || cannot_stage
    fi
    set -- "$@" "$1" "$2" "$staged"
    shift 2
    count=$((count - 2))
  done
  # Without -o, what is not root's is compiled with its owner's rights: all files of a call.
  for program in postmap postalias; do
    compile_with "$program" root "$@"
    compile_with "$program" others "$@"
  done
  while [ $# -gt 0 ]; do
    real "$1"
    compiled_form "$real" "$2"
    old=$compiled
    compiled_form "$3" "$2"
    [ ! -e "$old" ] || chown -- "$(stat -c %u:%g -- "$old")" "$compiled"
    shift 3
  done
}

# compile_with postmap|postalias root|others PATH TYPE STAGED...: those that are its own, in one
# process. It exits 0 on malformed lines and duplicate keys, so any warning is a failure.
compile_with() {
  program=$1 whose=$2
  shift 2
  count=$#
  while [ $count -gt 0 ]; do
    case $2 in alias-*) by=postalias ;; *) by=postmap ;; esac
    [ -O "$3" ] && owner=root || owner=others
    [ "$by $owner" != "$program $whose" ] || set -- "$@" "${2#alias-}:$3"
    shift 3
    count=$((count - 3))
  done
  [ $# -gt 0 ] || return 0
  [ "$whose" = root ] || set -- -o "$@"
  said=$("$program" "$@" 2>&1 9>&-)
  status=$?
  # Postfix 3.11 deplores every hash and btree table, and a directory whose owner this plan
  # may be about to mend; neither is a fault of these tables.
  [ -z "$said" ] || said=$(printf '%s\n' "$said" | grep -vE 'hash/btree support is deprecated|NON_BERKELEYDB_README|Creating root-owned database file')
  [ "$status" -eq 0 ] && [ -z "$said" ] || stop failed "$(as_called "$said")"
}

make_directory() {
  locate "$1"
  if [ ! -d "$1" ]; then
    said=$(mkdir -m 0755 -- "$1" 2>&1) || stop failed "cannot create $1: ${said##*: }"
    undo_entry directory "$1" - - -
  fi
  attributes "$1" "$2" "$3" "$4"
}

# sync_staged: on disk before any name points at it. What the host is to remember waits with
# the journal for the confirmation.
sync_staged() {
  set -- "$HERE/"
  for file in "$HERE/guard" "$HERE/manifest.json" "$HERE/paths" "$HERE/units"; do
    [ ! -e "$file" ] || set -- "$@" "$file"
  done
  [ ! -f "$HERE/staged" ] || while IFS= read -r path; do
    for file in "$path" "$path.db" "$path.lmdb" "$path.cdb"; do
      [ -e "$file" ] && set -- "$@" "$file"
    done
  done <"$HERE/staged"
  persist "$@"
  journal STAGED || no_room
  frame step stage
}

# rename_list NAME: the one that the following calls write.
rename_list() {
  LIST=$1
}

# will_rename PATH TYPE | will_compile PATH TYPE | will_remove PATH TYPE: what `rename_all`
# does, worked out before so that nothing but renames happens then. The compiled table comes
# first: source and compiled form are never newer in the wrong order. TYPE `-` is no table.
will_rename() {
  [ "$2" = - ] || will_compile "$@"
  locate "$1"
  rename_entry "$staged" "$target"
}

will_compile() {
  locate "$1"
  compiled_form "$staged" "$2"
  from=$compiled
  compiled_form "$target" "$2"
  rename_entry "$from" "$compiled"
}

# will_drop PATH TYPE: the compiled form of a table that is compiled otherwise by now, or not
# at all.
will_drop() {
  locate "$1"
  compiled_form "$target" "$2"
  rename_entry - "$compiled"
}

will_remove() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    # Backups stand in it until the change is confirmed: it goes last.
    printf '%s\n' "$1" >>"$HERE/emptied" || no_room
    return
  fi
  rename_entry - "$1"
  [ "$2" = - ] || {
    compiled_form "$1" "$2"
    rename_entry - "$compiled"
  }
}

rename_entry() {
  printf '%s\n' "$@" >>"$HERE/renames.$LIST" || no_room
}

# prepared: from here on, everything that undo needs is on disk; and whoever writes to a file that
# changes does so after $HERE/looked. $AHEAD are those that are no older even now: written this
# very moment, or in the future, as a clock leaves them that was set back.
prepared() {
  AHEAD=$NL
  printf '' >"$HERE/looked" || no_room
  for list in first then; do
    [ ! -f "$HERE/renames.$list" ] || while IFS= read -r from && IFS= read -r to; do
      [ ! -e "$to" ] || [ "$HERE/looked" -nt "$to" ] || AHEAD=$AHEAD$to$NL
    done <"$HERE/renames.$list"
  done
  set -- "$HERE/"
  for file in "$HERE/undo" "$HERE/healthy" "$HERE/touched"; do
    [ -e "$file" ] && set -- "$@" "$file"
  done
  [ ! -f "$HERE/undo" ] || while IFS= read -r kind && IFS= read -r path && IFS= read -r how &&
    IFS= read -r was && IFS= read -r becomes; do
    [ "$kind" != old ] || set -- "$@" "${how%/*}/"
  done <"$HERE/undo"
  persist "$@"
  journal PREPARED || no_room
  frame step prepare
}

# arm_guard: from here on, failing means undoing.
arm_guard() {
  arm
  journal ARMED || no_room
  mark_log
  frame step guard
}

# rename_all LIST: in one breath; Postfix is told right after it.
rename_all() {
  [ -f "$HERE/renames.$1" ] || return 0
  still_ours "$1"
  CHANGING=yes
  while IFS= read -r from && IFS= read -r to; do
    if [ "$from" = - ]; then
      rm -f -- "$to" || stop failed "cannot remove $to"
    else
      mv -f -- "$from" "$to" || stop failed "cannot rename $to into place"
    fi
  done <"$HERE/renames.$1"
}

# still_ours LIST: nobody wrote or replaced a file since it was looked at. No process is needed
# for that, so that hardly any time is left for it to happen. Clocks of file systems tick every few
# milliseconds: what is not older is newer.
still_ours() {
  while IFS= read -r from && IFS= read -r to; do
    ahead=
    case $AHEAD in *"$NL$to$NL"*) ahead=yes ;; esac
    if { [ -z "$ahead" ] && [ -e "$to" ] && ! [ "$HERE/looked" -nt "$to" ]; } ||
      { [ -z "$COPIED" ] && [ -e "$from.old" ] && ! [ "$to" -ef "$from.old" ]; }; then
      stop stale "$to is not what it was when this was planned"
    fi
  done <"$HERE/renames.$1"
}

# swapped: not synced, for Postfix is told at once.
swapped() {
  printf 'SWAPPED\n' >>"$HERE/journal" || no_room
  AT=SWAPPED SWITCHED=yes
  frame step swap
}

# sync_directories PATH...: those that their names stand in, behind symbolic links.
sync_directories() {
  for path; do
    locate "$path"
    shift
    set -- "$@" "${target%/*}/"
  done
  persist "$@"
}

# make_queue QUEUE: backends have their sockets there, and where Postfix was never started
# the directories may be missing; postfix(1) check creates them.
make_queue() {
  [ -d "$1/private" ] && return 0
  said=$(postfix check 2>&1 9>&-) || stop failed "postfix check: $said"
}

# activate: Postfix reads what has changed, and runs afterwards.
activate() {
  case $LEVEL in
    reload) said=$(reload_master "$QUEUE") ;;
    restart) said=$(control_unit restart "$UNIT" 2>&1) ;;
  esac || stop failed "$LEVEL of Postfix failed: $said$(last_words)"
  wait_alive "$QUEUE" || stop failed "Postfix does not run after the $LEVEL$(last_words)"
  LISTENING=
  frame step "$LEVEL"
}

control() {
  said=$(control_unit "$1" "$2" 2>&1) || stop failed "$1 $2: $said"
  frame step "$1" "$2"
}

# remember_compiled PATH TYPE...: what was made of which content, by us.
remember_compiled() {
  count=$# files=
  while [ $count -gt 0 ]; do
    compiled_form "$1" "$2"
    files=$files$1$NL$compiled$NL
    set -- "$@" "$1" "$2"
    shift 2
    count=$((count - 2))
  done
  digests "$files"
  while [ $# -gt 0 ]; do
    compiled_form "$1" "$2"
    sum_of "$1"
    source=$sum
    sum_of "$compiled"
    printf '%s %s %s:%s\n' "$source" "$sum" "$2" "$1"
    shift 2
  done >>"$STATE/compiled"
}

# receive HOW WHAT NAME: one of our own files, which waits with the journal for the confirmation.
receive() {
  store "$HERE/$3" "$1" "$2" ||
    stop failed "$3 cannot be written, or did not arrive whole (connection lost?): ${said##*: }"
}

# finish: applied and healthy; the controller confirms over a new login.
finish() {
  journal ACTIVE $(($(date +%s) + WINDOW)) || no_room
  end ok "$RUN"
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
  [ ! -e /usr/sbin/policy-rc.d ] || ! grep -qs '^# provisioner:' /usr/sbin/policy-rc.d ||
    rm -f /usr/sbin/policy-rc.d
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
