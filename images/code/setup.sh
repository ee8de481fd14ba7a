#!/bin/sh
# Runs inside the image, as root and without a network, once its packages and
# the runners are in place.
set -eu

mkdir -p /workspace

if [ -f /opt/agentbay/runners/build.sh ]; then
	sh /opt/agentbay/runners/build.sh
fi

# What a session writes is gone with it, so whatever is computed at first use
# would be computed in every session: do it here once.
if [ -d /opt/agentbay/runners/python ]; then
	python3 -m compileall -q /opt/agentbay/runners/python
fi
python3 -c 'import matplotlib.pyplot'
