# All that a hand-written check could compare: it only reads.
postconf -n
postconf -M
cat /etc/postfix/main.cf
systemctl is-active postfix
