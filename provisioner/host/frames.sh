# Answers are framed: a line `@@NONCE words...`, then bytes up to the next such line.
# What stands before the first frame (a noisy .bashrc) is nobody's answer.
LC_ALL=C
export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
STATE=/var/lib/provisioner
NL='
'
ALSO=

frame() {
  printf '\n@@%s %s\n' "$N" "$*"
}

# take text TEXT | take gzip LENGTH: that text, or what so many bytes of standard input hold. What
# was cut short is no gzip file.
take() {
  case $1 in
    text) printf '%s' "$2" ;;
    gzip) dd iflag=fullblock,count_bytes bs=65536 count="$2" status=none 9>&- | gzip -dc 9>&- ;;
  esac
}

# store FILE text|gzip WHAT: at the end of that file; $said is why it could not be. Text takes no
# process.
store() {
  if [ "$2" = text ]; then
    said="no space left?"
    take text "$3" 2>/dev/null >>"$1"
  else
    said=$(take "$2" "$3" 2>&1 >>"$1")
  fi
}

# digest FILE: $sum is that of its content, empty if it cannot be read.
digest() {
  sum=$({ sha256sum <"$1"; } 2>/dev/null)
  sum=${sum%% *}
}

# digests FILES: of those, a line each, into $SUMS, for `sum_of`. However many they are, it takes
# one process.
digests() {
  SUMS=$NL$(
    set -f
    IFS=$NL
    set -- $1
    [ $# -eq 0 ] || exec sha256sum -- "$@" 2>/dev/null
  )$NL
}

# real PATH: $real is what stands behind symbolic links. A process only where there are any.
real() {
  real=$1 part=$1
  while [ -n "$part" ]; do
    [ ! -L "$part" ] || { real=$(readlink -f -- "$1"); return; }
    part=${part%/*}
  done
}

# path_states PATH...: a line each, `missing` or `kind mode owner group digest size real`,
# symlinks followed. However many they are, it takes two processes: forks are what a probe
# costs. The digests, and those of the files in $ALSO, stay in $SUMS.
path_states() {
  kinds=
  for path; do
    if [ -f "$path" ]; then kinds="${kinds}file "
    elif [ -d "$path" ]; then kinds="${kinds}directory "
    elif [ -e "$path" ]; then kinds="${kinds}other "
    elif [ -L "$path" ]; then kinds="${kinds}dangling "
    else kinds="${kinds}missing "; fi
  done
  stats=$(
    for kind in $kinds; do
      case $kind in missing | dangling) ;; *) set -- "$@" "$1" ;; esac
      shift
    done
    [ $# -eq 0 ] || exec stat -L -c '%a %U %G %s %n' -- "$@" 2>/dev/null
  )$NL
  SUMS=$NL$(
    for kind in $kinds; do
      [ "$kind" != file ] || set -- "$@" "$1"
      shift
    done
    set -f
    IFS=$NL
    set -- "$@" $ALSO
    [ $# -eq 0 ] || exec sha256sum -- "$@" 2>/dev/null
  )$NL
  for path; do
    kind=${kinds%% *} kinds=${kinds#* }
    state_line "$path" "$kind"
  done
}

# state_line PATH KIND: from the first line of $stats, if that is about it, and from $SUMS.
state_line() {
  about=${stats%%"$NL"*}
  case $2-$about in
    missing-*)
      echo missing
      return ;;
    dangling-*) # it is the link itself that is described
      real "$1"
      printf 'other %s - 0 %s\n' "$(stat -c '%a %U %G' -- "$1")" "$real"
      return ;;
    *" $1")
      stats=${stats#*"$NL"} about=${about%" $1"} ;;
    *) # it went away in this very moment
      echo missing
      return ;;
  esac
  real "$1"
  sum=- size=0
  [ "$2" != file ] || { sum_of "$1" && size=${about##* }; }
  printf '%s %s %s %s %s\n' "$2" "${about% *}" "$sum" "$size" "$real"
}

# sum_of PATH: $sum is its digest, `-` without one. A name that sha256sum writes in its own
# way is asked for again.
sum_of() {
  sum=${SUMS%%"  $1$NL"*}
  sum=${sum##*"$NL"}
  if [ ${#sum} -ne 64 ]; then
    sum=
    [ ! -f "$1" ] || digest "$1"
    sum=${sum:--}
  fi
}

# compiled_form PATH TYPE: $compiled is where postmap puts what it makes of it.
compiled_form() {
  case ${2#alias-} in
    hash | btree) compiled=$1.db ;;
    *) compiled=$1.${2#alias-} ;;
  esac
}

# untrusted DIRECTORY: who besides root could put something else there, or in its place, while
# we work: $found is `uid mode user path` of such a directory, the nearest first; empty if nobody.
untrusted() {
  real "$1"
  set --
  while [ -n "$real" ]; do
    set -- "$@" "$real"
    real=${real%/*}
  done
  found=$(stat -c '%u %a %U %n' -- "$@" / 2>/dev/null)
  while [ -n "$found" ]; do
    line=${found%%"$NL"*}
    mode=${line#* }
    case ${line%% *}:${mode%% *} in
      0:[1357][0-7][0-7][0-7] | 0:*[0145]) ;;
      *)
        found=$line
        return ;;
    esac
    case $found in *"$NL"*) found=${found#*"$NL"} ;; *) found= ;; esac
  done
}

# in_words `uid mode user path`: what is wrong with that directory.
in_words() {
  set -- "$1" "${1#* * }"
  case $1 in
    "0 "*) echo "anybody may write to ${2#* }" ;;
    *) echo "${2#* } belongs to ${2%% *}" ;;
  esac
}
