
# The smallest Debian that can install packages.
set -- --mode=root --variant=minbase --format=directory
while read -r option; do
	set -- "$@" "--dpkgopt=$option"
done <"$WORK/dpkg.cfg"
mkdir "$WORK/scratch"
TMPDIR="$WORK/scratch" mmdebstrap "$@" --aptopt="$WORK/network.conf" "$RELEASE" "$ROOT" "$WORK/sources.list"

# How this host reaches the network is no part of the image.
rm -f "$ROOT/etc/apt/apt.conf.d/99mmdebstrap" "$ROOT/etc/apt/sources.list" "$ROOT"/etc/apt/sources.list.d/*
install -m 0644 "$WORK/debian.sources" "$ROOT/etc/apt/sources.list.d/debian.sources"
rm -f "$ROOT/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
install -m 0644 "$WORK/dpkg.cfg" "$ROOT/etc/dpkg/dpkg.cfg.d/agentbay"

# These are written for each session.
: >"$ROOT/etc/resolv.conf"
: >"$ROOT/etc/machine-id"
echo localhost >"$ROOT/etc/hostname"
echo "127.0.0.1 localhost" >"$ROOT/etc/hosts"
rm -rf "$ROOT"/dev/* "$ROOT/run/adduser"

# Some packages link manual pages that were left out; they want the directories.
for section in 1 2 3 4 5 6 7 8; do
	mkdir -p "$ROOT/usr/share/man/man$section"
done
tidy
