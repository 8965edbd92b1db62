# The probe: everything planning needs to know of a host, in one exec, changing nothing.

# Forks are what a probe costs, so each question that needs a program is asked once for all.

# probe_open: a change that is not finished. Between the first rename and the end of an undo
# nothing is as it will be: whoever holds the lock then is done in a moment, and nobody does if
# both it and its guard died.
probe_open() {
  read_transaction || return 0
  case $AT in
    ARMED | SWAPPED) flock -s -w 20 "$STATE/lock" true ;;
    ACTIVE) ! decided || flock -s -w 20 "$STATE/lock" true ;;
  esac
  read_transaction || return 0
  frame open "$RUN" "${AT:-BEGUN}" "$UNTIL"
  printf '%s\n' "$WHO"
  cat -- "$HERE/outcome" 2>/dev/null
}

# One line a fact; values are never empty words.
probe_facts() {
  frame facts
  while read -r word _ uid _; do
    [ "$word" != Uid: ] || printf 'uid %s\n' "$uid"
  done </proc/self/status
  (
    [ -r /etc/os-release ] && . /etc/os-release
    printf 'system %s %s\n' "${ID:-unknown}" "${VERSION_ID:-${VERSION_CODENAME:-unknown}}"
  )
  if [ -d /run/systemd/system ]; then init=systemd
  elif command -v rc-service >/dev/null; then init=openrc
  else init=sysv; fi
  printf 'init %s\n' "$init"
  for tool in dpkg-query rpm apk; do
    command -v "$tool" >/dev/null && { printf 'packages %s\n' "$tool"; break; }
  done
  for tool in stat sha256sum readlink gzip dd flock cp touch sync; do
    command -v "$tool" >/dev/null || printf 'missing %s\n' "$tool"
  done
  TYPE=
  command -v postconf >/dev/null && probe_postfix
  # Debian up to 12 wraps the real unit in one that only runs /bin/true.
  for dir in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    [ "$init" = systemd ] && [ -e "$dir/postfix.service" ] || continue
    unit=postfix.service
    while IFS= read -r line; do
      case $line in ExecStart=/bin/true*) unit=postfix@-.service ;; esac
    done <"$dir/postfix.service"
    printf 'unit %s\n' "$unit"
    break
  done
  return 0
}

POSTFIX_FACTS='config_directory daemon_directory default_database_type queue_directory mail_version'

probe_postfix() {
  probe_types='postconf -m'
  # What main.cf sets counts. One too broken to read leaves the built-in defaults.
  said=$(postconf -xh $POSTFIX_FACTS 2>/dev/null) || {
    printf 'broken %s\n' "$(postconf -n 2>&1 >/dev/null | tail -n 1)"
    probe_types=probe_types_aside # Postfix programs wait a second before they give up
    said=$(postconf -dh $POSTFIX_FACTS)
  }
  set -- $said
  TYPE=$3
  # mail_version may be anything that an administrator wants to be seen.
  case $5 in
    [2-9].[0-9]*) version=$5 ;;
    *) version=$(postconf -dh mail_version) ;;
  esac
  printf 'postfix %s\nconfig %s\ndaemons %s\ndefault_type %s\nqueue %s\n' \
    "$version" "$1" "$2" "$3" "$4"
  read -r pid 2>/dev/null <"$4/pid/master.pid" &&
    read -r comm 2>/dev/null <"/proc/$pid/comm" &&
    [ "$comm" = master ] && printf 'master %s\n' "$pid"
  # Up to 3.5, -m minds settings that -xh does not.
  set -- $($probe_types 2>/dev/null || probe_types_aside 2>/dev/null)
  printf 'types %s\n' "$*"
}

# postconf -m reads main.cf too: where that is broken, an empty one elsewhere will do. It is
# old because Postfix programs wait for a young one.
probe_types_aside() {
  aside=$(mktemp -d) || return
  touch -d @0 "$aside/main.cf"
  postconf -c "$aside" -m
  rm -rf -- "$aside"
}

# probe_compiled PATH TYPE...: tables whose compiled forms `probe_paths` is to hash as well.
probe_compiled() {
  while [ $# -gt 0 ]; do
    real_type "$2"
    compiled_form "$1" "$type"
    [ ! -f "$compiled" ] || ALSO=$ALSO$compiled$NL
    shift 2
  done
}

# real_type TYPE: $type is what `indexed` stands for here, `alias-` before it kept.
real_type() {
  case $1 in
    *indexed) type=${1%indexed}${TYPE:-unknown} ;;
    *) type=$1 ;;
  esac
}

# probe_paths PATH...: one line each, in the order asked.
probe_paths() {
  frame states
  path_states "$@"
  # Files we manage and nobody asked about may be orphans: the path, then its state.
  [ -f "$STATE/paths" ] || return 0
  asked=$NL$(printf '%s\n' "$@")$NL
  set --
  while IFS= read -r path; do
    case $asked in
      *"$NL$path$NL"*) ;;
      *) set -- "$@" "$path" ;;
    esac
  done <"$STATE/paths"
  [ $# -gt 0 ] || return 0
  frame managed
  lines=$(ALSO= && path_states "$@")$NL
  for path; do
    printf '%s\n%s\n' "$path" "${lines%%"$NL"*}"
    lines=${lines#*"$NL"}
  done
}

# probe_contents INDEX PATH KNOWN...: the bytes of what the asker does not have, and what this
# host remembers, one gzip member each, in the order that the frame names them.
probe_contents() {
  names= count=$#
  while [ $count -gt 0 ]; do
    if [ -f "$2" ]; then
      case $SUMS in
        *"$NL${3:-unknown}  $2$NL"*) ;;
        *) names="$names $1" && set -- "$@" "$2" ;;
      esac
    fi
    shift 3
    count=$((count - 3))
  done
  [ ! -e "$STATE" ] || {
    untrusted "$STATE"
    [ -z "$found" ] || frame untrusted "$(in_words "$found")"
  }
  for name in manifest.json manifest.next pending; do
    [ ! -f "$STATE/$name" ] || { names="$names $name" && set -- "$@" "$STATE/$name"; }
  done
  [ $# -eq 0 ] || {
    frame contents $names
    gzip -cf -- "$@"
  }
}

# probe_tables PATH TYPE...: is the compiled form what postmap makes of this source?
probe_tables() {
  lines=
  count=$#
  while [ $count -gt 0 ]; do
    real_type "$2"
    compiled_form "$1" "$type"
    sum_of "$1"
    source=$sum
    sum_of "$compiled"
    set -- "$@" "$1" "$type" "$compiled" "$source $sum $type:$1"
    lines=$lines${lines:+$NL}"$source $sum $type:$1"
    shift 2
    count=$((count - 2))
  done
  remembered=$NL$(exec grep -Fx -e "$lines" -- "$STATE/compiled" 2>/dev/null)$NL
  index=0
  while [ $# -gt 0 ]; do
    probe_table "$index" "$@"
    shift 4
    index=$((index + 1))
  done
}

# probe_table INDEX PATH TYPE COMPILED LINE...
probe_table() {
  if [ ! -f "$4" ]; then
    frame table "$1" "$3" missing
    return
  fi
  case $remembered in
    *"$NL$5$NL"*) frame table "$1" "$3" verified ;;
    *)
      # A type that cannot be listed gives a digest that agrees with nothing.
      frame table "$1" "$3" dump \
        "$( { postmap -s "${3#alias-}:$2" 2>/dev/null || echo unlisted; } | sort | sha256sum | cut -c 1-64)" ;;
  esac
}

probe_packages() {
  frame packages
  if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "$@" 2>/dev/null
  elif command -v rpm >/dev/null; then
    rpm -q --qf 'installed %{NAME} %{VERSION}-%{RELEASE}\n' -- "$@" 2>/dev/null | grep '^installed '
  elif command -v apk >/dev/null; then
    for name; do
      apk info -e "$name" >/dev/null 2>&1 && printf 'installed %s present\n' "$name"
    done
  fi
  return 0
}

# probe_units NAME...: these, and those that we manage and nobody asked about (orphans).
probe_units() {
  names=" $* "
  [ ! -f "$STATE/units" ] || while read -r unit; do
    case $names in *" $unit "*) ;; *) names="$names$unit " ;; esac
  done <"$STATE/units"
  set -- $names
  if [ $# -gt 1 ] && [ -d /run/systemd/system ]; then
    said=$(unit_words "$@")$NL$NL
    for unit; do
      words=${said%%"$NL$NL"*}
      said=${said#*"$NL$NL"}
      # It gives up at a name that it does not like: the rest is asked one by one.
      frame_unit "$unit" ${words:-$(unit_words "$unit")}
    done
    return
  fi
  for unit; do
    probe_unit "$unit"
  done
}

unit_words() {
  systemctl show -p LoadState -p ActiveState -p UnitFileState -- "$@" 2>/dev/null
}

# frame_unit NAME WORDS...: whether a System V script is enabled, systemd does not say.
frame_unit() {
  case $* in
    *UnitFileState=generated*)
      ls /etc/rc[2-5].d/S??"$1" >/dev/null 2>&1 && enabled=enabled || enabled=disabled
      set -- "$@" "UnitFileState=$enabled" ;;
  esac
  frame unit "$@"
}

# probe_unit NAME: load, active and enabled, in systemd's words on every init system.
probe_unit() {
  if [ -d /run/systemd/system ]; then
    frame_unit "$1" $(unit_words "$1")
  elif [ -x "/etc/init.d/$1" ]; then
    if command -v rc-service >/dev/null; then
      rc-service "$1" status >/dev/null 2>&1 && active=active || active=inactive
      rc-update show 2>/dev/null | grep -q "^ *$1 |.*default" && enabled=enabled || enabled=disabled
    else
      service "$1" status >/dev/null 2>&1 && active=active || active=inactive
      ls /etc/rc[2-5].d/S??"$1" >/dev/null 2>&1 && enabled=enabled || enabled=disabled
    fi
    frame unit "$1" LoadState=loaded "ActiveState=$active" "UnitFileState=$enabled"
  else
    frame unit "$1" LoadState=not-found ActiveState=inactive UnitFileState=
  fi
}

probe_end() {
  frame end
}

# at_once: what comes on standard input, in as few writes as can be: each is a message of its own
# to SSH, which costs both sides more than this process does.
at_once() {
  command -v dd >/dev/null || exec cat
  exec dd iflag=fullblock bs=65536 status=none 9>&-
}
