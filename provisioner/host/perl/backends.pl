# Whom this host hands mail to and asks about it: they must be there, and be of use.

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
        if (!$pid) { exit(gethostbyname("1.0.0.127.$zone") ? 3 : 0) }
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
        return '' if connected($real);
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
