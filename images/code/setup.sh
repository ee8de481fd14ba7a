#!/bin/sh
# Runs inside the image, as root and without a network, once its packages and
# the runners are in place.
set -eu

mkdir -p /workspace

sh /opt/agentbay/runners/build.sh

# What a session writes is gone with it, so whatever is made at first use would
# be made in every session: matplotlib's list of fonts is made here, once.
python3 -c 'import matplotlib.pyplot'
