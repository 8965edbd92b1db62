# The state of bench/group_vars, by hand: what an administrator's own script would do. It
# knows that the host is a stock Debian one, plans nothing, checks nothing, keeps nothing
# and can undo nothing.
set -e
mkdir -p -m 0755 /etc/postfix/maps
cd /etc/postfix/maps
about='# Managed by provisioner: changes made here are overwritten.'
printf '%s\n' "$about" '192.0.2.7 REJECT' '198.51.100 REJECT' >access_client
printf '%s\n' "$about" 'spammer.example REJECT' >access_sender
printf '%s\n' '/^X-Mailer: SpamSender/ REJECT' >header_checks
printf '%s\n' '/name=.*\.exe/ REJECT' >mime_header_checks
printf '%s\n' '/make money fast/ REJECT' >body_checks
postmap hash:access_client hash:access_sender
printf '%s\n' '#!/bin/sh' '# What the mail queue held, week by week.' \
  'mailq | tail -n 1 >>/var/log/mail-report.log' >/etc/cron.weekly/mail-report
chmod 0755 /etc/cron.weekly/mail-report
postconf -e \
  'mydestination = $myhostname, localhost, lab.example' \
  'mynetworks = 127.0.0.0/8, [::1]/128' \
  'disable_vrfy_command = yes' \
  'strict_rfc821_envelopes = yes' \
  'smtpd_banner = $myhostname ESMTP' \
  'message_size_limit = 26214400' \
  'smtpd_client_connection_count_limit = 20' \
  'smtpd_helo_required = yes' \
  'smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, check_client_access hash:/etc/postfix/maps/access_client, check_sender_access hash:/etc/postfix/maps/access_sender' \
  'header_checks = regexp:/etc/postfix/maps/header_checks' \
  'mime_header_checks = regexp:/etc/postfix/maps/mime_header_checks' \
  'body_checks = regexp:/etc/postfix/maps/body_checks'
cat >>/etc/postfix/master.cf <<END
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_client_restrictions=permit_mynetworks,reject
submissions inet n - y - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_client_restrictions=permit_mynetworks,reject
END
postfix reload
systemctl -q is-active postfix || systemctl start postfix
