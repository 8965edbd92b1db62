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
    my $held = held_ports("$proof/proc", "$set->{queue_directory}/pid/master.pid");
    for my $service (@new) {
        examine_arguments($service);
        examine_listener($set, $service, $held, \%unix) if $service->{type} eq 'inet';
    }
    examine_names($set, \@changed, \@new, \%unix, \%live);
    examine_files($set, \@changed);
    examine_next_hops($set, \@changed);
    examine_tables($set, $services, $wrote);
    examine_keys($set, \@changed);
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
    my ($proc, $pidfile) = @_;
    my ($pid) = slurp($pidfile) =~ /(\d+)/ or return {};
    my %socket = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? ($1 => 1) : () } glob "$proc/$pid/fd/*";
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

# Where mail goes next: a host in the form that smtp(8) takes, and not this one, where nobody but
# smtpd itself would answer.
sub examine_next_hops {
    my ($set, $changed) = @_;
    for my $name (grep { /^(?:relayhost|content_filter|(?:default|relay)_transport)$/ } @$changed) {
        my $value = $set->{$name};
        my $hop = $name eq 'relayhost' ? $value : $value =~ /^(?:smtp|relay):(.+)/ ? $1 : next;
        next if $hop eq '' || $hop =~ /\$/;
        my ($host, $port) = $hop =~ /^\[([^\[\]]+)\](?::([\w-]+))?$/ ? ($1, $2)
          : $hop =~ /^([^\s\[\]:]+)(?::([\w-]+))?$/ ? ($1, $2) : ();
        if (!defined $host) { finding("$name = $value: this is no [host]:port"); next }
        $port = port_number($set, $port // 'smtp');
        if ($port !~ /^\d+$/) { finding("$name = $value: nobody knows the port $port"); next }
        next unless $host =~ /^(?:127\.[\d.]+|::1|IPv6:::1|localhost|\Q$set->{myhostname}\E)$/i;
        if ($port == 25) { finding("$name = $value: mail would come back to this very host") }
        elsif (my $why = unreachable("inet:$host:$port", '', '', {})) {
            finding("$name = $value: nobody is there ($why), and mail would wait");
        }
    }
}

# A DNSBL that lists 127.0.0.1 lists everybody (RFC 5782): it is gone, or refuses this resolver.
sub examine_zones {
    my ($set, $services, $live) = @_;
    my %zones;
    for (values %$set, map { values %{ $_->{options} || {} } } @$services) {
        $zones{$_} = 1 for grep { index($live, $_) < 0 } /reject_rbl_client[\s,]+([\w.-]+\.\w+)/g;
    }
    my %asking;
    for my $zone (sort keys %zones) {
        defined(my $pid = fork) or next;
        if (!$pid) { _exit(gethostbyname("1.0.0.127.$zone") ? 3 : 0) }
        $asking{$pid} = $zone;
    }
    for (1 .. 60) {
        last unless %asking;
        while ((my $pid = waitpid -1, WNOHANG) > 0) {
            my $zone = delete $asking{$pid} // next;
            finding("the DNSBL $zone lists everybody (127.0.0.1, too)") if $? >> 8 == 3;
        }
        pause(0.05) if %asking;
    }
    kill 'KILL', keys %asking;
}

# Files and directories that settings name by their path.
sub examine_files {
    my ($set, $changed) = @_;
    for my $name (@$changed) {
        my $value = $set->{$name};
        if ($name =~ /_tls_(?:\w+_)?(?:file|CAfile|CApath)$|_tls_CA(?:file|path)$/) {
            finding("$name = $value: there is no such file") if $value =~ m{^/} && !-e $value;
        } elsif ($name =~ /_file$/ && $name ne 'maillog_file') {
            finding("$name = $value: there is no such file") if $value =~ m{^/} && !-e $value;
        } elsif ($name =~ /^(?:my(?:networks|destination)|(?:relay|virtual_alias|virtual_mailbox)_domains)$/) {
            finding("$name: there is no file $_") for grep { m{^!?/} && !-e s/^!//r } split /[\s,]+/, $value;
            finding("$name: a bracket is not closed in $_") for grep { tr/[// != tr/]// } split /[\s,]+/, $value;
        } elsif ($name eq 'queue_minfree' && $value =~ /^\d+$/) {
            my $free = (split ' ', (split /\n/, qx(df -Pk -- @{[ quoted($set->{queue_directory}) ]} 2>/dev/null))[-1] // '')[3] // $value;
            finding("$name = $value: the queue has less room than that, and no mail would be taken") if $value > 1024 * $free;
        } elsif ($name eq 'maillog_file') {
            finding("$name = $value: not below $set->{maillog_file_prefixes}")
              if $value ne '' && !grep { index($value, $_) == 0 } split /[\s,]+/, $set->{maillog_file_prefixes};
        } elsif ($name =~ /^(?:smtp|lmtp)_bind_address6?$/ && $value ne '') {
            my $error = cannot_bind($value, 0);
            finding("$name = $value: this is no address of this host") if $error;
        } elsif ($name =~ /^(?:queue|data|daemon|command|mail_spool|meta|shlib)_directory$/) {
            finding("$name = $value: there is no such directory") if $value =~ m{^/} && !-d $value;
        }
    }
}

my %compiled = (hash => '.db', btree => '.db', cdb => '.cdb', lmdb => '.lmdb', dbm => '.pag', sdbm => '.pag');
my %plain = map { $_ => '' } qw(regexp pcre cidr texthash ldap mysql pgsql sqlite memcache);

# Every table that a setting names: of a type that exists here, with its file, in a state to be
# read.
sub examine_tables {
    my ($set, $services, $wrote) = @_;
    my %known = map { $_ => 1 } split ' ', qx(postconf -m 2>/dev/null);
    my %named;
    my $look = sub {
        my ($name, $value) = @_;
        return if $name =~ /^proxy_(?:read|write)_maps$/;
        if ($name =~ /(?:_maps?|_checks|_database)$/) {
            for (grep { !$known{$_} } $value =~ m{(?<![^\s,])(?:proxy:)?([a-z]+):(?=\S)}g) {
                finding("$name: this Postfix has no tables of type $_") if %known && $wrote->{$name};
            }
        }
        # Caches are made by those who use them.
        return if $name =~ /_cache_(?:database|map)$|^address_verify_map$/;
        while ($value =~ m{(?<![\w/.:-])(?:proxy:)?([a-z]+):(/[^\s,\}\)]+)}g) {
            $named{"$1:$2"} //= [ $name, $1, $2 ] unless $1 =~ /^(?:unix|inet|static|fifo|https?|file|local|maildir)$/;
        }
    };
    # By the setting that somebody wrote, rather than by one that is made of it.
    $look->($_, $set->{$_}) for sort { ($wrote->{$b} // 0) <=> ($wrote->{$a} // 0) || $a cmp $b } keys %$set;
    for my $service (@$services) { $look->($_, expand($set, $service->{options}{$_}, 0)) for keys %{ $service->{options} } }
    my @patterns;
    for (map { $named{$_} } sort keys %named) {
        my ($name, $type, $path) = @$_;
        my $suffix = $compiled{$type} // $plain{$type} // next;
        if (%known && !$known{$type}) { finding("$name: this Postfix has no tables of type $type ($type:$path)") }
        elsif (!-e "$path$suffix") { finding("$name: $type:$path: there is no $path$suffix") }
        elsif ($type =~ /^(?:regexp|pcre|cidr|texthash)$/) {
            push @patterns, "$type:$path";
            examine_actions($name, $path) if $name =~ /(?:header|body)_checks$/ && $type =~ /^(?:regexp|pcre)$/;
        }
        elsif ($compiled{$type} && -z "$path$suffix") { finding("$name: $type:$path: $path$suffix is empty") }
    }
    # All at once: each takes some milliseconds of waiting.
    my @reading = map { open my $said, '-|', 'exec postmap -q rehearsal ' . quoted($_) . ' 2>&1 >/dev/null' or (); $said // () } @patterns;
    for my $said (@reading) {
        while (<$said>) { finding($1) if /((?:warning|fatal|error): .*)/ && !/overriding earlier|unused param|undefined param/ }
    }
}

# An action that header_checks(5) does not know lets the message pass, with a warning for each.
sub examine_actions {
    my ($name, $path) = @_;
    my $number = 0;
    for (split /\n/, slurp($path)) {
        $number++;
        next unless m{^!?([/|!:,@#%])(?:\\.|(?!\1).)*\1\w*\s+(\w+)} && $1 ne '#';
        finding("$name: $path, line $number: there is no action $2") unless $2 =~ /^(?:BCC|DISCARD|DUNNO|FILTER|HOLD
          |IGNORE|INFO|OK|PASS|PREPEND|REDIRECT|REJECT|REPLACE|STRIP|WARN)$/xi;
    }
}

sub quoted { my ($word) = @_; $word =~ s/'/'\\''/g; "'$word'" }

# A certificate of the client side, which no conversation here presents, must have its key.
sub examine_keys {
    my ($set, $changed) = @_;
    my %pairs;
    for (@$changed) { $pairs{$1} = 1 if /^((?:smtp|lmtp|tlsproxy_client)_tls_(?:ec|d)?)(?:cert|key)_file$/ }
    for my $name (sort keys %pairs) {
        my ($cert, $key) = map { expand($set, $set->{ $name . $_ } // '', 0) } qw(cert_file key_file);
        next unless -r $cert && -r $key && have('openssl');
        my @public = (scalar qx(openssl x509 -noout -pubkey -in @{[ quoted($cert) ]} 2>/dev/null),
            scalar qx(openssl pkey -pubout -in @{[ quoted($key) ]} 2>/dev/null));
        finding("${name}cert_file and ${name}key_file do not belong together") if $public[0] ne $public[1];
    }
}

# Whom the live files do not ask yet must be there, unless Postfix may do without. Who died
# before is not this change's fault.
sub examine_endpoints {
    my ($set, $services, $live, $unix) = @_;
    for my $service (@$services) {
        my %asked = whom_it_asks($set, $service);
        my $chroot = $service->{chroot} eq 'y' ? $set->{queue_directory} : '';
        for (sort keys %asked) {
            next if index($live, $_ =~ s/^inet:(?=.*:)//r) >= 0;
            my $why = unreachable($_, $set->{queue_directory}, $chroot, $unix) or next;
            finding("$service->{name}/$service->{type}: $asked{$_} does not answer ($why), and mail would wait for it");
        }
    }
}

# Endpoints that a service cannot do without, and what to call them.
sub whom_it_asks {
    my ($set, $service) = @_;
    my %asked;
    if ($service->{command} eq 'lmtp') {
        for (map { $set->{$_} } grep { /_transport$/ } keys %$set) { $asked{$1} = "the server $1" if /^\Q$service->{name}\E:(unix:.+)/ }
    }
    if ($service->{command} eq 'cleanup') {
        milters_of($set, $service, 'non_smtpd_milters', \%asked);
    }
    return %asked unless $service->{command} eq 'smtpd';
    for my $value (values %$set, map { expand($set, $_, 0) } values %{ $service->{options} }) {
        while ($value =~ /check_policy_service[\s,]+(\{.*?\}|[^\s,{}]+)/g) {
            my $server = $1;
            my $away = $server =~ /default_action\s*=\s*(\S+)/ ? $1 : effective($set, $service, 'smtpd_policy_service_default_action');
            $server =~ s/^\{\s*([^\s,\}]+).*/$1/;
            $asked{$server} = "the policy service $server" if $away =~ /^[45]|^defer|^reject/i;
        }
    }
    milters_of($set, $service, 'smtpd_milters', \%asked);
    my $proxy = effective($set, $service, 'smtpd_proxy_filter');
    $asked{ $proxy =~ /^(?:inet|unix):/ ? $proxy : "inet:$proxy" } = "the content filter $proxy" if length $proxy;
    return %asked;
}

sub milters_of {
    my ($set, $service, $name, $asked) = @_;
    for my $milter (effective($set, $service, $name) =~ /(\{[^}]*\}|[^\s,]+)/g) {
        my $away = $milter =~ /default_action\s*=\s*(\w+)/ ? $1 : effective($set, $service, 'milter_default_action');
        $milter =~ s/^\{\s*([^\s,\}]+).*/$1/;
        $asked->{$milter} = "the milter $milter" unless $away =~ /^(?:accept|quarantine)$/;
    }
}

# Why nobody is there to be asked; empty if somebody is, or will be (a service of master.cf).
sub unreachable {
    my ($endpoint, $queue, $chroot, $unix) = @_;
    if ($endpoint =~ /^(?:unix|local):(.*)/) {
        my $path = $1;
        return '' if $path =~ m{^(?:private|public)/(.+)} && $unix->{$1};
        my $real = $path =~ m{^/} ? "$chroot$path" : "$queue/$path";
        return '' if IO::Socket::UNIX->new(Peer => $real);
        return $path =~ m{^/} && $chroot ne '' && -S $path ? "$path is out of its reach: the service runs in $chroot" : "$real: $!";
    }
    my ($address, $port) = $endpoint =~ /^(?:inet6?:)?(?:(.*?)[:\@])?([^:\@]+)$/ or return '';
    ($port, $address) = ($1, $2) if $endpoint =~ /^inet6?:([^:\@]+)\@(.*)$/;
    $address = '127.0.0.1' unless defined $address && length $address;
    $address =~ s/^\[(.*)\]$/$1/;
    my ($error, @found) = Socket::getaddrinfo($address, $port, { socktype => SOCK_STREAM });
    return "$error" if $error;
    for (@found) {
        socket my $there, $_->{family}, SOCK_STREAM, 0 or next;
        local $SIG{ALRM} = sub { die };
        my $reached = eval { alarm 3; my $ok = connect $there, $_->{addr}; alarm 0; $ok };
        alarm 0;
        return '' if $reached;
    }
    return "nobody listens at $address port $port";
}
