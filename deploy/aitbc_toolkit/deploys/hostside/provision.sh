# Which packages does a host lack? It gets them by its own apt. There may be no Python yet, so this
# is POSIX sh; its variables are set by whoever sends it: packages, look_only (yes or no).
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
# At the deadline everything here is asked to end; we stay until apt has, and what it started.
trap 'exit 124' TERM

answer() { printf 'aitbc-result %s\n' "$1"; }

fail() { # message, hint
    said=$(printf '%s' "$1" | tr -d '"\\' | tr '\n\t' '  ')
    answer "{\"ok\": false, \"error\": \"$said\", \"hint\": \"$2\", \"kind\": \"failed\"}"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

[ "$(id -u)" = 0 ] || fail "this host lets us in, but not as root" "log in as root"
have apt-get || fail "this host has no apt" "install$(printf ' %s' $packages) by its own way"

missing=
for package in $packages; do
    # One clock daemon is enough, and apt would remove the one that is there.
    if [ "$package" = systemd-timesyncd ] && { have chronyd || have ntpd; }; then continue; fi
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $state in
        ii*) ;;
        *) missing="$missing $package" ;;
    esac
done

if [ -n "$missing" ] && [ "$look_only" = no ]; then
    apt="apt-get -q -y -o DPkg::Lock::Timeout=60"
    said=$($apt update 2>&1) || fail "apt-get update: $(echo "$said" | tail -n 2)" "apt-get update"
    # shellcheck disable=SC2086 - a list of words
    said=$($apt install --no-install-recommends $missing 2>&1) ||
        fail "apt-get install: $(echo "$said" | tail -n 2)" "apt-get install$missing"
fi

list=
for package in $missing; do list="$list${list:+, }\"$package\""; done
answer "{\"ok\": true, \"missing\": [$list], \"wall_ms\": $(date +%s%3N)}"
