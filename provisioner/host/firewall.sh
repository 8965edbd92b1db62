# The host's own firewall: is a port open, now and after a reboot, and opening and closing it.
# WHERE is FAMILY/TABLE/CHAIN of nftables, a zone of firewalld's, or `-`.

UFW='' FIREWALLD_ZONE=''

# probe_firewall INDEX PORT WHERE FILE: what filters, and whether the port is open in it now
# and kept open. Without nftables being named, a firewall is one that is active.
probe_firewall() {
  live=no kept=no
  case $3 in
    */*)
      filter=missing
      if rules=$(nft_rules "$3"); then
        filter=nftables
        nft_opens "$2" "$rules" && live=yes
        if [ ! -f "$4" ]; then
          filter=unkept
        elif [ "$live" = yes ] && ! printf '%s\n' "$rules" | grep -qF "\"provisioner $2/tcp\""; then
          kept=yes # by a rule of somebody else's
        else
          grep -qxF -- "$(nft_line "$2" "$3")" "$4" && kept=yes
        fi
      fi ;;
    *)
      if firewalld_lists "$3"; then
        filter=firewalld
        firewalld_opens "$2" "$FIREWALLD_NOW" && live=yes
        firewalld_opens "$2" "$FIREWALLD_KEPT" && kept=yes
      elif ufw_lists; then
        filter=ufw
        ufw_opens "$2" && live=yes kept=yes
      else
        filter=none
      fi ;;
  esac
  frame firewall "$1" "$filter" "$live" "$kept"
}

# Each of these programs takes a good part of a second: once a zone, once a probe.
firewalld_lists() {
  command -v firewall-cmd >/dev/null || return
  [ "$FIREWALLD_ZONE" != "$1" ] || return 0
  zone=
  [ "$1" = - ] || zone=--zone=$1
  FIREWALLD_NOW=$(firewall-cmd $zone --list-all 2>/dev/null) &&
    FIREWALLD_KEPT=$(firewall-cmd --permanent $zone --list-all 2>/dev/null) &&
    FIREWALLD_ZONE=$1
}

firewalld_opens() {
  case $1 in
    465) name='smtps|submissions' ;;
    587) name=smtp-submission ;;
    *) name=- ;;
  esac
  printf '%s\n' "$2" | grep -Eq "^ *(ports:(.* )?$1/tcp|services:(.* )?($name))( |$)"
}

ufw_lists() {
  command -v ufw >/dev/null || return
  [ -n "$UFW" ] || UFW=$(ufw status 2>/dev/null)
  case $UFW in 'Status: active'*) ;; *) return 1 ;; esac
}

# The names are those of the application profiles that Debian's Postfix brings.
ufw_opens() {
  case $1 in
    465) name='Postfix SMTPS' ;;
    587) name='Postfix Submission' ;;
    *) name=- ;;
  esac
  printf '%s\n' "$UFW" |
    grep -Eq "^(([0-9:,]*,)?$1(,[0-9:,]*)?(/tcp)?|$name) +(ALLOW|LIMIT)( IN)? +Anywhere"
}

nft_rules() (
  IFS=/
  set -f
  set -- $1
  nft -nn -a list chain "$1" "$2" "$3" 2>/dev/null
)

# A rule that opens the port to anybody: nothing but the port (or a set with it) and accept.
nft_opens() {
  printf '%s\n' "$2" |
    grep -Eq "^[[:space:]]*tcp dport ($1|\{([^}]*[ ,])?$1([ ,][^}]*)?\}) (counter packets [0-9]+ bytes [0-9]+ )?accept( |$)"
}

# nft_line PORT WHERE: the rule as it stands in a file. In front, as a chain may end in a drop.
nft_line() {
  printf 'insert rule %s tcp dport %s accept comment "provisioner %s/tcp"' \
    "$(printf '%s' "$2" | tr / ' ')" "$1" "$1"
}

# firewall open|close FILTER live|kept PORT WHERE FILE, and word of the way back first.
firewall() {
  verb=$1
  case $verb in open) back=close ;; *) back=open ;; esac
  shift
  undo_entry firewall "$back $*" - - -
  persist "$HERE/undo"
  said=$(firewall_do "$verb" "$@" 2>&1) || stop failed "$1: cannot $verb port $3/tcp: $said"
  frame step firewall "$verb $3/tcp"
}

# firewall_do VERB FILTER PART PORT WHERE FILE: done twice, it is as if done once.
firewall_do() {
  case $2 in
    firewalld) firewalld_do "$1" "$3" "$4" "$5" ;;
    ufw)
      case $1 in
        open) ufw allow "$4/tcp" comment 'mail submission' ;;
        close) ufw delete allow "$4/tcp" ;;
      esac ;;
    nftables)
      case $3 in
        live) nft_do "$1" "$4" "$5" ;;
        kept) nft_keep "$1" "$4" "$5" "$6" ;;
      esac ;;
  esac 9>&-
}

firewalld_do() {
  case $1 in open) verb=--add-port ;; *) verb=--remove-port ;; esac
  set -- "$verb=$3/tcp" "$2" "$4"
  [ "$2" = live ] || set -- "$1" "$2" "$3" --permanent
  [ "$3" = - ] || set -- "$@" "--zone=$3"
  verb=$1
  shift 3
  firewall-cmd -q "$verb" "$@"
}

nft_do() {
  if [ "$1" = open ]; then
    nft "$(nft_line "$2" "$3")"
    return
  fi
  nft_rules "$3" | sed -n "s|.*\"provisioner $2/tcp\" # handle \([0-9]*\)\$|\1|p" |
    while read -r handle; do
      nft "delete rule $(printf '%s' "$3" | tr / ' ') handle $handle" || exit
    done
}

# nft_keep VERB PORT WHERE FILE: our line at the end of what is loaded at boot. The file keeps
# its attributes and is never seen half written.
nft_keep() {
  line=$(nft_line "$2" "$3")
  if grep -qxF -- "$line" "$4"; then kept=open; else kept=close; fi
  [ "$kept" != "$1" ] || return 0
  new=$4.provisioner-new
  cp -a -- "$4" "$new" || return
  grep -vxF -- "$line" "$4" >"$new"
  if [ "$1" = open ]; then
    printf '%s\n' "$line" >>"$new"
  fi
  mv -f -- "$new" "$4" || { rm -f -- "$new"; return 1; }
}
