# The rehearsal: a throw-away Postfix, in mount and process namespaces of its own, that sees
# the staged files in place of the live ones, with a queue, a data directory and a log of its
# own. It has no listener that anybody else can reach and nobody to deliver to. Where there are
# no namespaces, it has a copy (copy.sh).

# rehearse_file PATH TYPE | rehearse_gone PATH TYPE: what the rehearsal sees at that path.
rehearse_file() {
  locate "$1"
  printf '%s\n%s\n' "$staged" "$target" >>"$HERE/scene"
  [ "$2" = - ] || {
    compiled_form "$staged" "$2"
    [ ! -f "$compiled" ] || {
      printf '%s\n' "$compiled"
      compiled_form "$target" "$2"
      printf '%s\n' "$compiled"
    } >>"$HERE/scene"
  }
}

rehearse_gone() {
  printf '%s\n%s\n' - "$1" >>"$HERE/scene"
}

# can_rehearse: or says what this host $lacks. $weaker says why it is in a copy, if it is.
can_rehearse() {
  lacks= weaker=
  for tool in perl timeout; do
    command -v "$tool" >/dev/null || lacks="this host has no $tool"
  done
  [ -z "$lacks" ] || return 1
  for tool in unshare mount; do
    command -v "$tool" >/dev/null || weaker="this host has no $tool"
  done
  [ -n "$weaker" ] || unshare --mount --pid --fork --kill-child mount -t proc proc /proc 2>/dev/null ||
    weaker="this host allows no namespaces"
  [ -z "$weaker" ] || weaker="rehearsed in a rewritten copy, since $weaker: weaker; chroot, and paths \
inside of tables, are not proven"
}

# rehearse TESTS CONFIG DIRECTORY...: the directories hold what changes beside the configuration;
# TESTS is how many policy tests there are. What the live files show as well is not the change's
# fault; a test that fails is, whatever it did before.
rehearse() {
  tests=$1
  shift
  can_rehearse || {
    [ "$tests" -eq 0 ] || stop refused "the policy tests cannot be held: $lacks"
    frame note "not rehearsed: $lacks"
    return 0
  }
  [ -f "$HERE/scene" ] || : >"$HERE/scene"
  play "$HERE/scene" "$@" <"$HERE/rehearsal" >"$HERE/report"
  grep -qx complete "$HERE/report" || echo "finding the rehearsal broke off" >>"$HERE/report"
  frame report planned
  cat "$HERE/report"
  if grep -qE '^finding |^verdict .*failed=' "$HERE/report"; then
    play /dev/null "$@" <"$HERE/rehearsal" >"$HERE/known"
    inherited="$(inherited "$HERE/known" "$HERE/report")"
    [ -z "$inherited" ] || printf '%s\n' "$inherited" >>"$HERE/known"
    frame report live
    cat "$HERE/known"
    found=$(grep '^finding ' "$HERE/report" | grep -Fvxf "$HERE/known" | cut -d ' ' -f 2-)
    case $(cat "$HERE/known") in
      *"finding the rehearsal cannot be set up"*)
        [ "$tests" -eq 0 ] || stop refused "the policy tests cannot be held: ${found:-mounting is refused}"
        frame note "not rehearsed: $(sed -n 's/^finding the rehearsal cannot be set up: //p' "$HERE/known")"
        return 0 ;;
    esac
    [ -z "$found" ] || stop refused "$(printf '%s' "$found" | head -n 5)"
    ! grep -q '^verdict .*failed=' "$HERE/report" || stop refused "a policy test fails"
  fi
  [ -z "$weaker" ] || frame note "$weaker"
  frame step rehearse
}

# inherited LIVE PLANNED: findings of listeners that are new which every live one shows as well.
inherited() {
  awk '
    FNR == NR && $1 == "listener" { before[$2] }
    FNR == NR { shown[$0]; next }
    $1 == "listener" && !($2 in before) { fresh[$2 ":"] }
    $1 == "finding" && $2 in fresh {
      all = 0
      for (name in before) all = 1
      for (name in before) if (!("finding " name ":" substr($0, length($2) + 9) in shown)) all = 0
      if (all) print
    }' "$1" "$2"
}

# rehearse_live HOW WHAT: a copy of the live files; nothing on the host is written.
rehearse_live() {
  can_rehearse || stop_live failed "the policy tests cannot be held: $lacks"
  config=$(postconf -h config_directory 2>/dev/null) || stop_live failed "postconf does not work here"
  frame report live
  take "$1" "$2" | play /dev/null "$config"
  stop_live ok
}

stop_live() {
  frame result "$@"
  frame end
  exit 0
}

# play SCENE CONFIG DIRECTORY...: the program comes on standard input, the report goes to
# standard output. /sys is where the rehearsal puts what is its own: it is there on every host,
# and nothing of Postfix looks at it.
play() {
  [ -z "$weaker" ] || {
    play_copy "$@"
    return 0
  }
  timeout -k 2 120 unshare --mount --pid --fork --kill-child sh -c '
proof=/sys scene=$1 config=$2
exec 3<"$scene"
shift 2
cannot() { echo "finding the rehearsal cannot be set up: $1"; echo complete; exit 0; }
mount --make-rprivate / && mount -t tmpfs -o mode=0755,size=64g tmpfs "$proof" &&
  mkdir "$proof/proc" && mount --rbind /proc "$proof/proc" && mount -t proc proc /proc ||
  cannot "mounting is refused"
cat <&3 >"$proof/scene"
# (The size is a bound, not a claim: smtpd takes no mail where it sees no room for it.)
# The live files, as Postfix understands them, before they are covered.
postconf -x 2>/dev/null >"$proof/live.main" &
postconf -M 2>/dev/null >"$proof/live.master" &
number=0
covered="
"
cover() {
  [ -n "$1" ] || cannot "the root directory cannot be covered"
  [ -d "$1" ] || return 0
  parent=$1
  while [ -n "$parent" ]; do
    case $covered in
      *"
$parent
"*) return 0 ;;
    esac
    parent=${parent%/*}
  done
  number=$((number + 1))
  mkdir "$proof/upper$number" "$proof/work$number"
  # The upper directory lends its owner and mode to what is seen there.
  chown --reference="$1" "$proof/upper$number" && chmod --reference="$1" "$proof/upper$number"
  mount -t overlay -o "lowerdir=$1,upperdir=$proof/upper$number,workdir=$proof/work$number" \
    overlay "$1" 2>/dev/null || {
    cp -a -- "$1" "$proof/copy$number" && mount --bind "$proof/copy$number" "$1"
  } || cannot "$1 cannot be covered"
  covered="$covered$1
"
}
wait
# Behind a symbolic link a file stands elsewhere, and no live one may be written: every
# directory is covered first, the outer ones before those inside them.
{
  printf "%s\n" "$config" "$@"
  for file in "$config"/*.cf; do
    real=$(readlink -f -- "$file") && printf "%s\n" "${real%/*}"
  done
  while IFS= read -r staged && IFS= read -r target; do
    printf "%s\n" "${target%/*}"
  done <"$proof/scene"
} | LC_ALL=C sort -u >"$proof/directories"
while IFS= read -r directory; do
  cover "$directory"
done <"$proof/directories"
while IFS= read -r staged && IFS= read -r target; do
  if [ "$staged" != - ]; then
    cp -a -- "$staged" "$target"
  elif [ -d "$target" ] && [ ! -L "$target" ]; then
    rmdir -- "$target" 2>/dev/null || true
  else
    rm -f -- "$target"
  fi || cannot "$target cannot be put in place"
done <"$proof/scene"
exec perl - "$config" "$proof"
' sh "$@" 2>&1 9>&-
  late $?
}

# late STATUS: of timeout(1).
late() {
  case $1 in
    124 | 137) echo "finding the rehearsal did not end within two minutes" ;;
  esac
}
