# Services and the mail system, on whatever init system there is.

# control_unit VERB UNIT: what is started without systemd would inherit the signals that we
# ignore. On Debian up to 12 the unit that people ask about only stands for the real one: it
# goes along.
control_unit() (
  if [ -d /run/systemd/system ]; then
    [ "$(systemctl show -p NeedDaemonReload --value -- "$2" 2>/dev/null)" != yes ] ||
      systemctl daemon-reload 9>&-
    case $1-$2 in
      start-postfix@-.service | stop-postfix@-.service)
        systemctl "$1" -- "$2" postfix.service 9>&- ;;
      restart-postfix@-.service)
        systemctl restart -- "$2" 9>&- && systemctl start -- postfix.service 9>&- ;;
      *) systemctl "$1" -- "$2" 9>&- ;;
    esac
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

# opposite VERB: what takes it back; what only told a service of its files tells it again.
opposite() {
  case $1 in
    start) echo stop ;;
    stop) echo start ;;
    enable) echo disable ;;
    disable) echo enable ;;
    *) echo "$1" ;;
  esac
}

master_alive() {
  read -r pid 2>/dev/null <"$1/pid/master.pid" || return 1
  read -r comm 2>/dev/null <"/proc/${pid:-0}/comm" && [ "$comm" = master ]
}

# reload_master QUEUE: what `postfix reload` comes to, without what it looks at before: files
# that stand there and are not read are the worst of both. Says why, where nobody was told.
reload_master() {
  if master_alive "$1"; then kill -HUP "$pid" 2>&1; else echo "it does not run" && false; fi
}

# wait_alive QUEUE: Postfix runs, at the latest after five seconds.
wait_alive() {
  tries=0
  sleep 0.1
  until master_alive "$1"; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || return 1
    sleep 0.1
  done
}
