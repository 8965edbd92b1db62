# Stand-ins for whom smtpd(8) asks: policy services (SMTPD_POLICY_README), milters (MILTER_README)
# and a Dovecot that this very change starts. They answer what a test wants, else nothing in
# particular, and write down what they were asked. The port of the client says whose question
# it is: each conversation has one of its own.
package StandIns;

sub new {
    my ($class, %about) = @_;    # live: ask the real ones; backends: some start with this change
    return bless { %about, sockets => {}, names => {} }, $class;
}

# The socket that stands for an endpoint, relative to the queue.
sub stand_for {
    my ($self, $kind, $endpoint) = @_;
    my $socket = $self->{names}{"$kind $endpoint"} //= 'private/rehearsal-' . keys %{ $self->{names} };
    $self->{sockets}{$socket} = { kind => $kind, endpoint => $endpoint };
    return "unix:$socket";
}

# Which endpoint each socket stands for.
sub names {
    my ($self) = @_;
    return { map { ($_ => $self->{sockets}{$_}{endpoint}) } keys %{ $self->{sockets} } };
}

# Configuration text with each policy service replaced.
sub policy {
    my ($self, $text, $set) = @_;
    return $text if $self->{live};
    $text =~ s/(check_policy_service)([\s,]+\{?\s*)(\$\{\w+\}|[^\s,{}]+)/
      $1 . $2 . $self->stand_for('policy', main::expand($set, $3, 0))/gex;
    return $text;
}

sub milters {
    my ($self, $value) = @_;
    return $value if $self->{live};
    my @milters = $value =~ /(\{[^}]*\}|[^\s,]+)/g;
    s/^\{\s*([^\s,}]+).*/$1/s for @milters;
    return join ' ', map { $self->stand_for('milter', $_) } @milters;
}

# Where this change starts Dovecot, its socket is not there yet.
sub settings {
    my ($self, $set) = @_;
    my $path = $set->{smtpd_sasl_path};
    return '' unless $self->{backends} && $set->{smtpd_sasl_type} eq 'dovecot' && $path !~ /^inet:/;
    $path =~ s/^unix://;
    $path = "$set->{queue_directory}/$path" unless $path =~ m{^/};
    # One that was stopped may have left its socket behind.
    return '' if main::connected($path);
    $self->stand_for('dovecot', $path) =~ /^unix:(.*)/;
    return "smtpd_sasl_path = $1\n";
}

# Starts a process that answers on all sockets below $queue; it ends with the namespace.
sub start {
    my ($self, $queue, $record, $answers) = @_;
    return unless %{ $self->{sockets} };
    my (@all, %kind);
    for my $socket (sort keys %{ $self->{sockets} }) {
        my $listening = main::bound("$queue/$socket", main::SOCK_STREAM);
        push @all, $listening;
        $kind{$listening} = $self->{sockets}{$socket};
    }
    defined(my $pid = fork) or die "fork: $!\n";
    return if $pid;
    open my $notes, '>>', $record or exit 1;
    main::unbuffered($notes);
    my %peer;
    while (my @ready = main::can_read(undef, @all)) {
        for my $handle (@ready) {
            if (my $service = $kind{$handle}) {
                accept my $new, $handle or next;
                push @all, main::unbuffered($new);
                $peer{$new} = { %$service, rest => '', port => 0 };
                print $new "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nDONE\n"
                  if $service->{kind} eq 'dovecot';
            } elsif (sysread $handle, $peer{$handle}{rest}, 65536, length $peer{$handle}{rest}) {
                answer($peer{$handle}, $handle, $notes, $answers);
            } else {
                @all = grep { $_ != $handle } @all;
                delete $peer{$handle};
                close $handle;
            }
        }
    }
    exit 0;
}

sub answer {
    my ($peer, $handle, $notes, $answers) = @_;
    local $SIG{PIPE} = 'IGNORE';
    if ($peer->{kind} eq 'policy') {
        while ($peer->{rest} =~ s/^(.*?\n)\n//s) {
            my %asked = $1 =~ /^(\w+)=(.*)$/mg;
            my $port = $asked{client_port} // 0;
            print $notes main::report($port, endpoint => $peer->{endpoint},
                map { $_ => $asked{$_} } grep { length $asked{$_} } sort keys %asked);
            my ($action) = ($answers->{$port}{policy} // 'DUNNO') =~ /^(.*)/;
            print $handle "action=$action\n\n";
        }
    } elsif ($peer->{kind} eq 'milter') {
        while (length $peer->{rest} >= 5) {
            my ($size, $event) = unpack 'Na', $peer->{rest};
            last if length $peer->{rest} < 4 + $size;
            my $data = substr $peer->{rest}, 5, $size - 1;
            substr($peer->{rest}, 0, 4 + $size) = '';
            my $reply = milter_event($peer, $event, $data, $notes, $answers);
            print $handle pack('N', length $reply) . $reply if length $reply;
        }
    } else {
        $peer->{rest} = '';
    }
}

my %event_name = (C => 'connect', H => 'helo', M => 'mail', R => 'rcpt', E => 'message');

# The reply to one event of the milter protocol (version 6); empty where none is due.
sub milter_event {
    my ($peer, $event, $data, $notes, $answers) = @_;
    if ($event eq 'O') {
        my ($version, undef, $steps) = unpack 'NNN', $data;
        # Neither headers nor body, DATA nor unknown commands need be told.
        return 'O' . pack 'NNN', $version < 6 ? $version : 6, 0, $steps & 0x370;
    }
    ($peer->{port}) = (unpack 'Z*an', $data)[2] || 0 if $event eq 'C';
    my $name = $event_name{$event} or return $event =~ /[DAQK]/ ? '' : 'c';
    (my $said = $event eq 'C' ? unpack 'Z*', $data : $data) =~ tr/\0/ /;
    print $notes main::report($peer->{port}, endpoint => $peer->{endpoint}, event => $name, said => $said);
    my ($at, $wanted) = split ' ', $answers->{ $peer->{port} }{milter} // '', 2;
    return $event eq 'E' ? 'a' : 'c' unless defined $wanted && $at eq $name;
    return $wanted =~ /^[45]\d\d / ? "y$wanted\0" : $wanted eq 'reject' ? 'r' : $wanted eq 'tempfail' ? 't' : 'd';
}

package main;
