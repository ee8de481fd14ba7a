
# Installs the packages in "$@" with the host's apt and the image's dpkg.
surround
mkdir -p "$ROOT/var/cache/apt/archives/partial"
mount --bind "$ARCHIVES" "$ROOT/var/cache/apt/archives"
printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d" # nothing is started here
chmod 0755 "$ROOT/usr/sbin/policy-rc.d"

apt-get -o APT::Update::Error-Mode=any update
apt-get -o APT::Status-Fd=3 --yes --no-install-recommends install "$@"

rm -f "$ROOT/usr/sbin/policy-rc.d"
umount "$ROOT/var/cache/apt/archives"
tidy
