#!/bin/sh
# Deploy with nothing but ssh and git, on all hosts at once: the least that the job can cost.
#
#   floor.sh prepare  CONFIG ENV COMMIT HOST=INSTANCE...   once, not timed
#   floor.sh noop     CONFIG ENV COMMIT HOST=INSTANCE...
#   floor.sh rollback CONFIG ENV COMMIT HOST=INSTANCE...
#   floor.sh stage    CONFIG ENV COMMIT HOST=INSTANCE...   with BASE SOURCE TAG SIGNER SIGNER_KEY
#   floor.sh deploy   CONFIG ENV COMMIT HOST=INSTANCE...   in the environment, in the checkout
#
# CONFIG is an ssh configuration file that names the hosts and the forge.
#
# It is a careful script: no two of it change a host at once, nothing is switched before every host
# is ready, a host takes back what nobody has confirmed, and each host's journal says how it ended.
# That is why a change takes three phases. README.md lists what it leaves out.
set -eu
verb=$1 config=$2 env=$3 commit=$4
shift 4
here=$(dirname "$0")
run=$(uname -n)-$$
reuse=

reuse_connections() { # each phase goes through the first one's, as Ansible's tasks do
    # The path of a socket may have 107 characters, so it is not below the checkout.
    sockets=$(mktemp -d /tmp/floor.XXXXXX)
    reuse="-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=$sockets/%C"
    hosts=$nodes
    trap leave EXIT
}

leave() { # ends them; silent, for what was said last is why this run failed
    { set +x; } 2>/dev/null
    wait
    for node in $hosts; do
        # shellcheck disable=SC2086 - these are several words
        ssh -F "$config" $reuse -O exit "${node%%=*}" 2>/dev/null &
    done
    wait
    rm -rf "$sockets"
}

everywhere() { # step, more arguments for host.sh; the hosts are in $nodes
    step=$1
    shift
    children=
    for node in $nodes; do
        # shellcheck disable=SC2086 - these are several words
        ssh -F "$config" -o BatchMode=yes $reuse "${node%%=*}" \
            sh -s -- "$step" "$env" "${node##*=}" "$commit" "$run" "$@" <"$here/host.sh" &
        children="$children $!"
    done
    for child in $children; do wait "$child"; done
}

ready() { # the build is the same on every host, so one of them asks it what data it reads
    all=$nodes
    nodes=${all%% *}
    everywhere ready yes &
    first=$!
    nodes=${all#* }
    everywhere ready no
    wait "$first"
    nodes=$all
}

publish() {
    export GIT_SSH_COMMAND="ssh -F $config -o BatchMode=yes"
    git -c gpg.format=ssh -c user.signingkey="$SIGNER_KEY" \
        tag --sign --force --message release "$TAG" "$commit" >/dev/null
    git push --quiet "$SOURCE" "$commit:refs/heads/release/$commit" "+refs/tags/$TAG"
}

stage() { # stage, or only_stage
    publish
    # The signer is one argument of a remote shell: its blanks have to survive one more parsing.
    everywhere "$1" "$BASE" "$SOURCE" "$TAG" "'$SIGNER'"
}

switch() {
    everywhere switch
    everywhere close
}

nodes=$*
case $verb in
prepare) everywhere prepare ;;
noop) everywhere noop ;;
stage) stage only_stage ;;
deploy)
    reuse_connections
    stage stage
    switch
    ;;
rollback)
    reuse_connections
    ready
    switch
    ;;
esac
