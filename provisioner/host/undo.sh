# The way back. What a rename will replace gets a second name first. The same functions put
# it back whoever calls them: the transaction itself, the guard, the boot, the next run.
CHANGED= OUTCOME= SAID=

# undo_entry KIND PATH HOW WAS BECOMES: five lines, so that no name can be mistaken for
# another. For files HOW is the second name, behind which the staged file's goes by `.old`; WAS
# and BECOMES are digests, or `missing`. `-` stands for what means nothing.
undo_entry() {
  printf '%s\n%s\n%s\n%s\n%s\n' "$@" >>"$HERE/undo" || no_room
}

# sum_up PATH TYPE...: the digests that `backup` and `touches` want, of all at once: of what stands
# there now, and of compiled forms.
sum_up() {
  files=
  while [ $# -gt 0 ]; do
    locate "$1"
    files=$files$target$NL
    [ "$2" = - ] || for source in "$target" "$staged"; do
      compiled_form "$source" "$2"
      files=$files$compiled$NL
    done
    shift 2
  done
  digests "$files"
}

# backup PATH BECOMES TYPE: BECOMES is the digest planned for it, `missing`, or, where only the
# compiled form changes, `same` or `dropped`.
backup() {
  [ ! -d "$1" ] || return 0
  locate "$1"
  case $2 in
    same | dropped) ;;
    *) backup_file "$target" "$staged.old" "$2" ;;
  esac
  [ "$3" = - ] || {
    compiled_form "$staged" "$3"
    new=$compiled
    case $2 in
      missing | dropped) becomes=missing ;;
      *)
        sum_of "$new"
        becomes=$sum ;;
    esac
    compiled_form "$target" "$3"
    [ "$becomes" = missing ] && [ ! -e "$compiled" ] ||
      backup_file "$compiled" "$new.old" "$becomes"
  }
}

# backup_file FILE SECOND BECOMES: a hard link costs no space and keeps every attribute.
backup_file() {
  printf '%s\n' "$2" >>"$HERE/staged" || no_room
  if [ -f "$1" ]; then
    ln -f -- "$1" "$2" 2>/dev/null || { COPIED=yes && false; } || said=$(cp -a -- "$1" "$2" 2>&1) ||
      stop failed "cannot back up $1: ${said##*: }"
    sum_of "$1"
    undo_entry old "$1" "$2" "$sum" "$3"
  else
    undo_entry new "$1" "$2" missing "$3"
  fi
}

backup_attributes() {
  locate "$1"
  undo_entry attributes "$1" "$(stat -L -c '%U %G %a' -- "$1")" - -
}

backup_unit() {
  undo_entry unit "$2" "$(opposite "$1")" - -
}

# content PATH: $sum is its digest, or `missing`.
content() {
  if [ -e "$1" ] || [ -L "$1" ]; then digest "$1"; else sum=missing; fi
}

# each_undo FUNCTION: calls it with each entry.
each_undo() {
  [ ! -f "$HERE/undo" ] || while IFS= read -r kind && IFS= read -r path && IFS= read -r how &&
    IFS= read -r was && IFS= read -r becomes; do
    "$1" "$kind" "$path" "$how" "$was" "$becomes" <&8
  done 8</dev/null <"$HERE/undo"
}

# renamed PATH HOW BECOMES: that rename, or removal, has happened.
renamed() {
  if [ "$3" = missing ]; then [ ! -e "$1" ]; else [ ! -e "${2%.old}" ]; fi
}

# foreign KIND PATH HOW WAS BECOMES: says the path where it is neither, by somebody else's hand.
foreign() {
  case $1 in
    old | new)
      renamed "$2" "$3" "$5" || return 0
      content "$2"
      [ "$sum" = "$4" ] || [ "$sum" = "$5" ] || printf '%s\n' "$2" ;;
  esac
}

put_back() {
  case $1 in
    old | new)
      renamed "$2" "$3" "$5" || return 0
      content "$2"
      [ "$sum" = "$4" ] || CHANGED=yes
      if [ "$1" = new ]; then
        [ "$sum" != "$5" ] || rm -f -- "$2"
      elif [ -e "$3" ]; then
        # Where both are one file, a rename does nothing.
        mv -f -- "$3" "$2"
      fi
      content "$2"
      [ "$sum" = "$4" ] || FAILED="$FAILED $2" ;;
    attributes)
      group=${3#* } group=${group% *}
      [ "$(stat -L -c '%U %G %a' -- "$2")" = "$3" ] || {
        CHANGED=yes
        chown -- "${3%% *}" "$2" && chgrp -- "$group" "$2" && chmod -- "${3##* }" "$2"
      } || FAILED="$FAILED $2" ;;
  esac
}

settle() {
  case $1 in
    old | new | attributes) [ ! -d "${2%/*}/" ] || persist "${2%/*}/" ;;
  esac
}

# Directories that we made, inner ones first, unless others use them by now.
unmake() {
  [ "$1" != directory ] || MADE="$2
$MADE"
}

remove_made() {
  MADE=
  each_undo unmake
  printf '%s' "$MADE" | while IFS= read -r path; do
    rmdir -- "$path" 2>/dev/null
  done
}

# unit_back: services and the firewall. A reload or restart, too, only tells a service of files
# that are back. At boot only what lasts over a reboot is undone.
unit_back() {
  case $1-$WHEN in
    unit-live) ;;
    unit-boot) case $3 in enable | disable) ;; *) return 0 ;; esac ;;
    firewall-live)
      said=$(firewall_do $2 2>&1) || FAILED="$FAILED firewall ($2: $said)"
      return ;;
    firewall-boot)
      # What filters may not run yet, and refuse.
      firewall_do $2 >/dev/null 2>&1 || true
      return ;;
    *) return 0 ;;
  esac
  said=$(control_unit "$3" "$2" 2>&1) || FAILED="$FAILED $2 ($3: $said)"
}

# undo_change live|boot WHY: everything as it was. $OUTCOME is `rolled_back`, `untouched`
# where nothing had been renamed yet, or `conflict`; $SAID tells it. In a conflict the
# transaction stays open, for a human.
undo_change() {
  WHEN=$1 CHANGED= FAILED=
  odd=$(each_undo foreign)
  if [ -n "$odd" ]; then
    outcome conflict "$2; nothing was touched, for by now it is neither what it was nor what it was to become: $(printf '%s\n' "$odd" | tr '\n' ' ')"
    return
  fi
  each_undo put_back
  if [ -n "$CHANGED" ] || [ -n "$SWITCHED" ]; then
    each_undo unit_back
  fi
  if [ -n "$FAILED" ]; then
    outcome conflict "$2; and could not be undone:$FAILED"
    return
  fi
  [ "$WHEN" = boot ] || serve_again "$2" || return
  each_undo settle
  if [ -n "$CHANGED$SWITCHED" ]; then
    outcome rolled_back "$2; everything is as it was before"
  else
    outcome untouched "$2"
  fi
  discard
  remove_made
  close_transaction UNDONE
}

# back_out: nothing has been renamed; what was done to directories is taken back.
back_out() {
  each_undo put_back
  discard
  remove_made
  forget_transaction
}

# outcome WORD MESSAGE: what a later confirmation, and the history, will tell.
outcome() {
  OUTCOME=$1 SAID=$2
  printf '%s\n' "$1" "$2" >"$HERE/outcome"
}

# serve_again WHY: mail service as before. Where Postfix was not told of the change, processes
# that started meanwhile may have seen new files. Where nothing had moved, nothing is done.
serve_again() {
  if [ "$LEVEL" = none ]; then
    return 0
  elif [ -n "$SWITCHED" ]; then
    reload_helps && return
    said=$(control_unit restart "$UNIT" 2>&1)
  elif [ -n "$CHANGED" ]; then
    said=$(reload_master "$QUEUE")
  else
    return 0
  fi && wait_alive "$QUEUE" || {
    outcome conflict "$1; the files are as they were, but Postfix does not start: $said"
    return 1
  }
  all_well 10 || {
    outcome conflict "$1; the files are as they were, but $name does not answer as it did"
    return 1
  }
}

# reload_helps: a service that Postfix gave up comes back only with stop and start, in which
# nobody is served for seconds. As far as the log of the change is known and tells of no such
# thing, a reload is tried first.
reload_helps() {
  [ "$LEVEL" = reload ] && [ "$SINCE" != 0 ] && ! given_up &&
    reload_master "$QUEUE" >/dev/null && wait_alive "$QUEUE" && all_well 2
}

# all_well SECONDS: each listener that was well before is so again within that time; $name is
# the one that is not.
all_well() {
  LISTENING=
  [ ! -f "$HERE/healthy" ] || while IFS=' ' read -r name port kind; do
    await_listener "$name" "$port" "$kind" "$1" <&8 || return 1
  done 8</dev/null <"$HERE/healthy"
}
