
# Adds the recipe's files, then runs its setup script inside the image.
ip link set lo up 2>/dev/null || :
surround
tar -C "$WORK/files" --owner=0 --group=0 -cf - . | tar -C "$ROOT" --no-overwrite-dir --keep-directory-symlink -xpf -
if [ -f "$WORK/setup" ]; then
	cp "$WORK/setup" "$ROOT/tmp/setup"
	env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		chroot "$ROOT" /bin/sh /tmp/setup
fi
tidy
