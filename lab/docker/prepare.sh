#!/bin/sh
# What a Debian machine needs for a node. What is there already stays as it is, so that this can be run again.
#   prepare.sh packages                 Asterisk, Python and what the lab's containers use, from Debian
#   prepare.sh python PYPROJECT         what pbxfed depends on, in /opt/pbxfed; with WHEELS=DIR from there, and from nowhere else
set -eu

packages() {
    missing=
    for package in ${PACKAGES:-asterisk python3 python3-venv iproute2 nats-server}; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
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
