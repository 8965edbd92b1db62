# The scene: a queue, a data directory and a log of its own, and the configuration as it is but
# for its listeners and for whom it would ask or tell.

# Settings that name what a rewritten copy has elsewhere, though main.cf does not say so itself.
my %also_elsewhere;

# Every setting, defaults too, $name expanded. What postconf(1) complains of is found here.
sub read_settings {
    my ($proof) = @_;
    my %set;
    wait_for(map { start_program("$proof/planned$_", "$proof/errors$_", 'postconf', $_) } qw(-x -M));
    for my $line (split /\n/, slurp("$proof/planned-x")) {
        my ($name, $value) = $line =~ /^(\S+) =\s?(.*)$/ or next;
        $set{$name} = elsewhere($value);
        $also_elsewhere{$name} = $set{$name} if $set{$name} ne $value;
    }
    my @services = map { service($_) } split /\n/, slurp("$proof/planned-M");
    my $errors = slurp("$proof/errors-x") . slurp("$proof/errors-M");
    for (grep { /fatal:|error:|unused parameter|undefined parameter|overriding earlier/ } split /\n/, $errors) {
        s/^\S*postconf: //;
        finding($_);
    }
    return $errors =~ /fatal:/ ? () : (\%set, \@services);
}

# A line of master.cf as a hash; `options` are what -o sets, $name expanded by `effective`.
sub service {
    my ($line) = @_;
    my ($name, $type, $private, $unpriv, $chroot, $wakeup, $maxproc, $command, $rest) = split ' ', $line, 9;
    my %service = (
        line => $line, name => $name, type => $type, private => $private, unpriv => $unpriv, chroot => $chroot,
        wakeup => $wakeup, maxproc => $maxproc, command => $command // '', rest => $rest // '',
    );
    my @words = $service{rest} =~ /(\{(?:[^{}]|\{[^{}]*\})*\}|\S+)/g;
    $service{words} = [@words];
    while (defined(my $word = shift @words)) {
        next unless $word =~ s/^-o//;
        $word = shift(@words) // '' if $word eq '';
        $word =~ s/^\{\s*(.*?)\s*\}$/$1/;
        my ($option, $value) = split /\s*=\s*/, $word, 2;
        $service{options}{$option} = $value if defined $value;
    }
    return \%service;
}

# A parameter as this service sees it.
sub effective {
    my ($set, $service, $name) = @_;
    return expand($set, $service->{options}{$name} // $set->{$name} // '', 0);
}

sub expand {
    my ($set, $value, $depth) = @_;
    return $value if $depth > 10;
    $value =~ s/\$(?:\{(\w+)\}|\((\w+)\)|(\w+))/expand($set, $set->{$1 \/\/ $2 \/\/ $3} \/\/ '', $depth + 1)/ge;
    return $value;
}

# A private queue, with what is not Postfix's own (chroot files, foreign sockets) kept.
sub private_directories {
    my ($proof, $set, $services) = @_;
    my ($queue, $data) = @$set{qw(queue_directory data_directory)};
    my ($uid, $gid) = (getpwnam $set->{mail_owner})[2, 3];
    my $drop = getgrnam $set->{setgid_group};
    unless (defined $uid && defined $drop) {
        finding("there is no user $set->{mail_owner} or no group $set->{setgid_group} on this host");
        return 0;
    }
    my %ours = map { $_->{name} => 1 } @$services;
    my %mode = (public => [0710, $drop], maildrop => [0730, $drop], pid => [0755, 0]);
    my @folders = qw(active bounce corrupt defer deferred flush hold incoming private saved trace);
    my ($own_queue, $own_data) = ("$proof$queue", "$proof$data");
    make_path($own_queue);
    my @mounts;
    for my $name (@folders, keys %mode) {
        my ($bits, $to) = @{ $mode{$name} || [0700, 0] };
        mkdir "$own_queue/$name";
        chown $name eq 'pid' ? 0 : $uid, $to, "$own_queue/$name";
        chmod $bits, "$own_queue/$name";
    }
    for my $path (glob("$queue/*"), glob("$queue/private/*"), glob("$queue/public/*")) {
        (my $name = $path) =~ s{^\Q$queue\E/}{};
        my ($last) = $name =~ m{([^/]+)$};
        next if -e "$own_queue/$name" || ($name =~ m{/} && ($ours{$last} || !-S $path));
        if (length $root) { symlink $path, "$own_queue/$name"; next }
        if (-d $path) { mkdir "$own_queue/$name" } else { spew("$own_queue/$name", '') }
        push @mounts, [ $path, "$own_queue/$name", 'none', 'rbind' ];
    }
    make_path($own_data);
    chown $uid, $gid, $own_data;
    chmod 0700, $own_data;
    for ($queue, $data) {
        unless (-d) { finding("there is no directory $_"); return 0 }
        next if length $root;
        push @mounts, [ "$proof$_", $_, 'none', 'rbind' ];
    }
    mount_all("$proof/binds", @mounts);
    unless (length $root) {
        for ($queue, $data) { die "cannot mount over $_\n" if (stat)[0] != (stat "$proof$_")[0] }
        return 1;
    }
    # Postfix gets in, and no other user of this host.
    chown 0, $gid, $root;
    chmod 0710, $root;
    @$set{qw(queue_directory data_directory)} = ($own_queue, $own_data);
    return 1;
}

# What is said before postlogd(8) listens goes to /dev/log. Somebody has to read it all the
# while: after a few lines that nobody read, a writer waits for ever.
sub private_syslog {
    my ($proof) = @_;
    my $syslog = bound("$proof/log", SOCK_DGRAM);
    my $dev_log = readlink '/dev/log';
    $dev_log = defined $dev_log ? $dev_log =~ m{^/} ? $dev_log : "/dev/$dev_log" : '/dev/log';
    system('mount', '--bind', "$proof/log", $dev_log) if -S $dev_log;
    defined(my $pid = fork) or die "fork: $!\n";
    return if $pid;
    open my $said, '>>', "$proof/syslog" or exit 1;
    unbuffered($said);
    while (defined recv $syslog, my $message, 8192, 0) { print $said "$message\n" }
    exit 0;
}

# Who tells others to deliver, runs commands, or only makes sense on the real ports has no part.
my %left_out = map { $_ => 1 } qw(qmgr oqmgr nqmgr pickup pipe postscreen dnsblog tlsproxy qmqpd
  postlogd);

# Rewrites main.cf and master.cf (those of this mount namespace). Returns the listeners: each
# smtpd service with the socket that it has here, which only root can reach. `verbose` (-v) tells
# who decided, and costs much: it is for policy tests.
sub rewrite_configuration {
    my ($config, $daemons, $set, $services, $standins, $verbose) = @_;
    my ($queue, $data) = @$set{qw(queue_directory data_directory)};
    my (@listeners, $master);
    for my $service (@$services) {
        my ($name, $type, $command) = @$service{qw(name type command)};
        unless (-x ($command =~ m{^/} ? $command : "$daemons/$command")) {
            finding("$name/$type: there is no program $daemons/$command");
            next;
        }
        next if $left_out{$command};
        my %here = %$service;
        # In a copy there is nothing to change the root directory to.
        $here{chroot} = 'n' if length $root;
        if ($type eq 'inet' || $type eq 'pass') {
            next unless $command eq 'smtpd';
            my $socket = 'rehearsal' . @listeners;
            push @listeners, { %$service, label => "$name/$type", socket => "$queue/public/$socket",
                wrapped => scalar effective($set, $service, 'smtpd_tls_wrappermode') =~ /^yes$/i };
            @here{qw(name type private maxproc)} = ($socket, 'unix', 'n', '-');
            $here{rest} .= $verbose . listener_options($set, $service, $standins);
        }
        $here{rest} = $standins->policy($here{rest}, $set);
        $master .= join(' ', @here{qw(name type private unpriv chroot wakeup maxproc command rest)}) . "\n";
    }
    $master .= "postlog unix-dgram n - n - 1 postlogd\n";
    my $main = $standins->policy(slurp("$config/main.cf"), $set);
    $main .= "\n$_\n" for
      # The last of several settings counts. Nobody empties this queue: the pause that lets a
      # queue manager catch up would be for nothing.
      "maillog_file = $data/rehearsal.log", "maillog_file_prefixes = $data", 'in_flow_delay = 0', 'queue_minfree = 0',
      # Caches are locked by those who use them.
      map { "$_ =" } qw(non_smtpd_milters smtpd_proxy_filter content_filter notify_classes
      smtpd_tls_session_cache_database smtp_tls_session_cache_database
      lmtp_tls_session_cache_database address_verify_map postscreen_cache_map);
    $main .= "\n$_\n" for copy_settings($set);
    $main .= $standins->settings($set);
    spew("$config/main.cf", $main);
    spew("$config/master.cf", $master);
    aged("$config/main.cf", "$config/master.cf");
    return @listeners;
}

# What a rewritten copy has elsewhere. Programs must hear of its configuration, whatever else of
# their environment is kept from them.
sub copy_settings {
    my ($set) = @_;
    return () unless length $root;
    return ((map { "$_ = $also_elsewhere{$_}" } sort keys %also_elsewhere),
        (map { "$_ = $set->{$_}" } qw(queue_directory data_directory)),
        "import_environment = $set->{import_environment} MAIL_CONFIG=$ENV{MAIL_CONFIG}");
}

# XCLIENT is root's own here, whoever root says to be in the standing conversations; limits count
# the clients that are played, which are few.
sub listener_options {
    my ($set, $service, $standins) = @_;
    my $milters = $standins->milters(effective($set, $service, 'smtpd_milters'));
    my $played = join ',', '127.0.0.1', '[::1]', STRANGER, HALFWAY, '[' . BEYOND . ']';
    return " -o smtpd_authorized_xclient_hosts=$played" . ' -o smtpd_upstream_proxy_protocol='
      . ' -o smtpd_proxy_filter= -o content_filter= -o smtpd_milter_maps='
      . ' -o smtpd_client_event_limit_exceptions=static:all'
      . " -o { smtpd_milters = $milters }";
}
