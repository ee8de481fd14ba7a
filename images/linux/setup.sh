#!/bin/sh
# Runs inside the image, as root and without a network. The user can write in
# its home, /tmp and /var/tmp, and nowhere else.
set -eu

groupadd --gid 1000 wuying
useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash wuying
chmod 0755 /run/lock

# What the user installs goes to its home, where it is found in PATH.
mkdir -p /home/wuying/.local/bin
echo 'prefix=${HOME}/.local' >/home/wuying/.npmrc
chown -R wuying:wuying /home/wuying

# matplotlib keeps its list of fonts in the user's home; make it once, here.
setpriv --reuid 1000 --regid 1000 --clear-groups \
	env HOME=/home/wuying python3 -c 'import matplotlib.pyplot'
