# A second way to set the scene, where there are no namespaces: every directory that holds what
# changes is built again below $root, of links to what stays and copies of what changes, and the
# configuration is told of these paths.

my $pattern;

# Returns where the configuration is now.
sub copy_files {
    my ($proof, $config, $scene, @directories) = @_;
    my @changes = changes($scene);
    my @of_config = grep { -e } map { Cwd::abs_path("$config/$_") // () } qw(main.cf master.cf);
    $root = $proof;
    build(covered(@directories, map { s{/[^/]*$}{}r } @of_config, map { $_->[1] } @changes));
    put_in_place($_, "$root$_") for @of_config;
    for (@changes) {
        my ($staged, $target) = @$_;
        if ($staged ne '-') { put_in_place($staged, "$root$target") }
        else { take_away("$root$target") }
    }
    live_settings($proof, '-c', $config);
    spew("$proof/scene", slurp($scene));
    for ("$root$config/main.cf", "$root$config/master.cf", map { "$proof/$_" } qw(live.main live.master scene)) {
        spew($_, elsewhere(slurp($_)));
    }
    return "$root$config";
}

# The directories to build: behind links, too, and what is between an outer and an inner one.
sub covered {
    my %covered = map { ($_ => 1, (Cwd::abs_path($_) // $_) => 1) } grep { -d } @_;
    die "the root directory cannot be copied\n" if grep { $_ eq '' || $_ eq '/' } @_;
    for my $outer (keys %covered) {
        for my $inner (grep { index($_, "$outer/") == 0 } keys %covered) {
            while (($inner =~ s{/[^/]*$}{}r) ne $outer) { $inner =~ s{/[^/]*$}{}; $covered{$inner} = 1 }
        }
    }
    my $any = join '|', map { quotemeta } sort { length $b <=> length $a } keys %covered;
    $pattern = qr{(?<![\w/.\})-])($any)(?![\w.-])};
    return \%covered;
}

sub build {
    my ($covered) = @_;
    for my $directory (sort keys %$covered) {
        my $real = Cwd::abs_path($directory);
        make_path($root . $real);
        if ($real ne $directory) {
            make_path($root . ($directory =~ s{/[^/]*$}{}r));
            symlink "$root$real", "$root$directory" unless -e "$root$directory";
            next;
        }
        opendir my $entries, $directory or die "$directory: $!\n";
        for my $path (map { "$directory/$_" } grep { !/^\.\.?$/ } readdir $entries) {
            next if $covered->{$path};
            my $is = -l $path ? Cwd::abs_path($path) // next : $path;
            symlink $covered->{ $is =~ s{/[^/]*$}{}r } && $is ne $path ? "$root$is" : $is, "$root$path";
        }
    }
}

sub make_path {
    my $path = '';
    for (grep { length } split m{/}, $_[0]) {
        $path .= "/$_";
        mkdir $path and chmod 0755, $path;
    }
}

sub put_in_place {
    my ($from, $to) = @_;
    unlink $to;
    system('cp', '-a', '--', $from, $to) == 0 or die "$to cannot be put in place\n";
}

# Text with the paths of the copy.
sub elsewhere {
    my ($text) = @_;
    $text =~ s/$pattern/$root$1/g if length $root;
    return $text;
}

# Text with the paths that people know.
sub as_known {
    my ($text) = @_;
    $text =~ s/\Q$root\E//g if length $root;
    return $text;
}
