# What the parts of the rehearsal share. Core modules only, those of a minimal perl, and few of
# them: to load IO::Socket, IO::Select and POSIX takes longer than to do without them.
use strict;
use warnings;
use Cwd ();
use Socket qw(SOCK_DGRAM SOCK_STREAM AF_UNIX PF_UNSPEC SOMAXCONN pack_sockaddr_un);

# waitpid(2), on Linux.
use constant WNOHANG => 1;

# The most that is told of one reply, in bytes.
use constant LONGEST => 1000;

# To whom nobody may relay.
use constant ABROAD => 'rehearsal@relay-test.example.net';

# Where strangers come from: a range for documentation (RFC 5737), and the two halves of the world
# that relay settings of too few bits let in.
use constant { STRANGER => '192.0.2.25', HALFWAY => '45.0.2.25', BEYOND => '2001:db8::25' };

my %found;

# What the paths of a rewritten copy begin with; empty in namespaces, where paths are the live ones.
my $root = '';

# A line of the report: a word, then name=value pairs. Values are bytes; what could be taken
# for something else is written as %XX.
sub report {
    my ($kind, @pairs) = @_;
    my $line = $kind;
    while (my ($name, $value) = splice @pairs, 0, 2) {
        $value = substr as_known($value), 0, LONGEST;
        $value =~ s/([^A-Za-z0-9_.,:;@<>()\[\]\/+-])/sprintf '%%%02X', ord $1/ge;
        $line .= " $name=$value";
    }
    return "$line\n";
}

# The other way: a line of name=value pairs, to a hash of lists.
sub unpack_line {
    my ($line) = @_;
    my %record;
    for (split ' ', $line) {
        my ($name, $value) = split /=/, $_, 2;
        ($value //= '') =~ s/%([0-9A-F]{2})/chr hex $1/ge;
        push @{ $record{$name} }, $value;
    }
    return \%record;
}

# A finding is told once, and as the same line however often the rehearsal is held.
sub finding {
    my $text = substr as_known($_[0]), 0, LONGEST;
    $text =~ s/[^\x20-\x7e]/?/g;
    return if keys %found >= 200;
    print "finding $text\n" unless $found{$text}++;
}

sub note { my ($text) = @_; print "note ", as_known($text), "\n" }

sub slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; my $all = <$in>; $all // '' }

sub spew { my ($file, $text) = @_; open my $out, '>', $file or die "$file: $!\n"; print $out $text; close $out }

# Starts a program; what it says goes to these files. Returns its process id.
sub start_program {
    my ($output, $complaints, @command) = @_;
    defined(my $pid = fork) or die "fork: $!\n";
    return $pid if $pid;
    open STDOUT, '>', $output;
    open STDERR, '>', $complaints;
    exec { $command[0] } @command or exit 127;
}

sub wait_for { waitpid $_, 0 for @_ }

# A handle to what a program says on standard output, or of its `complaints`.
sub reader_of {
    my ($said, @command) = @_;
    my $pid = open my $reader, '-|';
    defined $pid or die "fork: $!\n";
    return $reader if $pid;
    if ($said eq 'output') { open STDERR, '>', '/dev/null' }
    else { open STDERR, '>&', \*STDOUT; open STDOUT, '>', '/dev/null' }
    exec { $command[0] } @command or exit 127;
}

sub output_of { my $reader = reader_of('output', @_); local $/; my $all = <$reader>; $all // '' }

# Postfix programs wait for a configuration that is seconds young.
sub aged { utime time - 10, time - 10, @_ }

# A connection to a socket of the file system; undef if nobody is there ($! says why).
sub connected {
    my ($path) = @_;
    socket my $socket, AF_UNIX, SOCK_STREAM, 0 or return;
    connect $socket, pack_sockaddr_un($path) or return;
    return unbuffered($socket);
}

# A socket that others find at that path: SOCK_STREAM listens, SOCK_DGRAM is read from.
sub bound {
    my ($path, $type) = @_;
    socket my $socket, AF_UNIX, $type, 0 or die "$path: $!\n";
    bind $socket, pack_sockaddr_un($path) or die "$path: $!\n";
    chmod 0666, $path;
    listen $socket, SOMAXCONN if $type == SOCK_STREAM;
    return $socket;
}

sub unbuffered { my $before = select $_[0]; $| = 1; select $before; $_[0] }

# Which of these handles can be read from, within so many seconds (undef: as long as it takes).
sub can_read {
    my ($seconds, @handles) = @_;
    my $wanted = '';
    vec($wanted, fileno $_, 1) = 1 for @handles;
    return if select($wanted, undef, undef, $seconds) <= 0;
    return grep { vec $wanted, fileno $_, 1 } @handles;
}

sub pause { select undef, undef, undef, $_[0] }
