# Conversations with smtpd(8): who the client is is told with XCLIENT (XCLIENT_README), TLS is
# spoken by openssl(1). A session is a hash of handles and of the replies so far.

my %number = (smtp => 25, submission => 587, submissions => 465, smtps => 465);

# Address and port of a service name, so that names and numbers of ports are the same.
sub endpoint {
    my ($address, $port) = $_[0] =~ /^(?:(.*):)?([^:]*)$/;
    return ($address // '', $number{$port} // $port);
}

# The listener that a test means. Behind postscreen(8) it is the smtpd that takes over.
sub listener_for {
    my ($wanted, $listeners, $services) = @_;
    my @found = grep { $_->{label} eq $wanted || $_->{name} eq $wanted } @$listeners;
    my ($address, $port) = endpoint($wanted);
    @found = grep { my @its = endpoint($_->{name}); $_->{type} eq 'inet' && $its[1] eq $port
          && ($address eq '' || $its[0] eq $address) } @$listeners
      unless @found;
    if (!@found && grep { $_->{command} eq 'postscreen' && (endpoint($_->{name}))[1] eq $port } @$services) {
        @found = grep { $_->{type} eq 'pass' } @$listeners;
    }
    return $found[0];
}

# Connects, and speaks TLS by `tls` (none, starttls, wrapped). Dies with what is wrong.
sub connect_to {
    my ($listener, $tls) = @_;
    my %session = (replies => [], offers => [], rest => '');
    if ($tls eq 'none') {
        $session{socket} = connected($listener->{socket}) // die "cannot connect: $!\n";
    } else {
        socketpair my $here, my $there, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
        $session{errors} = "$listener->{socket}.$$.tls";
        defined($session{pid} = fork) or die "fork: $!\n";
        if (!$session{pid}) {
            open STDIN, '<&', $there;
            open STDOUT, '>&', $there;
            open STDERR, '>', $session{errors};
            # Nobody is verified here: to read all the CAs that this host trusts takes longer than
            # all the rest.
            @ENV{qw(SSL_CERT_FILE SSL_CERT_DIR)} = ('/dev/null') x 2;
            exec(qw(openssl s_client -quiet -unix), $listener->{socket}, $tls eq 'starttls' ? qw(-starttls smtp) : ())
              or exit 127;
        }
        close $there;
        $session{socket} = unbuffered($here);
    }
    return \%session;
}

sub hang_up {
    my ($session) = @_;
    close $session->{socket};
    return unless $session->{pid};
    kill 'KILL', $session->{pid};
    waitpid $session->{pid}, 0;
    unlink $session->{errors};
}

# Says a line (undef: listens) and returns the code of the reply. Dies if none comes.
sub say_line {
    my ($session, $stage, $line, $called) = @_;
    my $what = $called // $line // 'the connection';
    local $SIG{PIPE} = 'IGNORE';
    print { $session->{socket} } "$line\r\n" if defined $line;
    my (@lines, $last);
    do {
        $last = next_line($session, $what);
        push @lines, $last if @lines < 100;
    } while ($last =~ /^\d{3}-/);
    my ($code, $text) = $last =~ /^(\d{3}) ?(.*)/ or die "$what is answered: $last\n";
    push @{ $session->{replies} }, { stage => $stage, said => $what, code => $code, text => $text } if $stage;
    $session->{lines} = \@lines;
    return $code;
}

# A line of the server's. Slow DNS is waited for; a process that dies at its start is not
# started again for a minute.
sub next_line {
    my ($session, $what) = @_;
    my $waited = 0;
    my $end;
    while (($end = index $session->{rest}, "\n") < 0) {
        if (can_read(0.25, $session->{socket})) {
            next if sysread $session->{socket}, $session->{rest}, 8192, length $session->{rest};
            die tls_failure($session) || "the connection ends after $what\n";
        }
        die "$what is not answered: the service does not start\n" if throttled();
        die "there is no reply to $what within 20 seconds\n" if ++$waited >= 80;
    }
    my $line = substr $session->{rest}, 0, $end + 1, '';
    $line =~ s/\s+$//;
    return $line;
}

my $log_file;

sub throttled { return defined $log_file && slurp($log_file) =~ /bad command startup -- throttling/ }

# What openssl says of a handshake that did not complete; empty if that is not it.
sub tls_failure {
    my ($session) = @_;
    return '' unless $session->{pid};
    my ($said) = slurp($session->{errors}) =~ /error:[^:]*:(?:[^:]*:){1,2}([^:\n]+)/;
    return 'TLS is not completed' . (defined $said ? ": $said" : '') . "\n";
}

# EHLO, or HELO where that is not known; remembers what is offered.
sub greet {
    my ($session, $name, $stage) = @_;
    my $code = say_line($session, $stage, "EHLO $name");
    if ($code =~ /^50[02]/) {
        pop @{ $session->{replies} } if $stage;
        return say_line($session, $stage, "HELO $name");
    }
    my @offers = map { /^250[ -](.*)/ ? $1 : () } @{ $session->{lines} };
    $session->{offers} = [ grep { !/^(?:XCLIENT|XFORWARD)/ } @offers[1 .. $#offers] ] if $code =~ /^2/;
    return $code;
}

# Resolves as smtpd(8) does: the reverse name counts as the name only if it leads back.
sub resolve_client {
    my ($client) = @_;
    return if defined $client->{name} && defined $client->{reverse};
    my $none = '[UNAVAILABLE]';
    my ($reverse, $name) = ($none, $none);
    my ($error, @found) = Socket::getaddrinfo($client->{address}, '',
        { flags => Socket::AI_NUMERICHOST(), socktype => SOCK_STREAM });
    if (!$error && @found) {
        my ($failed, $host) = Socket::getnameinfo($found[0]{addr}, Socket::NI_NAMEREQD());
        $reverse = $failed && $failed == Socket::EAI_AGAIN() ? '[TEMPUNAVAIL]' : $failed ? $none : $host;
        if (!$failed) {
            my (undef, @forward) = Socket::getaddrinfo($host, '', { socktype => SOCK_STREAM });
            $name = $host if grep { $_->{addr} eq $found[0]{addr} } @forward;
        }
    }
    $client->{name} //= $name;
    $client->{reverse} //= $reverse;
}

sub xclient {
    my ($session, $client) = @_;
    resolve_client($client);
    my $address = $client->{address} =~ /:/ ? "IPV6:$client->{address}" : $client->{address};
    my %said = (NAME => $client->{name}, ADDR => $address, REVERSE_NAME => $client->{reverse}, PORT => $client->{port});
    $said{LOGIN} = $client->{login} if length $client->{login};
    for (values %said) {
        $_ = '[UNAVAILABLE]' if $_ eq '';
        s/([^\x21-\x7e]|[+=])/sprintf '+%02X', ord $1/ge;
    }
    my $code = say_line($session, '', join(' ', 'XCLIENT', map { "$_=$said{$_}" } sort keys %said), 'XCLIENT');
    # Where TLS is demanded and this client speaks none, it does not matter who it is.
    return if $code =~ /^220/ || $session->{lines}[-1] =~ /STARTTLS/;
    die "XCLIENT is answered: $session->{lines}[-1]\n";
}

# How STARTTLS is answered, in plain text: asked where TLS did not complete.
sub starttls_reply {
    my ($listener) = @_;
    my $session = connect_to($listener, 'none');
    say_line($session, '', undef);
    greet($session, 'rehearsal.example.org', '');
    say_line($session, 'starttls', 'STARTTLS');
    hang_up($session);
    return $session->{replies}[0];
}

# The session of the last standing conversation. A handshake costs more than a conversation, so
# the next one with the same listener goes on in it, as another client; policy tests do not.
my $kept;

# After how many refusals another session is begun: clients that err often are made to wait.
use constant REFUSALS => 6;

sub session_for {
    my ($test, $listener, $tls) = @_;
    my $session = $kept;
    undef $kept;
    my $kind = "$listener->{label} $tls";
    if ($session && $test->{who} && $session->{kind} eq $kind) {
        @$session{qw(replies offers again)} = ([], [], 1);
        return $session;
    }
    hang_up($session) if $session;
    return { %{ connect_to($listener, $tls) }, kind => $kind, refusals => 0 };
}

# Keeps a session, or ends it. Returns whether this conversation suffered from those before.
sub keep {
    my ($session, $test, $fault) = @_;
    my $cut = ($fault && $fault ne "stop\n") || grep { $_->{code} eq '421' } @{ $session->{replies} };
    $session->{refusals} += grep { $_->{code} =~ /^[45]/ } @{ $session->{replies} };
    if ($test->{who} && !$cut && $session->{refusals} < REFUSALS) { $kept = $session }
    else { hang_up($session) }
    return $cut && $session->{again};
}

# Holds one conversation. Returns its session; `fault` in it says what went wrong.
sub converse {
    my ($test, $listener) = @_;
    my $session = { replies => [], offers => [] };
    my $tls = $listener->{wrapped} ? 'wrapped' : $test->{client}{tls} ? 'starttls' : 'none';
    eval {
        die "this host has no openssl to speak TLS with\n" if $tls ne 'none' && !have('openssl');
        $session = session_for($test, $listener, $tls);
        dialogue($session, $test, $tls);
    };
    my $fault = $@;
    return converse($test, $listener) if $session->{socket} && keep($session, $test, $fault);
    if ($tls eq 'starttls' && $fault && $fault ne "stop\n" && !@{ $session->{replies} }) {
        my $reply = eval { starttls_reply($listener) };
        $fault = $@ if $@;
        if ($reply && $reply->{code} !~ /^2/) { ($session->{replies}, $fault) = ([$reply], '') }
    }
    $session->{fault} = $fault =~ s/\s+$//r if $fault && $fault ne "stop\n";
    return $session;
}

sub dialogue {
    my ($session, $test, $tls) = @_;
    my $refused = sub { my ($code, $stage) = @_; die "stop\n" if $code !~ /^[23]/ || $test->{until} eq $stage };
    # After STARTTLS it is the client's turn, else the server greets first.
    if ($session->{again}) { say_line($session, '', 'RSET') }
    elsif ($tls ne 'starttls') { $refused->(say_line($session, 'connect', undef), '') }
    $session->{replies} = [];
    xclient($session, $test->{client});
    if (@{ $session->{lines} } && $session->{lines}[-1] =~ /^220/) {
        push @{ $session->{replies} }, { stage => 'connect', said => 'the connection', code => '220',
            text => $session->{lines}[-1] =~ s/^220 //r };
        $refused->('220', 'connect');
    }
    $refused->(greet($session, $test->{helo}, 'helo'), 'helo') if defined $test->{helo};
    # Some versions take LOGIN for granted where nobody could log in.
    die "this service offers no AUTH to log in with\n"
      if length $test->{client}{login} && !grep { /^AUTH\b/ } @{ $session->{offers} };
    if (@{ $test->{commands} }) {
        $refused->(say_line($session, 'command', $_), '') for @{ $test->{commands} };
        return;
    }
    $refused->(say_line($session, 'mail', "MAIL FROM:<$test->{sender}>"), 'mail');
    my $code = '';
    for (@{ $test->{recipients} }) {
        $code = say_line($session, 'rcpt', "RCPT TO:<$_>");
        $refused->($code, '') unless $test->{anyway};
    }
    return if $test->{until} eq 'rcpt' || $code !~ /^2/;
    $refused->(say_line($session, 'data', 'DATA'), 'data');
    (my $message = $test->{message}) =~ s/\r?\n?\z//;
    $message =~ s/\r?\n/\r\n/g;
    $message =~ s/^\./../mg;
    say_line($session, 'message', "$message\r\n.", 'the message');
}

sub have { my ($tool) = @_; grep { -x "$_/$tool" } split /:/, $ENV{PATH} }

# Several conversations at once: most of the time of each is spent waiting for DNS. Each test
# gets its `session`; standard output is written to all the while, so that a reader who went
# away ends all this.
sub hold {
    my ($log, @tests) = @_;
    $log_file = $log;
    my $workers = @tests < 6 ? @tests : 6;
    # A process of smtpd(8) takes longer to start than a conversation does: each worker stays with
    # a listener, and finds one that runs.
    my $of = sub { join ' ', $_[0]{listener} ? $_[0]{listener}{label} : '', $_[0]{client}{tls} ? 'tls' : '' };
    my @in_turn = sort { $of->($a) cmp $of->($b) || $a->{number} <=> $b->{number} } @tests;
    my (@reading, %text, %by_number);
    $by_number{ $_->{number} } = $_ for @tests;
    for my $worker (0 .. $workers - 1) {
        pipe my $read, my $write or die "pipe: $!\n";
        defined(my $pid = fork) or die "fork: $!\n";
        if (!$pid) {
            my ($first, $next) = map { int($_ * @tests / $workers) } $worker, $worker + 1;
            syswrite $write, held($_) for @in_turn[$first .. $next - 1];
            hang_up($kept) if $kept;
            exit 0;
        }
        close $write;
        push @reading, $read;
        $text{$read} = '';
    }
    while (@reading) {
        print "\n" or exit 1;
        for my $read (can_read(0.2, @reading)) {
            next if sysread $read, $text{$read}, 65536, length $text{$read};
            @reading = grep { $_ != $read } @reading;
            for (map { unpack_line($_) } split /\n/, $text{$read}) {
                my $test = $by_number{ $_->{number}[0] };
                my $count = @{ $_->{stage} || [] };
                my $said = $_;
                $test->{fault} = $_->{fault}[0] if $_->{fault};
                $test->{offered} = $_->{offers} || [];
                $test->{replied} = [ map { my $i = $_; +{ map { $_ => $said->{$_}[$i] } qw(stage said code text) } }
                      0 .. $count - 1 ];
            }
        }
    }
    $_->{replied} || ($_->{fault} //= 'the conversation was not held') for @tests;
}

# A conversation as a line for `hold`.
sub held {
    my ($test) = @_;
    my $session = $test->{listener}
      ? converse($test, $test->{listener})
      : { replies => [], offers => [], fault => "master.cf has no smtpd service $test->{service}" };
    return report('held', number => $test->{number}, session_pairs($session));
}

sub session_pairs {
    my ($session) = @_;
    my @pairs = map { (offers => $_) } @{ $session->{offers} };
    push @pairs, fault => $session->{fault} if defined $session->{fault};
    for my $reply (@{ $session->{replies} }) { push @pairs, map { $_ => $reply->{$_} } qw(stage said code text) }
    return @pairs;
}
