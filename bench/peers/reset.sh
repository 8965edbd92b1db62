# A host as it was before the first tool: the first call keeps what is stock.
set -e
stock=/var/lib/bench-stock
[ -d "$stock" ] || cp -a /etc/postfix "$stock"
rm -rf /etc/postfix /var/lib/provisioner /etc/cron.weekly/mail-report
cp -a "$stock" /etc/postfix
touch -d '1 hour ago' /etc/postfix/main.cf /etc/postfix/master.cf
postfix reload 2>/dev/null || systemctl restart postfix
