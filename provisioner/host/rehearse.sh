# The rehearsal: a throw-away Postfix, in mount and process namespaces of its own, that sees
# the staged files in place of the live ones, with a queue, a data directory and a log of its
# own. It has no listener that anybody else can reach and nobody to deliver to.

# rehearse_file PATH TYPE | rehearse_gone PATH TYPE: what the rehearsal sees at that path.
rehearse_file() {
  locate "$1"
  printf '%s\n%s\n' "$staged" "$target" >>"$STATE/scene.new"
  [ "$2" = - ] || [ ! -f "$staged$(suffix "$2")" ] ||
    printf '%s\n%s\n' "$staged$(suffix "$2")" "$target$(suffix "$2")" >>"$STATE/scene.new"
}

rehearse_gone() {
  printf '%s\n%s\n' - "$1" >>"$STATE/scene.new"
}

# rehearse_backends: this change starts services that Postfix asks; they get stand-ins.
rehearse_backends() {
  BACKENDS=yes
  export BACKENDS
}

# rehearse DAEMONS CONFIG DIRECTORY...: the directories hold what changes beside the
# configuration. Findings that the live files show as well are not the change's fault.
rehearse() {
  for tool in unshare perl mount timeout; do
    command -v "$tool" >/dev/null || {
      frame note "not rehearsed: this host has no $tool"
      return 0
    }
  done
  unshare --mount --pid --fork --kill-child true 2>/dev/null || {
    frame note "not rehearsed: this host allows no namespaces"
    return 0
  }
  [ -f "$STATE/scene.new" ] || : >"$STATE/scene.new"
  found=$(play "$STATE/scene.new" "$@")
  if [ -n "$found" ]; then
    : >"$STATE/empty.new"
    known=$(play "$STATE/empty.new" "$@")
    case $known in
      "the rehearsal cannot be set up"*)
        frame note "not rehearsed: ${known#*: }"
        return 0 ;;
    esac
    printf '%s\n' "$known" >"$STATE/known.new"
    found=$(printf '%s\n' "$found" | grep -Fvxf "$STATE/known.new")
  fi
  [ -z "$found" ] || stop refused "$(printf '%s' "$found" | head -n 5)"
  frame step rehearse
}

# play SCENE DAEMONS CONFIG DIRECTORY...: one finding a line on standard output, nothing if all is well.
play() {
  mkdir -p -m 0755 -- "$STATE/proof"
  timeout -k 2 60 unshare --mount --pid --fork --kill-child sh -c '
proof=$1 script=$2 scene=$3 daemons=$4 config=$5
shift 5
cannot() { echo "the rehearsal cannot be set up: $1"; exit 0; }
mount --make-rprivate / && mount -t proc proc /proc &&
  mount -t tmpfs -o mode=0755 tmpfs "$proof" || cannot "mounting is refused"
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
# Behind a symbolic link a file stands elsewhere, and no live one may be written: every
# directory is covered first, the outer ones before those inside them.
{
  printf "%s\n" "$config" "$@"
  for file in "$config"/*.cf; do
    real=$(readlink -f -- "$file") && printf "%s\n" "${real%/*}"
  done
  while IFS= read -r staged && IFS= read -r target; do
    printf "%s\n" "${target%/*}"
  done <"$scene"
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
done <"$scene"
exec perl "$script" "$config" "$daemons" "$proof"
' sh "$STATE/proof" "$STATE/rehearse.pl.new" "$@" 2>&1 9>&-
  case $? in
    124 | 137) echo "the rehearsal did not end within a minute" ;;
  esac
  rmdir -- "$STATE/proof" 2>/dev/null
}
