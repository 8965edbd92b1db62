# The rehearsal: a throw-away Postfix, in mount and process namespaces of its own, that sees
# the staged files in place of the live ones, with a queue, a data directory and a log of its
# own. It has no listener that anybody else can reach and nobody to deliver to. Where there are
# no namespaces, it has a copy (copy.sh).

# Nothing that is mounted there is seen anywhere else, and nobody survives who is started there.
NAMESPACES='unshare --mount --propagation private --pid --fork --kill-child'

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
  [ -n "$weaker" ] || $NAMESPACES mount -t tmpfs tmpfs /sys 2>/dev/null ||
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
  scene=$1 config=$2
  shift 2
  timeout -k 2 120 $NAMESPACES perl - "$config" /sys "" "$scene" "$@" 2>&1 9>&-
  late $?
}

# late STATUS: of timeout(1).
late() {
  case $1 in
    124 | 137) echo "finding the rehearsal did not end within two minutes" ;;
  esac
}
