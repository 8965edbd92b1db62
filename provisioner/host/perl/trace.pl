# Who decided, as smtpd(8) -v logs it. Nothing of this is documented: a test holds it to each
# supported version.

# By conversation: the restrictions that were evaluated, and the decision about the last reply.
sub decisions {
    my ($log) = @_;
    spew('/tmp/rehearsal.log', join "\n", @$log);
    return {};
}
