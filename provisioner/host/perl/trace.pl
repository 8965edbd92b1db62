# Who decided, as smtpd(8) -v logs it. Nothing of this is documented: a test holds it to each
# supported version.

# By conversation: the restrictions that were evaluated, and the decision about the last reply
# (restriction, table, key, action). `names` are the endpoints that stand-ins stand for.
sub decisions {
    my ($log, $names) = @_;
    my (%process, %all, %queued);
    for (@$log) {
        my ($program, $pid, $said) = m{(\w+)\[(\d+)\]: (.*)} or next;
        if ($program eq 'cleanup') { trace_cleanup($said, \%queued) }
        elsif ($program ne 'smtpd') { next }
        elsif ($said =~ /^< \S+: XCLIENT .*\bPORT=(\d+)/) {
            $process{$pid} = $all{$1} = { restrictions => [], stack => [] };
        } elsif ($said =~ /^disconnect from/) {
            delete $process{$pid};
        } elsif (my $one = $process{$pid}) {
            $queued{$1} = $one if $said =~ /^(\w+): client=/;
            trace_smtpd($one, $said, $names);
        }
    }
    for my $one (values %all) {
        my $decided = $one->{refused} || $one->{deferred} || ($one->{no} ? undef : $one->{accepted}) or next;
        $one->{decision} = [ map { $_ // '' } @$decided{qw(name table key action)} ];
    }
    return \%all;
}

sub trace_smtpd {
    my ($one, $said, $names) = @_;
    my $stack = $one->{stack};
    if ($said =~ /^generic_checks: name=(\S+)$/) {
        push @{ $one->{restrictions} }, $1 unless grep { $_ eq $1 } @{ $one->{restrictions} };
        push @$stack, { name => $1 };
    } elsif ($said =~ /^generic_checks: name=(\S+) status=(\d)/) {
        my $it = pop @$stack || { name => $1 };
        $one->{refused} ||= $it if $2 == 2;
        $one->{accepted} = $it if $2 == 1;
    } elsif ($said =~ /^check_table_result: (\{.*?\}|\S+) (.*?) (policy query|\S+)$/) {
        my ($table, $action, $key) = ($1, $2, $3);
        my $it = $stack->[-1] or return;
        my ($socket) = $table =~ m{unix:(private/rehearsal-\d+)};
        $it->{table} = $socket ? $names->{$socket} : $table;
        $it->{name} .= " $it->{table}" if $socket;
        $it->{action} = $action;
        $it->{key} = $socket ? '' : $it->{found} // $key;
        $one->{deferred} = {%$it} if $action =~ /^DEFER_IF/i;
    } elsif ($said =~ /^maps_find: .*\([^()]*\): (.*?) = /) {
        $stack->[-1]{found} = $1 if @$stack;
    } elsif (@$stack && $said =~ /^\w+: reject: .* blocked using ([^\s;]+)/) {
        $stack->[-1]{name} .= " $1";
    } elsif ($said =~ /^>>> CHECKING (Recipient|Sender) address VALIDATION MAPS/) {
        $one->{validating} = 'reject_unlisted_' . lc $1;
    } elsif ($said =~ /^\w+: milter-reject: /) {
        $one->{refused} = { name => 'smtpd_milters' };
    } elsif ($said =~ /^\w+: reject: / && !@$stack && $one->{validating}) {
        $one->{refused} ||= { name => $one->{validating} };
    } elsif ($said =~ /^< /) {
        # A new command, a new question. What let the recipients pass also lets DATA pass.
        delete @$one{qw(refused deferred validating no)};
        @$stack = ();
    } elsif ($said =~ /^> \S+: [45]\d\d[ -]/) {
        $one->{no} = 1;
    } elsif ($said =~ /^> /) {
        delete @$one{qw(refused deferred)};
    }
}

sub trace_cleanup {
    my ($said, $queued) = @_;
    if ($said =~ /^(\w+): (reject|discard|hold|redirect|filter): (header|body) (.*) from \S+; from=<.*?: ([^:]*)$/) {
        my ($id, $action, $part, $key, $text) = ($1, $2, $3, $4, $5);
        my $one = $queued->{$id} or return;
        $text =~ s/^[245]\.\d+\.\d+ ?//;
        $one->{ $action eq 'reject' ? 'refused' : 'accepted' } =
          { name => "${part}_checks", key => $key, action => join ' ', uc $action, length $text ? $text : () };
    } elsif ($said =~ /^(\w+): milter-reject: / && $queued->{$1}) {
        $queued->{$1}{refused} = { name => 'smtpd_milters' };
    }
}
