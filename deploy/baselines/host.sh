# Do on one host what a deploy does there; read from standard input by `sh -s`.
#
#   prepare ENV INSTANCE COMMIT            once, not timed: what the other verbs find on a host
#   noop    ENV INSTANCE COMMIT RUN        take the lease, look, give it back
#   stage   ENV INSTANCE COMMIT RUN BASE SOURCE TAG SIGNER   make the release beside what runs
#   only_stage ...                         the same, then give the lease back
#   ready   ENV INSTANCE COMMIT RUN ASKED  is the release that lies here as it was made?
#   switch  ENV INSTANCE COMMIT RUN        point the links at it, restart, answer
#   close   ENV INSTANCE COMMIT RUN        let it stay, write the end down, give the lease back
#   answer  ENV INSTANCE COMMIT            wait until the node takes a connection
#
# RUN names this run; ASKED is yes on the one host that asks the build what data it reads.
set -eu
verb=$1 env=$2 instance=$3 commit=$4
base=${FLOOR_ROOT:-}/opt/aitbc/$env
state=${FLOOR_ROOT:-}/var/lib/aitbc/$env/deploy
release=$base/releases/$commit
unit=aitbc-$env-$instance
deadman=aitbc-$env-floor-deadman
lease_s=300 armed_s=120

etc() { # prints the node's configuration folder of a release
    for folder in "$1/etc/$instance"-*; do printf '%s\n' "$folder"; done | tail -n 1
}

put() { # file, text: whole or not at all, and on the disk
    printf '%s\n' "$2" >"$1.new"
    sync "$1.new"
    mv "$1.new" "$1"
    sync "${1%/*}"
}

uptime_s() { # sets now: no wall clock has a say in how long something holds
    read -r now _ </proc/uptime
    now=${now%.*}
}

lease() { # take or give: one holder at a time, until an end, and a token that only grows
    exec 9>>"$state/floor.lock"
    flock 9
    token=0 holder='' ends=0
    [ ! -f "$state/floor.lease" ] || read -r token holder ends <"$state/floor.lease"
    uptime_s
    case $1 in
    take)
        [ "$holder" = "$2" ] || [ "$ends" -le "$now" ] || exit 75
        put "$state/floor.lease" "$((token + 1)) $2 $((now + lease_s))"
        ;;
    hold) [ "$holder" = "$2" ] && [ "$ends" -gt "$now" ] || exit 75 ;;
    give) [ "$holder" != "$2" ] || put "$state/floor.lease" "$token $2 0" ;;
    esac
    exec 9>&-
}

journal() { # one line more about this run
    printf '{"run": "%s", "commit": "%s", "point": "%s"}\n' "$1" "$commit" "$2" >>"$state/floor.jsonl"
    sync "$state/floor.jsonl"
}

able() { # what no deploy can do without
    for program in python3 git uv; do command -v "$program" >/dev/null; done
    id -u aitbc >/dev/null
    df -m "$base" >/dev/null
    tail -n 20 "$state/journal.jsonl" >/dev/null
}

runs() { # do links and process stand on the release?
    [ "$(readlink "$base/$instance/current")" = "../releases/$commit" ]
    [ "$(readlink "/etc/aitbc/$instance")" = "$(etc "$release")" ]
    process=$(systemctl show --property=ActiveState,MainPID "$unit" | tr '\n' ' ')
    case $process in *ActiveState=active*) ;; *) exit 1 ;; esac
    process=${process#*MainPID=}
    tr '\0' '\n' <"/proc/${process%% *}/environ" | grep -q "$commit"
}

sums() { # of what nobody may have edited, in a file away from it
    find "$@" -type f -exec sha256sum {} + >"$state/sums.new"
}

keep_sums() { # of the release: compiled modules and configurations; git knows the rest
    sums "$release/node" "$release/etc" \( -name '*.pyc' -o -path '*/etc/*' \)
    mv "$state/sums.new" "$state/floor-$commit.sums"
}

prepare() {
    venv=$(readlink -f "$release/venv")
    sums "$venv/lib" ! -path '*/__pycache__/*'
    mv "$state/sums.new" "$state/floor-${venv##*/}.sums"
    keep_sums
    cat >"$state/floor-deadman.sh" <<'DEADMAN'
# Take a node back when nobody has disarmed this in time; it ends when somebody has.
while [ -f "$1" ]; do
    read -r node was config unit due <"$1"
    read -r now _ </proc/uptime
    if [ "${now%.*}" -ge "$due" ]; then
        ln -sfn "$was" "$node/next" && mv -T "$node/next" "$node/current"
        ln -sfn "$config" "/etc/aitbc/.next" && mv -T /etc/aitbc/.next "/etc/aitbc/${node##*/}"
        systemctl restart "$unit" && rm "$1"
    fi
    sleep 0.2
done
DEADMAN
    cat >"/etc/systemd/system/$deadman.service" <<UNIT
[Service]
ExecStart=/bin/sh $state/floor-deadman.sh $state/floor.armed
[Install]
WantedBy=multi-user.target
UNIT
    systemctl enable --quiet "$deadman"
}

noop() {
    lease take "$1"
    able
    runs
    lease give "$1"
}

intact() { # is the release what its commit says, and its environment what its packages brought?
    scratch=$(mktemp -d)
    export GIT_DIR="$base/repo.git" GIT_NO_REPLACE_OBJECTS=1 GIT_INDEX_FILE="$scratch/index"
    git read-tree "$commit"
    [ -z "$(git --work-tree="$release" diff --name-status)" ]
    [ -z "$(cd "$release" && git --work-tree="$release" ls-files --others --exclude=/etc \
        --exclude=/venv --exclude=/manifest.json --exclude=/.index --exclude=__pycache__)" ]
    rm -r "$scratch"
    sha256sum --check --quiet "$state/floor-$commit.sums"
    lock=$(sha256sum "$release/locks/node.lock" | cut -c 1-16)
    sha256sum --check --quiet "$state/floor-$lock.sums"
}

ready() {
    lease take "$1"
    able
    intact
    [ "$2" != yes ] || PYTHONPATH=$release/node "$release/venv/bin/python" -P -m aitbc_node version --json >/dev/null
}

stage() {
    lease take "$1"
    able
    old=$base/releases/$2 source=$3 tag=$4 signer=$5 mirror=$base/repo.git
    export GIT_DIR="$mirror" GIT_NO_REPLACE_OBJECTS=1
    git fetch --quiet --no-tags "$source" "+refs/heads/release/$commit:refs/heads/release/$commit" \
        "+refs/tags/$tag:refs/tags/$tag"
    signers=$(mktemp)
    printf 'release namespaces="git" %s\n' "$signer" >"$signers"
    git -c gpg.format=ssh -c gpg.ssh.allowedSignersFile="$signers" verify-tag "$tag" 2>/dev/null
    rm "$signers"
    fresh=$release.new
    mkdir "$fresh"
    export GIT_INDEX_FILE="$fresh/.index"
    git --work-tree="$fresh" read-tree "$commit"
    git --work-tree="$fresh" checkout-index --all --index
    lock=$(sha256sum "$fresh/locks/node.lock" | cut -c 1-16)
    [ -d "$base/venvs/$lock" ]
    ln -s "../../venvs/$lock" "$fresh/venv"
    "$fresh/venv/bin/python" -m compileall -q "$fresh/node/aitbc_node"
    printf '{"commit": "%s", "lock": "%s"}\n' "$commit" "$lock" >"$fresh/manifest.json"
    was=$(etc "$old")
    mkdir "$fresh/etc"
    cp -R "$was" "$fresh/etc/"
    sed -i "s/$2/$commit/" "$fresh/etc/${was##*/}/node.toml"
    sync -f "$fresh"
    mv "$fresh" "$release"
    keep_sums
    intact
}

only_stage() {
    stage "$@"
    lease give "$1"
}

switch() {
    lease hold "$1"
    journal "$1" announced
    uptime_s
    node=$base/$instance
    put "$state/floor.armed" \
        "$node $(readlink "$node/current") $(readlink "/etc/aitbc/$instance") $unit $((now + armed_s))"
    systemctl restart "$deadman"
    ln -sfn "../releases/$commit" "$node/next"
    mv -T "$node/next" "$node/current"
    folder=$(etc "$release")
    ln -sfn "$folder" "/etc/aitbc/.next"
    mv -T /etc/aitbc/.next "/etc/aitbc/$instance"
    if ! cmp -s "$folder/service" "/etc/systemd/system/$unit.service"; then
        cp "$folder/service" "/etc/systemd/system/$unit.service"
        systemctl daemon-reload
    fi
    systemctl restart "$unit"
    answer
}

close() {
    lease hold "$1"
    runs
    rm "$state/floor.armed"
    journal "$1" closed
    lease give "$1"
}

answer() {
    folder=$(etc "$release")
    listen=$(sed -n 's/^listen = "\(.*\)"/\1/p' "$folder/node.toml" | tail -n 1)
    python3 - "${listen%:*}" "${listen##*:}" <<'WAIT'
import socket, sys, time
deadline = time.monotonic() + 20
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()
        break
    except OSError:
        if time.monotonic() > deadline:
            sys.exit("the node does not answer")
        time.sleep(0.05)
WAIT
}

shift 4
"$verb" "$@"
