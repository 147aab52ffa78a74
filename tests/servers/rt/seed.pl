# Initial data of a test's RT: a queue with custom fields, an account with exactly the rights that
# docs/products/rt.md asks for, and one account for each right that has all of them but this one.
my @rights = qw(SeeQueue CreateTicket ShowTicket ShowTicketComments CommentOnTicket
    SeeCustomField ModifyCustomField);

@Queues = ({ Name => 'Incidents', Lifecycle => 'default' });
@CustomFields = (
    { Name => 'Stockade Key', Type => 'FreeformSingle', Queue => ['Incidents'] },
    { Name => 'Affected Host', Type => 'FreeformMultiple', Queue => ['Incidents'] },
    { Name => 'Severity', Type => 'SelectSingle', Queue => ['Incidents'],
      Values => [ map { { Name => $_ } } qw(low medium high critical) ] },
);
@Users = map { { Name => $_, EmailAddress => "$_\@example.test", Privileged => 1 } }
    ('stockade', map { "without-$_" } @rights);
@ACL = (
    (map { { UserId => 'stockade', Queue => 'Incidents', Right => $_ } } @rights),
    map {
        my $missing = $_;
        map { { UserId => "without-$missing", Queue => 'Incidents', Right => $_ } }
            grep { $_ ne $missing } @rights
    } @rights,
);
