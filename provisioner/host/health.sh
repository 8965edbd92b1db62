# Is mail service alive? Asked before the change, to know what to expect, and after it.
LOG= LOGGED=0 SINCE=0 LISTENING=
# Within how many seconds a listener that was well has to be well again. A machine that was
# slow before the change is given more.
PATIENCE=2

# reach PORT: $address is where the listener on this port can be reached; fails if nobody listens.
# It is in the kernel's own table (state 0A is LISTEN), which takes the kernel milliseconds to
# write: read once for all listeners, and anew where $LISTENING was emptied.
reach() {
  [ -n "$LISTENING" ] ||
    LISTENING=$NL$(grep -ho '[0-9A-F]*:[0-9A-F]* 0*:0000 0A' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  address=${LISTENING%%":$(printf '%04X' "$1") 0"*} octets=
  [ "$address" != "$LISTENING" ] || return 1
  address=${address##*"$NL"}
  if [ ${#address} -gt 8 ]; then
    address=::1
    return
  fi
  # The kernel prints an IPv4 address in host byte order.
  while [ -n "$address" ]; do
    octets=$octets.$((0x${address#"${address%??}"}))
    address=${address%??}
  done
  address=${octets#.}
  [ "$address" != 0.0.0.0 ] || address=127.0.0.1
}

# converse ADDRESS PORT SECONDS [LINE]: greeting, EHLO and a recipient, within that time; the line
# is said first. Configuration errors are answered 451 4.3, a dead milter 451 4.7.1.
converse() {
  timeout "$3" bash -c '
exec 3<>"/dev/tcp/$0/$1" || exit 1
reply() {
  while IFS= read -r line <&3; do
    case $line in [0-9][0-9][0-9]-*) ;; *) return 0 ;; esac
  done
  return 1
}
[[ -z $2 ]] || printf "%s\r\n" "$2" >&3
reply && [[ $line == 220* ]] || exit 1
printf "EHLO localhost\r\n" >&3; reply && [[ $line == 250* ]] || exit 1
broken() {
  [[ $line == 4??\ 4.3* || $line == 421* || $line == *"Service unavailable - try again"* ]]
}
printf "MAIL FROM:<>\r\n" >&3; reply && ! broken || exit 1
printf "RCPT TO:<postmaster@localhost>\r\n" >&3; reply && ! broken || exit 1
printf "QUIT\r\n" >&3; reply || true' "$1" "$2" "${4:-}" 2>/dev/null 9>&-
}

# handshake ADDRESS PORT SECONDS [-starttls smtp]: TLS completes and EHLO is answered inside it. In
# lock step: a client that talks ahead of the replies is refused. After STARTTLS it is the
# client's turn, with TLS from the first byte the server greets first. Nobody is verified, so the
# CAs that this host trusts are not read: that would take longer than all the rest.
handshake() {
  command -v openssl >/dev/null || return 0
  at=$1:$2 seconds=$3
  case $1 in *:*) at=[$1]:$2 ;; esac
  shift 3
  timeout "$seconds" bash -c '
coproc TLS { SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null exec openssl s_client -connect "$0" -quiet "$@" 2>/dev/null; }
[[ $1 == -starttls ]] || { IFS= read -r line <&"${TLS[0]}" && [[ $line == 220* ]]; } || exit 1
printf "EHLO localhost\r\n" >&"${TLS[1]}"
while IFS= read -r line <&"${TLS[0]}"; do
  case $line in
    250-*) ;;
    250\ *) printf "QUIT\r\n" >&"${TLS[1]}"; exit 0 ;;
    *) exit 1 ;;
  esac
done
exit 1' "$at" "$@" 2>/dev/null 9>&-
}

# check_listener NAME PORT KIND SECONDS: KIND is plain, starttls, tls, proxied (the PROXY protocol
# first) or open (listens, no more); a conversation may take so long, and the handshake again. NAME
# is as in master.cf, and may have an address. Most have none, and listen on all: where nobody does
# on the loopback, the kernel tells.
check_listener() {
  port=$2
  case $port in
    *[!0-9]*)
      port=$(getent services "$port/tcp" | sed 's/.* \([0-9]*\)\/tcp.*/\1/;q')
      [ -n "$port" ] || return 1 ;;
  esac
  can_talk "$3" || {
    reach "$port"
    return
  }
  case $1 in
    \[*\]:*) address=${1#\[} address=${address%%\]*} ;;
    *:*) address=${1%%:*} ;;
    *)
      address=127.0.0.1
      talk "$3" "$4" && return 0
      reach "$port" && [ "$address" != 127.0.0.1 ] || return 1 ;;
  esac
  talk "$3" "$4"
}

# can_talk KIND: or all that can be seen is that somebody listens.
can_talk() {
  case $1 in
    open) false ;;
    tls) command -v bash >/dev/null && command -v openssl >/dev/null ;;
    *) command -v bash >/dev/null ;;
  esac
}

# talk KIND SECONDS: with the listener at $address and $port.
talk() {
  case $1 in
    plain) converse "$address" "$port" "$2" ;;
    starttls) converse "$address" "$port" "$2" && handshake "$address" "$port" "$2" -starttls smtp ;;
    tls) handshake "$address" "$port" "$2" ;;
    proxied)
      case $address in
        *:*) converse "$address" "$port" "$2" "PROXY TCP6 ::1 ::1 $port $port" ;;
        *) converse "$address" "$port" "$2" "PROXY TCP4 127.0.0.1 127.0.0.1 $port $port" ;;
      esac ;;
  esac
}

# tick: $now is the time, in hundredths of a second.
tick() {
  read -r now rest </proc/uptime
  now=${now%.*}${now#*.}
}

# await_listener NAME PORT KIND SECONDS [FUNCTION]: it is well within that time. If not, and the
# function says that waiting is of no use, no more time is spent on it.
await_listener() {
  tick
  until=$((now + 100 * $4))
  while [ "$now" -lt "$until" ]; do
    check_listener "$1" "$2" "$3" $(((until - now + 99) / 100)) && return 0
    [ -z "${5:-}" ] || ! "$5" || return 1
    sleep 0.2
    LISTENING=
    tick
  done
  return 1
}

# given_up: a process that dies at its start is not started again for a minute.
given_up() {
  last_words | grep -qE 'fatal:|panic:|throttling'
}

# health_before NAME PORT KIND WAS: remembers which listeners are well; undo is held to that, too.
health_before() {
  [ "$4" = same ] || return 0
  tick
  began=$now
  check_listener "$1" "$2" "$3" 10 || return 0
  printf '%s\n' "$1 $2 $3" >>"$HERE/healthy" || no_room
  tick
  needed=$((2 + 2 * (now - began) / 100))
  [ "$needed" -le "$PATIENCE" ] || PATIENCE=$needed
}

# health_after NAME PORT KIND WAS: WAS is `same` for a listener that stood before: it is held to
# what it was, and at once, for clients stand there. A `new` one, which nobody misses yet, must be
# well.
health_after() {
  seconds=10
  if [ "$4" = same ]; then
    grep -qsxF -- "$1 $2 $3" "$HERE/healthy" || return 0
    seconds=$PATIENCE
  fi
  await_listener "$1" "$2" "$3" "$seconds" given_up ||
    stop failed "$1 does not answer as it should after the change$(last_words)"
}

# health_endpoint ENDPOINT QUEUE: a server that Postfix now asks answers the telephone. The
# rehearsal has stand-ins for these: the real ones would learn test mail.
health_endpoint() {
  case $1 in
    unix:/*) [ -S "${1#unix:}" ] ;;
    unix:*) [ -S "$2/${1#unix:}" ] ;;
    inet:*)
      host=${1#inet:} port=${1##*:}
      host=${host%:*}
      command -v bash >/dev/null || return 0
      timeout "$PATIENCE" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "${host:-127.0.0.1}" "$port" 2>/dev/null 9>&- ;;
  esac || stop failed "$1 does not answer, and every mail would wait for it"
}

# mail_log: the file that Postfix logs to, if it is one.
mail_log() {
  for log in "$(postconf -h maillog_file 2>/dev/null)" /var/log/mail.log /var/log/maillog; do
    [ -f "$log" ] && { echo "$log"; return; }
  done
  return 1
}

# mark_log: from here on, what is logged is about the change.
mark_log() {
  LOG=$(mail_log) && LOGGED=$(wc -c <"$LOG")
  SINCE=$(date +%s)
  return 0
}

# last_words: what Postfix itself said of the change, as far as a log can be found.
last_words() {
  if [ -n "$LOG" ]; then
    said=$(tail -c "+$((LOGGED + 1))" "$LOG")
  else
    said=$(journalctl -q --since "@$SINCE" --no-pager 2>/dev/null | grep postfix)
  fi
  said=$(printf '%s\n' "$said" | grep -E 'fatal:|panic:|error:|warning:' | tail -n 1 |
    sed 's/.*: \(\(fatal\|panic\|error\|warning\): .*\)/\1/')
  [ -z "$said" ] || printf ' (%s)' "$said"
}
