# The scene in namespaces: every directory that holds what changes is covered by an overlay, so
# that what is staged stands at the paths of what is live. mount(8) takes many mounts at once.

sub cover_files {
    my ($proof, $config, $scene, @directories) = @_;
    my @changes = changes($scene);
    # (The size is a bound, not a claim: smtpd takes no mail where it sees no room for it.)
    system(qw(mount -t tmpfs -o), 'mode=0755,size=64g', 'tmpfs', $proof) == 0 or die "mounting is refused\n";
    spew("$proof/scene", slurp($scene));
    live_settings($proof);
    # Behind a symbolic link a file stands elsewhere, and no live one may be written.
    my @of_config = map { Cwd::abs_path($_) // () } glob "$config/*.cf";
    cover($proof, $config, @directories, map { s{/[^/]*$}{}r } @of_config, map { $_->[1] } @changes);
    my %done;
    for (grep { !$done{ $_->[1] }++ } @changes) {
        my ($staged, $target) = @$_;
        if ($staged eq '-') { take_away($target) }
        elsif (!rename $staged, $target) { put_in_place($staged, $target) }
    }
}

# What changes: pairs of what is staged (or `-`) and of its target. `scene` is a file with a line
# for each.
sub changes {
    my @lines = split /\n/, slurp($_[0]);
    my @changes;
    while (my ($staged, $target) = splice @lines, 0, 2) { push @changes, [ $staged, $target ] }
    return @changes;
}

sub take_away { my ($path) = @_; -d $path && !-l $path ? rmdir $path : unlink $path }

# The outer directories before those inside of them, which they show as well.
sub cover {
    my ($proof, @directories) = @_;
    my (@covered, @mounts);
    for my $directory (sort { $a cmp $b } @directories) {
        die "the root directory cannot be covered\n" if $directory eq '' || $directory eq '/';
        next if !-d $directory || grep { index("$directory/", "$_->[0]/") == 0 } @covered;
        my ($device, $mode, $uid, $gid) = (stat _)[0, 2, 4, 5];
        my ($upper, $work) = map { "$proof/$_" . @covered } qw(upper work);
        mkdir $_ for $upper, $work;
        # The upper directory lends its owner and mode to what is seen there.
        chown $uid, $gid, $upper;
        chmod $mode & 07777, $upper;
        push @covered, [ $directory, $device ];
        push @mounts, [ 'rehearsal', $directory, 'overlay', "lowerdir=$directory,upperdir=$upper,workdir=$work" ];
    }
    mount_all("$proof/overlays", @mounts);
    for (grep { (stat $_->[0])[0] == $_->[1] } @covered) {
        my ($directory, $device) = @$_;
        my $copy = "$proof/copy$directory";
        make_path($copy =~ s{/[^/]*$}{}r);
        system('cp', '-a', '--', $directory, $copy) == 0 && system('mount', '--bind', $copy, $directory) == 0
          && (stat $directory)[0] != $device or die "$directory cannot be covered\n";
    }
}

# Mounts what a line of fstab(5) each says: source, target, type and options.
sub mount_all {
    my ($table, @mounts) = @_;
    return unless @mounts;
    spew($table, join '', map { join(' ', map { s/([\s\\#])/sprintf '\\%03o', ord $1/ger } @$_) . " 0 0\n" } @mounts);
    output_of(qw(mount -a -T), $table);
}

# The live files, as Postfix understands them, for comparison.
sub live_settings {
    my ($proof, @where) = @_;
    wait_for(map { start_program("$proof/live.$_->[0]", '/dev/null', 'postconf', @where, $_->[1]) }
          [ 'main', '-x' ], [ 'master', '-M' ]);
}
