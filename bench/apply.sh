# The state of bench/group_vars, by hand: what an administrator's own script would do. It
# knows that the host is a stock Debian one, plans nothing, checks nothing, keeps nothing
# and can undo nothing.
set -e
mkdir -p -m 0755 /etc/postfix/maps
cd /etc/postfix/maps
about='# Managed by provisioner: changes made here are overwritten.'
printf '%s\n' "$about" '192.0.2.7 REJECT' '198.51.100 REJECT' >access_client
printf '%s\n' "$about" 'spammer.example REJECT' >access_sender
postmap hash:access_client hash:access_sender
postconf -e \
  'mydestination = $myhostname, localhost, lab.example' \
  'mynetworks = 127.0.0.0/8, [::1]/128' \
  'disable_vrfy_command = yes' \
  'strict_rfc821_envelopes = yes' \
  'smtpd_banner = $myhostname ESMTP' \
  'message_size_limit = 26214400' \
  'smtpd_client_connection_count_limit = 20' \
  'smtpd_delay_reject = yes' \
  'smtpd_helo_required = yes' \
  'smtpd_client_restrictions =' \
  'smtpd_helo_restrictions =' \
  'smtpd_sender_restrictions =' \
  'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination' \
  'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject_non_fqdn_sender, reject_non_fqdn_recipient, check_client_access hash:/etc/postfix/maps/access_client, check_sender_access hash:/etc/postfix/maps/access_sender, reject_unlisted_recipient, warn_if_reject reject_unknown_reverse_client_hostname, reject_unknown_recipient_domain, permit' \
  'smtpd_data_restrictions = reject_unauth_pipelining'
cat >>/etc/postfix/master.cf <<END
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_client_restrictions=permit_mynetworks,reject
END
postfix reload
