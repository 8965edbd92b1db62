# What settings name: files, directories, tables, certificates, domains.

# Files and directories that settings name by their path.
sub examine_files {
    my ($set, $changed) = @_;
    for my $name (@$changed) {
        my $value = $set->{$name};
        if ($name =~ /_tls_(?:\w+_)?CA(?:file|path)$|_file$/ && $name ne 'maillog_file') {
            finding("$name = $value: there is no such file") if $value =~ m{^/} && !-e $value;
        } elsif ($name =~ /^(?:my(?:networks|destination)|(?:relay|virtual_alias|virtual_mailbox)_domains)$/) {
            finding("$name: there is no file $_") for grep { m{^!?/} && !-e s/^!//r } split /[\s,]+/, $value;
            finding("$name: a bracket is not closed in $_") for grep { tr/[// != tr/]// } split /[\s,]+/, $value;
        } elsif ($name eq 'maillog_file') {
            finding("$name = $value: not below $set->{maillog_file_prefixes}")
              if $value ne '' && !grep { index($value, $_) == 0 } split /[\s,]+/, $set->{maillog_file_prefixes};
        } elsif ($name =~ /^(?:smtp|lmtp)_bind_address6?$/ && $value ne '') {
            my $error = cannot_bind($value, 0);
            finding("$name = $value: this is no address of this host") if $error;
        } elsif ($name =~ /_cache_(?:database|map)$|^address_verify_map$/ && $value =~ m{:(/.*)/}) {
            finding("$name = $value: there is no directory $1") unless -d $1;
        } elsif ($name eq 'multi_instance_directories') {
            finding("$name: there is no $_/main.cf, and Postfix would not start again") for grep { !-e "$_/main.cf" } split /[\s,]+/, $value;
        } elsif ($name eq 'mailbox_command' && $value =~ m{^(?:exec\s+)?(/[^\s;|&"'\$]+)}) {
            finding("$name = $value: there is no program $1") unless -x $1;
        } elsif ($name =~ /^(?:queue|data|daemon|command|mail_spool|meta|shlib)_directory$/) {
            finding("$name = $value: there is no such directory") if $value =~ m{^/} && !-d $value;
        }
    }
}

# smtpd takes no mail where the queue has less room than queue_minfree, or than one and a half of
# the largest message (postconf(5)).
sub examine_room {
    my ($set, $changed, $new) = @_;
    my %needed = (queue_minfree => 1, message_size_limit => 1.5);
    my @wanted = map { [ $_, $_, $set->{$_} ] } grep { $needed{$_} } @$changed;
    for my $service (@$new) {
        push @wanted, map { [ "$service->{name}/$service->{type}: $_", $_, $service->{options}{$_} ] }
          grep { $needed{$_} } sort keys %{ $service->{options} || {} };
    }
    @wanted = grep { $_->[2] =~ /^\d+$/ } @wanted or return;
    my ($free) = output_of(qw(df -Pk --), $set->{queue_directory}) =~ /\s\d+\s+\d+\s+(\d+)\s+\d+%/ or return;
    for (@wanted) {
        my ($label, $name, $value) = @$_;
        finding("$label = $value: the queue has less room than that needs, and no mail would be taken")
          if $value * $needed{$name} > 1024 * $free;
    }
}

# A domain is of one kind only (ADDRESS_CLASS_README): what the others say of it has no effect.
sub examine_domains {
    my ($set, $changed) = @_;
    my %changed = map { $_ => 1 } @$changed;
    my @kinds = qw(mydestination virtual_alias_domains virtual_mailbox_domains);
    for my $first (@kinds) {
        my %of_first = map { lc($_) => 1 } grep { !m{[/:]} } split /[\s,]+/, $set->{$first} // '';
        for my $second (grep { $_ gt $first && ($changed{$first} || $changed{$_}) } @kinds) {
            finding("$_ is in $first and in $second: the first takes its mail, the other has no effect")
              for grep { $of_first{ lc $_ } } split /[\s,]+/, $set->{$second} // '';
        }
    }
}

# Certificates that this change brings must not be of yesterday.
sub examine_certificates {
    my ($set, $changed, $new, $brought) = @_;
    my %changed = map { $_ => 1 } @$changed;
    my %named;
    for my $name (grep { /_tls_(?:\w+_)?(?:cert_file|chain_files)$/ } sort keys %$set) {
        $named{$_} //= $name for grep { m{^/} && ($changed{$name} || $brought->{$_}) } split /[\s,]+/, expand($set, $set->{$name}, 0);
    }
    for my $service (@$new) {
        for my $name (grep { /_tls_(?:\w+_)?(?:cert_file|chain_files)$/ } keys %{ $service->{options} || {} }) {
            $named{$_} //= "$service->{name}/$service->{type}: $name" for grep { m{^/} } split /[\s,]+/, effective($set, $service, $name);
        }
    }
    for my $file (grep { -r $_ && have('openssl') } sort keys %named) {
        finding("$named{$file}: the certificate in $file has expired")
          if output_of(qw(openssl x509 -noout -checkend 0 -in), $file) =~ /will expire/;
    }
}

my %compiled = (hash => '.db', btree => '.db', cdb => '.cdb', lmdb => '.lmdb', dbm => '.pag', sdbm => '.pag');
my %plain = map { $_ => '' } qw(regexp pcre cidr texthash ldap mysql pgsql sqlite memcache);

# Every table that a setting names: of a type that exists here, with its file, in a state to be
# read.
sub examine_tables {
    my ($set, $services, $wrote) = @_;
    my %known = map { $_ => 1 } split ' ', output_of(qw(postconf -m));
    my %named;
    my $look = sub {
        my ($name, $value) = @_;
        return if $name =~ /^proxy_(?:read|write)_maps$/;
        # What stands in a table in place is no table: transports, milters, addresses.
        $value =~ s/\binline:\{(?:[^{}]|\{[^{}]*\})*\}//g;
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
    my @reading = map { reader_of('complaints', qw(postmap -q rehearsal), $_) } @patterns;
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

# A certificate of the client side, which no conversation here presents, must have its key.
sub examine_keys {
    my ($set, $changed) = @_;
    my %pairs;
    for (@$changed) { $pairs{$1} = 1 if /^((?:smtp|lmtp|tlsproxy_client)_tls_(?:ec|d)?)(?:cert|key)_file$/ }
    for my $name (sort keys %pairs) {
        my ($cert, $key) = map { expand($set, $set->{ $name . $_ } // '', 0) } qw(cert_file key_file);
        next unless -r $cert && -r $key && have('openssl');
        my @public = (output_of(qw(openssl x509 -noout -pubkey -in), $cert), output_of(qw(openssl pkey -pubout -in), $key));
        finding("${name}cert_file and ${name}key_file do not belong together") if $public[0] ne $public[1];
    }
}

