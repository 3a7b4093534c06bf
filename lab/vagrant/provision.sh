#!/bin/sh
# Makes a plain Debian a node, the way docs/install.md tells an operator. What is done already stays as it is.
#   provision.sh install PACKAGE            Asterisk, and pbxfed from its Debian package
#   provision.sh first NAME ADDRESS DOMAIN  the first node of a new federation, with two extensions to begin with
#   provision.sh member                     tells by its exit code whether this machine is a member
#   provision.sh join NAME ADDRESS          one more node; the token of `pbxfed invite` comes on standard input
set -eu

install() {
    sh "$(dirname "$0")/prepare.sh" asterisk
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null
}

start() {
    systemctl start pbxfed
    left=60
    until pbxfed status --json | grep -q '"health": *"ok"'; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { pbxfed status >&2; exit 1; }
        sleep 0.5
    done
}

first() {
    pbxfed init --yes --restart --name "$1" --address "$2" --domain "$3"
    start
    for extension in 1001 1002; do
        pbxfed ext show "$extension" >/dev/null 2>&1 || pbxfed ext add "$extension" --secret correct-horse-9
    done
    echo "phones: 1001 and 1002, secret correct-horse-9; the server is the address of any node, this one's is $2"
}

member() {
    [ -s /var/lib/pbxfed/keys ] && systemctl is-active -q pbxfed
}

join() {
    member || pbxfed init --yes --restart --name "$1" --address "$2" --join -
    start
    pbxfed members
}

[ "$(id -u)" = 0 ] || { echo "provision.sh: needs root" >&2; exit 1; }
case ${1-} in
install | first | member | join) "$@" ;;
*)
    echo "provision.sh: not one of install, first, member, join: '${1-}'" >&2
    exit 2
    ;;
esac
