# Puts the image together at $ROOT: the layers below in $LOWER, topmost first,
# and what is written in $UPPER. The lowest layer is written to directly.
mount --make-rprivate /
mount -t proc proc /proc
if [ -n "$LOWER" ]; then
	mount -t overlay -o "redirect_dir=off,metacopy=off,index=off,lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK/overlay" agentbay "$ROOT" || {
		echo "The image store needs a file system that overlayfs can write on, such as ext4; $WORK is on $(stat -f -c %T "$WORK")." >&2
		exit 1
	}
else
	mount --bind "$UPPER" "$ROOT"
fi

# What programs expect around them, of which nothing becomes part of the layer.
surround() {
	mkdir -p "$ROOT/dev" "$ROOT/proc"
	[ -d "$ROOT/tmp" ] || mkdir -m 1777 "$ROOT/tmp"
	mount -t proc proc "$ROOT/proc"
	mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
	mount -t tmpfs -o mode=0755,size=1m tmpfs "$ROOT/dev"
	for node in null zero full random urandom tty; do
		: >"$ROOT/dev/$node"
		mount --bind "/dev/$node" "$ROOT/dev/$node"
	done
	mkdir "$ROOT/dev/pts" "$ROOT/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$ROOT/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$ROOT/dev/shm"
	ln -s pts/ptmx "$ROOT/dev/ptmx"
	ln -s /proc/self/fd "$ROOT/dev/fd"
	ln -s /proc/self/fd/0 "$ROOT/dev/stdin"
	ln -s /proc/self/fd/1 "$ROOT/dev/stdout"
	ln -s /proc/self/fd/2 "$ROOT/dev/stderr"
}

# What installing and compiling leaves behind and no session needs.
tidy() {
	rm -rf "$ROOT"/var/lib/apt/lists/* "$ROOT"/var/cache/apt/*.bin "$ROOT"/var/cache/apt/archives/*.deb
	rm -f "$ROOT"/var/cache/debconf/*-old "$ROOT"/var/lib/dpkg/*-old
	find "$ROOT/var/log" -type f -size +0 -exec truncate -s 0 {} + 2>/dev/null || :
}
