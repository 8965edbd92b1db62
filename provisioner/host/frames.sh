# Answers are framed: a line `@@NONCE words...`, then bytes up to the next such line.
# What stands before the first frame (a noisy .bashrc) is nobody's answer.
LC_ALL=C
export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
STATE=/var/lib/provisioner

frame() {
  printf '\n@@%s %s\n' "$N" "$*"
}

# take LENGTH plain|gzip: exactly that many bytes of standard input, to standard output.
take() {
  if [ "$2" = gzip ]; then
    dd iflag=fullblock,count_bytes bs=65536 count="$1" status=none | gzip -dc
  else
    dd iflag=fullblock,count_bytes bs=65536 count="$1" status=none
  fi
}

digest() {
  sha256sum <"$1" 2>/dev/null | cut -c 1-64
}

# path_state PATH: `kind mode owner group digest size real`, symlinks followed.
path_state() {
  if [ -f "$1" ]; then kind=file
  elif [ -d "$1" ]; then kind=directory
  elif [ -e "$1" ] || [ -L "$1" ]; then kind=other
  else
    echo missing
    return
  fi
  # -L fails on a dangling link: then it is the link itself that is described.
  about=$(stat -L -c '%a %U %G' -- "$1" 2>/dev/null || stat -c '%a %U %G' -- "$1")
  if [ "$kind" = file ]; then
    printf 'file %s %s %s %s\n' "$about" "$(digest "$1")" "$(stat -L -c %s -- "$1")" \
      "$(readlink -f -- "$1")"
  else
    printf '%s %s - 0 %s\n' "$kind" "$about" "$(readlink -f -- "$1")"
  fi
}

# suffix TYPE: what postmap adds to the source's name.
suffix() {
  case ${1#alias-} in
    hash | btree) echo .db ;;
    *) echo ".${1#alias-}" ;;
  esac
}

# compiled_line PATH TYPE: what is remembered of a compilation of ours.
compiled_line() {
  printf '%s %s %s:%s\n' "$(digest "$1")" "$(digest "$1$(suffix "$2")")" "$2" "$1"
}
