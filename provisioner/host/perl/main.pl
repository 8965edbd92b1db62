# Runs inside the rehearsal's namespaces. Its report on standard output, a line each: `finding`
# is wrong with the configuration, `note` is worth knowing, `verdict` is what came of a test.
# The third argument is empty, or says why there are no namespaces: then it is held in a copy.
my ($config, $proof, $weaker, $scene, @directories) = @ARGV;
$| = 1;

my @tests;
my %about = (live => 0, backends => 0);
while (my $line = <DATA>) {
    my ($kind, $rest) = split ' ', $line, 2;
    if ($kind eq 'test') { push @tests, test_of(unpack_line($rest)) }
    elsif (exists $about{$kind}) { $about{$kind} = 1 }
}

sub test_of {
    my ($said) = @_;
    my $one = sub { $said->{ $_[0] } ? $said->{ $_[0] }[0] : $_[1] };
    return {
        name => $one->('name', ''), service => $one->('service', 'smtp'), until => $one->('until', 'data'),
        client => {
            address => $one->('address', ''), name => $one->('client', undef), login => $one->('login', ''),
            reverse => $one->('reverse', undef), tls => $one->('tls', ''),
        },
        helo => $one->('helo', undef), sender => $one->('sender', ''), message => $one->('message', ''),
        recipients => $said->{to} || [], commands => $said->{command} || [],
        replies => $said->{reply} || [], text => $one->('text', ''), offers => $said->{offers} || [],
        lacks => $said->{lacks} || [], asks => $said->{asks} || [],
        anybody => $one->('anybody', 0), policy => $one->('policy', undef), milter => $one->('milter', undef),
    };
}

# What is asked of every listener, whatever the tests: a stranger must be judged and must not
# be let through, the host itself must be heard, TLS must complete where it is offered.
sub standing_tests {
    my ($set, @listeners) = @_;
    my $postmaster = 'postmaster@' . own_domain($set);
    my $protocols = $set->{inet_protocols};
    my @standing;
    for my $listener (@listeners) {
        my $demanded = effective($set, $listener, 'smtpd_tls_security_level') eq 'encrypt'
          || effective($set, $listener, 'smtpd_enforce_tls') eq 'yes';
        my %common = (listener => $listener, helo => 'rehearsal.example.org', until => 'message',
            commands => [], anyway => 1,
            message => "From: <rehearsal\@example.org>\nSubject: rehearsal\n\nNobody delivers this.");
        my %stranger = (address => STRANGER, name => 'rehearsal.example.org', login => '',
            reverse => 'rehearsal.example.org', tls => $demanded);
        push @standing, { %common, who => 'a stranger', client => {%stranger}, sender => 'rehearsal@example.org',
            recipients => [ ABROAD, $postmaster, 'postmaster' ] },
          { %common, who => 'this host itself', sender => '', recipients => [ ABROAD, $postmaster, 'postmaster' ],
            client => { %stranger, address => '127.0.0.1', name => 'localhost', reverse => 'localhost' } };
        # Half of the world may relay as well: asked of other ranges, too.
        push @standing, map { { %common, who => "a stranger at $_", until => 'rcpt', recipients => [ABROAD],
            sender => 'rehearsal@example.org', client => { %stranger, address => $_ } } }
          $protocols =~ /ipv4|all/i ? HALFWAY : (), $protocols =~ /ipv6|all/i ? BEYOND : ();
        push @standing, { %common, who => 'a stranger without TLS', until => 'rcpt', sender => 'rehearsal@example.org',
            recipients => [$postmaster], client => { %stranger, tls => '' } } if $demanded && !$listener->{wrapped};
        push @standing, { %common, who => 'ETRN', client => {%stranger}, until => 'rcpt', recipients => [],
            commands => [ 'ETRN ' . own_domain($set), 'VRFY postmaster' ] };
        next if $demanded || $listener->{wrapped} || !have('openssl')
          || effective($set, $listener, 'smtpd_tls_security_level') !~ /^may$/
          && effective($set, $listener, 'smtpd_use_tls') ne 'yes';
        push @standing, { %common, who => 'TLS', client => { %stranger, tls => 1 }, until => 'helo' };
    }
    return @standing;
}

sub main {
    if (length $weaker) {
        note($weaker);
        $config = copy_files($proof, $config, $scene, @directories);
    } else {
        cover_files($proof, $config, $scene, @directories);
    }
    aged("$config/main.cf", "$config/master.cf");
    my ($set, $services) = read_settings($proof) or return 0;
    my $standins = StandIns->new(%about);
    examine($config, $proof, $set, $services, $standins);
    private_directories($proof, $set, $services) or return 0;
    private_syslog($proof) unless length $root;
    my $queue = $set->{queue_directory};
    my $log = "$set->{data_directory}/rehearsal.log";
    my @listeners = rewrite_configuration($config, $set->{daemon_directory}, $set, $services, $standins, @tests ? ' -v' : '');
    print "listener $_->{label}\n" for @listeners;
    my @all = (standing_tests($set, @listeners), @tests);
    my $port = 20000;
    for (@all) {
        $_->{number} = $port;
        $_->{client}{port} = $port++;
        $_->{listener} //= listener_for($_->{service}, \@listeners, $services);
    }
    $standins->start($queue, "$proof/asked", { map { ($_->{number} => $_) } @all });
    start_master($set->{daemon_directory}, $queue, $log, @listeners) or return read_log($log, "$proof/syslog");
    defined(my $alone = fork) or die "fork: $!\n";
    if (!$alone) { eval { start_alone($set->{daemon_directory}, $services, $log) }; exit 0 }
    hold($log, @all);
    waitpid $alone, 0;
    start_agents($set, $services, $queue);
    my $said = read_log($log, "$proof/syslog");
    my $decided = decisions($said, $standins->names);
    my $asked = questions("$proof/asked");
    my $heard = heard($set, @tests);
    for (@all) { $_->{who} ? look_at($_, $heard) : verdict($_, $decided->{ $_->{number} }, $asked->{ $_->{number} }) }
    return 0;
}

# A domain that this host takes mail for, as far as that is not in a table.
sub own_domain {
    my ($set) = @_;
    my ($own) = grep { /^[\w.-]+\.[\w-]+$/ } split /[\s,]+/, join ' ', @$set{qw(mydestination
      virtual_mailbox_domains virtual_alias_domains relay_domains)};
    return $own // $set->{mydomain};
}

sub start_master {
    my ($daemons, $queue, $log, @listeners) = @_;
    defined(my $pid = fork) or die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', "$proof/master.err";
        exec "$daemons/master", '-c', $config or exit 127;
    }
    my $last = @listeners ? $listeners[-1]{socket} : "$queue/public/cleanup";
    # Not before postlogd(8) writes: it warns of settings that are there twice to its own socket,
    # and where others have filled that with their words, it waits for itself.
    for (1 .. 4000) {
        return 1 if -S $last && -s $log;
        last if waitpid($pid, WNOHANG) == $pid;
        pause(0.005);
    }
    finding('master does not start') unless %found;
    return 0;
}

# Programs that deliver start here, too, once somebody connects to them: that alone shows
# whether they can live with these settings. Without a queue manager they have nothing to do.
sub start_agents {
    my ($set, $services, $queue) = @_;
    my %seen;
    my @asked;
    for my $service (@$services) {
        my $is = "$service->{command} $service->{rest}";
        next unless $service->{type} eq 'unix' && $service->{command} =~ /^(?:smtp|lmtp|local|virtual|error)$/;
        next if $seen{$is}++ || ($service->{command} eq 'virtual' && $set->{virtual_mailbox_base} eq '');
        my $socket = "$queue/" . ($service->{private} eq 'n' ? 'public' : 'private') . "/$service->{name}";
        push @asked, connected($socket) // next;
    }
    for my $agent (@asked) {
        for (1 .. 40) { last if can_read(0.25, $agent) || throttled() }
    }
}

# Who would deliver, or needs the real ports, is started alone for one request that is none
# (master(8) runs nothing of the kind here): it reads its settings and ends.
sub start_alone {
    my ($daemons, $services, $log) = @_;
    my (%running, %seen, @peers);
    for my $service (@$services) {
        # Services of one program with the same settings, as bounce, defer and trace, are one.
        next if $seen{"$service->{command} $service->{rest}"}++;
        next unless $service->{command} =~ /^(?:o?qmgr|pickup|postscreen|tlsproxy|dnsblog|bounce|flush|verify|scache|showq)$/;
        # A peer that says nothing: programs wait for it with epoll(7), and write to it.
        socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or next;
        shutdown $ours, 1;
        push @peers, $ours;
        defined(my $pid = fork) or next;
        if (!$pid) {
            $ENV{MAIL_CONFIG} = $config;
            open STDIN, '+<&', $theirs;
            open STDOUT, '>', '/dev/null';
            open STDERR, '>', '/dev/null';
            my @options = map { ('-o', "$_=$service->{options}{$_}") } sort keys %{ $service->{options} };
            exec "$daemons/$service->{command}", '-S', '-n', $service->{name}, '-t', 'unix', @options or exit 127;
        }
        $running{$pid} = 1;
    }
    for (1 .. 300) {
        last unless %running;
        while ((my $pid = waitpid -1, WNOHANG) > 0) { delete $running{$pid} }
        # Who has said why it ends waits for a second before it does.
        my $said = slurp($log);
        kill 'KILL', grep { $said =~ /\[$_\]: fatal: / } keys %running;
        pause(0.01) if %running;
    }
    kill 'KILL', keys %running;
}

eval { main() };
if ($@) { chomp $@; finding("the rehearsal cannot be set up: $@") }
print "complete\n";
exit 0;
