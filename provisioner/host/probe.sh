# The probe: everything planning needs to know of a host, in one exec, changing nothing.

# One line a fact; values are never empty words.
probe_facts() {
  frame facts
  printf 'uid %s\n' "$(id -u)"
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
  CONFIG=/etc/postfix TYPE=
  if command -v postconf >/dev/null; then
    set -- $(postconf -dh mail_version config_directory daemon_directory 2>/dev/null)
    printf 'postfix %s\nconfig %s\ndaemons %s\n' "$1" "$2" "$3"
    CONFIG=$2
    probe_types='postconf -m'
    said=$(postconf -n 2>&1 >/dev/null) || {
      printf 'broken %s\n' "$(printf '%s' "$said" | tail -n 1)"
      probe_types=probe_types_aside # Postfix programs wait a second before they give up
    }
    # main.cf may set these; one too broken to read leaves the built-in defaults.
    said=$(postconf -xh default_database_type queue_directory 2>/dev/null) ||
      said=$(postconf -dh default_database_type queue_directory)
    set -- $said
    TYPE=$1
    printf 'default_type %s\nqueue %s\n' "$TYPE" "$2"
    printf 'types %s\n' "$($probe_types 2>/dev/null | tr '\n' ' ')"
    read -r pid 2>/dev/null <"$2/pid/master.pid" &&
      [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = master ] && printf 'master %s\n' "$pid"
  fi
  # Debian up to 12 wraps the real unit in one that only runs /bin/true.
  for dir in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
    [ "$init" = systemd ] && [ -e "$dir/postfix.service" ] || continue
    if grep -q '^ExecStart=/bin/true' "$dir/postfix.service"; then
      printf 'unit postfix@-.service\n'
    else
      printf 'unit postfix.service\n'
    fi
    break
  done
  return 0
}

# postconf -m reads main.cf too: where that is broken, an empty one elsewhere will do. It is
# old because Postfix programs wait for a young one.
probe_types_aside() {
  aside=$(mktemp -d) || return
  touch -d @0 "$aside/main.cf"
  postconf -c "$aside" -m
  rm -rf -- "$aside"
}

# probe_paths PATH...: one line each, in the order asked.
probe_paths() {
  frame states
  asked='
'
  for path; do
    asked="$asked$path
"
    path_state "$path"
  done
  # Files we manage and nobody asked about may be orphans: the path, then its state.
  [ -f "$STATE/paths" ] || return 0
  frame managed
  while IFS= read -r path; do
    case $asked in
      *"
$path
"*) ;;
      *)
        printf '%s\n' "$path"
        path_state "$path" ;;
    esac
  done <"$STATE/paths"
}

# probe_content INDEX PATH KNOWN: the bytes, unless the asker has them.
probe_content() {
  [ -f "$2" ] || return 0
  [ -n "$3" ] && [ "$(digest "$2")" = "$3" ] && return 0
  if [ "$(stat -L -c %s -- "$2")" -gt 4096 ]; then
    frame content "$1" gzip
    gzip -c <"$2"
  else
    frame content "$1" plain
    cat <"$2"
  fi
}

# probe_table INDEX PATH TYPE: is the compiled form what postmap makes of this source?
probe_table() {
  type=$3
  case $type in
    *indexed) type=${type%indexed}${TYPE:-unknown} ;;
  esac
  if [ ! -f "$2$(suffix "$type")" ]; then
    frame table "$1" "$type" missing
  elif compiled_line "$2" "$type" | grep -Fqxf - "$STATE/compiled" 2>/dev/null; then
    frame table "$1" "$type" verified
  else
    # A type that cannot be listed gives a digest that agrees with nothing.
    frame table "$1" "$type" dump \
      "$( { postmap -s "${type#alias-}:$2" 2>/dev/null || echo unlisted; } | sort | sha256sum | cut -c 1-64)"
  fi
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
  [ ! -f "$STATE/units" ] || set -- "$@" $(cat "$STATE/units")
  told=' '
  for unit; do
    case $told in *" $unit "*) continue ;; esac
    told="$told$unit "
    probe_unit "$unit"
  done
}

# probe_unit NAME: load, active and enabled, in systemd's words on every init system.
probe_unit() {
  if [ -d /run/systemd/system ]; then
    frame unit "$1" $(systemctl show -p LoadState -p ActiveState -p UnitFileState -- "$1" 2>/dev/null)
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

probe_state() {
  if [ -f "$STATE/manifest.json" ]; then
    frame manifest
    cat "$STATE/manifest.json"
  fi
  if [ -f "$STATE/manifest.next" ]; then
    frame unfinished
    cat "$STATE/manifest.next"
  fi
  if [ -f "$STATE/pending" ]; then
    frame pending
    cat "$STATE/pending"
  fi
  return 0
}

probe_end() {
  frame end
}
