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

# Programs and scripts look for a browser under this name too.
ln -s chromium /usr/bin/google-chrome-stable

# Entries that lead nowhere on this desktop.
for entry in pcmanfm-desktop-pref libfm-pref-apps openbox debian-uxterm debian-xterm vim jgmenu tint2 tint2conf; do
	file=/usr/share/applications/$entry.desktop
	[ ! -f "$file" ] || echo 'NoDisplay=true' >>"$file"
done

# Folders that programs offer or ask for.
mkdir -p /home/wuying/Desktop /home/wuying/Documents /home/wuying/Downloads /home/wuying/Templates
chown -R wuying:wuying /home/wuying

# Icons that tell the terminal from a screen, and the spreadsheet from the editor.
cd /usr/share/icons/elementary-xfce
for size in apps/[0-9]*; do
	size=${size#apps/}
	[ ! -f "apps/$size/utilities-terminal.png" ] || ln -sf utilities-terminal.png "apps/$size/lxterminal.png"
	rm -f "apps/$size/gnumeric.png"
	[ ! -f "mimes/$size/x-office-spreadsheet.png" ] || ln -s "../../mimes/$size/x-office-spreadsheet.png" "apps/$size/gnumeric.png"
done
cd /

# Nobody becomes root by a program that the desktop brought.
chmod u-s /usr/lib/dbus-1.0/dbus-daemon-launch-helper

# Lists that would be made in every session are made here, once: of fonts, for
# matplotlib and for all others, and of icons.
fc-cache -f
setpriv --reuid 1000 --regid 1000 --clear-groups \
	env HOME=/home/wuying python3 -c 'import matplotlib.pyplot'
for theme in /usr/share/icons/*/; do
	gtk-update-icon-cache -q -f "$theme" 2>/dev/null || :
done

# The panel keeps where it found its icons; it takes a second to look for them.
setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/home/wuying DISPLAY=:1 sh -c '
	Xvnc $DISPLAY -SecurityTypes None -rfbport -1 -nolisten tcp -displayfd 3 3>/tmp/up >/dev/null 2>&1 & server=$!
	until [ -s /tmp/up ] || ! kill -0 $server; do sleep 0.1; done
	timeout 30 tint2 >/dev/null 2>&1 & panel=$!
	until [ -s $HOME/.cache/tint2/icon.cache ] || ! kill -0 $panel; do sleep 0.1; done
	kill $panel $server
	wait
	test -s $HOME/.cache/tint2/icon.cache'
rm -rf /tmp/up /tmp/.X*
