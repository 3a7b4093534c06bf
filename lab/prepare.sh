#!/bin/sh
# What a Debian machine needs for a node. What is there already stays as it is, so that this can be run again.
#   prepare.sh asterisk                 Asterisk 22, from Debian's unstable where the machine's own release has none
#   prepare.sh packages                 Asterisk, Python and what the lab's containers use, from Debian
#   prepare.sh python PYPROJECT         what pbxfed depends on, in /opt/pbxfed; with WHEELS=DIR from there, and from nowhere else
set -eu

installed() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

asterisk() {
    installed asterisk && return
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    from=
    if ! apt-cache madison asterisk | grep -q '| 1:2[2-9]'; then
        # shellcheck disable=SC1091
        if ! (. /etc/os-release && [ "$ID" = debian ] && [ "${VERSION_ID:-13}" -ge 13 ]); then
            echo "no Asterisk 22 here, and unstable's needs Debian 13 or later: use that, or install Asterisk 20 or later yourself" >&2
            exit 1
        fi
        # The mirror that the machine has already. Of unstable comes what is asked for, and what that needs.
        mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
        echo "deb $mirror sid main" >/etc/apt/sources.list.d/sid.list
        printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' >/etc/apt/preferences.d/sid
        apt-get update -qq
        from='-t sid'
    fi
    # shellcheck disable=SC2086  # two words or none
    apt-get install -y -qq --no-install-recommends $from asterisk >/dev/null
}

packages() {
    missing=
    for package in ${PACKAGES:-asterisk python3 python3-venv iproute2 nats-server}; do
        installed "$package" || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        # shellcheck disable=SC2086  # several words
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
}

python() {
    [ -x /opt/pbxfed/bin/pip ] || python3 -m venv /opt/pbxfed
    python3 -c '
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))
print("\n".join(project["project"]["dependencies"] + project["build-system"]["requires"]))' "$1" >/opt/pbxfed/requirements.txt
    /opt/pbxfed/bin/pip install -q --disable-pip-version-check --root-user-action ignore \
        ${WHEELS:+--no-index --find-links "$WHEELS"} -r /opt/pbxfed/requirements.txt
}

"$@"
