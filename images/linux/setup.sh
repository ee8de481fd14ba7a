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

# What programs would ask, or make, at their first start.
mkdir -p /home/wuying/Desktop /home/wuying/Documents /home/wuying/Downloads /home/wuying/.config/lxterminal
cat >/home/wuying/.config/lxterminal/lxterminal.conf <<'EOF'
[general]
fontname=DejaVu Sans Mono 11
bgcolor=rgb(24,30,43)
fgcolor=rgb(221,228,238)
hidescrollbar=true
hidemenubar=false
scrollback=5000
geometry_columns=100
geometry_rows=28
EOF
cat >/home/wuying/.config/mimeapps.list <<'EOF'
[Default Applications]
text/plain=org.gnome.gedit.desktop
text/html=chromium.desktop
x-scheme-handler/http=chromium.desktop
x-scheme-handler/https=chromium.desktop
inode/directory=pcmanfm.desktop
image/png=gpicview.desktop
image/jpeg=gpicview.desktop
text/csv=gnumeric.desktop
application/vnd.ms-excel=gnumeric.desktop
EOF
chown -R wuying:wuying /home/wuying

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
