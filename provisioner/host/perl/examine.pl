# What can be seen without a conversation. Of services and settings only those are examined that
# the live files do not have in the same way: a Debian off the shelf names programs that it does
# not have. Tables are always looked for, since a change may take one away.

sub examine {
    my ($config, $proof, $set, $services, $standins) = @_;
    my $wrote = { map { $_ => 1 } slurp("$config/main.cf") =~ /^(\w+)\s*=/mg };
    my %live = map { $_ => 1 } split /\n/, slurp("$proof/live.master");
    my %before = map { /^(\S+) =\s?(.*)/ ? ($1 => $2) : () } split /\n/, slurp("$proof/live.main");
    # Live files that postconf(1) cannot read: whatever mends them is welcome.
    return examine_tables($set, $services, $wrote) unless %before;
    my @changed = grep { ($before{$_} // '') ne $set->{$_} } sort keys %$set;
    my @new = grep { !$live{ $_->{line} } } @$services;
    my %unix = map { $_->{name} => 1 } grep { $_->{type} ne 'inet' } @$services;
    # Only postscreen(8) asks these; where it goes, they may go, too.
    unless (grep { $_->{command} eq 'postscreen' } @$services) { $unix{$_} = 1 for qw(dnsblog tlsproxy) }
    my %seen;
    for (@$services) { finding("$_->{name}/$_->{type} stands in master.cf twice") if $seen{"$_->{name}/$_->{type}"}++ }
    my $held = held_ports("$set->{queue_directory}/pid/master.pid");
    for my $service (@new) {
        examine_arguments($service);
        examine_listener($set, $service, $held, \%unix) if $service->{type} eq 'inet';
    }
    examine_names($set, \@changed, \@new, \%unix, \%live);
    examine_files($set, \@changed);
    examine_room($set, \@changed, \@new);
    examine_domains($set, \@changed);
    examine_next_hops($set, \@changed);
    examine_tables($set, $services, $wrote);
    examine_keys($set, \@changed);
    examine_certificates($set, \@changed, \@new, { map { $_ => 1 } split /\n/, slurp("$proof/scene") });
    my $live = slurp("$proof/live.main") . slurp("$proof/live.master");
    examine_zones($set, \@new, $live);
    examine_endpoints($set, $services, $live, \%unix) unless $standins->{backends};
}

# What must run once only, because it keeps something to itself (master(5)).
my %single = map { $_ => 1 } qw(qmgr oqmgr tlsmgr verify anvil scache postscreen);

# Options that take blanks around `=` make the program die at its start; what pipe(8) and
# spawn(8) run must be there.
sub examine_arguments {
    my ($service) = @_;
    my $label = "$service->{name}/$service->{type}";
    my @words = @{ $service->{words} };
    finding("$label: there must be one process of $service->{command} only, not $service->{maxproc}")
      if $single{ $service->{command} } && $service->{maxproc} ne '1';
    if ($service->{command} =~ /^(?:pipe|spawn)$/) {
        my %given = map { /^(user|argv)=([^\s:]+)/ ? ($1 => $2) : () } @words;
        finding("$label: $_= is missing, or names root") for grep { ($given{$_} // 'root') eq 'root' }
          $service->{command} eq 'pipe' ? qw(user argv) : qw(argv);
        finding("$label: there is no user $given{user}") if $given{user} && !defined getpwnam $given{user};
        finding("$label: there is no program $given{argv}") if ($given{argv} // '') =~ m{^/} && !-x $given{argv};
        return;
    }
    while (defined(my $word = shift @words)) {
        next unless $word =~ s/^-o// or ($word !~ /^-/ and finding("$label: \"$word\" is no option (blanks around =?)"), 0);
        $word = shift @words // '' if $word eq '';
        finding("$label: -o $word lacks its value (blanks around =?)") unless $word =~ /^\{?\s*\w+\s*=/;
    }
}

# The address must be one of this host and the port nobody else's: master(8) exits otherwise,
# and all mail with it.
sub examine_listener {
    my ($set, $service, $held, $unix) = @_;
    my $label = "$service->{name}/inet";
    finding("$label: postscreen hands over to smtpd/pass, which is not in master.cf")
      if $service->{command} eq 'postscreen' && !$unix->{smtpd};
    finding("$label: $service->{command} is no program that listens for clients")
      if $service->{command} =~ /^(?:smtp|lmtp|local|virtual|pipe|error|discard|cleanup|o?qmgr|pickup|bounce|trivial-rewrite)$/;
    finding("$label: an inet service must not be private (its third column must be n)") if $service->{private} ne 'n';
    my ($address, $port) = endpoint($service->{name});
    $port = port_number($set, $port);
    return finding("$label: nobody knows the port $port") unless $port =~ /^\d+$/ && $port > 0 && $port < 65536;
    finding("$label: on port 25 nobody speaks TLS from the first byte")
      if $port == 25 && effective($set, $service, 'smtpd_tls_wrappermode') =~ /^yes$/i;
    my $interfaces = $set->{inet_interfaces};
    my @addresses = $address ne '' ? $address : $interfaces =~ /^all$/i ? () : $interfaces =~ /^loopback-only$/i
      ? ('127.0.0.1') : grep { length } split /[\s,]+/, $interfaces;
    s/^\[(.*)\]$/$1/ for @addresses;
    @addresses = $set->{inet_protocols} =~ /ipv4|all/i ? ('0.0.0.0') : ('::') unless @addresses;
    return if $held->{$port};
    for my $where (@addresses) {
        my $error = cannot_bind($where, $port) or next;
        finding("$label: $error");
    }
}

# Why a program could not listen there; empty if it can.
sub cannot_bind {
    my ($where, $port) = @_;
    my ($error, @found) = Socket::getaddrinfo($where, $port, { flags => Socket::AI_PASSIVE(), socktype => SOCK_STREAM });
    return "nobody knows the address $where" if $error;
    for (@found) {
        socket my $test, $_->{family}, SOCK_STREAM, 0 or next;
        setsockopt $test, Socket::SOL_SOCKET(), Socket::SO_REUSEADDR(), 1;
        setsockopt $test, Socket::IPPROTO_IPV6(), Socket::IPV6_V6ONLY(), 1 if $_->{family} == Socket::AF_INET6();
        next if bind $test, $_->{addr};
        return $!{EADDRINUSE} ? "another program listens on port $port"
          : $!{EADDRNOTAVAIL} ? "$where is no address of this host" : "cannot listen on $where port $port: $!";
    }
    return '';
}

sub port_number {
    my ($set, $port) = @_;
    return $port if $port =~ /^\d+$/;
    for (split /[\s,]+/, $set->{known_tcp_ports} // '') { return $1 if /(?:^|=)\Q$port\E=.*?(\d+)$/ }
    return (getservbyname $port, 'tcp')[2] // $port;
}

# Ports that the running master(8) listens on, by the sockets that it holds.
sub held_ports {
    my ($pidfile) = @_;
    my ($pid) = slurp($pidfile) =~ /(\d+)/ or return {};
    my %socket = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? ($1 => 1) : () } glob "/proc/$pid/fd/*";
    my %held;
    for (map { split /\n/, slurp("/proc/net/$_") } qw(tcp tcp6)) {
        my ($local, $state, $inode) = (split)[1, 3, 9];
        $held{ hex +(split /:/, $local)[1] } = 1 if ($state // '') eq '0A' && $socket{$inode};
    }
    return \%held;
}

# Services that settings name must stand in master.cf; those that deliver are not started here.
sub examine_names {
    my ($set, $changed, $new, $unix, $live) = @_;
    my %gone = map { (split)[1] =~ /^unix|fifo/ && !$unix->{ (split)[0] } ? ((split)[0] => 1) : () } keys %$live;
    my $check = sub {
        my ($label, $value) = @_;
        my ($name) = $value =~ /^([^:\s\$]+)/ or return;
        finding("$label = $value: master.cf has no service $name") unless $unix->{$name};
    };
    my %changed = map { $_ => 1 } @$changed;
    for my $name (sort keys %$set) {
        my $transport = $name =~ /_transport$|^content_filter$/ && $name !~ /^sender_dependent|^smtpd_/;
        next unless length $set->{$name} && ($transport || $name =~ /_service_name$/);
        my ($first) = $set->{$name} =~ /^([^:\s]+)/;
        $check->($name, $set->{$name}) if $changed{$name} || $gone{$first};
    }
    for my $service (@$new) {
        my $filter = $service->{options}{content_filter} or next;
        $check->("$service->{name}/$service->{type}: content_filter", expand($set, $filter, 0));
    }
    for my $name (sort keys %gone) {
        finding("master.cf has no service $name any more, and Postfix needs it")
          if $name =~ /^(?:pickup|qmgr|cleanup|rewrite|bounce|defer|trace|error|retry|showq|smtp|local)$/;
    }
}
