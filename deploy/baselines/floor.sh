#!/bin/sh
# Deploy with nothing but ssh and git, on all hosts at once: the least that the job can cost.
#
#   floor.sh noop     CONFIG ENV COMMIT HOST=INSTANCE...
#   floor.sh rollback CONFIG ENV COMMIT HOST=INSTANCE...
#   floor.sh deploy   CONFIG ENV COMMIT HOST=INSTANCE...   with BASE SOURCE TAG SIGNER SIGNER_KEY
#                                                          in the environment, in the checkout
#
# CONFIG is an ssh configuration file that names the hosts and the forge.
set -eu
verb=$1 config=$2 env=$3 commit=$4
shift 4
here=$(dirname "$0")

everywhere() { # step, more arguments for host.sh; the hosts are in $nodes
    step=$1
    shift
    children=
    for node in $nodes; do
        ssh -F "$config" -o BatchMode=yes "${node%%=*}" \
            sh -s -- "$step" "$env" "${node##*=}" "$commit" "$@" <"$here/host.sh" &
        children="$children $!"
    done
    for child in $children; do wait "$child"; done
}

publish() {
    export GIT_SSH_COMMAND="ssh -F $config -o BatchMode=yes"
    git -c gpg.format=ssh -c user.signingkey="$SIGNER_KEY" \
        tag --sign --force --message release "$TAG" "$commit" >/dev/null
    git push --quiet "$SOURCE" "$commit:refs/heads/release/$commit" "+refs/tags/$TAG"
}

nodes=$*
case $verb in
noop) everywhere check ;;
rollback) everywhere switch ;;
deploy)
    publish
    # The signer is one argument of a remote shell: its blanks have to survive one more parsing.
    everywhere stage "$BASE" "$SOURCE" "$TAG" "'$SIGNER'"
    everywhere switch
    ;;
esac
