# Do on one host what a deploy does there; read from standard input by `sh -s`.
#
#   check  ENV INSTANCE COMMIT                    is it the release, and does it run?
#   stage  ENV INSTANCE COMMIT BASE SOURCE TAG SIGNER   make the release beside what runs
#   switch ENV INSTANCE COMMIT                    point the links at it, restart, answer
#   answer ENV INSTANCE COMMIT                    wait until the node takes a connection
set -eu
verb=$1 env=$2 instance=$3 commit=$4
base=/opt/aitbc/$env
release=$base/releases/$commit
unit=aitbc-$env-$instance

etc() { # prints the node's configuration folder of a release
    for folder in "$1/etc/$instance"-*; do printf '%s\n' "$folder"; done | tail -n 1
}

check() {
    [ "$(readlink "$base/$instance/current")" = "../releases/$commit" ]
    grep -q "$commit" "$release/manifest.json"
    [ "$(readlink "/etc/aitbc/$instance")" = "$(etc "$release")" ]
    process=$(systemctl show --property=ActiveState,MainPID "$unit" | tr '\n' ' ')
    case $process in *ActiveState=active*) ;; *) exit 1 ;; esac
    process=$(systemctl show --property=MainPID --value "$unit")
    tr '\0' '\n' <"/proc/$process/environ" | grep -q "$commit"
    df -m "$base" >/dev/null
    tail -n 20 "/var/lib/aitbc/$env/deploy/journal.jsonl" >/dev/null
}

stage() {
    old=$base/releases/$1 source=$2 tag=$3 signer=$4 mirror=$base/repo.git
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
    [ -z "$(git --work-tree="$fresh" diff-files --name-status)" ]
    was=$(etc "$old")
    mkdir "$fresh/etc"
    cp -R "$was" "$fresh/etc/"
    sed -i "s/$1/$commit/" "$fresh/etc/${was##*/}/node.toml"
    mv "$fresh" "$release"
}

switch() {
    ln -sfn "../releases/$commit" "$base/$instance/next"
    mv -T "$base/$instance/next" "$base/$instance/current"
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
