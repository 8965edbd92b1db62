#!/bin/sh
# mmdebstrap customize hook: $1 is the root. Makes a stock Debian mail server out of
# the installed packages, with the lab's accounts and its own package repository.
# LAB_RELEASE, LAB_VARIANT, LAB_SPARE and LAB_ACCOUNTS come from the builder.
set -eu
root=$1

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive "$@"; }

# The local repository: every package beyond Debian's required ones, so that Postfix
# and what it needs can be removed and installed again in a host with no way out.
packages=$(in_root dpkg-query -W -f '${Priority} ${Essential} ${Package}\n' |
    awk '$1 != "required" && $2 != "yes" {print $3}')
# Depends of the spare ones are resolved by simulating their installation.
# shellcheck disable=SC2086 # lists of words
spare=$(APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -s --no-install-recommends install $LAB_SPARE |
    awk '$1 == "Inst" {print $2}')
mkdir -p "$root/srv/lab-packages"
# shellcheck disable=SC2086
(cd "$root/srv/lab-packages" &&
    APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq -o APT::Sandbox::User=root \
        download $packages $spare)
(
    cd "$root/srv/lab-packages"
    for deb in *.deb; do
        dpkg-deb -f "$deb"
        echo "Filename: ./$deb"
        echo "Size: $(stat -c %s "$deb")"
        echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
        echo
    done
) > "$root/srv/lab-packages.index"
mv "$root/srv/lab-packages.index" "$root/srv/lab-packages/Packages"
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap
echo 'deb [trusted=yes] file:/srv/lab-packages ./' > "$root/etc/apt/sources.list"
in_root apt-get -qq -o APT::Sandbox::User=root update

# Accounts: root by key alone; admin with a sudo password, deploy without, alice for SMTP AUTH.
in_root useradd -m -u 1000 -s /bin/bash -c 'Administrator' admin
in_root useradd -m -u 1001 -s /bin/bash -c 'Deployment' deploy
in_root useradd -m -u 1002 -s /bin/bash -c 'Mail user' alice
printf '%s' "$LAB_ACCOUNTS" | in_root chpasswd
cat > "$root/etc/sudoers.d/lab" <<'END'
admin ALL=(ALL:ALL) ALL
deploy ALL=(ALL:ALL) NOPASSWD: ALL
END
chmod 0440 "$root/etc/sudoers.d/lab"

# Host keys are made per host.
rm -f "$root"/etc/ssh/ssh_host_*
cat > "$root/etc/ssh/sshd_config.d/lab.conf" <<'END'
PasswordAuthentication yes
END
# Newer servers shut out an address for a while after failed logins; tests that log in
# with a wrong password on purpose would then lose the host for all others.
case $LAB_RELEASE in
    bullseye | bookworm) ;;
    *) echo 'PerSourcePenalties no' >> "$root/etc/ssh/sshd_config.d/lab.conf" ;;
esac

# Backends are installed but not started: what uses them starts them.
for unit in dovecot postgrey saslauthd; do
    in_root update-rc.d "$unit" disable > /dev/null 2>&1 || true
done
if [ "$LAB_VARIANT" = systemd ]; then
    systemctl="in_root systemctl --quiet"
    $systemctl disable dovecot.service dovecot.socket postgrey.service saslauthd.service \
        2> /dev/null || true
    $systemctl enable systemd-networkd.service
    # Nobody sits at the console, and nothing is to be fetched or tidied.
    $systemctl mask console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer \
        e2scrub_all.timer fstrim.timer dpkg-db-backup.timer systemd-networkd-wait-online.service \
        systemd-resolved.service
else
    sed -i '/getty/d' "$root/etc/inittab"
fi

rm -f "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id "$root"/etc/hostname \
    "$root"/etc/resolv.conf "$root"/var/lib/postfix/*.lock
: > "$root/etc/machine-id"
find "$root/var/log" -type f -delete
# Nothing is to be brought up to date at the first boot (systemd-update-done.service).
touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
