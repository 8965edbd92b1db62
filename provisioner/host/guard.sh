# The guard: undoes a change whose transaction died, or that nobody confirmed, without being
# asked by anybody. It waits for the lock that the transaction holds: however that ends, the
# guard is there at once. A boot-time service does the same after a power failure, before
# Postfix starts.
# (A line that begins with $H would be taken for a comment of this file.)
GUARD=provisioner-guard SELF= H='#'

# start_guard: before anything is staged. It waits for the lock, and so cannot meet a transaction
# that lives.
start_guard() {
  if [ ! -d /run/systemd/system ] || ! systemd-run --quiet --collect --unit="$GUARD-$RUN" \
    --description="Undo of an unconfirmed change" \
    /bin/sh "$HERE/guard" watch "$RUN" >/dev/null 2>&1 9>&-; then
    setsid /bin/sh "$HERE/guard" watch "$RUN" </dev/null >/dev/null 2>&1 9>&- &
  fi
}

# arm: before the first rename; everything that the guard needs is on disk, and it is there.
arm() {
  said=$(arm_boot 2>&1) && said="it does not start" && guard_waits ||
    stop failed "the guard, which would undo the change, cannot be armed${said:+: ${said##*: }}"
}

guard_waits() {
  tries=0
  until [ -s "$HERE/guard.pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 250 ] || return 1
    sleep 0.02
  done
}

# disarm: the guard that does it itself ends by itself, as does one that is only starting and no
# longer finds its program.
disarm() {
  disarm_boot
  [ -z "$SELF" ] || return 0
  pid=
  read -r pid 2>/dev/null <"$HERE/guard.pid" || :
  case $(tr '\0' ' ' 2>/dev/null <"/proc/${pid:-0}/cmdline") in
    *" $HERE/guard watch "*) ;;
    *) return 0 ;;
  esac
  [ -d /run/systemd/system ] && systemctl stop "$GUARD-$RUN.service" 2>/dev/null 9>&- ||
    kill -9 "-$pid"
}

# ---- at boot, before Postfix ---------------------------------------------------------

arm_boot() {
  command="/bin/sh $STATE/open/guard boot"
  if [ -d /run/systemd/system ]; then
    units=/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants" &&
      cat >"$units/$GUARD.service" <<END &&
[Unit]
Description=Undo of an unconfirmed change of the mail system
DefaultDependencies=no
After=local-fs.target
Before=postfix.service postfix@-.service
RequiresMountsFor=$STATE
ConditionPathExists=$STATE/open
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=$command
END
      ln -sfn "../$GUARD.service" "$units/multi-user.target.wants/$GUARD.service" &&
      persist "$units/$GUARD.service" "$units/" "$units/multi-user.target.wants/"
  elif command -v openrc-run >/dev/null; then
    cat >"/etc/init.d/$GUARD" <<END &&
$H!$(command -v openrc-run)
description="Undo of an unconfirmed change of the mail system"
depend() {
  after localmount mountall.sh
  before postfix
}
start() {
  [ ! -e $STATE/open/guard ] || $command
}
END
      chmod 0755 "/etc/init.d/$GUARD" &&
      ln -sfn "/etc/init.d/$GUARD" "/etc/runlevels/default/$GUARD" &&
      persist "/etc/init.d/$GUARD" /etc/init.d/ /etc/runlevels/default/
  else
    cat >"/etc/init.d/$GUARD" <<END &&
$H!/bin/sh
$H$H$H BEGIN INIT INFO
$H Provides: $GUARD
$H Required-Start: \$local_fs
$H Required-Stop:
$H X-Start-Before: postfix
$H Default-Start: 2 3 4 5
$H Default-Stop:
$H Short-Description: Undo of an unconfirmed change of the mail system
$H$H$H END INIT INFO
[ "\$1" != start ] || [ ! -e $STATE/open/guard ] || $command
END
      chmod 0755 "/etc/init.d/$GUARD" && persist "/etc/init.d/$GUARD" /etc/init.d/ && arm_rc
  fi
}

# arm_rc: insserv orders by what the script says, everything else by name.
arm_rc() {
  if [ -e /etc/init.d/.depend.start ]; then
    update-rc.d "$GUARD" defaults 9>&-
  else
    for level in /etc/rc[2345].d; do
      ln -sfn "../init.d/$GUARD" "$level/S00$GUARD" && persist "$level/" || return 1
    done
  fi
}

disarm_boot() {
  if [ -e "/etc/systemd/system/$GUARD.service" ]; then
    rm -f "/etc/systemd/system/multi-user.target.wants/$GUARD.service" \
      "/etc/systemd/system/$GUARD.service"
    # Somebody may have had systemd read its files meanwhile: it forgets.
    [ -z "$(systemctl list-units --all --no-legend "$GUARD.service" 2>/dev/null 9>&-)" ] ||
      systemctl daemon-reload 9>&-
  fi
  [ -e "/etc/init.d/$GUARD" ] || return 0
  rm -f "/etc/init.d/$GUARD" "/etc/runlevels/default/$GUARD"
  if [ -e /etc/init.d/.depend.start ]; then
    update-rc.d -f "$GUARD" remove >/dev/null 2>&1 9>&-
  else
    rm -f /etc/rc[2345].d/S00"$GUARD"
  fi
}

# ---- the guard's own program -----------------------------------------------------------

# guard watch RUN | guard boot
guard() {
  SELF=yes N=guard
  trap '' HUP PIPE
  case $1 in
    watch) watch "$2" ;;
    boot)
      trap '' INT TERM
      exec 9>>"$STATE/lock"
      flock 9
      recover boot yes ;;
  esac
}

watch() {
  HERE=$STATE/txn/$1
  exec 9>>"$STATE/lock"
  printf '%s\n' $$ >"$HERE/guard.new" && mv -f "$HERE/guard.new" "$HERE/guard.pid" || exit 0
  flock 9
  is_open "$1" || {
    # One that its shell never came to open has no journal, and nothing else.
    [ -e "$STATE/txn/$1/journal" ] || rm -rf -- "$STATE/txn/$1"
    exit 0
  }
  decided
  if [ "$AT" = ACTIVE ] && [ -z "$DECISION" ]; then
    exec 9>&-
    # Seconds are counted, not read from a clock that may be set meanwhile.
    while [ "$WINDOW" -gt 0 ] && [ -d "$HERE" ] && [ ! -L "$HERE/decision" ]; do
      WINDOW=$((WINDOW - 1))
      sleep 1
    done
    is_open "$1" || exit 0
    decide undone
    exec 9>>"$STATE/lock"
    flock 9
    is_open "$1" || exit 0
  fi
  undo_as_guard "$1" || undo_when_writable "$1"
}

undo_as_guard() {
  trap '' INT TERM
  printf 'the guard of run %s, which undoes it\n' "$1" 2>/dev/null >"$STATE/owner"
  recover live yes
}

# undo_when_writable RUN: a file system that turned read-only may be mended soon: for ten minutes
# it is looked at, and nobody has to come. Whoever comes meanwhile may do it himself.
undo_when_writable() {
  looks=0 tries=0
  while [ -n "$FAILED" ] && [ "$looks" -lt 300 ] && [ "$tries" -lt 3 ]; do
    looks=$((looks + 1))
    exec 9>&-
    trap - INT TERM
    sleep 2
    exec 9>>"$STATE/lock"
    flock 9
    is_open "$1" || exit 0
    can_write $FAILED || continue
    tries=$((tries + 1))
    ! undo_as_guard "$1" || exit 0
  done
}

# can_write PATH...: to the directories of these. What is no path is no matter.
can_write() {
  for path; do
    case $path in /*) [ -w "${path%/*}/" ] || return 1 ;; esac
  done
}
