# What came of the conversations: findings of the standing ones, verdicts of the tests.

# A standing conversation: only what a configuration can be blamed for.
sub look_at {
    my ($test, $heard) = @_;
    my $label = "$test->{listener}{label}: $test->{who}";
    my $fault = $test->{fault} // '';
    if ($fault =~ /^this host has no openssl/) { note("$test->{listener}{label} is not talked to: $fault") }
    # Slow DNS says nothing about the configuration; the log does.
    elsif ($fault ne '' && $fault !~ /^there is no reply/) { finding("$label: $fault") }
    for (@{ $test->{replied} || [] }) {
        finding("$label: $_->{said} is answered: $_->{code} $_->{text}")
          if "$_->{code} $_->{text}" =~ /^(?:4\d\d 4\.3\.[05]|552 5\.3\.4)/ || $_->{stage} eq 'starttls';
        finding("$label: may relay to anywhere (RCPT is answered: $_->{code} $_->{text}): an open relay")
          if $test->{who} =~ /^a stranger/ && $_->{said} =~ ABROAD && $_->{code} =~ /^2/;
    }
    my ($address, $port) = endpoint($test->{listener}{name});
    return unless $test->{listener}{type} eq 'pass' || $port eq '25';
    # That nobody gets through any more is seldom meant; where it is, a policy test says so.
    # Names that are made up here, and DNS, are no fault of the configuration.
    my $wanted = $heard->{ $test->{who} } or return;
    my $made_up = qr/not found|cannot find|does not accept mail|lookup failure|unverified|Address lookup/i;
    for (grep { $_->{said} =~ $wanted && $_->{code} =~ /^[45]/ && $_->{text} !~ $made_up } @{ $test->{replied} || [] }) {
        my $meant = $_->{stage} eq 'message' ? '' : ': if that is meant, a policy test must expect it';
        finding("$label is refused ($_->{said} is answered: $_->{code} $_->{text})$meant");
    }
}

# Who must be heard on port 25, and whose reply to what tells. Policy tests may want otherwise: of
# anybody who writes to postmaster, of this host itself.
sub heard {
    my ($set, @tests) = @_;
    my $to_us = quotemeta 'RCPT TO:<postmaster@' . own_domain($set) . '>';
    my %heard = ('a stranger' => qr/^(?:MAIL|$to_us|DATA|the message)/, 'a stranger without TLS' => qr/^(?:MAIL|$to_us)/,
        'this host itself' => qr/^\QRCPT TO:<${\ABROAD}>/);
    for my $test (@tests) {
        next if !@{ $test->{replies} } || grep { !/^[45]/ } @{ $test->{replies} };
        delete $heard{'this host itself'} if $test->{client}{address} =~ /^127\.|^::1$/;
        next unless $test->{anybody} && grep { /^postmaster(?:\@|$)/i } @{ $test->{recipients} };
        delete $heard{'a stranger without TLS'} unless $test->{client}{tls};
        delete $heard{'a stranger'} unless grep { $_ eq '530' } @{ $test->{replies} };
    }
    return \%heard;
}

# One line of the report: everything that was said, who decided, and what of it was not expected.
sub verdict {
    my ($test, $trace, $asked) = @_;
    my @replies = @{ $test->{replied} || [] };
    my $last = $replies[-1] || { code => '', text => '' };
    my @offers = @{ $test->{offered} || [] };
    my %offered = map { uc((split /[ =]/, $_)[0]) => 1 } @offers;
    my %evaluated = map { $_ => 1 } @{ $trace->{restrictions} || [] };
    my @failed;
    push @failed, 'fault' if defined $test->{fault};
    push @failed, 'reply' if @{ $test->{replies} } && !grep { (my $code = quotemeta) =~ s/x/\\d/gi; $last->{code} =~ /^$code$/ } @{ $test->{replies} };
    push @failed, 'text' if index(lc "$last->{code} $last->{text}", lc $test->{text}) < 0;
    push @failed, map { "offers $_" } grep { !$offered{ uc $_ } } @{ $test->{offers} };
    push @failed, map { "lacks $_" } grep { $offered{ uc $_ } } @{ $test->{lacks} };
    push @failed, map { "asks $_" } grep { !$evaluated{$_} } @{ $test->{asks} };
    print report('verdict', test => $test->{name}, (map { (failed => $_) } @failed),
        session_pairs({ replies => \@replies, offers => \@offers, fault => $test->{fault} }),
        (map { (restriction => $_) } @{ $trace->{restrictions} || [] }),
        (map { (decision => $_) } @{ $trace->{decision} || [] }),
        (map { (question => $_) } @{ $asked || [] }));
}

# What stand-ins were asked, by conversation.
sub questions {
    my ($file) = @_;
    my %asked;
    for (split /\n/, slurp($file)) {
        my ($number, $rest) = split ' ', $_, 2;
        my $record = unpack_line($rest);
        my $endpoint = delete($record->{endpoint})->[0];
        push @{ $asked{$number} }, join ' ', "$endpoint:", map { "$_=$record->{$_}[0]" } sort keys %$record;
    }
    return \%asked;
}

# ---- the log

# All lines, once nothing is added any more. Findings are made of what means a configuration
# that does not work.
sub read_log {
    my ($file, $early) = @_;
    my ($size, $before) = (-1, -2);
    for (1 .. 40) { last if $size == $before; $before = $size; pause(0.01); $size = -s $file // 0 }
    my @said = split /\n/, as_known(slurp($file) . slurp($early));
    for (@said) {
        next unless /(?:fatal|panic|error|warning): /;
        next unless /\]: (fatal|panic|error|warning): (.*)/;
        my ($level, $text) = ($1, $2);
        next if $level eq 'warning' && $text !~ /unknown smtpd restriction|bad command startup|lookup error|unsupported dictionary|requires|is unavailable|cannot load|problem talking to|no SASL|is ignored$|do not list domain/;
        # What is started alone (start_alone) has nobody to read from.
        next if $text =~ /rehearsal|RBL lookup error|qmgr|^read: |^accept connection: /;
        $text =~ s/\bprocess (\S+) pid \d+/process $1/;
        $text =~ s/\s+pid \d+//g;
        finding("the log says: $level: $text");
    }
    return \@said;
}
