# Runs inside the rehearsal's namespaces: sets the scene, starts master, holds SMTP
# conversations with every smtpd service over sockets that only root can open, reads the log.
# Prints one finding a line. Core modules only, those of a minimal perl.
use strict;
use warnings;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);

my ($config, $daemons, $proof) = @ARGV;
my %found;
$| = 1;

sub finding { my ($text) = @_; $text =~ s/[^\x20-\x7e]/?/g; print "$text\n" unless $found{$text}++ }
sub slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; my $all = <$in>; $all // '' }
sub spew { my ($file, $text) = @_; open my $out, '>', $file or die "$file: $!"; print $out $text; close $out }
sub setting { my ($name) = @_; my $value = qx(postconf -h $name 2>/dev/null); chomp $value; $value }
sub aged { utime time - 10, time - 10, @_ }

aged("$config/main.cf", "$config/master.cf");
my $errors = qx(postconf -n 2>&1 >/dev/null) . qx(postconf -M 2>&1 >/dev/null);
for (grep { /fatal:|error:|unused parameter|undefined parameter|overriding earlier/ } split /\n/, $errors) {
    s/^\S*postconf: //;
    finding($_);
}
exit 0 if $errors =~ /fatal:/;

my ($queue, $data) = (setting('queue_directory'), setting('data_directory'));
my ($owner, $group, $domain) = (setting('mail_owner'), setting('setgid_group'), setting('mydomain'));
my ($uid, $gid) = (getpwnam $owner)[2, 3];
my $drop = getgrnam $group;
unless (defined $uid && defined $drop) {
    finding("there is no user $owner or no group $group on this host");
    exit 0;
}

# ---- a private queue, with what is not Postfix's own (chroot files, foreign sockets) kept
my @services = split /\n/, qx(postconf -M 2>/dev/null);
my %ours = map { (split ' ')[0] => 1 } @services;
my %mode = (public => [0710, $drop], maildrop => [0730, $drop], pid => [0755, 0]);
my @folders = qw(active bounce corrupt defer deferred flush hold incoming private saved trace);
mkdir "$proof/queue" or die $!;
chmod 0755, "$proof/queue";
for my $name (@folders, keys %mode) {
    my ($bits, $to) = @{ $mode{$name} || [0700, 0] };
    mkdir "$proof/queue/$name";
    chown $name eq 'pid' ? 0 : $uid, $to, "$proof/queue/$name";
    chmod $bits, "$proof/queue/$name";
}
for my $path (glob("$queue/*"), glob("$queue/private/*"), glob("$queue/public/*")) {
    (my $name = $path) =~ s{^\Q$queue\E/}{};
    my ($last) = $name =~ m{([^/]+)$};
    next if -e "$proof/queue/$name" || ($name =~ m{/} && ($ours{$last} || !-S $path));
    if (-d $path) { mkdir "$proof/queue/$name" } else { spew("$proof/queue/$name", '') }
    system('mount', '--rbind', $path, "$proof/queue/$name");
}
mkdir "$proof/data" or die $!;
chown $uid, $gid, "$proof/data";
chmod 0700, "$proof/data";
system('mount', '--rbind', "$proof/queue", $queue) == 0 or die "queue\n";
system('mount', '--bind', "$proof/data", $data) == 0 or die "data\n";

# ---- a log of its own: what is said before postlogd(8) listens goes to /dev/log
my $syslog = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$proof/log") or die "log: $!\n";
chmod 0666, "$proof/log";
my $dev_log = qx(readlink -f /dev/log 2>/dev/null);
chomp $dev_log;
system('mount', '--bind', "$proof/log", $dev_log) if $dev_log && -S $dev_log;

# ---- the configuration: its own, but for listeners, log, and whom it would ask or tell
my $log = "$data/rehearsal.log";
my @listeners;
my $master = '';
my $stand_in = 'unix:private/rehearsal-policy';
my %drop_command = map { $_ => 1 } qw(qmgr oqmgr nqmgr pickup smtp lmtp local virtual pipe postscreen
  dnsblog tlsproxy qmqpd postlogd);
for (@services) {
    my ($name, $type, $private, $unpriv, $chroot, $wakeup, $maxproc, $command, $rest) = split ' ', $_, 9;
    $rest //= '';
    next if $drop_command{$command};
    unless (-x "$daemons/$command") { finding("$name/$type: there is no program $daemons/$command"); next }
    if ($type eq 'inet' || $type eq 'pass') {
        next unless $command eq 'smtpd';
        my $socket = 'rehearsal' . @listeners;
        push @listeners, { name => "$name/$type", socket => "$queue/public/$socket" };
        # The XCLIENT of this socket is root's own; TLS is for the live listener to prove.
        $rest =~ s/-o\s+\{?\s*(?:smtpd_tls_wrappermode|smtpd_authorized_xclient_hosts|smtpd_upstream_proxy_protocol)\s*=[^-}]*\}?//g;
        $rest .= ' -o smtpd_authorized_xclient_hosts=127.0.0.1,[::1] -o smtpd_tls_wrappermode=no'
          . ' -o smtpd_tls_security_level=none -o smtpd_tls_auth_only=no -o smtpd_upstream_proxy_protocol=';
        ($name, $type, $private, $maxproc) = ($socket, 'unix', 'n', '-');
    }
    $rest =~ s/(check_policy_service)[ ,]+(?:\{[^}]*\}|[^\s,}]+)/$1 $stand_in/g;
    $master .= join(' ', $name, $type, $private, $unpriv, $chroot, $wakeup, $maxproc, $command, $rest) . "\n";
}
# Stand-ins lie in the queue: to $proof nobody but root has a way.
spew("$queue/rehearsal-policy", "while IFS= read -r line; do [ -n \"\$line\" ] || printf 'action=DUNNO\\n\\n'; done\n");
chmod 0755, "$queue/rehearsal-policy";
$master .= "postlog unix-dgram n - n - 1 postlogd\n"
  . "rehearsal-policy unix - n n - 0 spawn user=nobody argv=/bin/sh $queue/rehearsal-policy\n";
my $main = slurp("$config/main.cf");
$main =~ s/(check_policy_service)([\s,]+)(?:\{[^}]*\}|[^\s,}]+)/$1$2$stand_in/g;
# Where this very change starts Dovecot, its socket is not there yet.
my ($sasl, $auth) = (setting('smtpd_sasl_type'), setting('smtpd_sasl_path'));
if ($ENV{BACKENDS} && $sasl eq 'dovecot' && $auth !~ /^inet:/) {
    (my $socket = $auth) =~ s/^unix://;
    $socket = "$queue/$socket" unless $socket =~ m{^/};
    unless (-S $socket) {
        spew("$queue/rehearsal-auth", "printf 'VERSION\\t1\\t1\\nMECH\\tPLAIN\\tplaintext\\nSPID\\t1\\nCUID\\t1\\nDONE\\n'; cat >/dev/null\n");
        chmod 0755, "$queue/rehearsal-auth";
        $master .= "rehearsal-auth unix - n n - 0 spawn user=nobody argv=/bin/sh $queue/rehearsal-auth\n";
        $main .= "smtpd_sasl_path = private/rehearsal-auth\n";
    }
}
# The last of several settings counts; not by postconf(1), which would wait for a young file.
# Nobody empties this queue: the pause that lets a queue manager catch up would be for nothing.
$main .= "$_\n" for "maillog_file = $log", "maillog_file_prefixes = $data", 'in_flow_delay = 0', map { "$_ =" } qw(smtpd_milters
  non_smtpd_milters smtpd_proxy_filter content_filter smtpd_tls_session_cache_database
  smtp_tls_session_cache_database notify_classes);
spew("$config/main.cf", $main);
spew("$config/master.cf", $master);
aged("$config/main.cf", "$config/master.cf");
exit 0 unless @listeners;

# ---- start, and wait until it answers
my $pid = fork // die $!;
if (!$pid) {
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', "$proof/master.err";
    exec "$daemons/master", '-c', $config or exit 127;
}
my $up;
for (1 .. 100) {
    last if $up = -S $listeners[-1]{socket};
    last if waitpid($pid, 1) == $pid;
    select undef, undef, undef, 0.02;
}
# ---- conversations: a stranger must be judged, and must not be let through
if ($up) {
    for my $listener (@listeners) {
        converse($listener, 'a stranger', 1);
        converse($listener, 'this host itself', 0);
    }
}

sub converse {
    my ($listener, $who, $stranger) = @_;
    my $label = "$listener->{name}: $who";
    my $smtp = IO::Socket::UNIX->new(Peer => $listener->{socket}) or return finding("$label: cannot connect");
    my $last = 'greeting';
    my $talk = sub {
        my ($line, $called) = @_;
        if (defined $line) { $last = $called // $line; local $SIG{PIPE} = 'IGNORE'; print $smtp "$line\r\n"; $smtp->flush }
        my $reply = '';
        local $SIG{ALRM} = sub { die "late\n" };
        alarm(defined $line ? 20 : 3);
        eval { while (defined(my $got = <$smtp>)) { $reply = $got; last if $got !~ /^\d{3}-/ } };
        alarm 0;
        return undef if $@;    # slow DNS says nothing about the configuration; the log does
        $reply =~ s/\s+$//;
        finding("$label: the connection ends after $last") if $reply eq '';
        finding("$label: $last is answered: $reply") if $reply =~ /^4\d\d 4\.3\.[05]/;
        return $reply;
    };
    my $greeting = $talk->() // return;
    return unless $greeting =~ /^220/;
    my $go = $talk->('EHLO rehearsal.example.org') // return;
    if ($stranger) {
        $go = $talk->('XCLIENT NAME=rehearsal.example.org REVERSE_NAME=rehearsal.example.org'
              . ' ADDR=192.0.2.25 HELO=rehearsal.example.org') // return;
        return finding("$label: XCLIENT is answered: $go") unless $go =~ /^220/;
        $talk->('EHLO rehearsal.example.org') // return;
    }
    my $mail = $talk->($stranger ? 'MAIL FROM:<rehearsal@example.org>' : 'MAIL FROM:<>') // return;
    return if $mail !~ /^2/;
    if ($stranger) {
        my $relay = $talk->('RCPT TO:<rehearsal@relay-test.example.net>') // return;
        finding("$label: may relay to anywhere (RCPT is answered: $relay): an open relay") if $relay =~ /^2/;
    }
    $talk->("RCPT TO:<postmaster\@$domain>") // return;
    # The bare name is let past every recipient restriction, and so on to what is asked later.
    my $rcpt = $talk->('RCPT TO:<postmaster>') // return;
    my $data = $rcpt =~ /^2/ ? $talk->('DATA') // return : '';
    $talk->("From: <rehearsal\@example.org>\r\nSubject: rehearsal\r\n\r\nNobody delivers this.\r\n.",
        'the message')
      if $data =~ /^354/;
    close $smtp;
}

# ---- what the log says
select undef, undef, undef, 0.05;
my @said = split /\n/, slurp($log);
$syslog->blocking(0);
while (defined $syslog->recv(my $message, 8192)) { push @said, $message }
for (@said) {
    next unless /(fatal|panic|error|warning): (.*)/;
    my ($level, $text) = ($1, $2);
    next if $level eq 'warning' && $text !~ /unknown smtpd restriction|bad command startup|lookup error|unsupported dictionary|is unavailable|cannot load|problem talking to|no SASL|is ignored$/;
    next if $text =~ /rehearsal|RBL lookup error|qmgr/;
    $text =~ s/\bprocess (\S+) pid \d+/process $1/;
    $text =~ s/\s+pid \d+//g;
    finding("the log says: $level: $text");
}
finding('master does not start') unless $up || %found;
exit 0;
